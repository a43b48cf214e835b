package config_test

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"keyhint/config"
)

func TestFindOrder(t *testing.T) {
	const system = "/etc/keyhint/keyhint.yaml"
	for _, c := range []struct {
		name, flag, env string
		local           bool
		want            string
	}{
		{"flag first", "flag.yaml", "env.yaml", true, "flag.yaml"},
		{"then KEYHINT_CONFIG", "", "env.yaml", true, "env.yaml"},
		{"then the current folder", "", "", true, "keyhint.yaml"},
		{"then the system", "", "", false, system},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			t.Setenv("KEYHINT_CONFIG", c.env)
			if c.local {
				writeFile(t, "keyhint.yaml", "", 0o600)
			}
			path, err := config.Find(c.flag)
			if _, missing := os.Stat(system); c.want == system && missing != nil {
				if path != "" || !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%q, %v", path, err)
				}
				return
			}
			if path != c.want || err != nil {
				t.Errorf("%q, %v", path, err)
			}
		})
	}
}

// Else a typing error in --config would silently serve another ring.
func TestFindDoesNotPassOverWhatWasNamed(t *testing.T) {
	t.Chdir(t.TempDir())
	writeFile(t, "keyhint.yaml", ring(newEntry(t, 1)), 0o600)
	t.Setenv("KEYHINT_CONFIG", "missing.yaml")
	path, err := config.Find("")
	if path != "missing.yaml" || err != nil {
		t.Fatalf("%q, %v", path, err)
	}
	if _, err := config.Load(path, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestFindDoesNotPassOverWhatCannotBeRead(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Symlink("keyhint.yaml", "keyhint.yaml"); err != nil {
		t.Fatal(err)
	}
	path, err := config.Find("")
	if path != "keyhint.yaml" || err != nil {
		t.Errorf("%q, %v", path, err)
	}
}
