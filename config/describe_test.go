package config_test

import (
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"testing"
	"time"

	"keyhint/config"
)

// described is a ring of every kind of entry, and the names of its check values.
func described(t *testing.T) (*config.Config, *strings.Replacer) {
	all := []entry{
		newEntry(t, 1).without("master_key", "salt_key").with("status", "destroyed"),
		newEntry(t, 2).with("status", "resolve_only"),
		newEntry(t, 3).with("activate_at", `"2026-11-01T01:00:00+01:00"`).with("issue_until", `"2026-12-31T00:00:00Z"`),
		newEntry(t, 4).with("activate_at", `"2026-12-01T00:00:00Z"`),
		newEntry(t, 5).with("activate_at", `"2027-01-01T00:00:00Z"`).with("status", "disabled"),
	}
	var folds []string
	for i, e := range all {
		folds = append(folds, e.get("check"), fmt.Sprintf("%d-0123456789abcdef", i+1))
	}
	return mustLoad(t, ring(all...)+"  max_age: 720h\n"), strings.NewReplacer(folds...)
}

func TestWriteTable(t *testing.T) {
	c, fold := described(t)
	var b strings.Builder
	if err := config.Describe(c, noon).WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	want := `
VERSION  CHECK               STATUS        PRIMARY  ACTIVATE AT           ISSUE UNTIL           DESTROYABLE FROM      NEXT CHANGE
1        1-0123456789abcdef  destroyed     -        -                     -                     -                     -
2        2-0123456789abcdef  resolve_only  -        -                     -                     2026-12-01T00:00:00Z  -
3        3-0123456789abcdef  enabled       primary  2026-11-01T00:00:00Z  2026-12-31T00:00:00Z  2026-12-31T00:00:00Z  2026-12-01T00:00:00Z stops issuing; version 4 takes over
4        4-0123456789abcdef  enabled       -        2026-12-01T00:00:00Z  -                     2027-01-31T00:00:00Z  2026-12-01T00:00:00Z begins to issue
5        5-0123456789abcdef  disabled      -        2027-01-01T00:00:00Z  -                     -                     -
`
	if got := "\n" + fold.Replace(b.String()); got != want {
		t.Errorf("%s\nand should be%s", got, want)
	}
}

func TestDescriptionInJSON(t *testing.T) {
	c, fold := described(t)
	list := config.Describe(c, noon).Entries
	for i, want := range []string{
		`{"version":1,"check":"1-0123456789abcdef","status":"destroyed","primary":false}`,
		`{"version":2,"check":"2-0123456789abcdef","status":"resolve_only","primary":false,"destroyable_from":"2026-12-01T00:00:00Z"}`,
		`{"version":3,"check":"3-0123456789abcdef","status":"enabled","primary":true,"activate_at":"2026-11-01T00:00:00Z","issue_until":"2026-12-31T00:00:00Z","next_change":{"at":"2026-12-01T00:00:00Z","what":"stops issuing; version 4 takes over"},"destroyable_from":"2026-12-31T00:00:00Z"}`,
	} {
		got, err := json.Marshal(list[i])
		if err != nil || fold.Replace(string(got)) != want {
			t.Errorf("%s, %v", got, err)
		}
	}
}

func TestDescribeNextChange(t *testing.T) {
	one, two := newEntry(t, 1), newEntry(t, 2)
	const later = `"2026-11-23T13:00:00Z"`
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", ring(one), []string{""}},
		{"an end", ring(one.with("issue_until", later)), []string{"stops issuing; no version issues: version 1 is primary and issued until 2026-11-23T13:00:00Z"}},
		{"a beginning", ring(one.with("activate_at", later)), []string{"begins to issue"}},
		{"one that is not enabled takes over", ring(one, two.with("activate_at", later).with("status", "disabled")),
			[]string{"stops issuing; no version issues: version 2 is primary and not enabled", ""}},
		{"an end of one that does not issue", ring(one.with("issue_until", later), two), []string{"", ""}},
		{"one that is never primary", ring(one.with("activate_at", later), two), []string{"", ""}},
		{"two under a number", ring(one, newEntry(t, 1).with("status", "resolve_only").with("activate_at", later)), []string{"", ""}},
		{"past", ring(one, two.with("activate_at", `"2026-11-23T12:00:00Z"`)), []string{"", ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for i, e := range config.Describe(mustLoad(t, c.text), noon).Entries {
				got := ""
				if e.NextChange != nil {
					got = e.NextChange.What
					if !e.NextChange.At.Equal(noon.Add(time.Hour)) {
						t.Error(e.NextChange.At)
					}
				}
				if got != c.want[i] {
					t.Errorf("version %d: %q", e.Version, got)
				}
			}
		})
	}
}

