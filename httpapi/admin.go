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
	// Advisory checks are shown and do not make the instance unready: taking it
	// out of service would not help.
	Advisory bool
}

// checkResult is how a check appears in the verbose answer.
type checkResult struct {
	OK       bool   `json:"ok"`
	Advisory bool   `json:"advisory,omitzero"`
	Detail   string `json:"detail,omitzero"`
}

// NewAdmin returns the handler of the private listener: /livez, /readyz, with
// details as JSON under ?verbose, and /metrics. Nothing there is secret.
func NewAdmin(checks []Check, metrics *Metrics) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { writeReadiness(w, r, checks) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics.Gatherer(), promhttp.HandlerOpts{}))
	return mux
}

func writeReadiness(w http.ResponseWriter, r *http.Request, checks []Check) {
	results := make(map[string]checkResult, len(checks))
	status, text := http.StatusOK, "ready"
	for _, c := range checks {
		result := checkResult{OK: true, Advisory: c.Advisory}
		if c.Info != nil {
			result.Detail = c.Info()
		}
		if err := c.Fail(); err != nil {
			result.OK, result.Detail = false, err.Error()
			if !c.Advisory {
				status, text = http.StatusServiceUnavailable, "not ready"
			}
		}
		results[c.Name] = result
	}
	w.Header().Set("Cache-Control", "no-store")
	if !r.URL.Query().Has("verbose") {
		w.WriteHeader(status)
		fmt.Fprintln(w, text)
		return
	}
	body, err := json.Marshal(map[string]any{"ready": status == http.StatusOK, "checks": results}, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		http.Error(w, "encoding the checks failed", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}
