package derive

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// EntryError is a fault of one entry of a ring. It repeats no secret and no
// check value that was computed from one.
type EntryError struct {
	Index   int    // position among the entries, from 0
	Version uint32 // as the entry gives it
	Field   string // the entry's field by its name in the configuration file; empty for the entry as a whole
	Problem string // what is wrong and how to mend it; the predicate of a sentence about the field
}

// Error names the entry, as keys[Index], the field and the mend.
func (e *EntryError) Error() string {
	field := e.Field
	if field != "" {
		field += " "
	}
	return fmt.Sprintf("keys[%d] (version %d): %s%s", e.Index, e.Version, field, e.Problem)
}

// validate applies DESIGN section 4, "Loading refuses".
func validate(entries []Entry) error {
	if len(entries) == 0 {
		return errors.New("the ring has no entry")
	}
	v := validation{entries: entries}
	for i := range entries {
		v.checkEntry(i)
	}
	v.checkSecretsDiffer()
	v.checkNumbers()
	return errors.Join(v.errs...)
}

type validation struct {
	entries []Entry
	errs    []error
}

func (v *validation) refuse(index int, field, format string, args ...any) {
	v.errs = append(v.errs, &EntryError{index, v.entries[index].Version, field, fmt.Sprintf(format, args...)})
}

func (v *validation) checkEntry(i int) {
	e := &v.entries[i]
	if e.Version == 0 {
		v.refuse(i, "version", "is missing or 0: number the entries from 1")
	}
	if int(e.Status) >= len(statusNames) {
		v.refuse(i, "status", "is unknown: use enabled, resolve_only, disabled or destroyed")
	}
	v.checkMaterial(i, "master_key", e.MasterKey)
	v.checkMaterial(i, "salt_key", e.SaltKey)
	switch {
	case e.Check == (CheckValue{}):
		v.refuse(i, "check", "is missing: write the check value that was recorded when the entry was made")
	case e.Version == 0:
		// refused already
	case e.Check.Version != e.Version:
		v.refuse(i, "check", "is the check value of version %d: restore the entry's own number or its own check value", e.Check.Version)
	case e.MasterKey.IsZero() || e.SaltKey.IsZero():
		// nothing to compare with
	case e.Check != NewCheckValue(e.Version, e.MasterKey, e.SaltKey):
		v.refuse(i, "check", "does not belong to this version, master_key and salt_key: one of the three was mistyped or swapped; restore them from where they were recorded, and never adapt check to make this pass")
	}
}

func (v *validation) checkMaterial(i int, field string, s Secret) {
	destroyed := v.entries[i].Status == Destroyed
	switch {
	case destroyed && !s.IsZero():
		v.refuse(i, field, "must not be there in a destroyed entry: remove it, or set another status")
	case !destroyed && s.IsZero():
		v.refuse(i, field, "is missing: restore it, or, if it is lost for good, set status to destroyed")
	}
}

// checkSecretsDiffer refuses a secret that stands twice in the ring, in
// whatever role: two versions with one secret would fall together. It sorts them
// where they are, since a map would have copies.
func (v *validation) checkSecretsDiffer() {
	type place struct {
		index  int
		field  string
		secret Secret
	}
	places := make([]place, 0, 2*len(v.entries))
	for i := range v.entries {
		for _, p := range []place{{i, "master_key", v.entries[i].MasterKey}, {i, "salt_key", v.entries[i].SaltKey}} {
			if !p.secret.IsZero() {
				places = append(places, p)
			}
		}
	}
	slices.SortStableFunc(places, func(a, b place) int { return bytes.Compare(a.secret.bytes(), b.secret.bytes()) })
	for i := 1; i < len(places); i++ {
		first, p := places[i-1], places[i]
		if p.secret.Equal(first.secret) {
			places[i] = first // for one that stands there a third time
			v.refuse(p.index, p.field, "is the same secret as %s of keys[%d] (version %d): every secret stands once; make a new entry with fresh ones",
				first.field, first.index, v.entries[first.index].Version)
		}
	}
}

// checkNumbers refuses gaps, and entries that cannot share their number.
func (v *validation) checkNumbers() {
	order := make([]int, len(v.entries))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return int(int64(v.entries[a].Version) - int64(v.entries[b].Version))
	})
	fingerprints := make(map[entryID]int, len(v.entries))
	previous, enabled := uint32(0), -1
	for _, i := range order {
		e := &v.entries[i]
		if e.Version == 0 {
			continue // refused already
		}
		if e.Version != previous {
			if e.Version != previous+1 {
				v.refuse(i, "version", "leaves a gap: version %d is not in the ring; restore it, or bury it with its check value and status destroyed", previous+1)
			}
			previous, enabled = e.Version, -1
		}
		if e.Status == Enabled {
			if enabled >= 0 {
				v.refuse(i, "status", "is enabled, and so is that of keys[%d] with the same version: set one of them to resolve_only", enabled)
			}
			enabled = i
		}
		if e.Check.Version != e.Version {
			continue // refused already
		}
		if first, taken := fingerprints[e.id()]; taken {
			problem := "stands in keys[%d] already: remove one of the two"
			if v.entries[first].Check != e.Check {
				problem = "has the same first 8 hex digits as that of keys[%d], so hints could not tell them apart: make this entry anew with other secrets"
			}
			v.refuse(i, "check", problem, first)
			continue
		}
		fingerprints[e.id()] = i
	}
}
