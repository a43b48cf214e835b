package config_test

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"keyhint/config"
)

// FuzzLoad asserts that whatever the file holds, Load gives either a whole
// configuration or a refusal that can be shown.
func FuzzLoad(f *testing.F) {
	one, two := newEntry(f, 1), newEntry(f, 2)
	valid := ring(one, two.with("activate_at", `"2026-01-31T12:00:00Z"`))
	seeds := []string{
		valid,
		readExample(f),
		ring(one.without("master_key", "salt_key").with("status", "destroyed")),
		ring(one, one.with("status", "disabled")),
		"server: {address: '[::1]:0', path: /a/b}\nauth: {mode: none}\nkeyring: {namespace: x, max_age: 1h, keys: []}\nlog: {level: warn, format: text}\n",
		"a: &a [*a]\nb: *a\n", "? [a]\n: {b: c}\n", "<<: {a: b}\n", "--- !!map\n...\n---\n", "\xff\xfe", "%YAML 1.1\n---\n", "{[}]: '\"\n", "- |+9\n",
	}
	for _, seed := range seeds {
		if seed == "" {
			f.Fatal("an empty seed")
		}
		f.Add([]byte(seed))
	}
	path := filepath.Join(f.TempDir(), "keyhint.yaml")
	if err := os.WriteFile(path, []byte(valid), 0o600); err != nil {
		f.Fatal(err)
	}
	if _, err := config.Load(path, nil); err != nil {
		f.Fatal("no seed is valid:", err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(path, nil)
		switch {
		case (c == nil) == (err == nil):
			t.Fatalf("%+v and %v", c, err)
		case err == nil:
			if c.Keyring.Ring == nil || c.Keyring.Ring.Versions() == 0 || c.Auth.Mode == "" || c.Server.Address == "" || c.File != path {
				t.Errorf("half a configuration: %+v", c)
			}
			return
		}
		if message := err.Error(); !utf8.ValidString(message) || len(message) > 20_000 || strings.Count(message, "\n") > 21 {
			t.Errorf("cannot be shown: %q", message)
		}
		var refusal *config.Error
		if !errors.As(err, &refusal) {
			return // the file is too large
		}
		if len(refusal.Problems) == 0 || !slices.IsSortedFunc(refusal.Problems, func(a, b *config.Problem) int { return cmp.Compare(a.Line, b.Line) }) {
			t.Errorf("no problems, or out of order: %v", refusal.Problems)
		}
	})
}
