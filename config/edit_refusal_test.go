package config_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"keyhint/config"
	"keyhint/derive"
)

// checkUntouched expects a refusal in these words, and the file as it was, the
// only one in its folder. $DIR is that folder.
func checkUntouched(t *testing.T, before string, err error, says string) {
	t.Helper()
	if err == nil {
		t.Fatal("not refused")
	}
	dir, _ := os.Getwd()
	if said := strings.ReplaceAll(err.Error(), dir, "$DIR"); said != says {
		t.Errorf("the message is\n%s\nand should be\n%s", said, says)
	}
	if read(t, "keyhint.yaml") != before {
		t.Error("the file has changed")
	}
	if all := names(t, "."); all != "keyhint.yaml" {
		t.Errorf("the folder holds %s", all)
	}
}

const yamlForm = ": this command does not edit that form; write it so, or edit the file by hand"

func TestAddEntryRefuses(t *testing.T) {
	four := "  keys:\n    - version: 1\n      master_key: <M1>\n      salt_key: <S1>\n      check: <C1>\n"
	for _, c := range []struct{ name, text, says string }{
		{"a file that does not load", four + "  max_age: 1d\n",
			"nothing is edited in a file that does not load: keyhint.yaml: line 8: keyring.max_age is not a duration: write a number with a unit (ms, s, m or h), such as 30s or 720h"},
		{"a wrong check value", strings.Replace(four, "<C1>", "1-0123456789abcdef", 1),
			"nothing is edited in a file that does not load: keyhint.yaml: line 7: keyring.keys[0].check (version 1) does not belong to this version, master_key and salt_key: one of the three was mistyped or swapped; restore them from where they were recorded, and never adapt check to make this pass"},
		{"no entry", "  keys: []\n",
			`nothing is edited in a file that does not load: keyhint.yaml: line 3: keyring.keys is missing or empty: run "keyhint keyring new" and paste what it prints below keyring.keys`},
		{"an anchor", strings.Replace(four, "- version", "- &first\n      version", 1),
			"nothing is edited in a file that does not load: keyhint.yaml: line 4: keyring.keys[0] uses a YAML anchor, alias or tag: write the value itself"},
		{"a folded value", strings.Replace(four, "check: ", "check: >-\n        ", 1),
			"keyhint.yaml: line 7: keyring.keys[0].check is not written on one line, as name: value" + yamlForm},
		{"a question mark", strings.Replace(four, "      check: ", "      ? check\n      : ", 1),
			"keyhint.yaml: line 7: keyring.keys[0].check is not written on one line, as name: value" + yamlForm},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMaterial(t, 1)
			write(t, m.fill(start+c.text))
			_, err := config.AddEntry("keyhint.yaml", freshOptions())
			checkUntouched(t, m.fill(start+c.text), err, c.says)
			checkShowsNoSecret(t, err.Error(), []string{m["M1"], m["S1"]})
		})
	}
}

func TestAddEntryRefusesOptions(t *testing.T) {
	text := ring(newEntry(t, 1))
	for _, c := range []struct {
		name    string
		options config.AddOptions
		says    string
	}{
		{"a time that is past", config.AddOptions{Now: noon, ActivateAt: noon.Add(-time.Second)},
			"the new version cannot activate at 2026-11-23T11:59:59Z, which is past: earlier versions have issued since, and it would look as if they had not"},
		{"no randomness", config.AddOptions{Now: noon, Random: iotest.ErrReader(errors.New("broken"))}, "keyhint.yaml: reading randomness: broken"},
		{"a folder that is not there", config.AddOptions{Now: noon, Random: fixedRandom(), SecretsDir: "secrets"},
			"keyhint.yaml: making a file for a secret: open $DIR/secrets/master_key-2-<F>: no such file or directory"},
		{"a folder that is a file", config.AddOptions{Now: noon, Random: fixedRandom(), SecretsDir: "keyhint.yaml"},
			"keyhint.yaml: making a file for a secret: open $DIR/keyhint.yaml/master_key-2-<F>: not a directory"},
		{"a folder with a line break", config.AddOptions{Now: noon, Random: fixedRandom(), SecretsDir: "a\nb"},
			"keyhint.yaml: the name of the folder for secrets has characters that cannot be shown: use another"},
	} {
		t.Run(c.name, func(t *testing.T) {
			write(t, text)
			_, err := config.AddEntry("keyhint.yaml", c.options)
			checkUntouched(t, text, err, strings.ReplaceAll(c.says, "<F>", knownEntry(t, 2).get("check")[2:10]))
		})
	}
}

