package config_test

import (
	mathrand "math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"keyhint/config"
	"keyhint/derive"
)

// writtenRing is a file in pieces: what each entry is written in, and what
// stands before, between and after the entries.
type writtenRing struct {
	between []string // one more than there are entries
	entries []string
	bracket bool // a list in brackets
}

func (w writtenRing) String() string {
	text := w.between[0]
	for i, e := range w.entries {
		text += e + w.between[i+1]
	}
	return text
}

// randomRing writes a ring of some entries in one of the ways that people,
// formatters and templates do.
func randomRing(t *testing.T, r *mathrand.Rand) writtenRing {
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	comment := func(indent int) string {
		return pick("", "", "", "\n", strings.Repeat(" ", indent)+"# a comment: with {braces}, - dashes\n", "\n"+strings.Repeat(" ", indent)+"# ä \U0001f511 status: enabled\n\n")
	}
	quote := func(s string) string {
		q := pick("", "", `"`, "'")
		return q + s + q
	}
	w := writtenRing{bracket: r.IntN(4) == 0}
	outer := pick("  ", "    ", " ")
	dashIndent := len(outer) + []int{0, 1, 2, 4}[r.IntN(4)]
	room := 1 + r.IntN(4)
	dashAlone := r.IntN(4) == 0
	w.between = []string{pick("", "# head\n", "log: {level: info}\n") + "auth: {mode: none}\nkeyring: # ring\n" + comment(len(outer)) + outer + "max_age: 1h\n" + outer + "keys:"}
	if w.bracket {
		w.between[0] += " ["
	} else {
		w.between[0] += "\n" + comment(dashIndent)
	}
	n := 1 + r.IntN(4)
	for i := range n {
		e := newEntry(t, uint32(i+1))
		e[1].value, e[2].value, e[3].value = quote(e[1].value), quote(e[2].value), quote(e[3].value)
		if r.IntN(2) == 0 {
			e = e.with("activate_at", pick(`"2026-01-31T12:00:00Z"`, `'2026-11-23T13:00:00.5+01:00'`))
		}
		if r.IntN(2) == 0 {
			e = e.with("status", quote(pick("enabled", "resolve_only", "disabled")))
		}
		r.Shuffle(len(e), func(i, j int) { e[i], e[j] = e[j], e[i] })
		switch {
		case w.bracket || r.IntN(5) == 0:
			var parts []string
			for _, f := range e {
				parts = append(parts, quote(f.name)+pick(": ", ":  ")+f.value)
			}
			text := "{" + pick("", " ") + strings.Join(parts, pick(", ", ",\n"+strings.Repeat(" ", dashIndent+9))) + pick("", " ", ", ") + "}"
			if !w.bracket {
				text = strings.Repeat(" ", dashIndent) + "-" + strings.Repeat(" ", room) + text + pick("", " # end") + "\n"
			}
			w.entries = append(w.entries, text)
		default:
			var b strings.Builder
			b.WriteString(strings.Repeat(" ", dashIndent) + "-")
			indent := strings.Repeat(" ", dashIndent+1+room)
			before := strings.Repeat(" ", room)
			if dashAlone {
				b.WriteString(pick("", " # here", "  ") + "\n" + comment(len(indent)))
				before = indent
			}
			for _, f := range e {
				b.WriteString(before + quote(f.name) + pick("", " ") + ": " + f.value + pick("", " ", " # a comment") + "\n" + comment(len(indent)))
				before = indent
			}
			w.entries = append(w.entries, b.String())
		}
		switch {
		case w.bracket && i < n-1:
			w.between = append(w.between, pick(", ", ",", ",\n"+strings.Repeat(" ", dashIndent+5), ", # a comment\n    # another\n"+strings.Repeat(" ", dashIndent+5)))
		case w.bracket:
			w.between = append(w.between, pick("]", ", ]", "\n"+strings.Repeat(" ", dashIndent+2)+"]", " # a comment\n"+strings.Repeat(" ", dashIndent+2)+"]")+"\n")
		default:
			w.between = append(w.between, comment(dashIndent))
		}
	}
	if end := len(w.between) - 1; r.IntN(2) == 0 {
		w.between[end] += outer + "namespace: tenant # x\n" + comment(0)
	}
	if end := len(w.between) - 1; r.IntN(2) == 0 {
		w.between[end] += "server:\n    path: /v1/keys\n"
	}
	if r.IntN(3) == 0 { // no line break at the end
		last := &w.between[len(w.between)-1]
		if *last == "" {
			last = &w.entries[n-1]
		}
		*last = strings.TrimSuffix(*last, "\n")
	}
	if r.IntN(3) == 0 {
		for _, parts := range [][]string{w.between, w.entries} {
			for i := range parts {
				parts[i] = strings.ReplaceAll(parts[i], "\n", "\r\n")
			}
		}
	}
	return w
}

// settingsOf decodes a file without package config.
func settingsOf(t *testing.T, text string) (all map[string]any, keys []any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), &all); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	section := all["keyring"].(map[string]any)
	keys = section["keys"].([]any)
	delete(section, "keys")
	return all, keys
}

