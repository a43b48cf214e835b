package config_test

import (
	"strings"
	"testing"
	"time"
)

func TestLoadRefusesRing(t *testing.T) {
	one, two, three := newEntry(t, 1), newEntry(t, 2), newEntry(t, 3)
	flipped := func(check string) string {
		last := byte('0')
		if strings.HasSuffix(check, "0") {
			last = '1'
		}
		return check[:len(check)-1] + string(last)
	}
	for _, c := range []refused{
		{"a gap", ring(one, three),
			"keyhint.yaml: line 9: keyring.keys[1].version (version 3) leaves a gap: version 2 is not in the ring; restore it, or bury it with its check value and status destroyed"},
		{"numbers that begin at 2", ring(two),
			"keyhint.yaml: line 5: keyring.keys[0].version (version 2) leaves a gap: version 1 is not in the ring; restore it, or bury it with its check value and status destroyed"},
		{"version 0", ring(one.with("version", "0").without("check"), two), `keyhint.yaml has 2 problems:
  line 5: keyring.keys[0].version is missing or 0: number the entries from 1
  line 5: keyring.keys[0].check is missing: write the check value that was recorded when the entry was made`},
		{"no check", ring(one.without("check")),
			"keyhint.yaml: line 5: keyring.keys[0].check (version 1) is missing: write the check value that was recorded when the entry was made"},
		// All of the message: it has no room for the right check value.
		{"a wrong check", ring(one, two.with("check", flipped(two.get("check")))),
			"keyhint.yaml: line 12: keyring.keys[1].check (version 2) does not belong to this version, master_key and salt_key: one of the three was mistyped or swapped; restore them from where they were recorded, and never adapt check to make this pass"},
		{"the two secrets swapped", ring(one.with("master_key", one.get("salt_key")).with("salt_key", one.get("master_key"))),
			"keyhint.yaml: line 8: keyring.keys[0].check (version 1) does not belong to this version, master_key and salt_key: one of the three was mistyped or swapped; restore them from where they were recorded, and never adapt check to make this pass"},
		{"another version's check", ring(one, two.with("check", one.get("check"))),
			"keyhint.yaml: line 12: keyring.keys[1].check (version 2) is the check value of version 1: restore the entry's own number or its own check value"},
		{"a check in capitals", ring(one.with("check", "1-9F86D081884C7D65")),
			"keyhint.yaml: line 8: keyring.keys[0].check is not a check value: the version, '-' and 16 lower-case hex digits, such as 3-9f86d081884c7d65"},
		{"a secret twice in one role", ring(one, two.with("master_key", one.get("master_key")).rechecked(t)),
			"keyhint.yaml: line 10: keyring.keys[1].master_key (version 2) is the same secret as master_key of keys[0] (version 1): every secret stands once; make a new entry with fresh ones"},
		{"a secret in two roles", ring(one, two.with("salt_key", one.get("master_key")).rechecked(t)),
			"keyhint.yaml: line 11: keyring.keys[1].salt_key (version 2) is the same secret as master_key of keys[0] (version 1): every secret stands once; make a new entry with fresh ones"},
		{"a secret in both roles of an entry", ring(one.with("salt_key", one.get("master_key")).rechecked(t)),
			"keyhint.yaml: line 7: keyring.keys[0].salt_key (version 1) is the same secret as master_key of keys[0] (version 1): every secret stands once; make a new entry with fresh ones"},
		{"zero bytes", ring(one.with("master_key", strings.Repeat("A", 43)+"=")),
			"keyhint.yaml: line 6: keyring.keys[0].master_key (version 1) is a placeholder or a pattern; secrets are 32 bytes from a CSPRNG"},
		{"text in base64", ring(one.with("salt_key", "Y2hhbmdlLW1lLWNoYW5nZS1tZS1jaGFuZ2UtbWUhISE=")),
			"keyhint.yaml: line 7: keyring.keys[0].salt_key (version 1) is a placeholder or a pattern; secrets are 32 bytes from a CSPRNG"},
		{"a placeholder", ring(one.with("master_key", "REPLACE-ME")),
			`keyhint.yaml: line 6: keyring.keys[0].master_key (version 1) is a placeholder: run "keyhint keyring new" and paste what it prints`},
		{"a tombstone with secrets", ring(one.with("status", "destroyed")), `keyhint.yaml has 2 problems:
  line 6: keyring.keys[0].master_key (version 1) must not be there in a destroyed entry: remove it, or set another status
  line 7: keyring.keys[0].salt_key (version 1) must not be there in a destroyed entry: remove it, or set another status`},
		{"a tombstone with one secret", ring(one.without("master_key").with("status", "destroyed"), two),
			"keyhint.yaml: line 6: keyring.keys[0].salt_key (version 1) must not be there in a destroyed entry: remove it, or set another status"},
		{"a tombstone without check", ring(one.without("master_key", "salt_key", "check").with("status", "destroyed")),
			"keyhint.yaml: line 5: keyring.keys[0].check (version 1) is missing: write the check value that was recorded when the entry was made"},
		{"an entry without secrets", ring(one.without("master_key", "salt_key")), `keyhint.yaml has 2 problems:
  line 5: keyring.keys[0].master_key (version 1) is missing: restore it, or, if it is lost for good, set status to destroyed
  line 5: keyring.keys[0].salt_key (version 1) is missing: restore it, or, if it is lost for good, set status to destroyed`},
		{"a disabled entry with an empty secret", ring(one.with("salt_key", `""`).with("status", "disabled")),
			"keyhint.yaml: line 7: keyring.keys[0].salt_key (version 1) is missing: restore it, or, if it is lost for good, set status to destroyed"},
		{"two enabled under one number", ring(one, newEntry(t, 1)),
			"keyhint.yaml: line 9: keyring.keys[1].status (version 1) is enabled, and so is that of keys[0] with the same version: set one of them to resolve_only"},
		{"an entry twice", ring(one, one.without("master_key", "salt_key").with("status", "destroyed")),
			"keyhint.yaml: line 10: keyring.keys[1].check (version 1) stands in keys[0] already: remove one of the two"},
		{"an unknown status", ring(one.with("status", "retired")),
			"keyhint.yaml: line 9: keyring.keys[0].status is not a status: write enabled, resolve_only, disabled or destroyed"},
		{"no entry", head[:len(head)-len("  keys:\n")] + "  keys: []\n",
			`keyhint.yaml: line 4: keyring.keys is missing or empty: run "keyhint keyring new" and paste what it prints below keyring.keys`},
		{"no ring", "auth:\n  mode: none\n",
			`keyhint.yaml: keyring.keys is missing or empty: run "keyhint keyring new" and paste what it prints below keyring.keys`},
		{"a namespace of 129 bytes", ring(one) + "  namespace: " + strings.Repeat("ä", 64) + "x\n",
			"keyhint.yaml: line 9: keyring.namespace is 129 bytes long: the maximum is 128"},
	} {
		c.check(t)
	}
}

