package config_test

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyhint/config"
	"keyhint/derive"
)

// follower is a running Reloader with what it has put in force.
type follower struct {
	*testing.T
	reloader *config.Reloader
	signals  chan os.Signal
	log      *lockedBuffer
	refuse   atomic.Bool // of what is put in force

	mutex   sync.Mutex
	offered []*config.Config // all
	applied []*config.Config // those that were put in force
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mutex sync.Mutex
	text  strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.text.String()
}

func follow(t *testing.T, path string) *follower {
	t.Helper()
	first, err := config.Load(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := &follower{T: t, signals: make(chan os.Signal), log: new(lockedBuffer)}
	f.reloader = config.NewReloader(first, nil, func(c *config.Config) error {
		f.mutex.Lock()
		defer f.mutex.Unlock()
		f.offered = append(f.offered, c)
		if f.refuse.Load() {
			return errors.New("not now")
		}
		f.applied = append(f.applied, c)
		return nil
	}, slog.New(slog.NewTextHandler(f.log, nil)))
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		f.reloader.Run(ctx, f.signals)
		close(done)
	}()
	t.Cleanup(func() { stop(); <-done })
	f.signals <- os.Interrupt // read once: from now on changes are noticed
	f.signals <- os.Interrupt
	return f
}

func (f *follower) reloads() int {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return len(f.applied)
}

func (f *follower) versions() uint32 {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if len(f.applied) == 0 {
		return 0
	}
	return f.applied[len(f.applied)-1].Keyring.Ring.Versions()
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// slow has an interval that no test waits for, so that events alone count.
func slow(text string) string {
	return strings.Replace(text, "keyring:\n", "keyring:\n  reload_interval: 1h\n", 1)
}

func TestEachKindOfChangeIsFollowed(t *testing.T) {
	one, two := newEntry(t, 1), newEntry(t, 2)
	before, after := slow(ring(one)), slow(ring(one, two))
	for name, change := range map[string]func(t *testing.T, dir, path string){
		"written in place": func(t *testing.T, _, path string) { writeFile(t, path, after, 0o600) },
		"renamed over": func(t *testing.T, dir, path string) {
			writeFile(t, filepath.Join(dir, "new"), after, 0o600)
			if err := os.Rename(filepath.Join(dir, "new"), path); err != nil {
				t.Fatal(err)
			}
		},
		"deleted and created": func(t *testing.T, _, path string) {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			writeFile(t, path, after, 0o600)
		},
		"written in parts": func(t *testing.T, _, path string) {
			writeFile(t, path, after[:len(after)/2], 0o600)
			writeFile(t, path, after, 0o600)
		},
		"made readable to everyone, and mended": func(t *testing.T, _, path string) {
			writeFile(t, path, after, 0o604)
			if err := os.Chmod(path, 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "keyhint.yaml")
			writeFile(t, path, before, 0o600)
			f := follow(t, path)
			change(t, dir, path)
			eventually(t, "version 2", func() bool { return f.versions() == 2 })
		})
	}
}

// Kubernetes mounts a folder ..data that is a link to a dated folder, and the
// files as links through it; a change swaps the one link.
func TestSymlinkSwapIsFollowed(t *testing.T) {
	one, two := newEntry(t, 1), newEntry(t, 2)
	dir := t.TempDir()
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(dir, name+".new")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, name+".new"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range []struct{ folder, text string }{{"..1", slow(ring(one))}, {"..2", slow(ring(one, two))}} {
		if err := os.Mkdir(filepath.Join(dir, v.folder), 0o700); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, v.folder, "keyhint.yaml"), v.text, 0o600)
	}
	link("..1", "..data")
	link("..data/keyhint.yaml", "keyhint.yaml")
	f := follow(t, filepath.Join(dir, "keyhint.yaml"))
	link("..2", "..data")
	eventually(t, "version 2", func() bool { return f.versions() == 2 })
}

