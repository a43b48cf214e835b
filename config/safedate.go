package config

import (
	"cmp"
	"slices"
	"time"

	"keyhint/derive"
)

// stopsOf gives, for each entry of a ring, the earliest time from which it issues
// no more by the dates in the ring, or the zero time if the ring gives none.
//
// Two kinds of dates bound an entry's issuing: its own issue_until, and the
// activate_at of any higher version, whatever that one's status, because issuing
// never falls back. Other facts stop it as well and do not say since when: a
// status that was changed, and a higher version without activate_at, which
// became the primary when it was added. An operator who knows the time can write
// it down as issue_until.
//
// The dates hold if every replica had the file by then, as rotation requires.
func stopsOf(entries []derive.Entry) []time.Time {
	order := make([]int, len(entries))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(entries[b].Version, entries[a].Version) })
	stops := make([]time.Time, len(entries))
	var above, here time.Time // the first activate_at of the higher versions, and with this one's
	for n, i := range order {
		e := entries[i]
		if n > 0 && e.Version != entries[order[n-1]].Version {
			above = here
		}
		stops[i] = earliest(e.IssueUntil, above)
		here = earliest(here, e.ActivateAt)
	}
	return stops
}

// earliest is the earlier of two times, of which a zero one is none.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// destroyableFrom is the time from which no hint of an entry that stops then is
// young enough to be resolved, so that nothing is lost with its secrets: the last
// hint is issued before the entry stops, and refused when it is older than the
// maximum age. It is the zero time if there is none, or if the ring does not say.
func destroyableFrom(stop time.Time, maxAge time.Duration) time.Time {
	if maxAge == 0 || stop.IsZero() {
		return time.Time{}
	}
	return stop.Add(maxAge)
}