func TestDescribeDestroyableFrom(t *testing.T) {
	one, two, three := newEntry(t, 1), newEntry(t, 2), newEntry(t, 3)
	const early, late, past = `"2026-11-24T00:00:00Z"`, `"2026-11-25T00:00:00Z"`, `"2026-10-01T00:00:00Z"`
	for _, c := range []struct {
		name, text string
		want       string // of version 1
	}{
		{"no maximum age", ring(one, two.with("activate_at", past)) + "  max_age: 0s\n", "-"},
		{"no date", ring(one, two) + "  max_age: 24h\n", "-"},
		{"a status is no date", ring(one.with("status", "disabled"), two) + "  max_age: 24h\n", "-"},
		{"its own end", ring(one.with("issue_until", early), two) + "  max_age: 24h\n", "2026-11-25T00:00:00Z"},
		{"a higher version", ring(one, two.with("activate_at", early)) + "  max_age: 24h\n", "2026-11-25T00:00:00Z"},
		{"a higher version that is not enabled", ring(one, two.with("activate_at", early).with("status", "disabled")) + "  max_age: 24h\n", "2026-11-25T00:00:00Z"},
		{"a higher tombstone", ring(one, two.without("master_key", "salt_key").with("activate_at", early).with("status", "destroyed")) + "  max_age: 24h\n", "2026-11-25T00:00:00Z"},
		{"the earliest", ring(one.with("issue_until", late), two.with("activate_at", late), three.with("activate_at", early)) + "  max_age: 24h\n", "2026-11-25T00:00:00Z"},
		{"a date beside none", ring(one, two, three.with("activate_at", early)) + "  max_age: 24h\n", "2026-11-25T00:00:00Z"},
		{"its own beginning is no end", ring(one.with("activate_at", past)) + "  max_age: 24h\n", "-"},
		{"a twin's beginning is no end", ring(one, newEntry(t, 1).with("activate_at", past).with("status", "resolve_only")) + "  max_age: 24h\n", "-"},
		{"past", ring(one, two.with("activate_at", past)) + "  max_age: 24h\n", "2026-10-02T00:00:00Z"},
		{"beyond the calendar", ring(one.with("issue_until", `"9999-12-31T23:59:59Z"`), two) + "  max_age: 24h\n", "-"},
		{"destroyed already", ring(one.without("master_key", "salt_key").with("status", "destroyed"), two.with("activate_at", past)) + "  max_age: 24h\n", "-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := "-"
			d := config.Describe(mustLoad(t, c.text), noon).Entries[0]
			if _, err := json.Marshal(d); err != nil {
				t.Error(err)
			}
			if !d.DestroyableFrom.IsZero() {
				got = d.DestroyableFrom.Format(time.RFC3339)
			}
			if got != c.want {
				t.Error(got)
			}
		})
	}
}

// What Describe foretells is what the ring then does.
func TestDescribeForetellsTheRing(t *testing.T) {
	t.Chdir(t.TempDir())
	seed := mathrand.Uint64()
	t.Logf("seed %d", seed)
	r := mathrand.New(mathrand.NewPCG(seed, 0))
	changes := 0
	for range 200 {
		var entries []entry
		for version := range uint32(1 + r.IntN(4)) {
			e := newEntry(t, version+1)
			for _, field := range []string{"activate_at", "issue_until"} {
				if r.IntN(2) == 0 {
					e = e.with(field, `"`+noon.Add(time.Duration(r.IntN(10))*time.Minute).Format(time.RFC3339)+`"`)
				}
			}
			if r.IntN(4) == 0 {
				e = e.with("status", "resolve_only")
			}
			entries = append(entries, e)
		}
		c := mustLoadHere(t, ring(entries...))
		now := noon.Add(5 * time.Minute)
		for _, d := range config.Describe(c, now).Entries {
			issues := func(at time.Time) bool {
				primary, err := c.Keyring.Ring.Primary(at)
				return err == nil && primary.Check.String() == d.Check
			}
			if d.Primary != issues(now) {
				t.Fatalf("%+v", d)
			}
			until := noon.Add(time.Hour)
			if d.NextChange != nil {
				changes++
				until = d.NextChange.At
				if issues(until) == d.Primary {
					t.Fatalf("nothing changes at %v", until)
				}
			}
			for at := now; at.Before(until); at = at.Add(10 * time.Second) {
				if issues(at) != d.Primary {
					t.Fatalf("changes at %v, not %v", at, until)
				}
			}
		}
	}
	if changes < 30 {
		t.Errorf("only %d changes", changes)
	}
}
