package config_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"keyhint/config"
)

// A folder that the files' names spell in two ways is watched once, and the files
// are read when something changes there, not all the time.
func TestFolderWithTwoNamesIsWatchedOnce(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "real"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Join(dir, "real"))
	one, two := newEntry(t, 1), newEntry(t, 2)
	for _, secret := range []string{"master_key", "salt_key"} {
		writeFile(t, secret, one.get(secret), 0o600)
		one = one.with(secret, "file://"+filepath.Join(dir, "real", secret))
	}
	for name, path := range map[string]string{"relative": "keyhint.yaml", "through a link": filepath.Join(dir, "link", "keyhint.yaml")} {
		t.Run(name, func(t *testing.T) {
			writeFile(t, "keyhint.yaml", slow(ring(one)), 0o600)
			first, err := config.Load(path, nil)
			if err != nil {
				t.Fatal(err)
			}
			var readings, versions atomic.Int32
			reloader := config.NewReloader(first, nil, func(c *config.Config) error {
				versions.Store(int32(c.Keyring.Ring.Versions()))
				return nil
			}, slog.New(slog.DiscardHandler))
			reloader.Reading = func(bool) func() { readings.Add(1); return func() {} }
			ctx, stop := context.WithCancel(context.Background())
			done := make(chan struct{})
			go func() { reloader.Run(ctx, nil); close(done) }()
			defer func() { stop(); <-done }()
			time.Sleep(300 * time.Millisecond)
			if n := readings.Load(); n > 5 {
				t.Errorf("%d readings without a change", n)
			}
			writeFile(t, "keyhint.yaml", slow(ring(one, two)), 0o600)
			eventually(t, "version 2", func() bool { return versions.Load() == 2 })
		})
	}
}
