package config_test

import (
	"crypto/rand"
	"errors"
	mathrand "math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"keyhint/config"
	"keyhint/derive"
)

func TestSetStatusDestroysFromTheSafeDateOn(t *testing.T) {
	text := ring(newEntry(t, 1), newEntry(t, 2).with("activate_at", `"2026-11-22T12:00:00Z"`)) + "  max_age: 24h\n"
	write(t, text)
	name := config.EntryName{Version: 1}
	if _, err := config.SetStatus("keyhint.yaml", name, derive.Destroyed, config.StatusOptions{Now: noon.Add(-1)}); !errors.Is(err, config.ErrStillNeeded) {
		t.Error(err)
	}
	change := mustSet(t, "keyhint.yaml", "1", derive.Destroyed, config.StatusOptions{Now: noon})
	if change.From != derive.Enabled || change.Config.Keyring.Ring.Entries()[0].Status != derive.Destroyed {
		t.Errorf("%+v", change)
	}
}

func TestSetStatusForceDestroysAnything(t *testing.T) {
	write(t, ring(newEntry(t, 1), newEntry(t, 2)))
	for _, name := range []string{"1", "2"} {
		mustSet(t, "keyhint.yaml", name, derive.Destroyed, config.StatusOptions{Now: noon, Force: true})
	}
	if text := read(t, "keyhint.yaml"); strings.Contains(text, "_key:") {
		t.Error(text)
	}
}

func TestSetStatusOfOneOfTwoUnderANumber(t *testing.T) {
	first, second := newEntry(t, 1), newEntry(t, 1).with("status", "resolve_only")
	write(t, ring(first, second))
	mustSet(t, "keyhint.yaml", first.get("check"), derive.ResolveOnly, config.StatusOptions{Now: noon})
	mustSet(t, "keyhint.yaml", second.get("check")[:10], derive.Enabled, config.StatusOptions{Now: noon})
	if got := read(t, "keyhint.yaml"); got != ring(first.with("status", "resolve_only"), second.with("status", "enabled")) {
		t.Error(got)
	}
}

func TestSetStatusListsWhatRemains(t *testing.T) {
	one, two, three := newEntry(t, 1), newEntry(t, 2), newEntry(t, 3)
	write(t, "")
	dir, _ := os.Getwd()
	if err := os.Mkdir("the secrets", 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, "the secrets/master", two.get("master_key"), 0o600)
	t.Setenv("SALT", two.get("salt_key"))
	writeFile(t, "keyhint.yaml", "# the first: "+one.get("salt_key")+"\n"+
		ring(one, two.with("master_key", `"file://`+dir+`/the secrets/master"`).with("salt_key", "env://SALT"), three), 0o600)

	const backups = "Backups and secret stores may hold the secrets: destroy their copies, and check that none can be restored."
	for name, want := range map[string][]config.Remainder{
		"1": {
			{Kind: "comment", Name: "keyhint.yaml", Todo: "The secret is still in keyhint.yaml, in a comment on line 1: remove it."},
			{Kind: "copies", Name: "keyhint.yaml", Todo: "Earlier versions of keyhint.yaml hold the secrets: shred copies that editors and deployments left, and let version control and snapshots of the disk forget them."},
			{Kind: "copies", Todo: backups},
		},
		"2": {
			{Kind: "file", Name: "$DIR/the secrets/master", Todo: "The secret is still in the file $DIR/the secrets/master: run shred -u '$DIR/the secrets/master' where it is kept, on every replica."},
			{Kind: "environment", Name: "SALT", Todo: "The secret is still in the environment variable SALT: remove it from wherever that is set, on every replica."},
			{Kind: "copies", Todo: backups},
		},
	} {
		change := mustSet(t, "keyhint.yaml", name, derive.Destroyed, config.StatusOptions{Now: noon, Force: true})
		if len(change.Remains) != len(want) {
			t.Errorf("%s: %+v", name, change.Remains)
			continue
		}
		for i, r := range change.Remains {
			r.Name, r.Todo = strings.ReplaceAll(r.Name, dir, "$DIR"), strings.ReplaceAll(r.Todo, dir, "$DIR")
			if r != want[i] || r.String() != r.Todo {
				t.Errorf("%+v", r)
			}
			checkShowsNoSecret(t, r.Todo, []string{one.get("master_key"), one.get("salt_key"), two.get("master_key"), two.get("salt_key")})
		}
	}
	if change := mustSet(t, "keyhint.yaml", "3", derive.Disabled, config.StatusOptions{Now: noon}); change.Remains != nil {
		t.Errorf("%+v", change.Remains)
	}
}