func TestIntervalAndSignalFindWhatEventsMissed(t *testing.T) {
	one, two := newEntry(t, 1), newEntry(t, 2)
	target, dir := t.TempDir(), t.TempDir()
	// Nothing happens in the folder of the link, nor in that of its first target.
	for _, name := range []string{"a", "b"} {
		if err := os.Mkdir(filepath.Join(target, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, trigger := range map[string]func(f *follower){
		"signal":   func(f *follower) { f.signals <- os.Interrupt },
		"interval": func(*follower) {},
	} {
		t.Run(name, func(t *testing.T) {
			interval := map[string]string{"signal": "1h", "interval": "1s"}[name]
			text := func(entries ...entry) string {
				return strings.Replace(slow(ring(entries...)), "1h", interval, 1)
			}
			writeFile(t, filepath.Join(target, "a", "keyhint.yaml"), text(one), 0o600)
			writeFile(t, filepath.Join(target, "b", "keyhint.yaml"), text(one, two), 0o600)
			middle, path := filepath.Join(target, "middle-"+name), filepath.Join(dir, name)
			for _, l := range [][2]string{{"a/keyhint.yaml", middle}, {middle, path}} {
				if err := os.Symlink(l[0], l[1]); err != nil {
					t.Fatal(err)
				}
			}
			f := follow(t, path)
			if err := os.Remove(middle); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("b/keyhint.yaml", middle); err != nil {
				t.Fatal(err)
			}
			trigger(f)
			eventually(t, "version 2", func() bool { return f.versions() == 2 })
		})
	}
}

func TestEntryAndItsSecretFilesLoadTogether(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keyhint.yaml")
	one, two := newEntry(t, 1), newEntry(t, 2)
	behindFiles := two
	for _, secret := range []string{"master_key", "salt_key"} {
		behindFiles = behindFiles.with(secret, "file://"+filepath.Join(dir, secret))
	}
	writeFile(t, path, slow(ring(one)), 0o600)
	f := follow(t, path)

	// The configuration comes first, then one half, then the other.
	writeFile(t, path, slow(ring(one, behindFiles)), 0o600)
	eventually(t, "a refusal", func() bool { return f.reloader.Ready() != nil })
	writeFile(t, filepath.Join(dir, "master_key"), two.get("master_key"), 0o600)
	f.signals <- os.Interrupt
	if f.reloads() != 0 {
		t.Error("half an entry is in force")
	}
	writeFile(t, filepath.Join(dir, "salt_key"), two.get("salt_key")+"\n", 0o600)
	eventually(t, "version 2", func() bool { return f.versions() == 2 })
	eventually(t, "readiness", func() bool { return f.reloader.Ready() == nil })

	// A file that is overwritten with other material changes nothing.
	writeFile(t, filepath.Join(dir, "salt_key"), newSecret(t), 0o600)
	eventually(t, "a refusal", func() bool { return f.reloader.Ready() != nil })
	if f.reloads() != 1 {
		t.Errorf("%d reloads", f.reloads())
	}
}

func TestRefusedFilesLeaveTheFormerInForceAndAreReported(t *testing.T) {
	one, two := newEntry(t, 1), newEntry(t, 2)
	for _, c := range []struct{ name, text, says string }{
		{"not valid", "server: [", "is not valid YAML"},
		{"an entry vanished", slow(ring(one)), "keys[1] (version 2): has vanished"},
		{"an entry with other secrets", slow(ring(one, newEntry(t, 2))), "keys[1] (version 2): no longer stands under its check value"},
		{"another namespace", strings.Replace(slow(ring(one, two)), "keyring:\n", "keyring:\n  namespace: other\n", 1), "keyring.namespace has changed: every session would be lost"},
		{"empty", "", "is empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keyhint.yaml")
			good := slow(ring(one, two))
			writeFile(t, path, good, 0o600)
			f := follow(t, path)
			writeFile(t, path, c.text, 0o600)
			eventually(t, "a refusal", func() bool { return f.reloader.Ready() != nil })
			status := f.reloader.Status()
			if !strings.Contains(status.Cause.Error(), c.says) || status.Success.IsZero() || status.Failure.Before(status.Success) {
				t.Errorf("status %+v", status)
			}
			if log := f.log.String(); strings.Count(log, "level=ERROR") != 1 || !strings.Contains(log, "the former one stays in force") {
				t.Errorf("log %s", log)
			}
			writeFile(t, path, good, 0o600)
			eventually(t, "readiness", func() bool { return f.reloader.Ready() == nil })
			if f.reloads() != 0 {
				t.Error("a reload although nothing has changed in the end")
			}
		})
	}
}

func TestWhatCannotBePutInForceIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyhint.yaml")
	one, two := newEntry(t, 1), newEntry(t, 2)
	writeFile(t, path, slow(ring(one)), 0o600)
	f := follow(t, path)
	f.refuse.Store(true)
	writeFile(t, path, slow(ring(one, two)), 0o600)
	eventually(t, "a refusal", func() bool { return f.reloader.Ready() != nil })
	f.refuse.Store(false)
	f.signals <- os.Interrupt
	eventually(t, "version 2", func() bool { return f.versions() == 2 })
}

