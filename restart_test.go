package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// TestKeysSurviveSIGKILL issues keys with the real program, kills it, starts it
// again and asks for all of them; then for all of them with a hint that has one
// character changed.
func TestKeysSurviveSIGKILL(t *testing.T) {
	const sessions = 10_000
	binary, dir, client := buildForTest(t), t.TempDir(), newClient()
	documents, keys, hints := make([]string, sessions), make([]string, sessions), make([]string, sessions)

	p := startDev(t, binary, dir)
	each(sessions, func(i int) {
		documents[i] = fmt.Sprintf("document %d of %d", i/3, sessions)
		outcome, key, hint := ask(t, client, p.url, documents[i], nil)
		if outcome != "200" {
			t.Errorf("%s: %s", documents[i], outcome)
		}
		keys[i], hints[i] = key, hint
	})
	if distinct := len(set(keys)); distinct != sessions || len(set(hints)) != sessions || keys[0] == "" {
		t.Fatalf("%d distinct keys and %d distinct hints for %d sessions", distinct, len(set(hints)), sessions)
	}
	p.kill()
	if _, _, err := postJSON(client, p.url, "{}"); err == nil {
		t.Fatal("the program still answers after SIGKILL")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "keyhint.dev.yaml" {
		t.Errorf("the program left more than its configuration: %v, %v", entries, err)
	}

	p = startDev(t, binary, dir)
	resolved := newTally()
	each(sessions, func(i int) {
		outcome, key, hint := ask(t, client, p.url, documents[i], hints[i])
		if outcome == "200" && (key != keys[i] || hint != hints[i]) {
			outcome = "another session"
		}
		resolved.count(outcome)
	})
	t.Logf("the same hints after SIGKILL: %v", resolved.of)
	if resolved.of["200"] != sessions {
		t.Errorf("%d of %d keys are equal", resolved.of["200"], sessions)
	}

	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, seed))
	changed := make([]string, sessions)
	for i := range changed {
		changed[i] = changeOneCharacter(random, hints[i])
	}
	refused := newTally()
	each(sessions, func(i int) {
		outcome, key, _ := ask(t, client, p.url, documents[i], changed[i])
		if key != "" {
			t.Errorf("%q, changed from %q, gets a key", changed[i], hints[i])
		}
		refused.count(outcome)
	})
	t.Logf("one character changed (seed %d): %v", seed, refused.of)
	kinds := slices.Collect(maps.Keys(refused.of))
	for _, kind := range kinds {
		if !slices.Contains([]string{"403 urn:keyhint:hint-mismatch", "403 urn:keyhint:key-unavailable", "409 urn:keyhint:version-unknown"}, kind) {
			t.Errorf("%d changed hints get %s", refused.of[kind], kind)
		}
	}

	p.kill()
	if err := os.Remove(filepath.Join(dir, "keyhint.dev.yaml")); err != nil {
		t.Fatal(err)
	}
	p = startDev(t, binary, dir)
	if outcome, _, _ := ask(t, client, p.url, documents[0], hints[0]); outcome != "403 urn:keyhint:key-unavailable" {
		t.Errorf("a ring made anew answers %s", outcome)
	}
}

// ask posts a request. The outcome is the status, and the type of a problem.
func ask(t *testing.T, client *http.Client, url, documentID string, keyHint any) (outcome, key, hint string) {
	body, err := json.Marshal(map[string]any{"documentId": documentID, "keyHint": keyHint})
	if err != nil {
		t.Error(err)
	}
	status, answer, err := postJSON(client, url, string(body))
	if err != nil {
		t.Error(err)
		return "no answer", "", ""
	}
	var a struct{ Key, KeyHint, Type string }
	if err := json.Unmarshal(answer, &a); err != nil {
		t.Errorf("%v: %s", err, answer)
	}
	outcome = fmt.Sprint(status)
	if a.Type != "" {
		outcome += " " + a.Type
	}
	return outcome, a.Key, a.KeyHint
}

// changeOneCharacter puts another printable character in a random place.
func changeOneCharacter(random *rand.Rand, hint string) string {
	b := []byte(hint)
	i := random.IntN(len(b))
	for b[i] == hint[i] {
		b[i] = byte(' ' + random.IntN('~'-' '+1))
	}
	return string(b)
}

// each calls do for 0 to n-1 from several goroutines.
func each(n int, do func(i int)) {
	const workers = 8
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for i := w; i < n; i += workers {
				do(i)
			}
		})
	}
	all.Wait()
}

type tally struct {
	mu sync.Mutex
	of map[string]int
}

func newTally() *tally { return &tally{of: make(map[string]int)} }

func (t *tally) count(outcome string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.of[outcome]++
}

func set(list []string) map[string]bool {
	s := make(map[string]bool, len(list))
	for _, item := range list {
		s[item] = true
	}
	return s
}
