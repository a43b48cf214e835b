package kubernetes

import (
	"os"
	"regexp"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/yaml"
)

// The PrometheusRule has the alerts that Prometheus itself would load, and they
// look for the job that the ServiceMonitor makes.
func TestRulesAreTheAlerts(t *testing.T) {
	text, err := os.ReadFile("../monitoring/keyhint-alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var alerts monitoringv1.PrometheusRuleSpec
	if err := yaml.UnmarshalStrict(text, &alerts); err != nil {
		t.Fatal(err)
	}
	c := build(t, "example")
	if len(c.rules) != 1 || len(alerts.Groups) == 0 || !equality.Semantic.DeepEqual(c.rules[0].Spec, alerts) {
		t.Error("monitoring/prometheusrule.yaml is not what deploy/monitoring/keyhint-alerts.yaml is: its head says how to renew it")
	}
	job := service(t, c, "keyhint-admin").Labels[c.monitors[0].Spec.JobLabel]
	named := regexp.MustCompile(`job="([^"]*)"`).FindAllStringSubmatch(string(text), -1)
	for _, name := range named {
		if name[1] != job {
			t.Errorf("an alert looks for the job %s, and the ServiceMonitor makes %s", name[1], job)
		}
	}
	if len(named) == 0 || strings.Contains(string(text), "job=~") {
		t.Error("alerts name their job in a way that this test does not know")
	}
}
