package config_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"keyhint/config"
)

// compared are two configurations and what is found. $DIR is their folder.
type compared struct {
	name, is, was string
	want          string
}

func (c compared) check(t *testing.T, noSecrets bool) {
	t.Helper()
	t.Chdir(t.TempDir())
	writeFile(t, "new.yaml", c.is, 0o600)
	writeFile(t, "old.yaml", c.was, 0o600)
	findings, err := config.Compare("new.yaml", "old.yaml", noSecrets)
	if err != nil {
		t.Fatal(err)
	}
	if got := findings.String(); got != strings.TrimPrefix(c.want, "\n") {
		t.Errorf("secrets left out: %v\n%s\nand should be%s", noSecrets, got, c.want)
	}
}

func TestCompareFindsWhatWouldBeLost(t *testing.T) {
	one, two, other := newEntry(t, 1), newEntry(t, 2), newEntry(t, 2)
	tombstone := func(e entry) entry { return e.without("master_key", "salt_key").with("status", "destroyed") }
	for _, c := range []compared{
		{"nothing", ring(one, two), ring(one, two), ""},
		{"a new entry, a status, a schedule", ring(one.with("status", "disabled"), two.with("issue_until", `"2027-01-01T00:00:00Z"`), newEntry(t, 3)), ring(one, two), ""},
		{"another order", ring(two, one), ring(one, two), ""},
		{"buried", ring(tombstone(one), two), ring(one, two), ""},
		{"a newcomer under a number", ring(one, two, other.with("status", "resolve_only")), ring(one, two), ""},
		{"vanished", ring(one), ring(one, two), `
new.yaml: line 4: keyring.keys (version 2, check value ` + two.get("check") + `, on line 9 of old.yaml) has vanished: sessions issued under it would be lost; restore it, or bury it with its check value and status destroyed`},
		{"other secrets", ring(one, other), ring(one, two), `
new.yaml: line 4: keyring.keys (version 2, check value ` + two.get("check") + `, on line 9 of old.yaml) no longer stands under its check value, so sessions issued with its secrets would be lost: restore it, and put new secrets under a new version`},
		{"back from destroyed", ring(two.with("status", "disabled"), one), ring(one, tombstone(two)), `
new.yaml: line 9: keyring.keys[0].status (version 2, check value ` + two.get("check") + `, on line 9 of old.yaml) is destroyed and stays so: put new secrets under a new version`},
		{"back from destroyed without a status", ring(one, two), ring(one, tombstone(two)), `
new.yaml: line 9: keyring.keys[1].status (version 2, check value ` + two.get("check") + `, on line 9 of old.yaml) is destroyed and stays so: put new secrets under a new version`},
		{"another namespace", "# new\n" + ring(one) + "  namespace: b\n", ring(one) + "  namespace: a\n", `
new.yaml: line 10: keyring.namespace has changed: every session would be lost; restore it, and serve another namespace with another instance`},
		{"all at once", ring(one), ring(tombstone(one), two, newEntry(t, 3)) + "  namespace: x\n", `*`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.want == "*" {
				t.Chdir(t.TempDir())
				writeFile(t, "new.yaml", c.is, 0o600)
				writeFile(t, "old.yaml", c.was, 0o600)
				full, _ := config.Compare("new.yaml", "old.yaml", false)
				without, _ := config.Compare("new.yaml", "old.yaml", true)
				if len(full) != 4 || len(without) != 4 {
					t.Errorf("%v\n%v", full, without)
				}
				return
			}
			c.check(t, false)
			c.check(t, true)
		})
	}
}

// What can be known without secrets is found without them too, in the same words.
func TestCompareFindsFaultsOfTheRing(t *testing.T) {
	one, two := newEntry(t, 1), newEntry(t, 2)
	good := ring(one, two)
	for name, bad := range map[string]string{
		"a gap":                        ring(one, newEntry(t, 3)),
		"a gap where an entry was":     ring(two),
		"no entry":                     "auth: {mode: none}\nkeyring: {keys: []}\n",
		"not YAML":                     "auth: [\n",
		"empty":                        "",
		"an unknown name":              good + "  keyz: []\n",
		"no check":                     ring(one.without("check"), two),
		"a check of another version":   ring(one, two.with("check", one.get("check"))),
		"a check in capitals":          ring(one, two.with("check", "2-0123456789ABCDEF")),
		"an entry twice":               ring(one, two, two.without("master_key", "salt_key").with("status", "destroyed")),
		"two enabled under a number":   ring(one, two, newEntry(t, 2)),
		"a tombstone with a secret":    ring(one.without("salt_key").with("status", "destroyed"), two),
		"a secret missing":             ring(one.without("master_key"), two),
		"no secrets":                   ring(one.without("master_key", "salt_key"), two),
		"an empty secret":              ring(one.with("salt_key", `""`), two),
		"a version misspelt":           ring(entry{{"Version", "1"}, one[1], one[2], one[3]}, two),
		"a status misspelt":            ring(one.with("status", "Enabled"), two),
		"a time without offset":        ring(one.with("activate_at", `"2026-01-31T12:00:00"`), two),
		"a namespace that is too long": good + "  namespace: " + strings.Repeat("x", 129) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			writeFile(t, "new.yaml", bad, 0o600)
			writeFile(t, "old.yaml", good, 0o600)
			_, err := config.Load("new.yaml", nil)
			if err == nil {
				t.Fatal("loads")
			}
			for _, noSecrets := range []bool{false, true} {
				findings, err := config.Compare("new.yaml", "old.yaml", noSecrets)
				if err != nil {
					t.Fatal(err)
				}
				checkFindsWhatLoadRefuses(t, "new.yaml", findings)
				// The other way round it is the old file that is refused.
				findings, err = config.Compare("old.yaml", "new.yaml", noSecrets)
				if err != nil {
					t.Fatal(err)
				}
				checkFindsWhatLoadRefuses(t, "new.yaml", findings)
			}
		})
	}
}

