//go:build unix && !aix && !solaris

package listen_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"keyhint/httpapi/listen"
)

func open(t *testing.T, path string) net.Listener {
	t.Helper()
	l, err := listen.Unix(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// abandon leaves a socket as a server does that is killed.
func abandon(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

func answers(path string) bool {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

func TestSocketIsForItsOwnerAndGroupOnly(t *testing.T) {
	for _, umask := range []int{0, 0o022, 0o177} {
		path := filepath.Join(t.TempDir(), "s")
		before := syscall.Umask(umask)
		open(t, path)
		after := syscall.Umask(before)
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != fs.ModeSocket|0o660 || after != umask {
			t.Errorf("with umask %03o the socket is %v, and the umask is %03o then", umask, info.Mode(), after)
		}
	}
}

func TestSocketHasTheGroupOfASetgidFolder(t *testing.T) {
	folder, group := t.TempDir(), os.Getgid()
	if os.Geteuid() == 0 {
		group = 4242
	}
	if err := os.Chown(folder, -1, group); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(folder, 0o750|fs.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	open(t, filepath.Join(folder, "s"))
	info, err := os.Lstat(filepath.Join(folder, "s"))
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Sys().(*syscall.Stat_t).Gid; int(got) != group {
		t.Errorf("group %d, not %d", got, group)
	}
}

func TestAbandonedSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	abandon(t, path)
	open(t, path)
	if !answers(path) {
		t.Error("nobody listens")
	}
}

func TestLiveSocketIsNotStolen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	open(t, path)
	if l, err := listen.Unix(t.Context(), path); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("%v, %v", l, err)
	}
	if !answers(path) {
		t.Error("the server that was there has lost its socket")
	}
}

func TestWhateverElseIsThereStays(t *testing.T) {
	folder := t.TempDir()
	abandon(t, filepath.Join(folder, "abandoned"))
	datagrams, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(folder, "datagrams"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer datagrams.Close()
	if err := os.WriteFile(filepath.Join(folder, "file"), []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(folder, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("abandoned", filepath.Join(folder, "link")); err != nil {
		t.Fatal(err)
	}
	for name, says := range map[string]string{
		"file": "is not a socket: remove it", "folder": "is not a socket: remove it", "link": "is not a socket: remove it",
		"datagrams": "cannot be told, so it stays",
	} {
		path := filepath.Join(folder, name)
		before, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := listen.Unix(t.Context(), path); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", name, err)
		}
		if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) {
			t.Errorf("%s is not what it was: %v", name, err)
		}
	}
}

func TestOneOfManyStartingServersGetsTheSocket(t *testing.T) {
	for range 20 {
		path := filepath.Join(t.TempDir(), "s")
		abandon(t, path)
		var all sync.WaitGroup
		var got atomic.Int32
		for range 8 {
			all.Go(func() {
				l, err := listen.Unix(t.Context(), path)
				switch {
				case err == nil:
					got.Add(1)
					t.Cleanup(func() { l.Close() })
				case !errors.Is(err, syscall.EADDRINUSE):
					t.Error(err)
				}
			})
		}
		all.Wait()
		if got.Load() != 1 || !answers(path) {
			t.Fatalf("%d servers have the socket", got.Load())
		}
	}
}

func TestCloseRemovesItsOwnSocketOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	first := open(t, path)
	first.Close()
	first.Close()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the socket is still there")
	}
	first = open(t, path)
	os.Remove(path)
	open(t, path)
	first.Close()
	if !answers(path) {
		t.Error("the socket of another server is gone")
	}
}

func TestSocketWithoutAFolder(t *testing.T) {
	if _, err := listen.Unix(t.Context(), filepath.Join(t.TempDir(), "none", "s")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestLockedFolderIsNamed(t *testing.T) {
	folder := t.TempDir()
	other, err := os.Open(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := syscall.Flock(int(other.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	impatient := errors.New("impatient")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, impatient)
	defer cancel()
	if _, err := listen.Unix(ctx, filepath.Join(folder, "s")); !errors.Is(err, impatient) {
		t.Errorf("%v", err)
	}
	if _, err := listen.Unix(t.Context(), filepath.Join(folder, "s")); err == nil || !strings.Contains(err.Error(), folder+" is locked") {
		t.Errorf("%v", err)
	}
}
