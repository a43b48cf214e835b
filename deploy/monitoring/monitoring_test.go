// Package monitoring_test checks the dashboard and the alert rules against a
// running keyhint and against Prometheus' own tool.
package monitoring_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// rule is an alert of keyhint-alerts.yaml.
type rule struct {
	Alert       string
	Expr        string
	For         string
	Labels      map[string]string
	Annotations map[string]string
}

func readRules(t *testing.T) []rule {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	d := yaml.NewDecoder(strings.NewReader(read(t, "keyhint-alerts.yaml")))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil {
		t.Fatal(err)
	}
	var rules []rule
	for _, group := range file.Groups {
		rules = append(rules, group.Rules...)
	}
	if len(rules) < 10 {
		t.Fatalf("%d rules", len(rules))
	}
	return rules
}

// promtool is Prometheus' tool. Where everything must run, it must be there.
func promtool(t *testing.T, arguments ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("KEYHINT_REQUIRE_ALL") != "" {
			t.Fatal(err)
		}
		t.Skip("promtool is not installed")
	}
	if output, err := exec.Command(path, arguments...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(arguments, " "), err, output)
	}
}

func TestPromtoolAcceptsTheAlerts(t *testing.T) {
	promtool(t, "check", "rules", "keyhint-alerts.yaml")
	promtool(t, "test", "rules", "keyhint-alerts.test.yaml")
}

// The configuration that deploy/README.md shows is one.
func TestPromtoolAcceptsTheScrapeConfiguration(t *testing.T) {
	_, text, _ := strings.Cut(read(t, "../README.md"), "```yaml\nrule_files:")
	text, _, found := strings.Cut(text, "```")
	if !found {
		t.Fatal("deploy/README.md shows none")
	}
	folder := t.TempDir()
	for name, text := range map[string]string{"prometheus.yaml": "rule_files:" + text, "keyhint-alerts.yaml": read(t, "keyhint-alerts.yaml")} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	promtool(t, "check", "config", filepath.Join(folder, "prometheus.yaml"))
}

func TestEveryAlertIsTestedBothWays(t *testing.T) {
	var file struct {
		Tests []struct {
			Expectations []struct {
				Expr    string
				Samples []struct{ Labels string } `yaml:"exp_samples"`
			} `yaml:"promql_expr_test"`
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "keyhint-alerts.test.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	fires := make(map[string]string) // alert to a series of it
	silent := make(map[string]bool)
	quoted := regexp.MustCompile(`alertname=~?"([^"]+)"`)
	rules := readRules(t)
	for _, test := range file.Tests {
		for _, e := range test.Expectations {
			for _, sample := range e.Samples {
				fires[quoted.FindStringSubmatch(sample.Labels)[1]] = sample.Labels
			}
			names := regexp.MustCompile("^(?:" + quoted.FindStringSubmatch(e.Expr)[1] + ")$")
			for _, r := range rules {
				silent[r.Alert] = silent[r.Alert] || len(e.Samples) == 0 && names.MatchString(r.Alert)
			}
		}
	}
	field := regexp.MustCompile(`\$labels\.(\w+)`)
	for _, r := range rules {
		if fires[r.Alert] == "" || !silent[r.Alert] {
			t.Errorf("%s: raised in a test: %t; not raised in one: %t", r.Alert, fires[r.Alert] != "", silent[r.Alert])
		}
		for _, text := range r.Annotations {
			for _, label := range field.FindAllStringSubmatch(text, -1) {
				if !strings.Contains(fires[r.Alert], " "+label[1]+"=") {
					t.Errorf("%s has no label %s, which its annotations name", r.Alert, label[1])
				}
			}
		}
	}
}

// anchor is what a heading of Markdown is linked by.
func anchor(heading string) string {
	kept := regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(heading), "")
	return strings.ReplaceAll(kept, " ", "-")
}

func TestAlertsSayWhatToDo(t *testing.T) {
	headings := make(map[string]bool)
	for _, file := range []string{"README.md", "deploy/README.md"} {
		for _, heading := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(read(t, filepath.Join("../..", file)), -1) {
			headings[file+"#"+anchor(heading[1])] = true
		}
	}
	seen := make(map[string]bool)
	for _, r := range readRules(t) {
		if seen[r.Alert] {
			t.Errorf("there are two %s", r.Alert)
		}
		seen[r.Alert] = true
		if s := r.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s has the severity %q", r.Alert, s)
		}
		if len(r.Annotations["summary"]) < 10 || len(r.Annotations["description"]) < 60 || len(r.Annotations) != 3 {
			t.Errorf("%s has the annotations %q", r.Alert, r.Annotations)
		}
		if !headings[r.Annotations["runbook"]] {
			t.Errorf("%s: there is no %s", r.Alert, r.Annotations["runbook"])
		}
		// Whatever is raised by the first sample is a count of events over a window.
		if r.For == "" && !strings.Contains(r.Expr, "increase(") {
			t.Errorf("%s is raised at once", r.Alert)
		}
	}
}