func checkFindsWhatLoadRefuses(t *testing.T, path string, findings config.Findings) {
	t.Helper()
	_, err := config.Load(path, nil)
	for line := range strings.SplitSeq(err.Error(), "\n  ") {
		line = strings.TrimPrefix(line, path+": ")
		if strings.HasSuffix(line, " problems:") {
			continue
		}
		if all := findings.String(); strings.Count("\n"+all+"\n", "\n"+path+": "+line+"\n") != 1 {
			t.Errorf("%q is not among\n%s", line, all)
		}
	}
}

func TestCompareReadsNoSecretsWithoutThem(t *testing.T) {
	one, two := newEntry(t, 1), newEntry(t, 2)
	far := one.with("master_key", "file:///nowhere/master").with("salt_key", "env://NOT_SET")
	text := ring(far, two.with("master_key", "REDACTED").with("salt_key", "vault:secret/keyhint#salt"))
	c := compared{"", text + "server: {tls: {cert_file: /nowhere/cert, key_file: /nowhere/key}}\n", text, ""}
	c.check(t, true)
	if err := os.Chmod("new.yaml", 0o644); err != nil {
		t.Fatal(err)
	}
	if findings, err := config.Compare("new.yaml", "old.yaml", true); len(findings) != 0 || err != nil {
		t.Error(findings, err)
	}
	findings, err := config.Compare("new.yaml", "old.yaml", false)
	if err != nil || len(findings) != 11 {
		t.Errorf("%v\n%v", err, findings)
	}
}

func TestCompareStillComparesWhatIsRefusedForOtherReasons(t *testing.T) {
	one, two := newEntry(t, 1), newEntry(t, 2)
	c := compared{"", ring(one) + "log: {level: loud}\n", ring(one, two), `
new.yaml: line 9: log.level is not a level: write debug, info, warn or error
new.yaml: line 4: keyring.keys (version 2, check value ` + two.get("check") + `, on line 9 of old.yaml) has vanished: sessions issued under it would be lost; restore it, or bury it with its check value and status destroyed`}
	c.check(t, false)
}

func TestCompareWithNothing(t *testing.T) {
	write(t, ring(newEntry(t, 1).with("salt_key", "env://NOT_SET")))
	for noSecrets, want := range map[bool]string{true: "", false: "keyhint.yaml: line 7: keyring.keys[0].salt_key (version 1) names an environment variable that is not set: set it for keyhint, or correct its name after env://"} {
		findings, err := config.Compare("keyhint.yaml", "", noSecrets)
		if err != nil || findings == nil || findings.String() != want {
			t.Errorf("%v, %v", findings, err)
		}
	}
}

func TestCompareNamesTheEnvironment(t *testing.T) {
	one := newEntry(t, 1)
	t.Setenv("KEYHINT_KEYRING_MAX_AGE", "1d")
	compared{"", ring(one), ring(one), `
new.yaml: environment variable KEYHINT_KEYRING_MAX_AGE: keyring.max_age is not a duration: write a number with a unit (ms, s, m or h), such as 30s or 720h
old.yaml: environment variable KEYHINT_KEYRING_MAX_AGE: keyring.max_age is not a duration: write a number with a unit (ms, s, m or h), such as 30s or 720h`}.check(t, true)
}

func TestCompareNeedsBothFiles(t *testing.T) {
	write(t, ring(newEntry(t, 1)))
	for _, pair := range [][2]string{{"keyhint.yaml", "missing.yaml"}, {"missing.yaml", "keyhint.yaml"}} {
		findings, err := config.Compare(pair[0], pair[1], true)
		if findings != nil || err == nil || err.Error() != "reading the configuration: open missing.yaml: no such file or directory" {
			t.Error(findings, err)
		}
	}
}

func TestFindingsInJSON(t *testing.T) {
	one := newEntry(t, 1)
	write(t, ring(one))
	findings, _ := config.Compare("keyhint.yaml", "keyhint.yaml", false)
	if text, err := json.Marshal(findings); string(text) != "[]" {
		t.Errorf("%s, %v", text, err)
	}
	writeFile(t, "new.yaml", ring(one)+"log: {level: loud}\n", 0o600)
	findings, _ = config.Compare("new.yaml", "keyhint.yaml", false)
	if text, err := json.Marshal(findings); string(text) != `[{"file":"new.yaml","path":"log.level","line":9,"problem":"is not a level: write debug, info, warn or error"}]` {
		t.Errorf("%s, %v", text, err)
	}
}