func TestRandomEditsChangeNothingElse(t *testing.T) {
	seed := mathrand.Uint64()
	t.Logf("seed %d", seed)
	r := mathrand.New(mathrand.NewPCG(seed, 0))
	statuses := []derive.Status{derive.Enabled, derive.ResolveOnly, derive.Disabled, derive.Destroyed}
	tally := make(map[string]int)
	t.Chdir(t.TempDir())
	for range 500 {
		w := randomRing(t, r)
		before := w.String()
		writeFile(t, "keyhint.yaml", before, 0o640)
		restBefore, keysBefore := settingsOf(t, before)
		n := len(w.entries)

		if r.IntN(3) == 0 {
			options := freshOptions()
			if r.IntN(2) == 0 {
				options.ActivateAt = noon.Add(time.Duration(1 + r.Int64N(1e18)))
			}
			added, err := config.AddEntry("keyhint.yaml", options)
			if err != nil {
				t.Fatalf("%v:\n%s", err, before)
			}
			after := read(t, "keyhint.yaml")
			checkAddedOnly(t, w, after)
			restAfter, keysAfter := settingsOf(t, after)
			entry := keysAfter[n].(map[string]any)
			at, dated := entry["activate_at"]
			if len(keysAfter) != n+1 || !reflect.DeepEqual(restBefore, restAfter) || !reflect.DeepEqual(keysBefore, keysAfter[:n]) ||
				entry["version"] != n+1 || entry["check"] != added.Check.String() ||
				dated == options.ActivateAt.IsZero() || dated && at != added.ActivateAt.Format(time.RFC3339) || added.ActivateAt.Before(options.ActivateAt) {
				t.Fatalf("not what was to be added: %v\n%s", entry, after)
			}
			tally["added"]++
		} else {
			i, to := r.IntN(n), statuses[r.IntN(4)]
			change, err := config.SetStatus("keyhint.yaml", config.EntryName{Version: uint32(i + 1)}, to, config.StatusOptions{Now: noon, Force: true})
			if err != nil {
				t.Fatalf("%v:\n%s", err, before)
			}
			after := read(t, "keyhint.yaml")
			checkEntryOnly(t, w, i, after)
			restAfter, keysAfter := settingsOf(t, after)
			was, is := keysBefore[i].(map[string]any), keysAfter[i].(map[string]any)
			switch {
			case change.From == to && before != after:
				t.Fatalf("nothing to do, and something done:\n%s\n%s", before, after)
			case change.From != to:
				was["status"] = to.String()
				if to == derive.Destroyed {
					delete(was, "master_key")
					delete(was, "salt_key")
				}
			}
			if !reflect.DeepEqual(restBefore, restAfter) || !reflect.DeepEqual(keysBefore, keysAfter) {
				t.Fatalf("not what was to be set in %d to %v: %v\n%s\n%s", i, to, is, before, after)
			}
			tally[to.String()]++
		}
		if _, err := config.Load("keyhint.yaml", nil); err != nil {
			t.Fatal(err)
		}
	}
	t.Log(tally)
	if len(tally) != 5 {
		t.Errorf("not every edit was tried: %v", tally)
	}
}

// checkEntryOnly expects all bytes outside the entry to be as before. A last
// entry that is shortened may take the line break before it along.
func checkEntryOnly(t *testing.T, w writtenRing, i int, after string) {
	t.Helper()
	head, tail := w.between[0], ""
	for j := range i {
		head += w.entries[j] + w.between[j+1]
	}
	for j := i; j < len(w.entries); j++ {
		tail += w.between[j+1]
		if j+1 < len(w.entries) {
			tail += w.entries[j+1]
		}
	}
	if !strings.HasPrefix(after, head) || !strings.HasSuffix(after, tail) || len(after) < len(head)+len(tail) {
		t.Fatalf("more than entry %d has changed:\n%s\n%s", i, w, after)
	}
	checkEnding(t, w, after)
}

// checkAddedOnly expects that the text before comes back by taking out one piece
// below the last entry and, between brackets, a comma.
func checkAddedOnly(t *testing.T, w writtenRing, after string) {
	t.Helper()
	before := w.String()
	head := strings.TrimRight(strings.TrimSuffix(before, w.between[len(w.entries)]), "\r\n")
	if !strings.HasPrefix(after, head) {
		t.Fatalf("what was there has changed:\n%s\n%s", before, after)
	}
	rest, added := before[len(head):], after[len(head):]
	if w.bracket && !onePieceMore(rest, added) {
		added = strings.TrimPrefix(added, ",")
	}
	if !onePieceMore(rest, added) {
		t.Fatalf("what was there has changed:\n%s\n%s", before, after)
	}
	checkEnding(t, w, after)
}

// onePieceMore tells whether after is before with something put in at one place.
func onePieceMore(before, after string) bool {
	same := 0
	for same < min(len(before), len(after)) && before[same] == after[same] {
		same++
	}
	for ; same >= 0; same-- {
		if strings.HasSuffix(after, before[same:]) && len(after) >= len(before) {
			return true
		}
	}
	return false
}

func checkEnding(t *testing.T, w writtenRing, after string) {
	t.Helper()
	if before := w.String(); strings.HasSuffix(before, "\n") != strings.HasSuffix(after, "\n") {
		t.Fatalf("the last line break came or went:\n%q\n%q", before, after)
	}
	if crlf := strings.Count(after, "\r\n"); crlf != 0 && crlf != strings.Count(after, "\n") {
		t.Fatalf("line breaks are mixed:\n%q", after)
	}
}
