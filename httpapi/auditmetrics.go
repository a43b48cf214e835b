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

// auditCollector reports whether the audit log in force can be written.
type auditCollector struct{ metrics *Metrics }

var auditWritable = prometheus.NewDesc("keyhint_audit_writable",
	"1 if records can be written to the audit log, 0 if the last one could not, nor can another be.", nil, nil)

func (auditCollector) Describe(descriptions chan<- *prometheus.Desc) { descriptions <- auditWritable }

// Collect tries to write if writing has failed, as readiness does: where that
// keeps requests away, no failures are counted any more.
func (c auditCollector) Collect(metrics chan<- prometheus.Metric) {
	f := c.metrics.inForce.Load()
	if f == nil || f.Audit == nil {
		return
	}
	metrics <- gauge(auditWritable, oneIf(f.Audit.Ready() == nil))
}
