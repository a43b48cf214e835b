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

// EntryDescription says what a ring entry does now and will do. It holds no
// secret. Times are in UTC and left out of JSON where there are none.
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

// Describe lists the entries of a ring in the order of the file.
func Describe(c *Config, now time.Time) []EntryDescription {
	entries := c.Keyring.Ring.Entries()
	periods := issuingPeriods(c.Keyring.Ring, entries, now)
	list := make([]EntryDescription, len(entries))
	for i, e := range entries {
		list[i] = EntryDescription{
			Version: e.Version, Check: e.Check.String(), Status: e.Status.String(),
			Primary:    periods[0].issues(e),
			ActivateAt: e.ActivateAt.UTC(), IssueUntil: e.IssueUntil.UTC(),
			NextChange: nextChange(e, periods),
		}
		if e.Status != derive.Destroyed {
			list[i].DestroyableFrom = destroyableFrom(e, entries, c.Keyring.MaxAge).UTC()
		}
	}
	return list
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

func nextChange(e derive.Entry, periods []period) *Change {
	issues := periods[0].issues(e)
	for _, p := range periods {
		if p.issues(e) == issues {
			continue
		}
		what := "begins to issue"
		switch {
		case issues && p.err != nil:
			what = "stops issuing; " + p.err.Error()
		case issues:
			what = fmt.Sprintf("stops issuing; version %d takes over", p.primary.Version)
		}
		return &Change{p.from.UTC(), what}
	}
	return nil
}

// WriteTable writes a list of entries for people to read.
func WriteTable(w io.Writer, list []EntryDescription) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(cells ...string) { fmt.Fprintln(table, strings.Join(cells, "\t")) }
	row("VERSION", "CHECK", "STATUS", "PRIMARY", "ACTIVATE AT", "ISSUE UNTIL", "DESTROYABLE FROM", "NEXT CHANGE")
	for _, e := range list {
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
