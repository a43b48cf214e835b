package config_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"keyhint/config"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func generateEntry(t testing.TB, version uint32) string {
	t.Helper()
	text, err := config.NewEntry(version, noon, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestNewEntryPastes(t *testing.T) {
	one, two := generateEntry(t, 1), generateEntry(t, 2)
	c := mustLoad(t, head+one+two+"  namespace: tenant\n")
	primary, err := c.Keyring.Ring.Primary(noon)
	if err != nil || primary.Version != 2 {
		t.Fatalf("%v, %v", primary, err)
	}
	if comment, _, _ := strings.Cut(two, "\n"); comment != "    # version 2, check value "+primary.Check.String()+", made 2026-11-23" {
		t.Error(comment)
	}
}

func TestNewEntryIsFresh(t *testing.T) {
	if first, second := generateEntry(t, 1), generateEntry(t, 1); first == second {
		t.Error("the same entry twice")
	}
}

func TestNewEntryNeedsRandomness(t *testing.T) {
	broken := errors.New("broken")
	if text, err := config.NewEntry(1, noon, iotest.ErrReader(broken)); text != "" || !errors.Is(err, broken) {
		t.Errorf("%d characters, %v", len(text), err)
	}
	if text, err := config.NewEntry(1, noon, bytes.NewReader(make([]byte, 64))); text != "" || err == nil {
		t.Errorf("an entry of zero bytes: %v", err)
	}
	if text, err := config.NewEntry(1, noon, bytes.NewReader(make([]byte, 63))); text != "" || err == nil {
		t.Errorf("an entry of too few bytes: %v", err)
	}
}

func TestCreateDevFileLoads(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := config.CreateDevFile("keyhint.dev.yaml", noon, rand.Reader); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat("keyhint.dev.yaml")
	if err != nil || info.Mode() != 0o600 {
		t.Fatalf("%v, %v", info.Mode(), err)
	}
	c, err := config.Load("keyhint.dev.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Auth.Mode != config.AuthNone || c.Keyring.Ring.Versions() != 1 {
		t.Errorf("%+v", c)
	}
	if _, err := c.Keyring.Ring.Primary(noon); err != nil {
		t.Error(err)
	}
}

func TestCreateDevFileNeverOverwrites(t *testing.T) {
	t.Chdir(t.TempDir())
	writeFile(t, "file", "precious", 0o600)
	if err := os.Symlink("elsewhere", "link"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir("folder", 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"file", "link", "folder"} {
		if err := config.CreateDevFile(path, noon, rand.Reader); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if text, err := os.ReadFile("file"); string(text) != "precious" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := os.Lstat("elsewhere"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("wrote through the link")
	}
}

func TestCreateDevFileLeavesNothingHalfDone(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := config.CreateDevFile("keyhint.dev.yaml", noon, iotest.ErrReader(errors.New("broken"))); err == nil {
		t.Error("made without randomness")
	}
	if err := config.CreateDevFile("missing/keyhint.dev.yaml", noon, rand.Reader); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if files, err := os.ReadDir("."); len(files) != 0 || err != nil {
		t.Errorf("%v, %v", files, err)
	}
}
