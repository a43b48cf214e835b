package config_test

import (
	"os"
	"runtime"
	"syscall"
	"testing"
)

func TestLoadTellsWhatItMayNotRead(t *testing.T) {
	asAnybody(t)
	one := newEntry(t, 1)
	write(t, ring(one))
	dir, _ := os.Getwd()
	writeFile(t, "master", one.get("master_key"), 0)
	writeFile(t, "keyhint.yaml", ring(one.with("master_key", "file://"+dir+"/master")), 0o600)
	checkRefusal(t, "keyhint.yaml", nil,
		"keyhint.yaml: line 6: keyring.keys[0].master_key (version 1) comes from $DIR/master, which cannot be read: permission denied")

	writeFile(t, "keyhint.yaml", ring(one), 0)
	checkRefusal(t, "keyhint.yaml", nil, "reading the configuration: open keyhint.yaml: permission denied")
}

// asAnybody lets the rest of a test that root runs reach files as another user.
func asAnybody(t *testing.T) {
	if os.Geteuid() != 0 {
		return
	}
	runtime.LockOSThread()
	const nobody = 65534
	if err := syscall.Setfsuid(nobody); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Setfsuid(0)
		runtime.UnlockOSThread()
	})
}

func TestLoadDoesNotWaitForNamedPipes(t *testing.T) {
	one := newEntry(t, 1)
	write(t, ring(one))
	if err := syscall.Mkfifo("pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	checkRefusal(t, "pipe", nil, "reading the configuration: pipe is not a regular file")

	dir, _ := os.Getwd()
	writeFile(t, "keyhint.yaml", ring(one.with("salt_key", "file://"+dir+"/pipe")), 0o600)
	checkRefusal(t, "keyhint.yaml", nil,
		"keyhint.yaml: line 7: keyring.keys[0].salt_key (version 1) comes from $DIR/pipe, which is not a regular file")
}
