package httpapi

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"keyhint/derive"
	"keyhint/httpapi/access"
)

// Metrics are what keyhint counts, for one process. Clients choose no label
// value, so there are never more than a few dozen series.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	conflict prometheus.Counter
	forward  *prometheus.HistogramVec
	now      func() time.Time
	ring     atomic.Pointer[derive.Keyring]
	tokens   atomic.Pointer[access.Tokens]
}

// Reload says how keeping up with the configuration goes.
type Reload struct {
	Success    time.Time // of the last reading that could be used
	Successful bool      // the last reading could be used
}

// NewMetrics returns metrics with a registry of their own, together with those
// of the Go runtime and the process. What issues is told by the clock now.
func NewMetrics(now func() time.Time) *Metrics {
	m := &Metrics{
		now:      now,
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "keyhint_requests_total",
			Help: "Requests by operation (issue, resolve, or unknown for one refused before and for any other request) and outcome (ok, canceled, or the problem type).",
		}, []string{"operation", "outcome"}),
		conflict: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "keyhint_ring_conflicts_total",
			Help: "Hints of a known version with an unknown fingerprint: another replica holds other material under it, or the hint was made up.",
		}),
		forward: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "keyhint_forward_duration_seconds",
			Help: "How long the host application took to decide in auth.mode forward, by outcome.",
		}, []string{"outcome"}),
	}
	m.registry.MustRegister(m.requests, m.conflict, m.forward, ringCollector{m}, keySetCollector{m},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Gatherer gives what the metrics say now.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// WatchRing reports this ring from now on.
func (m *Metrics) WatchRing(ring *derive.Keyring) { m.ring.Store(ring) }

// WatchKeySets reports the token key sets behind URLs of these tokens from now
// on; nil reports none.
func (m *Metrics) WatchKeySets(tokens *access.Tokens) { m.tokens.Store(tokens) }

// WatchReload reports how keeping up with the configuration goes. It is called
// once at most.
func (m *Metrics) WatchReload(status func() Reload) {
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "keyhint_config_last_reload_successful",
			Help: "1 if the configuration in the files is in force, 0 if it is refused and a former one stays in force.",
		}, func() float64 {
			if status().Successful {
				return 1
			}
			return 0
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "keyhint_config_last_reload_success_timestamp_seconds",
			Help: "When the files were last read and could be used.",
		}, func() float64 { return unixSeconds(status().Success) }),
	)
}

// ObserveForward is for [access.ForwardConfig].
func (m *Metrics) ObserveForward(outcome string, took time.Duration) {
	m.forward.WithLabelValues(outcome).Observe(took.Seconds())
}

func (m *Metrics) countRequest(x *exchange) {
	operation := string(x.operation)
	if operation == "" {
		operation = "unknown"
	}
	m.requests.WithLabelValues(operation, x.outcome).Inc()
}

func (m *Metrics) countConflict(err error) {
	if errors.Is(err, derive.ErrUnknownFingerprint) {
		m.conflict.Inc()
	}
}

// unixSeconds is a time as metrics give it; the zero time is 0.
func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