// A date that is safe is one after which the ring, used as it stands all the
// time, resolves no hint of the entry.
func TestNothingResolvesFromTheSafeDateOn(t *testing.T) {
	t.Chdir(t.TempDir())
	seed := mathrand.Uint64()
	t.Logf("seed %d", seed)
	r := mathrand.New(mathrand.NewPCG(seed, 0))
	const maxAge = 3 * time.Hour
	doc := derive.Document{ID: "doc"}
	moment := func() time.Time { return noon.Add(time.Duration(r.IntN(10)) * time.Hour) }
	dates, destroyed, issued := 0, 0, 0
	for range 150 {
		var entries []entry
		for version := range uint32(1 + r.IntN(4)) {
			e := newEntry(t, version+1)
			for _, field := range []string{"activate_at", "issue_until"} {
				if r.IntN(2) == 0 {
					e = e.with(field, `"`+moment().Format(time.RFC3339)+`"`)
				}
			}
			if r.IntN(4) == 0 {
				e = e.with("status", "disabled")
			}
			entries = append(entries, e)
		}
		c := mustLoadHere(t, ring(entries...)+"  max_age: 3h\n")
		type hint struct {
			derive.Hint
			at time.Time
		}
		var hints []hint
		for at := noon.Add(-time.Hour); at.Before(noon.Add(12 * time.Hour)); at = at.Add(30*time.Minute - time.Millisecond) {
			if _, h, err := c.Keyring.Ring.Issue(doc, at, rand.Reader); err == nil {
				hints = append(hints, hint{h, at})
			}
		}
		issued += len(hints)
		for _, d := range config.Describe(c, noon).Entries {
			if !d.DestroyableFrom.IsZero() {
				dates++
			}
			for _, h := range hints {
				if h.Version() != d.Version || d.DestroyableFrom.IsZero() {
					continue
				}
				if !h.at.Before(d.DestroyableFrom.Add(-maxAge)) {
					t.Fatalf("issued at %v and destroyable from %v:\n%s", h.at, d.DestroyableFrom, ring(entries...))
				}
				if _, err := c.Keyring.Ring.Resolve(h.Hint, doc, d.DestroyableFrom, maxAge); !errors.Is(err, derive.ErrExpired) {
					t.Fatalf("resolves: %v", err)
				}
			}
			now := noon.Add(time.Duration(r.IntN(16)) * time.Hour)
			_, err := config.SetStatus("keyhint.yaml", config.EntryName{Version: d.Version}, derive.Destroyed, config.StatusOptions{Now: now})
			if may := !d.DestroyableFrom.IsZero() && !now.Before(d.DestroyableFrom); may != (err == nil) || !may && !errors.Is(err, config.ErrStillNeeded) {
				t.Fatalf("destroyable from %v, and at %v: %v", d.DestroyableFrom, now, err)
			} else if may {
				destroyed++
			}
		}
	}
	t.Logf("%d dates, %d destroyed, %d hints", dates, destroyed, issued)
	if dates < 50 || destroyed < 20 || issued < 500 {
		t.Error("too few to tell")
	}
}

func TestNoEditShowsPartOfASecret(t *testing.T) {
	seed := mathrand.Uint64()
	t.Logf("seed %d", seed)
	b := newBreaker(t, seed)
	edited := 0
	for range 400 {
		b.broken()
		_, err := config.AddEntry("keyhint.yaml", freshOptions())
		if err != nil {
			checkShowsNoSecret(t, err.Error(), b.secrets)
		} else {
			edited++
		}
		change, err := config.SetStatus("keyhint.yaml", config.EntryName{Version: 1}, derive.Destroyed, config.StatusOptions{Now: noon, Force: true})
		if err != nil {
			checkShowsNoSecret(t, err.Error(), b.secrets)
		} else {
			edited++
		}
		for _, r := range change.Remains {
			checkShowsNoSecret(t, r.Todo+r.Name, b.secrets)
		}
		if findings, err := config.Compare("keyhint.yaml", "keyhint.yaml", b.IntN(2) == 0); err != nil {
			checkShowsNoSecret(t, err.Error(), b.secrets)
		} else {
			checkShowsNoSecret(t, findings.String(), b.secrets)
		}
	}
	if edited == 0 || edited > 700 {
		t.Errorf("%d of 800 edits were made", edited)
	}
}
