package config_test

import (
	"crypto/rand"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"keyhint/config"
	"keyhint/derive"
)

// material gives the secrets of entries short names, so that whole files can be
// written down: M1, S1 and C1 are master key, salt key and check value of
// version 1; MN, SN and CN are those of the entry that is added next.
type material map[string]string

const editSeed = "thirty-two bytes, always the same"

// fixedRandom is always the same, so that the added entry is known beforehand.
func fixedRandom() *mathrand.ChaCha8 { return mathrand.NewChaCha8([32]byte([]byte(editSeed)[:32])) }

// newMaterial makes the secrets of versions 1 to n, and knows those of n+1.
func newMaterial(t testing.TB, n uint32) material {
	t.Helper()
	m := make(material)
	for version := uint32(1); version <= n; version++ {
		m.set(string(rune('0'+version)), newEntry(t, version))
	}
	m.set("N", knownEntry(t, n+1))
	return m
}

// knownEntry is the entry that AddEntry makes out of fixedRandom.
func knownEntry(t testing.TB, version uint32) entry {
	t.Helper()
	random := fixedRandom()
	master, err := derive.GenerateSecret(random)
	if err != nil {
		t.Fatal(err)
	}
	salt, err := derive.GenerateSecret(random)
	if err != nil {
		t.Fatal(err)
	}
	return entry{{"version", ""}, {"master_key", master.Reveal()}, {"salt_key", salt.Reveal()}, {"check", derive.NewCheckValue(version, master, salt).String()}}
}

func (m material) set(name string, e entry) {
	m["M"+name], m["S"+name], m["C"+name] = e.get("master_key"), e.get("salt_key"), e.get("check")
}

// fill writes the values for the names, which stand between < and >.
func (m material) fill(text string) string {
	for name, value := range m {
		text = strings.ReplaceAll(text, "<"+name+">", value)
	}
	return text
}

// fold writes the names for the values.
func (m material) fold(text string) string {
	for name, value := range m {
		text = strings.ReplaceAll(text, value, "<"+name+">")
	}
	return text
}

func addOptions() config.AddOptions { return config.AddOptions{Now: noon, Random: fixedRandom()} }

func freshOptions() config.AddOptions { return config.AddOptions{Now: noon, Random: rand.Reader} }

func mustAdd(t testing.TB, path string, options config.AddOptions) config.AddedEntry {
	t.Helper()
	added, err := config.AddEntry(path, options)
	if err != nil {
		t.Fatal(err)
	}
	return added
}

func mustSet(t testing.TB, path, name string, status derive.Status, options config.StatusOptions) config.StatusChange {
	t.Helper()
	parsed, err := config.ParseEntryName(name)
	if err != nil {
		t.Fatal(err)
	}
	change, err := config.SetStatus(path, parsed, status, options)
	if err != nil {
		t.Fatal(err)
	}
	return change
}

func read(t testing.TB, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// checkText compares the file with what it should be.
func checkText(t *testing.T, m material, path, want string) {
	t.Helper()
	if got := m.fold(read(t, path)); got != want {
		t.Errorf("the file is\n%q\nand should be\n%q", got, want)
	}
	if _, err := config.Load(path, nil); err != nil {
		t.Error(err)
	}
}

// names lists a folder.
func names(t testing.TB, folder string) string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, filepath.Base(e.Name()))
	}
	return strings.Join(all, " ")
}
