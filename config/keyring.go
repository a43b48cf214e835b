package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"keyhint/derive"
)

type keyringSection struct {
	Namespace      string         `mapstructure:"namespace"`
	MaxAge         time.Duration  `mapstructure:"max_age"`
	LedgerFile     string         `mapstructure:"ledger_file"`
	ReloadInterval time.Duration  `mapstructure:"reload_interval"`
	Keys           []entrySection `mapstructure:"keys"`
}

type entrySection struct {
	Version    uint32            `mapstructure:"version"`
	MasterKey  secretSource      `mapstructure:"master_key"`
	SaltKey    secretSource      `mapstructure:"salt_key"`
	Check      derive.CheckValue `mapstructure:"check"`
	ActivateAt time.Time         `mapstructure:"activate_at"`
	IssueUntil time.Time         `mapstructure:"issue_until"`
	Status     derive.Status     `mapstructure:"status"`
}

// Keyring is the ring and what goes with it.
type Keyring struct {
	Ring      *derive.Keyring
	Namespace string        // 0 to 128 bytes
	MaxAge    time.Duration // of a hint; 0 is no limit

	LedgerFile     string        // absolute path; empty is none
	ReloadInterval time.Duration // between readings of the files
}

// Bounds of the reload interval.
const (
	minReloadInterval = time.Second
	maxReloadInterval = time.Hour
)

func (v *validation) keyring(k keyringSection) Keyring {
	if len(k.Namespace) > derive.MaxNamespaceSize {
		v.refuse("keyring.namespace", "is %d bytes long: the maximum is %d", len(k.Namespace), derive.MaxNamespaceSize)
	}
	if !utf8.ValidString(k.Namespace) {
		v.refuse("keyring.namespace", "is not UTF-8 text")
	}
	if k.LedgerFile != "" && !filepath.IsAbs(k.LedgerFile) {
		v.refuse("keyring.ledger_file", "is not an absolute path: begin it with /")
	}
	if k.ReloadInterval < minReloadInterval || k.ReloadInterval > maxReloadInterval {
		v.refuse("keyring.reload_interval", "must be from 1s to 1h, such as 30s")
	}
	if len(k.Keys) == 0 {
		if !v.refused("keyring") {
			v.refuse("keyring.keys", `is missing or empty: run "keyhint keyring new" and paste what it prints below keyring.keys`)
		}
		return Keyring{}
	}
	ring := v.ring(k.Keys)
	return Keyring{Ring: ring, Namespace: k.Namespace, MaxAge: k.MaxAge, LedgerFile: k.LedgerFile, ReloadInterval: k.ReloadInterval}
}

func (v *validation) ring(keys []entrySection) *derive.Keyring {
	entries := make([]derive.Entry, len(keys))
	numbered := true
	for i, k := range keys {
		numbered = numbered && k.Version > 0
		entries[i] = derive.Entry{
			Version: k.Version, Check: k.Check, Status: k.Status,
			MasterKey:  v.secret(i, k.Version, "master_key", k.MasterKey),
			SaltKey:    v.secret(i, k.Version, "salt_key", k.SaltKey),
			ActivateAt: k.ActivateAt, IssueUntil: k.IssueUntil,
		}
	}
	v.checkDocumentKey(entries)
	ring, err := derive.NewKeyring(entries)
	if err == nil {
		return ring
	}
	for _, e := range entries {
		e.MasterKey.Wipe()
		e.SaltKey.Wipe()
	}
	refusedEntry := make([]bool, len(keys))
	for i := range keys {
		refusedEntry[i] = v.refused(entryPath(i))
	}
	for _, err := range unjoin(err) {
		var entry *derive.EntryError
		switch {
		case !errors.As(err, &entry):
			v.refuse("keyring.keys", "%v", err)
		case refusedEntry[entry.Index]:
			// its other faults may follow from the one that is noted
		case !numbered && entry.Version > 0 && entry.Field == "version":
			// the gap may be where the entry without a number belongs
		default:
			v.refuseEntry(entry.Index, entry.Version, entry.Field, entry.Problem)
		}
	}
	return nil
}

func (v *validation) secret(i int, version uint32, field string, source secretSource) derive.Secret {
	secret, err := v.load(source)
	if err != nil {
		v.refuseEntry(i, version, field, err.Error())
	}
	return secret
}

// load fetches a secret, and notes its file as one of the sources.
func (v *validation) load(source secretSource) (derive.Secret, error) {
	if path, isFile := strings.CutPrefix(string(source), fileScheme); isFile {
		v.sources = append(v.sources, path)
	}
	return source.load(v.secrets)
}

func (v *validation) refuseEntry(i int, version uint32, field, text string) {
	if version > 0 {
		text = fmt.Sprintf("(version %d) %s", version, text)
	}
	v.refuse(join(entryPath(i), field), "%s", text)
}

func entryPath(i int) string { return fmt.Sprintf("keyring.keys[%d]", i) }

func unjoin(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}

func (d *document) hasInlineSecrets() bool {
	return d.Audit.DocumentKey.inline() || slices.ContainsFunc(d.Keyring.Keys, func(k entrySection) bool {
		return k.MasterKey.inline() || k.SaltKey.inline()
	})
}
