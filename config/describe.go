package config

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"keyhint/derive"
)

// KeyringDescription says what a ring does now and will do. It holds no secret.
// Times are in UTC; what there is none of is left out of JSON.
type KeyringDescription struct {
	Fingerprint    string             `json:"fingerprint"` // of the ring as a whole
	Namespace      string             `json:"namespace"`
	MaxAge         string             `json:"max_age,omitzero"` // of hints, as Go writes durations
	Primary        uint32             `json:"primary,omitzero"` // the version that issues now
	NothingIssues  string             `json:"nothing_issues,omitzero"`
	NextActivation time.Time          `json:"next_activation,omitzero"` // of another version
	Entries        []EntryDescription `json:"entries"`                  // in the order of the file
}

// EntryDescription says what a ring entry does now and will do.
type EntryDescription struct {
	Version    uint32    `json:"version"`
	Check      string    `json:"check"`
	Status     string    `json:"status"`
	Primary    bool      `json:"primary"` // issues now
	ActivateAt time.Time `json:"activate_at,omitzero"`
	IssueUntil time.Time `json:"issue_until,omitzero"`
	// NextChange is when the entry begins or ceases to issue, by the ring as it is.
	NextChange *Change `json:"next_change,omitzero"`
	// DestroyableFrom is the time from which no session can need the secrets. It is
	// missing without a maximum age, for an entry that the ring sets no end to, and
	// for one that is destroyed.
	DestroyableFrom time.Time `json:"destroyable_from,omitzero"`
}

// Change is what happens to an entry at a time.
type Change struct {
	At   time.Time `json:"at"`
	What string    `json:"what"`
}

// Describe describes the ring of a configuration.
func Describe(c *Config, now time.Time) KeyringDescription {
	k := c.Keyring
	entries := k.Ring.Entries()
	stops, changes := stopsOf(entries), nextChanges(issuingPeriods(k.Ring, entries, now))
	d := KeyringDescription{
		Fingerprint: k.Ring.Fingerprint(), Namespace: k.Namespace,
		NextActivation: k.Ring.NextActivation(now).UTC(), Entries: make([]EntryDescription, len(entries)),
	}
	if k.MaxAge > 0 {
		d.MaxAge = k.MaxAge.String()
	}
	primary, err := k.Ring.Primary(now)
	if d.Primary = primary.Version; err != nil {
		d.NothingIssues = err.Error()
	}
	for i, e := range entries {
		d.Entries[i] = EntryDescription{
			Version: e.Version, Check: e.Check.String(), Status: e.Status.String(),
			Primary:    err == nil && e.Check == primary.Check,
			ActivateAt: e.ActivateAt.UTC(), IssueUntil: e.IssueUntil.UTC(),
			NextChange: changes[e.Check],
		}
		// The end of the last year that can be written stands for never.
		if from := destroyableFrom(stops[i], k.MaxAge); e.Status != derive.Destroyed && inCalendar(from) {
			d.Entries[i].DestroyableFrom = from.UTC()
		}
	}
	return d
}

// period says what issues from a time on.
type period struct {
	from    time.Time
	primary derive.Entry
	err     error // why nothing issues, if so
}

func (p period) issues(e derive.Entry) bool { return p.err == nil && p.primary.Check == e.Check }

// issuingPeriods are now and all later times at which what issues may change.
func issuingPeriods(ring *derive.Keyring, entries []derive.Entry, now time.Time) []period {
	times := []time.Time{now}
	for _, e := range entries {
		for _, t := range []time.Time{e.ActivateAt, e.IssueUntil} {
			if t.After(now) {
				times = append(times, t)
			}
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	var periods []period
	for _, t := range slices.CompactFunc(times, time.Time.Equal) {
		primary, err := ring.Primary(t)
		periods = append(periods, period{t, primary, err})
	}
	return periods
}

// nextChanges gives the first change of each entry that has one.
func nextChanges(periods []period) map[derive.CheckValue]*Change {
	changes := make(map[derive.CheckValue]*Change)
	now := periods[0]
	for _, p := range periods[1:] {
		if now.err == nil && changes[now.primary.Check] == nil && !p.issues(now.primary) {
			what := fmt.Sprintf("stops issuing; version %d takes over", p.primary.Version)
			if p.err != nil {
				what = "stops issuing; " + p.err.Error()
			}
			changes[now.primary.Check] = &Change{p.from.UTC(), what}
		}
		if p.err == nil && changes[p.primary.Check] == nil && !now.issues(p.primary) {
			changes[p.primary.Check] = &Change{p.from.UTC(), "begins to issue"}
		}
	}
	return changes
}

// WriteTable writes the entries for people to read.
func (d KeyringDescription) WriteTable(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(cells ...string) { fmt.Fprintln(table, strings.Join(cells, "\t")) }
	row("VERSION", "CHECK", "STATUS", "PRIMARY", "ACTIVATE AT", "ISSUE UNTIL", "DESTROYABLE FROM", "NEXT CHANGE")
	for _, e := range d.Entries {
		primary, next := "-", "-"
		if e.Primary {
			primary = "primary"
		}
		if e.NextChange != nil {
			next = e.NextChange.At.Format(time.RFC3339) + " " + e.NextChange.What
		}
		row(strconv.FormatUint(uint64(e.Version), 10), e.Check, e.Status, primary,
			cell(e.ActivateAt), cell(e.IssueUntil), cell(e.DestroyableFrom), next)
	}
	return table.Flush()
}

func cell(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format(time.RFC3339)
}