func TestBurstIsOneReload(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keyhint.yaml")
	one, two := newEntry(t, 1), newEntry(t, 2)
	writeFile(t, path, slow(ring(one)), 0o600)
	f := follow(t, path)
	for range 200 {
		writeFile(t, filepath.Join(dir, "other"), "x", 0o600)
		writeFile(t, path, slow(ring(one, two)), 0o600)
	}
	eventually(t, "version 2", func() bool { return f.versions() == 2 })
	f.signals <- os.Interrupt
	f.signals <- os.Interrupt // the one before is through
	if n := f.reloads(); n != 1 {
		t.Errorf("%d reloads", n)
	}
}

func TestWhatCannotChangeInAProcessIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyhint.yaml")
	one := newEntry(t, 1)
	writeFile(t, path, slow(ring(one)), 0o600)
	f := follow(t, path)
	writeFile(t, path, "server:\n  address: 127.0.0.1:8081\n"+slow(ring(one)), 0o600)
	eventually(t, "a reload", func() bool { return f.reloads() == 1 })
	eventually(t, "a warning", func() bool { return strings.Contains(f.log.String(), "setting=server.address") })
	if log := f.log.String(); strings.Contains(log, "setting=admin.address") {
		t.Errorf("log %s", log)
	}
}

// The secrets of a configuration are wiped once it is not in force any more, and
// those of one that never comes into force.
func TestConfigurationsThatAreNotInForceAreWiped(t *testing.T) {
	one, two, three := newEntry(t, 1), newEntry(t, 2), newEntry(t, 3)
	path := filepath.Join(t.TempDir(), "keyhint.yaml")
	writeFile(t, path, slow(ring(one)), 0o600)
	f := follow(t, path)
	check := func(when string, inForce int) {
		t.Helper()
		f.signals <- os.Interrupt // what was read before is done with
		f.signals <- os.Interrupt
		f.mutex.Lock()
		defer f.mutex.Unlock()
		for _, c := range f.offered {
			if _, _, err := c.Keyring.Ring.Issue(derive.Document{ID: "doc"}, noon, rand.Reader); (err == nil) != (c == f.applied[inForce]) {
				t.Errorf("%s: a ring of %d versions issues with %v", when, c.Keyring.Ring.Versions(), err)
			}
		}
	}

	writeFile(t, path, slow(ring(one, two)), 0o600)
	eventually(t, "version 2", func() bool { return f.versions() == 2 })
	check("in force", 0)

	f.refuse.Store(true)
	writeFile(t, path, slow(ring(one, two, three)), 0o600)
	eventually(t, "a refusal", func() bool { return f.reloader.Ready() != nil })
	check("refused", 0)

	f.refuse.Store(false)
	f.signals <- os.Interrupt
	eventually(t, "version 3", func() bool { return f.versions() == 3 })
	check("replaced", 1)
}

func TestReloadNamesWhatCannotChange(t *testing.T) {
	text := ring(newEntry(t, 1))
	for setting, change := range map[string]string{
		"server.address":      "server: {address: 127.0.0.1:1}\n",
		"server.tls":          "",
		"admin.address":       "admin: {address: 127.0.0.1:1}\n",
		"log.format":          "log: {format: text}\n",
		"keyring.ledger_file": "  ledger_file: /nowhere\n",
		"memory.lock":         "memory: {lock: off}\n",
	} {
		t.Run(setting, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "keyhint.yaml")
			writeFile(t, path, slow(text), 0o600)
			f := follow(t, path)
			if setting == "server.tls" {
				t.Chdir(filepath.Dir(path))
				writeCertificate(t, "server")
				change = "server: {tls: {cert_file: " + filepath.Dir(path) + "/server.crt, key_file: " + filepath.Dir(path) + "/server.key}}\n"
			}
			writeFile(t, path, slow(text)+change, 0o600)
			want := `msg="a changed setting takes effect at the next start only" setting=` + setting + "\n"
			eventually(t, want, func() bool { return strings.Contains(f.log.String(), want) })
		})
	}
}
