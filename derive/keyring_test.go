package derive_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"keyhint/derive"
)

func TestNewKeyringRefuses(t *testing.T) {
	one, two, three := newEntry(t, 1), newEntry(t, 2), newEntry(t, 3)
	change := func(e derive.Entry, f func(*derive.Entry)) derive.Entry {
		f(&e)
		return e
	}
	recheck := func(e *derive.Entry) { e.Check = derive.NewCheckValue(e.Version, e.MasterKey, e.SaltKey) }
	for _, c := range []struct {
		name    string
		entries []derive.Entry
		index   int
		field   string
		says    string
	}{
		{"version 0", []derive.Entry{change(one, func(e *derive.Entry) { e.Version = 0 })}, 0, "version", "number the entries from 1"},
		{"not from 1", []derive.Entry{two}, 0, "version", "version 1 is not in the ring"},
		{"a gap", []derive.Entry{one, three}, 1, "version", "version 2 is not in the ring"},
		{"no check", []derive.Entry{change(one, func(e *derive.Entry) { e.Check = derive.CheckValue{} })}, 0, "check", "is missing"},
		{"another version's check", []derive.Entry{one, change(two, func(e *derive.Entry) { e.Check = three.Check })}, 1, "check", "is the check value of version 3"},
		{"a wrong check", []derive.Entry{change(one, func(e *derive.Entry) { e.Check.Sum[7] ^= 1 })}, 0, "check", "mistyped or swapped"},
		{"the two secrets swapped", []derive.Entry{change(one, func(e *derive.Entry) { e.MasterKey, e.SaltKey = e.SaltKey, e.MasterKey })}, 0, "check", "mistyped or swapped"},
		{"a number moved", []derive.Entry{one, change(one, func(e *derive.Entry) { e.Version = 2 })}, 1, "check", "is the check value of version 1"},
		{"no master key", []derive.Entry{change(one, func(e *derive.Entry) { e.MasterKey = derive.Secret{} })}, 0, "master_key", "is missing"},
		{"no salt key", []derive.Entry{change(one, func(e *derive.Entry) { e.SaltKey = derive.Secret{}; e.Status = derive.Disabled })}, 0, "salt_key", "is missing"},
		{"a tombstone with a master key", []derive.Entry{change(bury(one), func(e *derive.Entry) { e.MasterKey = one.MasterKey })}, 0, "master_key", "remove it"},
		{"a tombstone with a salt key", []derive.Entry{change(bury(one), func(e *derive.Entry) { e.SaltKey = one.SaltKey })}, 0, "salt_key", "remove it"},
		{"a tombstone without check", []derive.Entry{{Version: 1, Status: derive.Destroyed}}, 0, "check", "is missing"},
		{"a master key twice", []derive.Entry{one, change(two, func(e *derive.Entry) { e.MasterKey = one.MasterKey; recheck(e) })}, 1, "master_key", "same secret as master_key of keys[0]"},
		{"a salt key twice", []derive.Entry{one, change(two, func(e *derive.Entry) { e.SaltKey = one.SaltKey; recheck(e) })}, 1, "salt_key", "same secret as salt_key of keys[0]"},
		{"a secret in both roles", []derive.Entry{one, change(two, func(e *derive.Entry) { e.SaltKey = one.MasterKey; recheck(e) })}, 1, "salt_key", "same secret as master_key of keys[0]"},
		{"a secret in both roles of one entry", []derive.Entry{change(one, func(e *derive.Entry) { e.SaltKey = e.MasterKey; recheck(e) })}, 0, "salt_key", "same secret"},
		{"an unknown status", []derive.Entry{with(one, 4)}, 0, "status", "is unknown"},
		{"one number, both enabled", []derive.Entry{one, newEntry(t, 1)}, 1, "status", "resolve_only"},
		{"one number, three entries, two enabled", []derive.Entry{one, with(newEntry(t, 1), derive.Disabled), newEntry(t, 1)}, 2, "status", "resolve_only"},
		{"an entry twice", []derive.Entry{one, bury(one)}, 1, "check", "stands in keys[0] already"},
		{"one fingerprint, two check values", []derive.Entry{one, change(bury(one), func(e *derive.Entry) { e.Check.Sum[7] ^= 1 })}, 1, "check", "same first 8 hex digits"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ring, err := derive.NewKeyring(c.entries)
			if ring != nil || err == nil {
				t.Fatal("not refused")
			}
			var fault *derive.EntryError
			if !errors.As(err, &fault) {
				t.Fatalf("not an EntryError: %v", err)
			}
			if fault.Index != c.index || fault.Field != c.field || !strings.Contains(fault.Problem, c.says) {
				t.Errorf("refused with %q", err)
			}
			for _, e := range c.entries {
				right := derive.CheckValue{}
				if !e.MasterKey.IsZero() && !e.SaltKey.IsZero() {
					right = derive.NewCheckValue(e.Version, e.MasterKey, e.SaltKey)
				}
				for _, secret := range []string{e.MasterKey.Reveal(), e.SaltKey.Reveal(), right.String()} {
					if secret != "" && strings.Contains(err.Error(), secret) {
						t.Errorf("the error shows a secret or the right check value: %v", err)
					}
				}
			}
		})
	}
	t.Run("every fault is reported", func(t *testing.T) {
		_, err := derive.NewKeyring([]derive.Entry{{Version: 1}, {Version: 3, Status: derive.Destroyed}})
		if n := len(err.(interface{ Unwrap() []error }).Unwrap()); n != 5 {
			t.Errorf("%d faults: %v", n, err)
		}
	})
	t.Run("no entry", func(t *testing.T) {
		if _, err := derive.NewKeyring(nil); err == nil {
			t.Error("not refused")
		}
	})
}

