package derive

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"
)

// Fingerprint is a short name for the ring as a whole: the first 8 bytes of a
// SHA-256, as 16 lower-case hex digits. Replicas with equal fingerprints know
// the same entries with the same statuses and schedules.
//
// It is over one line for each entry, sorted by version and check value: the
// check value, the status, ActivateAt and IssueUntil as Unix nanoseconds or "-"
// where zero, separated by spaces and ended by a newline. No secret goes into it
// but through check values.
func (r *Keyring) Fingerprint() string {
	entries := r.Entries()
	slices.SortFunc(entries, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Version, b.Version), slices.Compare(a.Check.Sum[:], b.Check.Sum[:]))
	})
	h := sha256.New()
	for _, e := range entries {
		fmt.Fprintln(h, e.Check, e.Status, moment(e.ActivateAt), moment(e.IssueUntil))
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return fmt.Sprint(t.UnixNano())
}
