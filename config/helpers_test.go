package config_test

import (
	"crypto/rand"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"keyhint/config"
	"keyhint/derive"
)

// TestMain keeps the caller's settings out of the tests.
func TestMain(m *testing.M) {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "KEYHINT_") && name != requireAll {
			os.Unsetenv(name)
		}
	}
	os.Exit(m.Run())
}

// requireAll, if set, makes what would be skipped fail.
const requireAll = "KEYHINT_REQUIRE_ALL"

// skipUnlessRequired skips what this machine or user cannot run. Where
// everything must run, it fails instead.
func skipUnlessRequired(t *testing.T, why ...any) {
	t.Helper()
	if os.Getenv(requireAll) != "" {
		t.Fatal(why...)
	}
	t.Skip(why...)
}

// head is a whole configuration but for the entries, which begin on line 5.
const head = `auth:
  mode: none
keyring:
  keys:
`

// entry is a ring entry as it stands in the file, one line for each field.
type entry []field

type field struct{ name, value string }

// newEntry is a valid entry of four lines: version, master_key, salt_key, check.
func newEntry(t testing.TB, version uint32) entry {
	t.Helper()
	e := entry{
		{"version", fmt.Sprint(version)},
		{"master_key", newSecret(t)},
		{"salt_key", newSecret(t)},
		{"check", ""},
	}
	return e.rechecked(t)
}

func newSecret(t testing.TB) string {
	t.Helper()
	s, err := derive.GenerateSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return s.Reveal()
}

func (e entry) get(name string) string {
	return e[slices.IndexFunc(e, func(f field) bool { return f.name == name })].value
}

// with sets a field in its line, or in a new last line.
func (e entry) with(name, value string) entry {
	e = slices.Clone(e)
	for i := range e {
		if e[i].name == name {
			e[i].value = value
			return e
		}
	}
	return append(e, field{name, value})
}

func (e entry) without(names ...string) entry {
	return slices.DeleteFunc(slices.Clone(e), func(f field) bool { return slices.Contains(names, f.name) })
}

// rechecked has the check value that belongs to its secrets.
func (e entry) rechecked(t testing.TB) entry {
	t.Helper()
	version, err := strconv.ParseUint(e.get("version"), 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	master, err := derive.ParseSecret(e.get("master_key"))
	if err != nil {
		t.Fatal(err)
	}
	salt, err := derive.ParseSecret(e.get("salt_key"))
	if err != nil {
		t.Fatal(err)
	}
	return e.with("check", derive.NewCheckValue(uint32(version), master, salt).String())
}

func (e entry) String() string {
	var b strings.Builder
	for i, f := range e {
		b.WriteString("      ")
		if i == 0 {
			b.Reset()
			b.WriteString("    - ")
		}
		fmt.Fprintf(&b, "%s: %s\n", f.name, f.value)
	}
	return b.String()
}

// ring is a configuration with these entries.
func ring(entries ...entry) string {
	var b strings.Builder
	b.WriteString(head)
	for _, e := range entries {
		b.WriteString(e.String())
	}
	return b.String()
}

// write puts a configuration into a fresh folder, which becomes the current
// one, as keyhint.yaml that its owner alone may read.
func write(t testing.TB, text string) {
	t.Helper()
	t.Chdir(t.TempDir())
	writeFile(t, "keyhint.yaml", text, 0o600)
}

// writeFile gives the mode whatever the umask is.
func writeFile(t testing.TB, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func mustLoad(t testing.TB, text string) *config.Config {
	t.Helper()
	t.Chdir(t.TempDir())
	return mustLoadHere(t, text)
}

// mustLoadHere stays in the current folder.
func mustLoadHere(t testing.TB, text string) *config.Config {
	t.Helper()
	writeFile(t, "keyhint.yaml", text, 0o600)
	c, err := config.Load("keyhint.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// refused is a configuration and the message that an operator gets for it. A
// message that ends in … is compared up to there: what follows lists names that
// later settings add to. $DIR is the folder of the file.
type refused struct{ name, text, says string }

func (r refused) check(t *testing.T) {
	t.Run(r.name, func(t *testing.T) {
		write(t, r.text)
		checkRefusal(t, "keyhint.yaml", nil, r.says)
	})
}

func checkRefusal(t *testing.T, path string, flags config.Flags, says string) {
	t.Helper()
	c, err := config.Load(path, flags)
	if c != nil || err == nil {
		t.Fatal("not refused")
	}
	dir, _ := os.Getwd()
	said := strings.ReplaceAll(err.Error(), dir, "$DIR")
	if start, open := strings.CutSuffix(says, "…"); open && strings.HasPrefix(said, start) {
		return
	}
	if said != says {
		t.Errorf("the message is\n%s\nand should be\n%s", said, says)
	}
}

// checkEqual compares all settings of two configurations, secrets included,
// and prints no secret. A nil list equals an empty one.
func checkEqual(t *testing.T, got, want *config.Config) {
	t.Helper()
	if g, w := withoutRing(got), withoutRing(want); g != w {
		t.Errorf("the configurations differ:\n%s\n%s", g, w)
	}
	if !reflect.DeepEqual(got.Keyring.Ring, want.Keyring.Ring) {
		t.Error("the rings differ")
	}
}

func withoutRing(c *config.Config) string {
	keyring := c.Keyring
	keyring.Ring = nil
	return fmt.Sprintf("%+v %+v %+v %+v %+v %+v %v %v %q", c.File, c.Server, c.Admin, c.Auth, keyring, c.Log,
		c.Audit.Sink, c.Audit.Fsync, c.Audit.DocumentKey.Reveal())
}
