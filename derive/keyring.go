package derive

import (
	"fmt"
	"slices"
	"sync/atomic"
	"time"
)

// Keyring holds all versions of the master secrets. It never changes after
// [NewKeyring], but for [Keyring.Wipe], and is safe for any number of goroutines.
type Keyring struct {
	entries  []Entry // in the order given
	byID     map[entryID]*Entry
	highest  uint32
	schedule []step // ascending in time and version
	wiped    uint32 // atomic; 1 if the secrets are zeros, or about to be
}

// step says which version is primary from a moment on.
type step struct {
	from    time.Time
	version uint32
	entry   *Entry // the version's entry that may issue; nil if none is enabled
}

// NewKeyring builds a ring, or refuses with every fault of the entries, joined
// by errors.Join; each is an [*EntryError]. A ring that issues nothing is
// valid, a ring without any entry is not.
func NewKeyring(entries []Entry) (*Keyring, error) {
	if err := validate(entries); err != nil {
		return nil, err
	}
	r := &Keyring{entries: slices.Clone(entries), byID: make(map[entryID]*Entry, len(entries))}
	for i := range r.entries {
		e := &r.entries[i]
		r.byID[e.id()] = e
		r.highest = max(r.highest, e.Version)
	}
	r.schedule = r.makeSchedule()
	return r, nil
}

// Wipe zeroes the secrets, which the ring shares with the entries that it was
// made from. It is for a ring that no key is being made with any more; from then
// on Issue and Resolve fail. What is public about the ring stays.
func (r *Keyring) Wipe() {
	atomic.StoreUint32(&r.wiped, 1) // first, so that no key can be made of the zeros
	for i := range r.entries {
		r.entries[i].MasterKey.Wipe()
		r.entries[i].SaltKey.Wipe()
	}
}

// isWiped is asked after the secrets were used: if it says no, they were not zeros.
func (r *Keyring) isWiped() bool { return atomic.LoadUint32(&r.wiped) != 0 }

// makeSchedule lets every entry become active in the order of time and notes
// each change of the primary.
func (r *Keyring) makeSchedule() []step {
	byTime := make([]*Entry, len(r.entries))
	for i := range r.entries {
		byTime[i] = &r.entries[i]
	}
	slices.SortStableFunc(byTime, func(a, b *Entry) int { return a.ActivateAt.Compare(b.ActivateAt) })

	var schedule []step
	var primary step
	for _, e := range byTime {
		if e.Version < primary.version {
			continue
		}
		if e.Version > primary.version {
			primary = step{version: e.Version}
		}
		if e.Status == Enabled {
			primary.entry = e
		}
		primary.from = e.ActivateAt
		schedule = append(schedule, primary)
	}
	return schedule
}

// Primary returns the entry that issues at the given time, without its secrets.
// If none does, the error wraps [ErrNothingIssues] and says why.
func (r *Keyring) Primary(now time.Time) (Entry, error) {
	e, err := r.primary(now)
	if err != nil {
		return Entry{}, err
	}
	return e.public(), nil
}

// NextActivation is the first time after now at which another entry becomes a
// candidate for issuing by its ActivateAt, or the zero time if there is none.
func (r *Keyring) NextActivation(now time.Time) time.Time {
	if i := r.stepAfter(now); i < len(r.schedule) {
		return r.schedule[i].from
	}
	return time.Time{}
}

// stepAfter is the index of the first step that has not come yet.
func (r *Keyring) stepAfter(now time.Time) int {
	i, _ := slices.BinarySearchFunc(r.schedule, now, func(s step, now time.Time) int {
		if s.from.After(now) {
			return 1
		}
		return -1
	})
	return i
}

func (r *Keyring) primary(now time.Time) (*Entry, error) {
	i := r.stepAfter(now)
	if i == 0 {
		return nil, fmt.Errorf("%w: none is active before %s", ErrNothingIssues, r.schedule[0].from.Format(time.RFC3339))
	}
	s := r.schedule[i-1]
	switch {
	case s.entry == nil:
		return nil, fmt.Errorf("%w: version %d is primary and not enabled", ErrNothingIssues, s.version)
	case !s.entry.IssueUntil.IsZero() && !now.Before(s.entry.IssueUntil):
		return nil, fmt.Errorf("%w: version %d is primary and issued until %s", ErrNothingIssues, s.version, s.entry.IssueUntil.Format(time.RFC3339))
	}
	return s.entry, nil
}

// Versions is N: the ring knows the versions 1 to N.
func (r *Keyring) Versions() uint32 { return r.highest }

// Entries returns a copy of the entries, in the order in which they were given
// and without their secrets.
func (r *Keyring) Entries() []Entry {
	entries := make([]Entry, len(r.entries))
	for i := range r.entries {
		entries[i] = r.entries[i].public()
	}
	return entries
}
