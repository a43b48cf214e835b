package config_test

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestLedgerOnAFullDiskKeepsTheOldOne(t *testing.T) {
	if os.Geteuid() != 0 {
		skipUnlessRequired(t, "only root can mount a small file system")
	}
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=32k"); err != nil {
		skipUnlessRequired(t, "no file system can be mounted here:", err)
	}
	t.Cleanup(func() { syscall.Unmount(folder, 0) })
	one, two := newEntry(t, 1), newEntry(t, 2)
	path := filepath.Join(folder, "ledger.json")
	if err := openLedger(t, path).Record(loadRing(t, one)); err != nil {
		t.Fatal(err)
	}
	fill, err := os.Create(filepath.Join(folder, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(fill, bytes.NewReader(make([]byte, 1<<20)))
	fill.Close()
	before := read(t, path)
	if err := openLedger(t, path).Record(loadRing(t, one, two)); err == nil || !strings.Contains(err.Error(), "the ledger cannot be written") || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("%v", err)
	}
	if read(t, path) != before {
		t.Error("the ledger has changed")
	}
	if left, _ := os.ReadDir(folder); len(left) != 2 {
		t.Errorf("files left: %v", left)
	}
	if err := os.Remove(filepath.Join(folder, "fill")); err != nil {
		t.Fatal(err)
	}
	if err := openLedger(t, path).Record(loadRing(t, one, two)); err != nil {
		t.Error(err)
	}
}
