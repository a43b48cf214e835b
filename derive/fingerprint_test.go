package derive_test

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"

	"keyhint/derive"
)

// tombstones are entries that are the same in every run.
func tombstones(n int) []derive.Entry {
	entries := make([]derive.Entry, n)
	for i := range entries {
		check := derive.CheckValue{Version: uint32(i + 1), Sum: [8]byte{7: byte(i + 1)}}
		entries[i] = derive.Entry{Version: uint32(i + 1), Check: check, Status: derive.Destroyed}
	}
	return entries
}

func TestFingerprintIsAsDocumented(t *testing.T) {
	entries := tombstones(11)
	entries[1].ActivateAt = time.Unix(1, 5)
	entries[1].IssueUntil = time.Unix(2, 0)
	lines := "1-0000000000000001 destroyed - -\n2-0000000000000002 destroyed 1000000005 2000000000\n"
	for v := 3; v <= 11; v++ { // 10 comes after 9
		lines += fmt.Sprintf("%d-%016x destroyed - -\n", v, v)
	}
	want := fmt.Sprintf("%x", sha256.Sum256([]byte(lines)))[:16]
	if got := newKeyring(t, entries...).Fingerprint(); got != want {
		t.Errorf("%s, not %s", got, want)
	}
	// printf '1-0000000000000001 destroyed - -\n' | sha256sum
	if got := newKeyring(t, tombstones(1)...).Fingerprint(); got != "4098b8a6aff84a93" {
		t.Errorf("%s", got)
	}
}

func TestFingerprintDependsOnWhatTheRingDoes(t *testing.T) {
	base := func() []derive.Entry {
		entries := newEntries(t, 3)
		entries[1].ActivateAt, entries[1].IssueUntil = noon, noon.Add(time.Hour)
		return append(entries, with(newEntry(t, 3), derive.ResolveOnly))
	}()
	same := newKeyring(t, base...).Fingerprint()
	for name, c := range map[string]struct {
		change func(entries []derive.Entry)
		equal  bool
	}{
		"nothing":                         {func([]derive.Entry) {}, true},
		"the order":                       {func(e []derive.Entry) { slices.Reverse(e) }, true},
		"the order of two under a number": {func(e []derive.Entry) { e[2], e[3] = e[3], e[2] }, true},
		"the time zone":                   {func(e []derive.Entry) { e[1].ActivateAt = e[1].ActivateAt.In(time.FixedZone("", 3600)) }, true},
		"a status":                        {func(e []derive.Entry) { e[0].Status = derive.Disabled }, false},
		"another status":                  {func(e []derive.Entry) { e[0].Status = derive.ResolveOnly }, false},
		"a tombstone":                     {func(e []derive.Entry) { e[0] = bury(e[0]) }, false},
		"an activation":                   {func(e []derive.Entry) { e[1].ActivateAt = noon.Add(1) }, false},
		"no activation":                   {func(e []derive.Entry) { e[1].ActivateAt = time.Time{} }, false},
		"an end":                          {func(e []derive.Entry) { e[1].IssueUntil = noon }, false},
		"the two exchanged":               {func(e []derive.Entry) { e[1].ActivateAt, e[1].IssueUntil = e[1].IssueUntil, e[1].ActivateAt }, false},
		"an end for an activation":        {func(e []derive.Entry) { e[1].ActivateAt, e[1].IssueUntil = time.Time{}, noon }, false},
		"other secrets":                   {func(e []derive.Entry) { e[0] = newEntry(t, 1) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			entries := slices.Clone(base)
			c.change(entries)
			if got := newKeyring(t, entries...).Fingerprint(); (got == same) != c.equal || len(got) != 16 {
				t.Errorf("%s and %s", got, same)
			}
		})
	}
	if newKeyring(t, base[0], base[1]).Fingerprint() == newKeyring(t, base[0], base[1], base[2]).Fingerprint() {
		t.Error("an entry more, and the same")
	}
}

func TestEntriesAreCopiesWithoutSecrets(t *testing.T) {
	given := newEntries(t, 3)
	given[1].ActivateAt, given[1].IssueUntil, given[2].Status = noon, noon, derive.Disabled
	slices.Reverse(given)
	ring := newKeyring(t, given...)
	entries := ring.Entries()
	for i, e := range entries {
		want := given[i]
		want.MasterKey, want.SaltKey = derive.Secret{}, derive.Secret{}
		if e != want {
			t.Errorf("%+v", e)
		}
		entries[i] = derive.Entry{}
	}
	if len(entries) != 3 || ring.Entries()[0].Version != 3 {
		t.Error("the ring was changed through the copy")
	}
}