// The mend for a gap is a new tombstone; it must not be offered for an entry
// that is there and only cannot be read.
func TestLoadSeesNoGapBesideAnEntryWithoutNumber(t *testing.T) {
	one, two := newEntry(t, 1), newEntry(t, 2)
	misspelt := entry{{"Version", "1"}, one[1], one[2], one[3]}
	wrong := two.with("check", "2-9f86d081884c7d65")
	for _, c := range []refused{
		{"version misspelt", ring(misspelt, two),
			"keyhint.yaml: line 5: keyring.keys[0] has a name that is not known here: write version"},
		{"version in hex", ring(one.with("version", "0x1"), two),
			"keyhint.yaml: line 5: keyring.keys[0].version is not a whole number: write plain decimal digits without quotes, such as 1"},
		{"not a section", head + "    - one\n" + two.String(),
			"keyhint.yaml: line 5: keyring.keys[0] must be a section: lines of the form name: value, indented below it"},
		{"other faults stay", ring(misspelt, wrong), `keyhint.yaml has 2 problems:
  line 5: keyring.keys[0] has a name that is not known here: write version
  line 12: keyring.keys[1].check (version 2) does not belong to this version, master_key and salt_key: one of the three was mistyped or swapped; restore them from where they were recorded, and never adapt check to make this pass`},
	} {
		c.check(t)
	}
}

func TestLoadAcceptsRing(t *testing.T) {
	one, two := newEntry(t, 1), newEntry(t, 2)
	bury := func(e entry) entry { return e.without("master_key", "salt_key").with("status", "destroyed") }
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		text   string
		issues string // check value of the entry that issues at that time
	}{
		"one entry":                         {ring(one), one.get("check")},
		"two entries":                       {ring(one, two), two.get("check")},
		"in any order":                      {ring(two, one), two.get("check")},
		"not yet active":                    {ring(one, two.with("activate_at", `"2026-11-23T13:00:01+01:00"`)), one.get("check")},
		"active":                            {ring(one, two.with("activate_at", `"2026-11-23T13:00:00+01:00"`)), two.get("check")},
		"issued until now":                  {ring(one, two.with("issue_until", `"2026-11-23T12:00:00Z"`)), "nothing"},
		"issues a little longer":            {ring(one, two.with("issue_until", `"2026-11-23T12:00:00.001Z"`)), two.get("check")},
		"an emergency stop":                 {ring(one, two.with("status", "disabled")), "nothing"},
		"a tombstone":                       {ring(bury(one), two), two.get("check")},
		"tombstones alone":                  {ring(bury(one)), "nothing"},
		"one number, two entries":           {ring(one, newEntry(t, 1).with("status", "resolve_only")), one.get("check")},
		"status enabled":                    {ring(one.with("status", "enabled")), one.get("check")},
		"a namespace of 128 bytes":          {ring(one) + "  namespace: " + strings.Repeat("ä", 64) + "\n", one.get("check")},
		"a byte order mark":                 {"\ufeff" + ring(one), one.get("check")},
		"CRLF":                              {strings.ReplaceAll(ring(one), "\n", "\r\n"), one.get("check")},
		"quotes, comments, document marker": {"---\n" + ring(one.with("check", `"`+one.get("check")+`" # recorded`)) + "...\n", one.get("check")},
	} {
		t.Run(name, func(t *testing.T) {
			issues := "nothing"
			if primary, err := mustLoad(t, c.text).Keyring.Ring.Primary(now); err == nil {
				issues = primary.Check.String()
			}
			if issues != c.issues {
				t.Errorf("%s issues, not %s", issues, c.issues)
			}
		})
	}
}