// A percent sign cannot stand in a file:// URL, which only loading the result tells.
func TestAddEntryRemovesSecretFilesOfAnEditThatIsRefused(t *testing.T) {
	text := ring(newEntry(t, 1))
	write(t, text)
	folder := t.TempDir() + "/100%"
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	options := freshOptions()
	options.SecretsDir = folder
	_, err := config.AddEntry("keyhint.yaml", options)
	if err == nil || !strings.Contains(err.Error(), "nothing is edited, because the result would not load: ") || !strings.Contains(err.Error(), "its name is not valid in a URL") {
		t.Error(err)
	}
	if read(t, "keyhint.yaml") != text {
		t.Error("the file has changed")
	}
	if all := names(t, folder); all != "" {
		t.Errorf("left %s", all)
	}
}

func TestAddEntryNeverOverwritesSecretFiles(t *testing.T) {
	text := ring(newEntry(t, 1))
	write(t, text)
	folder := t.TempDir()
	second := folder + "/salt_key-2-" + knownEntry(t, 2).get("check")[2:10]
	writeFile(t, second, "precious", 0o600)
	options := addOptions()
	options.SecretsDir = folder
	_, err := config.AddEntry("keyhint.yaml", options)
	if !errors.Is(err, fs.ErrExist) || read(t, "keyhint.yaml") != text || read(t, second) != "precious" {
		t.Error(err)
	}
	if all := names(t, folder); all != second[len(folder)+1:] {
		t.Errorf("the folder holds %s", all)
	}
}

func TestAddEntryKeepsSecretsFromEveryone(t *testing.T) {
	one := newEntry(t, 1)
	write(t, "")
	dir, _ := os.Getwd()
	writeFile(t, "master", one.get("master_key"), 0o600)
	writeFile(t, "salt", one.get("salt_key"), 0o600)
	text := ring(one.with("master_key", "file://"+dir+"/master").with("salt_key", "file://"+dir+"/salt"))
	writeFile(t, "keyhint.yaml", text, 0o644)
	_, err := config.AddEntry("keyhint.yaml", freshOptions())
	if err == nil || err.Error() != "nothing is edited, because the result would not load: keyhint.yaml: holds secrets and can be read by everyone on this machine: run chmod o= keyhint.yaml" {
		t.Error(err)
	}
	if read(t, "keyhint.yaml") != text {
		t.Error("the file has changed")
	}
	options := freshOptions()
	options.SecretsDir = "."
	added := mustAdd(t, "keyhint.yaml", options)
	for _, file := range added.SecretFiles {
		if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
	}
	if len(added.SecretFiles) != 2 || added.Config.Keyring.Ring.Versions() != 2 || strings.Contains(read(t, "keyhint.yaml"), "=\n") {
		t.Errorf("%+v\n%s", added, read(t, "keyhint.yaml"))
	}
}

