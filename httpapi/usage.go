package httpapi

import (
	"cmp"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"keyhint/derive"
	"keyhint/httpapi/access"
)

// maxVersionSeries bounds how many versions have metrics of their own. Whatever
// else a ring has is summed up under the label otherVersions.
const (
	maxVersionSeries = 64
	otherVersions    = "other"
)

// Usage counts the keys that were given out under each entry of a ring. It is
// safe for any number of goroutines.
type Usage struct {
	ring        *derive.Keyring
	fingerprint string
	entries     map[entryID]entryUse
	shown       []versionUse
	other       *uses // of versions that were not shown at the time
}

// entryID is what a hint names an entry by.
type entryID struct {
	version     uint32
	fingerprint derive.Fingerprint
}

type entryUse struct {
	*uses
	shown bool // its version has metrics of its own
}

// versionUse is a version that has metrics of its own, with the uses of the
// entries under it.
type versionUse struct {
	label   string
	entries []*uses
}

// uses is what was done since the process started.
type uses struct{ issue, resolve use }

type use struct {
	keys atomic.Uint64
	last atomic.Int64 // Unix milliseconds; 0 is never
}

func (u *use) add(now time.Time) {
	u.keys.Add(1)
	u.last.Store(now.UnixMilli())
}

// lastTime is the zero time if there was no use.
func (u *use) lastTime() time.Time {
	if ms := u.last.Load(); ms != 0 {
		return time.UnixMilli(ms).UTC()
	}
	return time.Time{}
}

// NewUsage counts for the entries of a ring, going on where the one of a former
// ring, which may be nil, is.
func NewUsage(ring *derive.Keyring, former *Usage) *Usage {
	entries := ring.Entries()
	u := &Usage{ring: ring, fingerprint: ring.Fingerprint(), entries: make(map[entryID]entryUse, len(entries)), other: new(uses)}
	if former != nil {
		u.other = former.other
	}
	shown := shownVersions(entries)
	byVersion := make(map[uint32][]*uses)
	for _, e := range entries {
		id := entryID{e.Version, e.Check.Fingerprint()}
		counted := new(uses)
		if former != nil && former.entries[id].uses != nil {
			counted = former.entries[id].uses
		}
		own := slices.Contains(shown, e.Version)
		u.entries[id] = entryUse{counted, own}
		if own {
			byVersion[e.Version] = append(byVersion[e.Version], counted)
		}
	}
	for _, version := range shown {
		u.shown = append(u.shown, versionUse{strconv.FormatUint(uint64(version), 10), byVersion[version]})
	}
	return u
}

// shownVersions are those that may give keys, and then the others, the highest
// first, as many as may be shown.
func shownVersions(entries []derive.Entry) []uint32 {
	live := make(map[uint32]bool)
	for _, e := range entries {
		live[e.Version] = live[e.Version] || e.Status == derive.Enabled || e.Status == derive.ResolveOnly
	}
	versions := make([]uint32, 0, len(live))
	for version := range live {
		versions = append(versions, version)
	}
	slices.SortFunc(versions, func(a, b uint32) int {
		if live[a] != live[b] {
			if live[a] {
				return -1
			}
			return 1
		}
		return cmp.Compare(b, a)
	})
	return versions[:min(len(versions), maxVersionSeries)]
}

// add counts a key that was given out.
func (u *Usage) add(hint derive.Hint, operation access.Operation, now time.Time) {
	e := u.entries[entryID{hint.Version(), hint.Fingerprint()}]
	if e.uses == nil {
		return // not since the hint is one of the ring
	}
	e.of(operation).add(now)
	if !e.shown {
		u.other.of(operation).add(now)
	}
}

func (u *uses) of(operation access.Operation) *use {
	if operation == access.Issue {
		return &u.issue
	}
	return &u.resolve
}

// Fingerprint is that of the ring.
func (u *Usage) Fingerprint() string { return u.fingerprint }

// EntryUsage is what was done with an entry since the process started. Times
// are zero if nothing was.
type EntryUsage struct {
	Issued       uint64    `json:"issued"`
	Resolved     uint64    `json:"resolved"`
	LastIssued   time.Time `json:"last_issued,omitzero"`
	LastResolved time.Time `json:"last_resolved,omitzero"`
}

// Of tells what was done with the entry that has a check value.
func (u *Usage) Of(check derive.CheckValue) EntryUsage {
	e := u.entries[entryID{check.Version, check.Fingerprint()}]
	if e.uses == nil {
		return EntryUsage{}
	}
	return EntryUsage{e.issue.keys.Load(), e.resolve.keys.Load(), e.issue.lastTime(), e.resolve.lastTime()}
}
