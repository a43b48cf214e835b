package config

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// An edit that goes wrong must be caught before the file is replaced, whatever
// the mistake in this package is.
func TestEditChecksItsOwnWork(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	text := "auth: {mode: none}\nkeyring:\n  keys:\n"
	for version := range uint32(3) {
		entry, err := NewEntry(version+1, noon, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		text += entry
	}
	other, err := NewEntry(3, noon, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	third := text[strings.Index(text, "    # version 3"):]
	read := func(_ document, data string) document {
		means, err := meaning([]byte(data))
		if err != nil {
			t.Fatal(err)
		}
		return means
	}
	same := func(d document, _ string) document { return d }
	for _, c := range []struct {
		name  string
		text  string
		means func(d document, data string) document
		says  string
	}{
		{"another setting", text + "log: {level: debug}\n", same, "$FILE: nothing is edited, because more than the entry would change with it: edit the file by hand"},
		{"another entry", strings.Replace(text, "\n    # version 3", "\n      status: disabled\n    # version 3", 1), same, "$FILE: nothing is edited, because more than the entry would change with it: edit the file by hand"},
		{"nothing loads", text + "x", same, "nothing is edited, because the result would not load: $FILE: line 19: is not valid YAML from here on: could not find expected ':'"},
		{"an entry is lost", strings.TrimSuffix(text, third), read,
			"nothing is edited: $FILE cannot replace the configuration in force: keys[2] (version 3): has vanished: sessions issued under it would be lost; restore it, or bury it with its check value and status destroyed"},
		{"an entry is exchanged", strings.TrimSuffix(text, third) + other, read,
			"nothing is edited: $FILE cannot replace the configuration in force: keys[2] (version 3): no longer stands under its check value, so sessions issued with its secrets would be lost: restore it, and put new secrets under a new version"},
		{"another namespace", text + "  namespace: x\n", read,
			`nothing is edited: $FILE cannot replace the configuration in force: keyring.namespace has changed: every session would be lost; restore it, and serve another namespace with another instance`},
		{"too large", text + strings.Repeat("#", maxFileSize), same, "$FILE would become larger than 16 MiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keyhint.yaml")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			next, err := edit(path, 0, func(base *editBase) ([]byte, document, error) {
				return []byte(c.text), c.means(base.document, c.text), nil
			})
			if next != nil || err == nil || strings.ReplaceAll(err.Error(), path, "$FILE") != c.says {
				t.Errorf("%v\nand should be\n%s", err, c.says)
			}
			if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, []byte(text)) {
				t.Error("the file has changed", err)
			}
		})
	}
}

// Between opening a file and locking it, whoever had the lock may have put
// another in its place; a lock on the former keeps nobody away from the latter.
func TestEditNeedsTheLockOfTheFileInPlace(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"keyhint.yaml", "new"} {
		if err := os.WriteFile(name, []byte("text"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.OpenFile("keyhint.yaml", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := &heldFile{named: "keyhint.yaml", path: "keyhint.yaml", file: f}
	if err := h.lock(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename("new", "keyhint.yaml"); err != nil {
		t.Fatal(err)
	}
	if err := h.lock(); !errors.Is(err, errLocked) {
		t.Error(err)
	}
	if err := os.Remove("keyhint.yaml"); err != nil {
		t.Fatal(err)
	}
	if err := h.lock(); !errors.Is(err, errLocked) {
		t.Error(err)
	}
}
