package httpapi

import (
	"fmt"
	"net/http"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Check is one thing that readiness depends on.
type Check struct {
	Name string
	Fail func() error  // nil if all is well
	Info func() string // what there is to know when all is well; may be nil
	Data func() any    // the same for programs, whether all is well or not; may be nil
	// Advisory checks are shown and do not make the instance unready: taking it
	// out of service would not help.
	Advisory bool
}

// checkResult is how a check appears in the verbose answer.
type checkResult struct {
	OK       bool   `json:"ok"`
	Advisory bool   `json:"advisory,omitzero"`
	Detail   string `json:"detail,omitzero"`
	Data     any    `json:"data,omitempty"`
}

// NewAdmin returns the handler of the private listener: /livez, /readyz, with
// details as JSON under ?verbose, /metrics, and /keyring, which shows as JSON what
// keyring returns, if it is not nil. Nothing there is secret.
func NewAdmin(checks []Check, metrics *Metrics, keyring func() any) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { writeReadiness(w, r, checks) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics.Gatherer(), promhttp.HandlerOpts{EnableOpenMetrics: true}))
	if keyring != nil {
		mux.HandleFunc("GET /keyring", func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, keyring()) })
	}
	return mux
}

func writeReadiness(w http.ResponseWriter, r *http.Request, checks []Check) {
	verbose := r.URL.Query().Has("verbose")
	results := make(map[string]checkResult, len(checks))
	status, text := http.StatusOK, "ready"
	for _, c := range checks {
		err := c.Fail()
		if err != nil && !c.Advisory {
			status, text = http.StatusServiceUnavailable, "not ready"
		}
		if verbose {
			results[c.Name] = c.result(err)
		}
	}
	if verbose {
		writeJSON(w, status, map[string]any{"ready": status == http.StatusOK, "checks": results})
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	fmt.Fprintln(w, text)
}

func (c *Check) result(err error) checkResult {
	result := checkResult{OK: err == nil, Advisory: c.Advisory}
	switch {
	case err != nil:
		result.Detail = err.Error()
	case c.Info != nil:
		result.Detail = c.Info()
	}
	if c.Data != nil {
		result.Data = c.Data()
	}
	return result
}

// writeJSON answers with a page for people and programs.
func writeJSON(w http.ResponseWriter, status int, page any) {
	body, err := json.Marshal(page, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		http.Error(w, "encoding the page failed", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}
