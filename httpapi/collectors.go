package httpapi

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ringCollector reports the ring in force.
type ringCollector struct{ metrics *Metrics }

var (
	ringInfo = prometheus.NewDesc("keyhint_keyring_info",
		"Always 1; fingerprint is over versions, check values, statuses and schedules, and equal on replicas with one ring.", []string{"fingerprint"}, nil)
	ringVersions = prometheus.NewDesc("keyhint_keyring_versions",
		"The highest version in the ring.", nil, nil)
	ringPrimary = prometheus.NewDesc("keyhint_primary_version",
		"The version that issues now; 0 if none does.", nil, nil)
	ringIssueUntil = prometheus.NewDesc("keyhint_primary_issue_until_timestamp_seconds",
		"When the primary stops issuing by its issue_until; 0 if it has none or nothing issues.", nil, nil)
	ringNextActivation = prometheus.NewDesc("keyhint_next_activation_timestamp_seconds",
		"When another version becomes primary; 0 if none is scheduled.", nil, nil)
)

func (ringCollector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{ringInfo, ringVersions, ringPrimary, ringIssueUntil, ringNextActivation} {
		descriptions <- d
	}
}

func (c ringCollector) Collect(metrics chan<- prometheus.Metric) {
	ring := c.metrics.ring.Load()
	if ring == nil {
		return
	}
	now := c.metrics.now()
	primary, issueUntil := 0.0, time.Time{}
	if p, err := ring.Primary(now); err == nil {
		primary, issueUntil = float64(p.Check.Version), p.IssueUntil
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	gauge(ringInfo, 1, ring.Fingerprint())
	gauge(ringVersions, float64(ring.Versions()))
	gauge(ringPrimary, primary)
	gauge(ringIssueUntil, unixSeconds(issueUntil))
	gauge(ringNextActivation, unixSeconds(ring.NextActivation(now)))
}

// keySetCollector reports the token key sets behind URLs.
type keySetCollector struct{ metrics *Metrics }

var (
	keySetSuccess = prometheus.NewDesc("keyhint_token_key_set_last_success_timestamp_seconds",
		"When the token key set was last fetched; 0 if never.", []string{"key_set", "url"}, nil)
	keySetFailing = prometheus.NewDesc("keyhint_token_key_set_failing_since_timestamp_seconds",
		"Since when the token key set cannot be fetched, the last good one staying in force; 0 while it can.", []string{"key_set", "url"}, nil)
)

func (keySetCollector) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- keySetSuccess
	descriptions <- keySetFailing
}

func (c keySetCollector) Collect(metrics chan<- prometheus.Metric) {
	tokens := c.metrics.tokens.Load()
	if tokens == nil {
		return
	}
	for i, set := range tokens.KeySets() {
		status, number := set.Status(), strconv.Itoa(i+1)
		metrics <- prometheus.MustNewConstMetric(keySetSuccess, prometheus.GaugeValue, unixSeconds(status.Fetched), number, set.URL)
		metrics <- prometheus.MustNewConstMetric(keySetFailing, prometheus.GaugeValue, unixSeconds(status.FailingSince), number, set.URL)
	}
}
