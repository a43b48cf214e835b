package httpapi

import (
	"cmp"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The collectors look, at each scrape, at the configuration in force.

// ringCollector reports the ring.
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
	mayIssue = prometheus.NewDesc("keyhint_may_issue",
		"1 if new sessions can have keys, 0 if the ring or the ledger stops it.", nil, nil)
)

func (ringCollector) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{ringInfo, ringVersions, ringPrimary, ringIssueUntil, ringNextActivation, mayIssue} {
		descriptions <- d
	}
}

func (c ringCollector) Collect(metrics chan<- prometheus.Metric) {
	f := c.metrics.inForce.Load()
	if f == nil {
		return
	}
	now, ring := c.metrics.now(), f.Usage.ring
	primary, issueUntil := 0.0, time.Time{}
	p, err := ring.Primary(now)
	if err == nil {
		primary, issueUntil = float64(p.Check.Version), p.IssueUntil
		if f.MayIssue != nil {
			err = f.MayIssue()
		}
	}
	metrics <- gauge(ringInfo, 1, f.Usage.fingerprint)
	metrics <- gauge(ringVersions, float64(ring.Versions()))
	metrics <- gauge(ringPrimary, primary)
	metrics <- gauge(ringIssueUntil, unixSeconds(issueUntil))
	metrics <- gauge(ringNextActivation, unixSeconds(ring.NextActivation(now)))
	metrics <- gauge(mayIssue, oneIf(err == nil))
}

func gauge(d *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

// usageCollector reports what was done with each version.
type usageCollector struct{ metrics *Metrics }

var (
	keysGiven = prometheus.NewDesc("keyhint_keys_total",
		"Keys given out by version and operation. Of a ring with more than 64 versions, the rest is summed up as version other.", []string{"version", "operation"}, nil)
	lastUse = prometheus.NewDesc("keyhint_key_last_use_timestamp_seconds",
		"When a key was last given out by version and operation; 0 if none was since the process started.", []string{"version", "operation"}, nil)
)

func (usageCollector) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- keysGiven
	descriptions <- lastUse
}

func (c usageCollector) Collect(metrics chan<- prometheus.Metric) {
	f := c.metrics.inForce.Load()
	if f == nil {
		return
	}
	report := func(version, operation string, list ...*use) {
		keys, last := uint64(0), time.Time{}
		for _, u := range list {
			keys += u.keys.Load()
			if t := u.lastTime(); t.After(last) {
				last = t
			}
		}
		metrics <- prometheus.MustNewConstMetric(keysGiven, prometheus.CounterValue, float64(keys), version, operation)
		metrics <- gauge(lastUse, unixSeconds(last), version, operation)
	}
	for _, v := range f.Usage.shown {
		var issue, resolve []*use
		for _, e := range v.entries {
			issue, resolve = append(issue, &e.issue), append(resolve, &e.resolve)
		}
		report(v.label, "issue", issue...)
		report(v.label, "resolve", resolve...)
	}
	if len(f.Usage.shown) < int(f.Usage.ring.Versions()) {
		report(otherVersions, "issue", &f.Usage.other.issue)
		report(otherVersions, "resolve", &f.Usage.other.resolve)
	}
}

// tokenCollector reports what auth.mode jwt works with.
type tokenCollector struct{ metrics *Metrics }

var (
	tokensCached = prometheus.NewDesc("keyhint_token_cache_entries",
		"Verified tokens that are remembered.", nil, nil)
	keySetSuccess = prometheus.NewDesc("keyhint_token_key_set_last_success_timestamp_seconds",
		"When the token key set was last fetched; 0 if never.", []string{"key_set", "url"}, nil)
	keySetFailing = prometheus.NewDesc("keyhint_token_key_set_failing_since_timestamp_seconds",
		"Since when the token key set cannot be fetched, the last good one staying in force; 0 while it can.", []string{"key_set", "url"}, nil)
)

func (tokenCollector) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- tokensCached
	descriptions <- keySetSuccess
	descriptions <- keySetFailing
}

func (c tokenCollector) Collect(metrics chan<- prometheus.Metric) {
	f := c.metrics.inForce.Load()
	if f == nil || f.Tokens == nil {
		return
	}
	metrics <- gauge(tokensCached, float64(f.Tokens.Cached()))
	for i, set := range f.Tokens.KeySets() {
		status, number := set.Status(), strconv.Itoa(i+1)
		metrics <- gauge(keySetSuccess, unixSeconds(status.Fetched), number, set.URL)
		metrics <- gauge(keySetFailing, unixSeconds(status.FailingSince), number, set.URL)
	}
}

// certificateCollector reports the public listener's certificate.
type certificateCollector struct{ metrics *Metrics }

var certificateExpiry = prometheus.NewDesc("keyhint_tls_certificate_expiry_timestamp_seconds",
	"When the certificate expires that the public listener shows now.", nil, nil)

func (certificateCollector) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- certificateExpiry
}

func (c certificateCollector) Collect(metrics chan<- prometheus.Metric) {
	f := c.metrics.inForce.Load()
	if f == nil || f.Certificate == nil {
		return
	}
	metrics <- gauge(certificateExpiry, unixSeconds(f.Certificate().NotAfter))
}

// newBuildInfo reports what the program was built from, as the Go toolchain
// noted it; what it did not is "unknown".
func newBuildInfo() prometheus.Collector {
	labels := prometheus.Labels{"version": "unknown", "revision": "unknown", "modified": "unknown", "goversion": "unknown"}
	if info, ok := debug.ReadBuildInfo(); ok {
		labels["version"], labels["goversion"] = cmp.Or(info.Main.Version, "unknown"), info.GoVersion
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				labels["revision"] = s.Value
			case "vcs.modified":
				labels["modified"] = s.Value
			}
		}
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "keyhint_build_info", Help: "Always 1; what the program was built from.", ConstLabels: labels,
	})
	build.Set(1)
	return build
}
