package config_test

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"keyhint/config"
	"keyhint/derive"
)

// FuzzEdits asserts that whatever the form of a file that loads, an edit is made
// and changes what it should, or is refused and changes nothing.
func FuzzEdits(f *testing.F) {
	one, two := newEntry(f, 1), newEntry(f, 2).with("status", `"enabled"`).with("activate_at", `"2026-01-31T12:00:00Z"`)
	seeds := []string{
		ring(one, two),
		"auth: {mode: none}\r\nkeyring:\r\n  keys:\r\n  -\r\n   version: 1\r\n   check: " + one.get("check") + " # x\r\n   salt_key: " + one.get("salt_key") + "\r\n   master_key: '" + one.get("master_key") + "'",
		`{"auth": {"mode": "none"}, "keyring": {"keys": [{"version": 1, "master_key": "` + one.get("master_key") + `", "salt_key": "` + one.get("salt_key") + `", "check": "` + one.get("check") + `"}]}}`,
		"auth: {mode: none}\nkeyring:\n  keys: [\n    # a\n    {version: 1, master_key: " + one.get("master_key") + ", # b\n     salt_key: " + one.get("salt_key") + ", check: " + one.get("check") + ", }, # c\n  ]\n",
		"auth: {mode: none}\nkeyring:\n  keys:\n  - {status: enabled, version: 1, master_key: " + one.get("master_key") + ", salt_key: " + one.get("salt_key") + ", check: " + one.get("check") + "} # c\n",
		"auth: {mode: none}\nkeyring:\n  keys:\n  - ? version\n    : 1\n    ? master_key\n    : " + one.get("master_key") + "\n    salt_key: >-\n      " + one.get("salt_key") + "\n    check: " + one.get("check") + "\n",
	}
	path := filepath.Join(f.TempDir(), "keyhint.yaml")
	for _, seed := range seeds {
		if err := os.WriteFile(path, []byte(seed), 0o600); err != nil {
			f.Fatal(err)
		}
		if _, err := config.Load(path, nil); err != nil {
			f.Fatal(err, seed)
		}
		for edit := range byte(4) {
			f.Add([]byte(seed), edit)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte, edit byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		before, refusal := config.Load(path, nil)
		var err error
		switch edit % 4 {
		case 0:
			_, err = config.AddEntry(path, config.AddOptions{Now: noon, Random: rand.Reader})
		default:
			status := []derive.Status{derive.ResolveOnly, derive.Disabled, derive.Destroyed}[edit%4-1]
			_, err = config.SetStatus(path, config.EntryName{Version: 1}, status, config.StatusOptions{Now: noon, Force: true})
		}
		if err != nil {
			if now := read(t, path); now != string(text) {
				t.Fatalf("%v, and the file has changed:\n%s\n%s", err, text, now)
			}
			return
		}
		if refusal != nil {
			t.Fatal("edited what does not load:", refusal)
		}
		after, err := config.Load(path, nil)
		if err != nil {
			t.Fatal(err)
		}
		was, is := before.Keyring.Ring.Entries(), after.Keyring.Ring.Entries()
		if edit%4 == 0 {
			if len(is) != len(was)+1 {
				t.Fatalf("%d entries were %d", len(is), len(was))
			}
			is = is[:len(was)]
		}
		for i := range was {
			if edit%4 != 0 && was[i].Version == 1 {
				is[i].Status = was[i].Status
			}
			if !reflect.DeepEqual(is[i], was[i]) {
				t.Fatalf("%+v was %+v", is[i], was[i])
			}
		}
	})
}
