package httpapi_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"keyhint/httpapi"
)

// get asks the private listener.
func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(b)
}

func TestReadinessFollowsItsChecks(t *testing.T) {
	fault := errors.New("no key set yet")
	var essential, advisory error
	server := httptest.NewServer(httpapi.NewAdmin([]httpapi.Check{
		{Name: "access", Fail: func() error { return essential }},
		{Name: "host", Fail: func() error { return advisory }, Advisory: true},
	}, httpapi.NewMetrics(time.Now), nil))
	defer server.Close()
	for _, c := range []struct {
		name                string
		essential, advisory error
		status              int
	}{
		{"all well", nil, nil, http.StatusOK},
		{"an essential check fails", fault, nil, http.StatusServiceUnavailable},
		{"an advisory check fails", nil, fault, http.StatusOK},
		{"well again", nil, nil, http.StatusOK},
	} {
		essential, advisory = c.essential, c.advisory
		if status, _ := get(t, server.URL+"/readyz"); status != c.status {
			t.Errorf("%s: status %d, want %d", c.name, status, c.status)
		}
		status, body := get(t, server.URL+"/readyz?verbose")
		var details struct {
			Ready  bool
			Checks map[string]struct {
				OK     bool
				Detail string
			}
		}
		if err := json.Unmarshal([]byte(body), &details); err != nil {
			t.Fatal(err)
		}
		if status != c.status || details.Ready != (c.status == http.StatusOK) ||
			details.Checks["access"].OK != (c.essential == nil) || details.Checks["host"].OK != (c.advisory == nil) {
			t.Errorf("%s: status %d, details %s", c.name, status, body)
		}
		if (c.essential != nil || c.advisory != nil) != strings.Contains(body, fault.Error()) {
			t.Errorf("%s: details %s", c.name, body)
		}
		if status, _ := get(t, server.URL+"/livez"); status != http.StatusOK {
			t.Errorf("%s: not alive", c.name)
		}
	}
}

func TestPrivateListenerServesNothingElse(t *testing.T) {
	server := httptest.NewServer(httpapi.NewAdmin(nil, httpapi.NewMetrics(time.Now), nil))
	defer server.Close()
	for _, path := range []string{"/", "/v1/key", "/debug/pprof/", "/metrics/x", "/livez/"} {
		if status, _ := get(t, server.URL+path); status != http.StatusNotFound {
			t.Errorf("%s: status %d", path, status)
		}
	}
	response, err := http.Post(server.URL+"/readyz", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST /readyz: status %d", response.StatusCode)
	}
}

func TestRequestsAreCounted(t *testing.T) {
	metrics := httpapi.NewMetrics(time.Now)
	e := newEndpoint(t, func(c *httpapi.Config) { c.Metrics = metrics })
	for _, body := range []string{
		`{"documentId":"a","keyHint":null}`, `{"documentId":"b","keyHint":null}`, `{"documentId":"a","keyHint":"x"}`, `{}`,
	} {
		response, err := http.Post(e.URL+path, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	}
	admin := httptest.NewServer(httpapi.NewAdmin(nil, metrics, nil))
	defer admin.Close()
	_, exposition := get(t, admin.URL+"/metrics")
	for _, line := range []string{
		`keyhint_requests_total{operation="issue",outcome="ok"} 2`,
		`keyhint_requests_total{operation="resolve",outcome="hint-mismatch"} 1`,
		`keyhint_requests_total{operation="unknown",outcome="malformed-request"} 1`,
	} {
		if !strings.Contains(exposition, line+"\n") {
			t.Errorf("no line %s in\n%s", line, exposition)
		}
	}
	if problems, err := testutil.GatherAndLint(metrics.Gatherer()); err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
}
