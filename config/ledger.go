package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"keyhint/derive"
)

// Ledger remembers, in a file, every ring entry that was ever in force here, so
// that an entry which is lost while keyhint does not run is missed at the next
// start. It holds check values, which are no secrets.
type Ledger struct {
	path      string
	namespace string
	destroyed map[string]bool // by check value, of every entry
}

// ledgerFile is what the file holds.
type ledgerFile struct {
	Format    string        `json:"format"`
	Namespace string        `json:"namespace"`
	Entries   []ledgerEntry `json:"entries"` // sorted by check value
	Sum       string        `json:"sum"`     // SHA-256 of the file with an empty sum, in hex
}

type ledgerEntry struct {
	Check     string `json:"check"`
	Destroyed bool   `json:"destroyed,omitzero"`
}

const ledgerFormat = "keyhint ledger 1"

// OpenLedger reads a ledger, or begins one if the file does not exist. The
// error tells what is wrong with the file and what to do; issuing must stop
// then, and resolving can go on.
func OpenLedger(path, namespace string) (*Ledger, error) {
	l := &Ledger{path: path, namespace: namespace, destroyed: make(map[string]bool)}
	data, _, err := readFile(path, maxFileSize)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the ledger cannot be read: %w", err)
	}
	var f ledgerFile
	if err := json.Unmarshal(data, &f, json.RejectUnknownMembers(true)); err != nil || f.Format != ledgerFormat || f.Sum != f.sum() {
		return nil, fmt.Errorf("the ledger %s is corrupt: restore it from a backup, or, if the ring is known to be complete, remove it and it begins anew", path)
	}
	if f.Namespace != namespace {
		return nil, fmt.Errorf("the ledger %s is of the namespace %q, which keyring.namespace is not: give each namespace a ledger of its own", path, f.Namespace)
	}
	for _, e := range f.Entries {
		l.destroyed[e.Check] = e.Destroyed
	}
	return l, nil
}

// Empty tells whether the ledger remembers nothing, as one that begins.
func (l *Ledger) Empty() bool { return len(l.destroyed) == 0 }

// Admits returns nil if the ring has all that the ledger remembers, and
// otherwise every entry that it lacks or contradicts, and the ways out.
func (l *Ledger) Admits(ring *derive.Keyring) error {
	var errs []error
	present := make(map[string]derive.Status)
	for _, e := range ring.Entries() {
		present[e.Check.String()] = e.Status
	}
	for _, check := range slices.Sorted(maps.Keys(l.destroyed)) {
		status, known := present[check]
		switch {
		case !known:
			errs = append(errs, fmt.Errorf("the entry with check value %s was in force here, by the ledger %s, and is not in the ring: restore the entry, or bury it with that check value and status destroyed (and, if it was the newest, add a new version, since nothing else would issue)", check, l.path))
		case l.destroyed[check] && status != derive.Destroyed:
			errs = append(errs, fmt.Errorf("the entry with check value %s was destroyed here, by the ledger %s, and stays so: set its status to destroyed, and put new secrets under a new version", check, l.path))
		}
	}
	return errors.Join(errs...)
}

// Record writes the ring's entries to the file, and returns once they are on
// disk. Until then no new entry may issue.
func (l *Ledger) Record(ring *derive.Keyring) error {
	next := maps.Clone(l.destroyed)
	for _, e := range ring.Entries() {
		next[e.Check.String()] = e.Status == derive.Destroyed
	}
	if maps.Equal(next, l.destroyed) && len(next) > 0 {
		return nil
	}
	f := ledgerFile{Format: ledgerFormat, Namespace: l.namespace}
	for _, check := range slices.Sorted(maps.Keys(next)) {
		f.Entries = append(f.Entries, ledgerEntry{check, next[check]})
	}
	f.Sum = f.sum()
	if err := replaceFile(l.path, f.encode(), 0o600); err != nil {
		return fmt.Errorf("the ledger cannot be written: %w", err)
	}
	l.destroyed = next
	return nil
}

func (f ledgerFile) sum() string {
	f.Sum = ""
	sum := sha256.Sum256(f.encode())
	return hex.EncodeToString(sum[:])
}

func (f ledgerFile) encode() []byte {
	data, err := json.Marshal(f, jsontext.WithIndent("  "))
	if err != nil {
		panic("config: encoding the ledger: " + err.Error()) // strings and truth values only
	}
	return append(data, '\n')
}
