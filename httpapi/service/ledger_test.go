package service

import (
	"crypto/rand"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"keyhint/config"
)

// A new ring and a look at the ledger with the former one come together: what
// is in force in the end is on record.
func TestLookingAtTheLedgerDoesNotForgetANewRing(t *testing.T) {
	folder := t.TempDir()
	load := func(name string, entries ...string) *config.Config {
		t.Helper()
		text := "auth:\n  mode: none\nkeyring:\n  keys:\n"
		for _, e := range entries {
			text += e
		}
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	entry := func(version uint32) string {
		e, err := config.NewEntry(version, time.Now(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	one, two := entry(1), entry(2)
	old, next := load("old.yaml", one), load("new.yaml", one, two)
	for range 300 {
		i := &issuing{path: filepath.Join(t.TempDir(), "ledger.json"), log: slog.New(slog.DiscardHandler)}
		inForce := old
		var group sync.WaitGroup
		group.Go(func() {
			if err := i.admitAnd(next, func() { inForce = next }); err != nil {
				t.Error(err)
			}
		})
		group.Go(func() { i.look(func() *config.Config { return inForce }) })
		group.Wait()
		ledger, err := config.OpenLedger(i.path, "")
		if err != nil {
			t.Fatal(err)
		}
		if i.mayIssue() != nil || ledger.Admits(old.Keyring.Ring) == nil {
			t.Fatalf("version 2 is not on record, or issuing has stopped: %v", i.mayIssue())
		}
	}
}
