package config_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keyhint/config"
	"keyhint/derive"
)

func openLedger(t *testing.T, path string) *config.Ledger {
	t.Helper()
	l, err := config.OpenLedger(path, "tenant")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func loadRing(t *testing.T, entries ...entry) *derive.Keyring {
	t.Helper()
	return mustLoad(t, ring(entries...)).Keyring.Ring
}

func TestLedgerMissesWhatItRemembers(t *testing.T) {
	one, two, three := newEntry(t, 1), newEntry(t, 2), newEntry(t, 3)
	buried := two.without("master_key", "salt_key").with("status", "destroyed")
	path := filepath.Join(t.TempDir(), "ledger.json")
	l := openLedger(t, path)
	if err := l.Admits(loadRing(t, one)); err != nil {
		t.Errorf("an empty ledger: %v", err)
	}
	if err := l.Record(loadRing(t, one, two)); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}

	check := func(name string, ring *derive.Keyring, says string) {
		t.Helper()
		err := openLedger(t, path).Admits(ring)
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("%s: %v, want %q", name, err, says)
		}
	}
	check("the same", loadRing(t, one, two), "")
	check("one more", loadRing(t, one, two, three), "")
	check("buried", loadRing(t, one, buried), "")
	check("vanished", loadRing(t, one), "the entry with check value "+two.get("check")+" was in force here, by the ledger "+path+
		", and is not in the ring: restore the entry, or bury it with that check value and status destroyed (and, if it was the newest, add a new version, since nothing else would issue)")
	check("other secrets", loadRing(t, one, newEntry(t, 2)), two.get("check"))

	if err := openLedger(t, path).Record(loadRing(t, one, buried)); err != nil {
		t.Fatal(err)
	}
	check("back from destroyed", loadRing(t, one, two), "was destroyed here")
}

func TestLedgerIsWrittenOnlyWhenItChanges(t *testing.T) {
	one, two := newEntry(t, 1), newEntry(t, 2)
	path := filepath.Join(t.TempDir(), "ledger.json")
	record := func(entries ...entry) os.FileInfo {
		t.Helper()
		if err := openLedger(t, path).Record(loadRing(t, entries...)); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	first := record(one)
	if again := record(one.with("status", "disabled")); !os.SameFile(first, again) {
		t.Error("written again for a status that it does not hold")
	}
	if more := record(one, two); os.SameFile(first, more) {
		t.Error("not written for a new entry, or written in place")
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("files left: %v, %v", left, err)
	}
}

func TestCorruptLedgerIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.json")
	if err := openLedger(t, path).Record(loadRing(t, newEntry(t, 1), newEntry(t, 2))); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refusedAs := func(name string, data []byte) {
		t.Helper()
		writeFile(t, path, string(data), 0o600)
		if _, err := config.OpenLedger(path, "tenant"); err == nil || !strings.Contains(err.Error(), "is corrupt: restore it from a backup") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range good {
		changed := bytes.Clone(good)
		changed[i] ^= 1
		if bytes.Equal(bytes.Join(bytes.Fields(changed), nil), bytes.Join(bytes.Fields(good), nil)) {
			continue // another kind of white space
		}
		refusedAs("a bit flipped", changed)
	}
	for _, n := range []int{0, 1, len(good) / 2, len(good) - 3} {
		refusedAs("truncated", good[:n])
	}
	refusedAs("twice", append(good, good...))
	refusedAs("an entry removed", bytes.Replace(good, good[bytes.Index(good, []byte("    {")):bytes.Index(good, []byte("    {\n      \"check\": \"2"))], nil, 1))
	refusedAs("another format", bytes.Replace(good, []byte("ledger 1"), []byte("ledger 2"), 1))
}

func TestLedgerOfAnotherNamespaceIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.json")
	if err := openLedger(t, path).Record(loadRing(t, newEntry(t, 1))); err != nil {
		t.Fatal(err)
	}
	if _, err := config.OpenLedger(path, "other"); err == nil || !strings.Contains(err.Error(), `is of the namespace "tenant", which keyring.namespace is not`) {
		t.Errorf("%v", err)
	}
}

func TestUnwritableLedgerIsAnError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	writeFile(t, file, "", 0o600)
	for _, path := range []string{filepath.Join(t.TempDir(), "missing", "ledger.json"), "/proc/ledger.json"} {
		if err := openLedger(t, path).Record(loadRing(t, newEntry(t, 1))); err == nil || !strings.Contains(err.Error(), "the ledger cannot be written") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := config.OpenLedger(filepath.Join(file, "ledger.json"), ""); err == nil || !strings.Contains(err.Error(), "the ledger cannot be read") {
		t.Errorf("%v", err)
	}
}
