package derive_test

import (
	"crypto/rand"
	"testing"
	"time"

	"keyhint/derive"
)

// noon is the time of tests that do not care which time it is.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

var doc = derive.Document{Namespace: "tenant", ID: "doc-1"}

func newEntry(t testing.TB, version uint32) derive.Entry {
	t.Helper()
	e := derive.Entry{Version: version, MasterKey: newSecret(t), SaltKey: newSecret(t)}
	e.Check = derive.NewCheckValue(version, e.MasterKey, e.SaltKey)
	return e
}

func newSecret(t testing.TB) derive.Secret {
	t.Helper()
	s, err := derive.GenerateSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newEntries(t testing.TB, n int) []derive.Entry {
	t.Helper()
	entries := make([]derive.Entry, n)
	for i := range entries {
		entries[i] = newEntry(t, uint32(i+1))
	}
	return entries
}

func newKeyring(t testing.TB, entries ...derive.Entry) *derive.Keyring {
	t.Helper()
	ring, err := derive.NewKeyring(entries)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func issue(t testing.TB, ring *derive.Keyring, doc derive.Document, now time.Time) (derive.Key, derive.Hint) {
	t.Helper()
	key, hint, err := ring.Issue(doc, now, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key, hint
}

// bury makes a tombstone of an entry.
func bury(e derive.Entry) derive.Entry {
	return derive.Entry{Version: e.Version, Check: e.Check, Status: derive.Destroyed}
}

func with(e derive.Entry, status derive.Status) derive.Entry {
	e.Status = status
	return e
}
