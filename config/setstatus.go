package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"keyhint/derive"
)

// EntryName names an entry of a ring.
type EntryName struct {
	Version uint32
	// Fingerprint is the first 8 hex digits of the check value, as hints carry
	// them, or all 16. It is needed where two entries share the number.
	Fingerprint string
}

// ParseEntryName reads a version, such as 3, or a version with a fingerprint or
// check value, such as 3-9f86d081.
func ParseEntryName(text string) (EntryName, error) {
	number, fingerprint, cut := strings.Cut(text, "-")
	version, err := strconv.ParseUint(number, 10, 32)
	if err != nil || version == 0 || cut && len(fingerprint) != 8 && len(fingerprint) != 16 || strings.Trim(fingerprint, "0123456789abcdef") != "" {
		return EntryName{}, errors.New("is not an entry: write its version, such as 3, or, where two entries share it, with the fingerprint or the whole check value, such as 3-9f86d081")
	}
	return EntryName{uint32(version), fingerprint}, nil
}

// String is the form that [ParseEntryName] reads.
func (n EntryName) String() string {
	if n.Fingerprint == "" {
		return strconv.FormatUint(uint64(n.Version), 10)
	}
	return fmt.Sprintf("%d-%s", n.Version, n.Fingerprint)
}

// StatusOptions are for [SetStatus].
type StatusOptions struct {
	Now time.Time
	// Force destroys an entry that sessions may still need.
	Force bool
	Wait  time.Duration // for another editor, at most; 0 is 10 s
}

// StatusChange is what [SetStatus] has done.
type StatusChange struct {
	Check    derive.CheckValue // of the entry
	From, To derive.Status     // equal if there was nothing to do
	Remains  []Remainder       // for an entry that was destroyed: copies of its secrets elsewhere
	Config   *Config           // as the file is now
}

// ErrStillNeeded is wrapped by the refusal of [SetStatus] to destroy an entry
// that sessions may still need. Force overrules it.
var ErrStillNeeded = errors.New("sessions may still need it")

var errNothingToDo = errors.New("the entry has the status already")

// SetStatus sets the status of one entry of the ring in a configuration file,
// and removes the secrets of an entry that it destroys. The rest of the file
// stays as it is, byte for byte; see [AddEntry] for how the file is replaced. A
// file that has the status already is left alone.
//
// It refuses to bring back a destroyed entry, and, wrapping [ErrStillNeeded], to
// destroy one before the date from which no hint of it is young enough to be
// resolved: the time from which it issues no more, plus keyring.max_age.
func SetStatus(path string, name EntryName, status derive.Status, options StatusOptions) (StatusChange, error) {
	change := StatusChange{To: status}
	next, err := edit(path, options.Wait, func(base *editBase) ([]byte, document, error) {
		entries := base.config.Keyring.Ring.Entries()
		i, err := findEntry(entries, name)
		if err != nil {
			return nil, document{}, err
		}
		change.Check, change.From = entries[i].Check, entries[i].Status
		switch {
		case change.From == status:
			change.Config = base.config
			return nil, document{}, errNothingToDo
		case change.From == derive.Destroyed:
			return nil, document{}, fmt.Errorf("version %d is destroyed and stays so: its secrets are gone; add a new version", name.Version)
		case status == derive.Destroyed && !options.Force:
			if err := mayDestroy(i, base.config.Keyring, options.Now); err != nil {
				return nil, document{}, err
			}
		}
		return change.write(base, i)
	})
	switch {
	case errors.Is(err, errNothingToDo):
		return change, nil
	case next == nil:
		return StatusChange{}, err
	}
	change.Config = next
	return change, err
}

// write makes the text with the new status of one entry.
func (c *StatusChange) write(base *editBase, i int) ([]byte, document, error) {
	entry := base.document.Keyring.Keys[i]
	secrets := []secretSource{entry.MasterKey, entry.SaltKey}
	entry.Status = c.To
	text, err := withStatus(base.data, i, c.To)
	if c.To == derive.Destroyed {
		entry.MasterKey, entry.SaltKey = "", ""
		for _, field := range []string{"master_key", "salt_key"} {
			if err == nil {
				text, err = withoutField(text, i, field)
			}
		}
		c.Remains = remainders(secrets, base.named, text)
	}
	return text, base.document.withEntries(func(entries []entrySection) []entrySection {
		entries[i] = entry
		return entries
	}), err
}

// findEntry is the index of the entry with a name.
func findEntry(entries []derive.Entry, name EntryName) (int, error) {
	var found, versions []string
	index := -1
	for i, e := range entries {
		if e.Version != name.Version {
			continue
		}
		check := e.Check.String()
		versions = append(versions, check)
		if strings.HasPrefix(check, fmt.Sprintf("%d-%s", name.Version, name.Fingerprint)) {
			found, index = append(found, check), i
		}
	}
	switch {
	case len(versions) == 0:
		highest := slices.MaxFunc(entries, func(a, b derive.Entry) int { return int(int64(a.Version) - int64(b.Version)) })
		return -1, fmt.Errorf("version %d is not in the ring, which has the versions 1 to %d", name.Version, highest.Version)
	case len(found) == 0:
		return -1, fmt.Errorf("version %d has no entry %s: write one of %s", name.Version, name, strings.Join(versions, ", "))
	case len(found) > 1:
		return -1, fmt.Errorf("version %d has %d entries: name one by its check value, %s", name.Version, len(found), strings.Join(found, " or "))
	}
	return index, nil
}

// mayDestroy returns nil if no session can need the secrets of the entry at an index.
func mayDestroy(i int, k Keyring, now time.Time) error {
	entries := k.Ring.Entries()
	e, stop := entries[i], stopsOf(entries)[i]
	safe := destroyableFrom(stop, k.MaxAge)
	needed := func(format string, args ...any) error {
		return fmt.Errorf("version %d cannot be destroyed: %w: %s", e.Version, ErrStillNeeded, fmt.Sprintf(format, args...))
	}
	switch {
	case k.MaxAge == 0:
		return needed("without keyring.max_age its hints never expire; set it, if the host keeps its content elsewhere, or force this and lose them")
	case stop.IsZero() && e.Status == derive.Enabled && e.Version == k.Ring.Versions():
		return needed("it is the newest version and has no end; add a new one with activate_at, and destroy this one %s after that time", k.MaxAge)
	case stop.IsZero():
		return needed("the file does not say since when it issues no more; write that time into its entry as issue_until, and destroy it %s after", k.MaxAge)
	case now.Before(safe):
		return needed("it stops issuing at %s, and keyring.max_age is %s; destroy it from %s on, or force this and lose them",
			stop.UTC().Format(time.RFC3339), k.MaxAge, safe.UTC().Format(time.RFC3339))
	}
	return nil
}