// dashboard is what the tests look at of Grafana's classic model.
type dashboard struct {
	Title, UID    string
	SchemaVersion int
	Templating    struct {
		List []struct{ Name, Type string }
	}
	Annotations struct {
		List []struct {
			Expr       string
			Datasource source
		}
	}
	Panels []panel
}

type panel struct {
	ID                       int
	Type, Title, Description string
	Collapsed                bool
	Datasource               source
	GridPos                  struct{ H, W, X, Y int }
	Targets                  []struct {
		Expr, RefID string
		Datasource  source
	}
	Panels []json.RawMessage
}

type source struct{ Type, UID string }

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	var d dashboard
	if err := json.Unmarshal([]byte(read(t, "keyhint-dashboard.json")), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// chosen is the data source that the dashboard's variable names.
var chosen = source{"prometheus", "${datasource}"}

func TestDashboardIsWellFormed(t *testing.T) {
	d := readDashboard(t)
	if d.Title != "keyhint" || d.UID != "keyhint" || d.SchemaVersion < 39 || len(d.Templating.List) == 0 || d.Templating.List[0] != (struct{ Name, Type string }{"datasource", "datasource"}) {
		t.Errorf("%+v", d.Templating)
	}
	const columns = 24
	ids, titles := make(map[int]bool), make(map[string]bool)
	taken := make(map[[2]int]string) // cells of the grid
	for _, p := range d.Panels {
		if ids[p.ID] || titles[p.Title] || p.ID == 0 || p.Title == "" {
			t.Errorf("panel %d, %q: the id or the title is missing, or not its own", p.ID, p.Title)
		}
		ids[p.ID], titles[p.Title] = true, true
		g := p.GridPos
		if g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > columns {
			t.Errorf("%q is outside of the grid: %+v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("%q lies over %q", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			if p.Collapsed || len(p.Panels) > 0 || g.W != columns {
				t.Errorf("the row %q hides panels", p.Title)
			}
			continue
		}
		if len(p.Targets) == 0 || len(p.Description) < 10 || p.Datasource != chosen {
			t.Errorf("%q has %d queries, the description %q, the data source %v", p.Title, len(p.Targets), p.Description, p.Datasource)
		}
		refs := make(map[string]bool)
		for _, target := range p.Targets {
			if target.Datasource != chosen || target.RefID == "" || refs[target.RefID] || !strings.Contains(target.Expr, `{job=~"$job", instance=~"$instance"`) {
				t.Errorf("%q asks %+v", p.Title, target)
			}
			refs[target.RefID] = true
		}
	}
}

// expressions are all PromQL of the dashboard, with the variables filled in, and
// of the alerts, by where they stand.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	d := readDashboard(t)
	fill := strings.NewReplacer("$__rate_interval", "5m", "$__range", "6h", "$job", "keyhint", "$instance", ".*")
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all[fmt.Sprintf("panel %q, query %s", p.Title, target.RefID)] = fill.Replace(target.Expr)
		}
	}
	for i, a := range d.Annotations.List {
		if a.Expr != "" {
			all[fmt.Sprintf("annotation %d", i)] = fill.Replace(a.Expr)
		}
	}
	for _, r := range readRules(t) {
		all["alert "+r.Alert] = r.Expr
	}
	return all
}