func TestNewKeyringAccepts(t *testing.T) {
	one, two := newEntry(t, 1), newEntry(t, 2)
	for name, entries := range map[string][]derive.Entry{
		"any order":                   {two, one},
		"nothing issues":              {with(one, derive.Disabled)},
		"only tombstones":             {bury(one), bury(two)},
		"one number, one enabled":     {one, with(newEntry(t, 1), derive.ResolveOnly), bury(newEntry(t, 1))},
		"one number, none enabled":    {with(one, derive.ResolveOnly), with(newEntry(t, 1), derive.Disabled)},
		"a tombstone below the newer": {bury(one), two},
	} {
		if _, err := derive.NewKeyring(entries); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeyringDoesNotFollowItsInput(t *testing.T) {
	entries := newEntries(t, 2)
	ring := newKeyring(t, entries...)
	key, hint := issue(t, ring, doc, noon)
	clear(entries)
	again, err := ring.Resolve(hint, doc, noon, 0)
	if err != nil || !again.Equal(key) {
		t.Errorf("the ring changed with the slice it was built from: %v", err)
	}
}

func TestPrimary(t *testing.T) {
	hour := func(h int) time.Time { return noon.Add(time.Duration(h) * time.Hour) }
	at := func(e derive.Entry, activate, until int) derive.Entry {
		if activate != 0 {
			e.ActivateAt = hour(activate)
		}
		if until != 0 {
			e.IssueUntil = hour(until)
		}
		return e
	}
	one, two, three := newEntry(t, 1), newEntry(t, 2), newEntry(t, 3)
	other := newEntry(t, 2)
	for _, c := range []struct {
		name    string
		entries []derive.Entry
		now     time.Time
		want    derive.CheckValue // zero: nothing issues
	}{
		{"the highest", []derive.Entry{one, two, three}, noon, three.Check},
		{"the highest, whatever the order", []derive.Entry{three, one, two}, noon, three.Check},
		{"not before its activation", []derive.Entry{one, at(two, 1, 0)}, hour(1).Add(-1), one.Check},
		{"at its activation", []derive.Entry{one, at(two, 1, 0)}, hour(1), two.Check},
		{"a higher one active earlier wins for good", []derive.Entry{one, at(two, 2, 0), at(three, 1, 0)}, hour(3), three.Check},
		{"none active yet", []derive.Entry{at(one, 1, 0)}, noon, derive.CheckValue{}},
		{"no fall back from resolve_only", []derive.Entry{one, with(two, derive.ResolveOnly)}, noon, derive.CheckValue{}},
		{"no fall back from disabled", []derive.Entry{one, with(two, derive.Disabled)}, noon, derive.CheckValue{}},
		{"no fall back from a tombstone", []derive.Entry{one, bury(two)}, noon, derive.CheckValue{}},
		{"a disabled one does not count before its activation", []derive.Entry{one, at(with(two, derive.Disabled), 1, 0)}, noon, one.Check},
		{"the way out is a new version", []derive.Entry{one, with(two, derive.Disabled), three}, noon, three.Check},
		{"before issue_until", []derive.Entry{at(one, 0, 1)}, hour(1).Add(-1), one.Check},
		{"at issue_until", []derive.Entry{at(one, 0, 1)}, hour(1), derive.CheckValue{}},
		{"no fall back from issue_until", []derive.Entry{one, at(two, 0, -1)}, noon, derive.CheckValue{}},
		{"one number, the enabled one", []derive.Entry{one, with(two, derive.Disabled), other}, noon, other.Check},
		{"one number, the enabled one first", []derive.Entry{one, other, with(two, derive.Disabled)}, noon, other.Check},
		{"one number, the enabled one not active yet", []derive.Entry{one, with(two, derive.Disabled), at(other, 1, 0)}, noon, derive.CheckValue{}},
		{"one number, the enabled one active at last", []derive.Entry{one, with(two, derive.Disabled), at(other, 1, 0)}, hour(1), other.Check},
		{"one number, the other active later", []derive.Entry{one, at(with(two, derive.Disabled), 2, 0), at(other, 1, 0)}, hour(3), other.Check},
		{"other time zones", []derive.Entry{one, func() derive.Entry {
			e := at(two, 1, 0)
			e.ActivateAt = e.ActivateAt.In(time.FixedZone("", -7*3600))
			return e
		}()}, hour(1), two.Check},
	} {
		t.Run(c.name, func(t *testing.T) {
			ring := newKeyring(t, c.entries...)
			got, err := ring.Primary(c.now)
			if got.Check != c.want || (err != nil) != (c.want == derive.CheckValue{}) {
				t.Errorf("primary %v, %v; want %v", got, err, c.want)
			}
			_, hint, err := ring.Issue(doc, c.now, zeroReader{})
			if err != nil && !errors.Is(err, derive.ErrNothingIssues) {
				t.Errorf("issuing: %v", err)
			}
			if hint.Version() != c.want.Version || (err == nil && hint.Fingerprint() != c.want.Fingerprint()) {
				t.Errorf("issued %v, want %v", hint, c.want)
			}
		})
	}
}

// The schedule answers as the rule of DESIGN section 4 does, applied naively.
func TestPrimaryEqualsTheRule(t *testing.T) {
	random := newRandom(t)
	for range 300 {
		var entries []derive.Entry
		for v := range uint32(1 + random.IntN(5)) {
			for i := range 1 + random.IntN(2) {
				e := with(newEntry(t, v+1), derive.Status(random.IntN(3)))
				if i > 0 {
					e.Status = derive.ResolveOnly
				}
				if random.IntN(2) > 0 {
					e.ActivateAt = noon.Add(time.Duration(random.IntN(6)) * time.Second)
				}
				if random.IntN(4) == 0 {
					e.IssueUntil = noon.Add(time.Duration(random.IntN(6)) * time.Second)
				}
				entries = append(entries, e)
			}
		}
		ring := newKeyring(t, entries...)
		for s := -1; s < 8; s++ {
			now := noon.Add(time.Duration(s) * time.Second)
			active := slices.DeleteFunc(slices.Clone(entries), func(e derive.Entry) bool { return now.Before(e.ActivateAt) })
			highest := uint32(0)
			for _, e := range active {
				highest = max(highest, e.Version)
			}
			var want derive.CheckValue
			for _, e := range active {
				if e.Version == highest && e.Status == derive.Enabled && (e.IssueUntil.IsZero() || now.Before(e.IssueUntil)) {
					want = e.Check
				}
			}
			if got, _ := ring.Primary(now); got.Check != want {
				t.Fatalf("at %d s: primary %v, the rule says %v, of %+v", s, got, want, entries)
			}
		}
	}
}

func TestReplaces(t *testing.T) {
	one, two, three := newEntry(t, 1), newEntry(t, 2), newEntry(t, 3)
	other := newEntry(t, 2)
	base := []derive.Entry{one, two}
	for _, c := range []struct {
		name     string
		old, new []derive.Entry
		says     string // empty: accepted
	}{
		{"the same", base, base, ""},
		{"in another order", base, []derive.Entry{two, one}, ""},
		{"one more", base, []derive.Entry{one, two, three}, ""},
		{"a lower status", base, []derive.Entry{with(one, derive.Disabled), with(two, derive.ResolveOnly)}, ""},
		{"enabled again", []derive.Entry{with(one, derive.Disabled), two}, base, ""},
		{"buried", base, []derive.Entry{bury(one), two}, ""},
		{"buried before and after", []derive.Entry{bury(one), two}, []derive.Entry{bury(one), two}, ""},
		{"healed by a second entry", base, []derive.Entry{one, with(two, derive.Disabled), other}, ""},
		{"the last vanished", base, []derive.Entry{one}, "version 2): has vanished"},
		{"the secrets changed", base, []derive.Entry{one, other}, "version 2): no longer stands under its check value"},
		{"the secrets changed under a tombstone", []derive.Entry{one, bury(two)}, []derive.Entry{one, other}, "version 2): no longer"},
		{"half of a pair vanished", []derive.Entry{one, with(two, derive.Disabled), other}, []derive.Entry{one, other}, "version 2): no longer"},
		{"back from destroyed", []derive.Entry{bury(one), two}, base, "version 1): status is destroyed and stays so"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := newKeyring(t, c.new...).Replaces(newKeyring(t, c.old...))
			switch {
			case c.says == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
		})
	}
}
