package config

import (
	"time"

	"keyhint/derive"
)

// stopOf is the earliest time from which, by the dates in the ring, an entry
// issues no more. It is the zero time if the ring gives no date.
//
// Two kinds of dates bound an entry's issuing: its own issue_until, and the
// activate_at of any higher version, whatever that one's status, because issuing
// never falls back. Other facts stop it as well and do not say since when: a
// status that was changed, and a higher version without activate_at, which
// became the primary when it was added. An operator who knows the time can write
// it down as issue_until.
//
// The dates hold if every replica had the file by then, as rotation requires.
func stopOf(e derive.Entry, entries []derive.Entry) time.Time {
	stop := e.IssueUntil
	for _, higher := range entries {
		if higher.Version > e.Version && !higher.ActivateAt.IsZero() && (stop.IsZero() || higher.ActivateAt.Before(stop)) {
			stop = higher.ActivateAt
		}
	}
	return stop
}

// destroyableFrom is the time from which no hint of an entry is young enough to
// be resolved, so that nothing is lost with its secrets: the last hint is issued
// before the entry stops, and refused when it is older than the maximum age. It
// is the zero time if there is none, or if the ring does not say.
func destroyableFrom(e derive.Entry, entries []derive.Entry, maxAge time.Duration) time.Time {
	stop := stopOf(e, entries)
	if maxAge == 0 || stop.IsZero() {
		return time.Time{}
	}
	return stop.Add(maxAge)
}