// promtool parses expressions in rules only, so the dashboard's are put into some.
func TestPromtoolAcceptsTheDashboard(t *testing.T) {
	type recording struct{ Record, Expr string }
	var rules []recording
	for _, expr := range expressions(t) {
		rules = append(rules, recording{fmt.Sprintf("dashboard:%d", len(rules)), expr})
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "dashboard.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	promtool(t, "check", "rules", file)
}

var (
	notMetrics = regexp.MustCompile(`"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on|ignoring|group_left|group_right) *\([^)]*\)`)
	identifier = regexp.MustCompile(`\b[a-zA-Z_:][a-zA-Z0-9_:]*(?: *\()?`)
	operators  = []string{"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring"}
)

// metricNames are the names of metrics in PromQL: what is left without strings,
// matchers, ranges, labels, functions and operators.
func metricNames(expr string) []string {
	var names []string
	for _, name := range identifier.FindAllString(notMetrics.ReplaceAllString(expr, " "), -1) {
		if !strings.HasSuffix(name, "(") && !slices.Contains(operators, name) {
			names = append(names, name)
		}
	}
	return names
}

func TestMetricNamesAreFound(t *testing.T) {
	for expr, want := range map[string]string{
		`sum by (a, b) (rate(x_total{c="d_total{", e=~"f"}[5m])) > 0`:                                 "x_total",
		`a - time() < 24 * 3600 and b_x unless (c > 0 and c <= a)`:                                    "a b_x c c a",
		`histogram_quantile(0.99, sum by (le) (rate(y_seconds_bucket[10m:1m]))) or absent(up{j="k"})`: "y_seconds_bucket up",
		`x / on (a) group_left () sum without (b) (y offset 5m)`:                                      "x y",
	} {
		if got := strings.Join(metricNames(expr), " "); got != want {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
}

// What dashboard and alerts ask for is served, by the names and with the labels
// that they ask for it.
func TestDashboardAndAlertsNameWhatIsServed(t *testing.T) {
	all := servedMetrics(t)
	names := map[string]bool{"up": true} // Prometheus' own
	for name, m := range all {
		names[name] = true
		if m.kind == "histogram" || m.kind == "summary" {
			names[name+"_count"], names[name+"_sum"], names[name+"_bucket"] = true, true, m.kind == "histogram"
		}
	}
	asked := make(map[string]bool)
	for where, expr := range expressions(t) {
		found := metricNames(expr)
		if len(found) == 0 {
			t.Errorf("%s: no metric in %s", where, expr)
		}
		for _, name := range found {
			if !names[name] {
				t.Errorf("%s: %s is not served", where, name)
			}
			asked[name] = true
		}
		for _, matcher := range regexp.MustCompile(`([a-z_]+)\{([^}]*)\}`).FindAllStringSubmatch(expr, -1) {
			m, histogram := all[matcher[1]], strings.TrimSuffix(strings.TrimSuffix(matcher[1], "_bucket"), "_count")
			if m.kind == "" {
				m = all[histogram]
			}
			for _, label := range regexp.MustCompile(`(\w+)(=~|!~|!=|=)"([^"]*)"`).FindAllStringSubmatch(matcher[2], -1) {
				if label[1] == "job" || label[1] == "instance" || label[1] == "quantile" {
					continue // not the service's to set, or always there
				}
				values := m.values[label[1]]
				value := regexp.MustCompile("^(?:" + label[3] + ")$")
				if !slices.ContainsFunc(values, value.MatchString) {
					t.Errorf("%s: %s never has %s", where, matcher[1], label[0])
				}
			}
		}
	}
	for name, m := range all {
		if !strings.HasPrefix(name, "keyhint_") {
			continue
		}
		if !asked[name] && !(m.kind == "histogram" && (asked[name+"_bucket"] || asked[name+"_count"])) {
			t.Errorf("neither the dashboard nor an alert asks for %s", name)
		}
	}
}
