package httpapi

import (
	"crypto/x509"
	"errors"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"keyhint/derive"
	"keyhint/httpapi/access"
	"keyhint/httpapi/audit"
)

// Metrics are what keyhint counts, for one process. Every series that requests
// can move is there from the start, and clients choose no label value; the
// README lists them.
type Metrics struct {
	registry  *prometheus.Registry
	now       func() time.Time
	since     time.Time // when counting began
	requests  map[requestLabels]prometheus.Counter
	durations map[access.Operation]prometheus.Observer
	refusals  map[string]prometheus.Counter // by reason
	conflicts prometheus.Counter
	hintAges  prometheus.Observer
	forward   *prometheus.HistogramVec
	lookups   *prometheus.CounterVec // of tokens in the cache
	audit     auditMetrics
	inForce   atomic.Pointer[InForce]
}

// InForce is what metrics report of the configuration in force.
type InForce struct {
	Usage    *Usage         // and its ring
	MayIssue func() error   // as in [Config]; may be nil
	Audit    *audit.Log     // nil keeps none
	Tokens   *access.Tokens // nil in other modes than jwt

	// Certificate is the one that the public listener shows now; nil is plain HTTP.
	Certificate func() *x509.Certificate
}

// Reload says how keeping up with the configuration goes.
type Reload struct {
	Success    time.Time // of the last reading that could be used
	Successful bool      // the last reading could be used
}

// requestLabels are what requests are counted by.
type requestLabels struct {
	operation access.Operation // empty is unknown
	outcome   string
}

// Buckets of the histograms, in seconds.
var (
	durationBuckets = []float64{50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 100e-3, 250e-3, 500e-3, 1, 2.5, 5, 10}
	forwardBuckets  = durationBuckets[4:] // a call over the network, of 10 s at most

	hintAgeBuckets = []float64{minute, 10 * minute, hour, 6 * hour, day, 7 * day, 30 * day, 90 * day, 365 * day, 2 * 365 * day, 5 * 365 * day, 10 * 365 * day}
)

const (
	minute = 60.0
	hour   = 60 * minute
	day    = 24 * hour
)

// NewMetrics returns metrics with a registry of their own, together with those
// of the Go runtime and the process. What issues is told by the clock now.
func NewMetrics(now func() time.Time) *Metrics {
	m := &Metrics{now: now, since: now(), registry: prometheus.NewRegistry()}
	m.registry.MustRegister(ringCollector{m}, usageCollector{m}, tokenCollector{m}, auditCollector{m}, certificateCollector{m}, newBuildInfo(),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.registerRequests()
	m.registerAccess()
	m.audit = newAuditMetrics(m.registry)
	return m
}

func (m *Metrics) registerRequests() {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyhint_requests_total",
		Help: "Requests by operation (issue, resolve, or unknown for one refused before and for any other request) and outcome (ok, canceled, or the problem type).",
	}, []string{"operation", "outcome"})
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "keyhint_request_duration_seconds",
		Help:    "How long requests took, from the end of the header to the end of the answer.",
		Buckets: durationBuckets,
	}, []string{"operation"})
	refusals := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyhint_refusals_total",
		Help: "Refused requests by reason.",
	}, []string{"reason"})
	hintAges := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "keyhint_resolved_hint_age_seconds",
		Help:    "How long ago the hints were issued that were resolved.",
		Buckets: hintAgeBuckets,
	})
	m.conflicts = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "keyhint_ring_conflicts_total",
		Help: "Hints of a known version with an unknown fingerprint: another replica holds other material under it, or the hint was made up.",
	})
	m.registry.MustRegister(requests, durations, refusals, hintAges, m.conflicts)

	m.requests = make(map[requestLabels]prometheus.Counter)
	m.durations = make(map[access.Operation]prometheus.Observer)
	for _, operation := range []access.Operation{"", access.Issue, access.Resolve} {
		label := string(operation)
		if label == "" {
			label = "unknown"
		}
		m.durations[operation] = durations.WithLabelValues(label)
		for _, outcome := range outcomes() {
			m.requests[requestLabels{operation, outcome}] = requests.WithLabelValues(label, outcome)
		}
	}
	m.refusals = make(map[string]prometheus.Counter)
	for _, reason := range reasons() {
		m.refusals[reason] = refusals.WithLabelValues(reason)
	}
	m.hintAges = hintAges
}

func (m *Metrics) registerAccess() {
	m.forward = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "keyhint_forward_duration_seconds",
		Help:    "How long the host application took to decide in auth.mode forward, by outcome.",
		Buckets: forwardBuckets,
	}, []string{"outcome"})
	m.lookups = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "keyhint_token_cache_lookups_total",
		Help: "Tokens in auth.mode jwt by whether they were verified earlier (hit) or not (miss).",
	}, []string{"result"})
	m.registry.MustRegister(m.forward, m.lookups)
}

// Gatherer gives what the metrics say now.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Since is when counting began.
func (m *Metrics) Since() time.Time { return m.since }

// Report makes this what is reported from now on.
func (m *Metrics) Report(f InForce) { m.inForce.Store(&f) }

// WatchReload reports how keeping up with the configuration goes. It is called
// once at most.
func (m *Metrics) WatchReload(status func() Reload) {
	m.registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "keyhint_config_last_reload_successful",
			Help: "1 if the configuration in the files is in force, 0 if it is refused and a former one stays in force.",
		}, func() float64 { return oneIf(status().Successful) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "keyhint_config_last_reload_success_timestamp_seconds",
			Help: "When the files were last read and could be used.",
		}, func() float64 { return unixSeconds(status().Success) }),
	)
}

// ObserveForward returns what [access.ForwardConfig] is to have. The metric is
// there from then on.
func (m *Metrics) ObserveForward() func(outcome string, took time.Duration) {
	observers := make(map[string]prometheus.Observer)
	for _, outcome := range access.ForwardOutcomes() {
		observers[outcome] = m.forward.WithLabelValues(outcome)
	}
	return func(outcome string, took time.Duration) { observers[outcome].Observe(took.Seconds()) }
}

// ObserveTokenCache returns what [access.TokenConfig] is to have. The metric is
// there from then on.
func (m *Metrics) ObserveTokenCache() func(hit bool) {
	hits, misses := m.lookups.WithLabelValues("hit"), m.lookups.WithLabelValues("miss")
	return func(hit bool) {
		if hit {
			hits.Inc()
		} else {
			misses.Inc()
		}
	}
}

// countRequest counts an exchange that is over.
func (m *Metrics) countRequest(x *exchange, took time.Duration) {
	requests, known := m.requests[requestLabels{x.operation, x.outcome}]
	if !known {
		requests = m.requests[requestLabels{x.operation, "other"}]
	}
	requests.Inc()
	m.durations[x.operation].Observe(took.Seconds())
}

// countRefusal counts why a request was refused.
func (m *Metrics) countRefusal(err error, p problem) {
	refusals, known := m.refusals[reasonOf(err, p)]
	if !known {
		refusals = m.refusals["other"]
	}
	refusals.Inc()
	if errors.Is(err, derive.ErrUnknownFingerprint) {
		m.conflicts.Inc()
	}
}

// observeHintAge notes how old a hint was when it was resolved. One that is
// from the future, by a clock that was ahead, counts as new.
func (m *Metrics) observeHintAge(age time.Duration) { m.hintAges.Observe(max(0, age.Seconds())) }

// unixSeconds is a time as metrics give it; the zero time is 0.
func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
