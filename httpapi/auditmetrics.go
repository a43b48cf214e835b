package httpapi

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// auditMetrics are those of the audit log.
type auditMetrics struct {
	written, failed prometheus.Counter
	duration        prometheus.Histogram
}

func newAuditMetrics(registry *prometheus.Registry) auditMetrics {
	m := auditMetrics{
		written: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "keyhint_audit_records_total",
			Help: "Records written to the audit log.",
		}),
		failed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "keyhint_audit_failures_total",
			Help: "Records that could not be written to the audit log. No key leaves without one.",
		}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "keyhint_audit_write_duration_seconds",
			Help:    "How long requests waited for their records to be written, or to fail.",
			Buckets: durationBuckets,
		}),
	}
	registry.MustRegister(m.written, m.failed, m.duration)
	return m
}

// ObserveAudit is for audit.Options.
func (m *Metrics) ObserveAudit(took time.Duration, err error) {
	m.audit.duration.Observe(took.Seconds())
	if err != nil {
		m.audit.failed.Inc()
	} else {
		m.audit.written.Inc()
	}
}