func TestSetStatusRefuses(t *testing.T) {
	// 1 and 2 are superseded with a date, 3 without, 4 twice under one number, 5 is a tombstone, 6 is the newest.
	entries := func(t *testing.T) []entry {
		return []entry{
			newEntry(t, 1), newEntry(t, 2).with("activate_at", `"2026-10-01T00:00:00Z"`).with("status", "resolve_only"),
			newEntry(t, 3), newEntry(t, 4), newEntry(t, 4).with("status", "resolve_only"),
			newEntry(t, 5).without("master_key", "salt_key").with("status", "destroyed"), newEntry(t, 6),
		}
	}
	for _, c := range []struct {
		name, entry string
		to          derive.Status
		maxAge      string
		says        string
		needed      bool
	}{
		{"a version that is not there", "7", derive.Disabled, "720h", "version 7 is not in the ring, which has the versions 1 to 6", false},
		{"a number of two entries", "4", derive.Disabled, "720h", "version 4 has 2 entries: name one by its check value, <4> or <4b>", false},
		{"a fingerprint that is not there", "4-00000000", derive.Disabled, "720h", "version 4 has no entry 4-00000000: write one of <4>, <4b>", false},
		{"two enabled", "<4b>", derive.Enabled, "720h",
			"nothing is edited, because the result would not load: keyhint.yaml: line 27: keyring.keys[4].status (version 4) is enabled, and so is that of keys[3] with the same version: set one of them to resolve_only", false},
		{"back from destroyed", "5", derive.Disabled, "720h", "version 5 is destroyed and stays so: its secrets are gone; add a new version", false},
		{"destroyed without a maximum age", "1", derive.Destroyed, "0s",
			"version 1 cannot be destroyed: sessions may still need it: without keyring.max_age its hints never expire; set it, if the host keeps its content elsewhere, or force this and lose them", true},
		{"destroyed a second too early", "1", derive.Destroyed, "1284h0m1s",
			"version 1 cannot be destroyed: sessions may still need it: it stops issuing at 2026-10-01T00:00:00Z, and keyring.max_age is 1284h0m1s; destroy it from 2026-11-23T12:00:01Z on, or force this and lose them", true},
		{"destroyed without a date", "3", derive.Destroyed, "1h",
			"version 3 cannot be destroyed: sessions may still need it: the file does not say since when it issues no more; write that time into its entry as issue_until, and destroy it 1h0m0s after", true},
		{"the newest", "6", derive.Destroyed, "1h",
			"version 6 cannot be destroyed: sessions may still need it: it is the newest version and has no end; add a new one with activate_at, and destroy this one 1h0m0s after that time", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := entries(t)
			replace := strings.NewReplacer("<4>", all[3].get("check"), "<4b>", all[4].get("check"))
			text := ring(all...) + "  max_age: " + c.maxAge + "\n"
			write(t, text)
			name, err := config.ParseEntryName(replace.Replace(c.entry))
			if err != nil {
				t.Fatal(err)
			}
			_, err = config.SetStatus("keyhint.yaml", name, c.to, config.StatusOptions{Now: noon})
			says := replace.Replace(c.says)
			if !strings.HasPrefix(says, "nothing") {
				says = "keyhint.yaml: " + says
			}
			checkUntouched(t, text, err, says)
			if errors.Is(err, config.ErrStillNeeded) != c.needed {
				t.Error("whether sessions may need it is wrong")
			}
		})
	}
}

func TestSetStatusRefusesForms(t *testing.T) {
	for _, c := range []struct {
		name, text string
		to         derive.Status
		says       string
	}{
		{"a folded status", "  keys:\n    - version: 1\n      master_key: <M1>\n      salt_key: <S1>\n      check: <C1>\n      status: >-\n        enabled\n", derive.Disabled,
			"keyhint.yaml: line 8: keyring.keys[0].status is not written on one line, as name: value" + yamlForm},
		{"a folded secret", "  keys:\n    - version: 1\n      master_key: |-\n        <M1>\n      salt_key: <S1>\n      check: <C1>\n", derive.Destroyed,
			"keyhint.yaml: line 5: keyring.keys[0].master_key is not written on one line, as name: value" + yamlForm},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMaterial(t, 1)
			write(t, m.fill(start+c.text))
			_, err := config.SetStatus("keyhint.yaml", config.EntryName{Version: 1}, c.to, config.StatusOptions{Now: noon, Force: true})
			checkUntouched(t, m.fill(start+c.text), err, c.says)
		})
	}
}

func TestSetStatusLeavesAFileThatHasItAlone(t *testing.T) {
	text := ring(newEntry(t, 1), newEntry(t, 2).without("master_key", "salt_key").with("status", "destroyed"))
	write(t, text)
	before, _ := os.Stat("keyhint.yaml")
	for name, status := range map[string]derive.Status{"1": derive.Enabled, "2": derive.Destroyed} {
		change := mustSet(t, "keyhint.yaml", name, status, config.StatusOptions{Now: noon})
		if change.From != status || change.To != status || change.Config == nil || change.Remains != nil {
			t.Errorf("%+v", change)
		}
	}
	if after, _ := os.Stat("keyhint.yaml"); !os.SameFile(before, after) {
		t.Error("the file was replaced")
	}
}

func TestParseEntryName(t *testing.T) {
	for _, good := range []string{"1", "4294967295", "3-9f86d081", "3-9f86d081884c7d65"} {
		if name, err := config.ParseEntryName(good); err != nil || name.String() != good {
			t.Errorf("%s: %v, %v", good, name, err)
		}
	}
	for _, bad := range []string{"", "0", "-1", "+1", "4294967296", "one", "3-", "3-9f86", "3-9F86D081", "3-9f86d081-", "3 ", "3-9f86d081884c7d655"} {
		if name, err := config.ParseEntryName(bad); err == nil {
			t.Errorf("%q is %v", bad, name)
		}
	}
}
