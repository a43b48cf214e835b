package monitoring_test

import (
	"strings"
	"testing"
)

// The alerts are in the Kubernetes manifests as well, word for word.
func TestPrometheusRuleHasTheAlerts(t *testing.T) {
	_, alerts, _ := strings.Cut(read(t, "keyhint-alerts.yaml"), "\ngroups:\n")
	var want strings.Builder
	want.WriteString("  groups:\n")
	for line := range strings.Lines(alerts) {
		if line != "\n" {
			line = "  " + line
		}
		want.WriteString(line)
	}
	if _, rule, _ := strings.Cut(read(t, "../kubernetes/monitoring/prometheusrule.yaml"), "\nspec:\n"); rule != want.String() {
		t.Error("deploy/kubernetes/monitoring/prometheusrule.yaml does not have these alerts: its head says how to renew it")
	}
}
