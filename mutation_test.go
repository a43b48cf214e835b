package main

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"

	"go.yaml.in/yaml/v3"

	"keyhint/config"
	"keyhint/derive"
	"keyhint/httpapi/service"
)

// TestMutatedFilesAreRefusedOrLoseNothing takes 500 random mutations of a valid
// file through what a running server does with them, and some through a real
// one. Each is refused with a message, or every earlier session resolves to the
// same key; where the mutation lowers a status or the maximum age, to the
// refusal that is documented for that, and never to another key.
func TestMutatedFilesAreRefusedOrLoseNothing(t *testing.T) {
	const mutations, onServers = 500, 20
	t.Parallel()
	m := newMutator(t)
	outcomes := make(map[string]map[string]int) // by class
	total := make(map[string]int)
	var candidates []verdict
	for n := range mutations {
		class, text := m.mutation(n)
		v := m.judge(class, text)
		for _, fault := range v.faults {
			t.Errorf("mutation %d (%s, %s): %s", n+1, class, v.outcome, fault)
		}
		if len(v.faults) > 0 {
			t.Logf("its file:\n%s", text)
			continue
		}
		if outcomes[class] == nil {
			outcomes[class] = make(map[string]int)
		}
		outcomes[class][v.outcome]++
		total[v.outcome]++
		if v.repeatable {
			candidates = append(candidates, v)
		}
	}
	for _, class := range slices.Sorted(maps.Keys(outcomes)) {
		t.Logf("%-32s %v", class, outcomes[class])
	}
	t.Logf("%d mutations: %v", mutations, total)
	for _, outcome := range []string{refusedAtLoad, refusedAsSuccessor, losesNothing, operatorsIntent} {
		if total[outcome] == 0 {
			t.Errorf("no mutation is %s, so this shows too little", outcome)
		}
	}

	// Refusals take a second each, so the outcomes take turns.
	var sample []verdict
	for n := range onServers {
		outcome := []string{refusedAtLoad, refusedAsSuccessor, losesNothing, operatorsIntent}[n%4]
		m.Shuffle(len(candidates), func(i, j int) { candidates[i], candidates[j] = candidates[j], candidates[i] })
		i := max(0, slices.IndexFunc(candidates, func(v verdict) bool { return v.outcome == outcome }))
		sample = append(sample, candidates[i])
		candidates = slices.Delete(candidates, i, i+1)
	}
	const servers = 5
	var done sync.WaitGroup
	for i := range servers {
		p, file := m.serve(t)
		done.Go(func() {
			for j := i; j < len(sample); j += servers {
				if err := m.replay(p, file, ways[j%3], sample[j]); err != nil {
					t.Errorf("a server given a file with %s (%s): %v\n%s", sample[j].class, sample[j].outcome, err, sample[j].text)
					return
				}
			}
		})
	}
	done.Wait()
	t.Logf("%d of them on %d real servers, with the same outcomes", len(sample), servers)
}

// The outcomes of a mutation.
const (
	refusedAtLoad      = "refused at load"
	refusedAsSuccessor = "refused as a successor"
	losesNothing       = "accepted, same keys"
	operatorsIntent    = "accepted, status or max_age lowered"
)

// mutator makes mutations of one file.
type mutator struct {
	*rand.Rand
	t        *testing.T
	path     string
	text     string   // the valid file
	secrets  []string // of the file, in base64
	forms    []string // the same in all the forms that mutations give them
	running  *config.Config
	sessions []session
	client   *http.Client
	source   io.Reader // of secrets
	turn     int       // of what comes in turns
}

// verdict is what becomes of a mutated file.
type verdict struct {
	class, text string
	outcome     string
	answers     []string // of the earlier sessions, as a server gives them
	faults      []string // in what became of it
	repeatable  bool     // the valid file can follow it, and the log tells of it
}

func newMutator(t *testing.T) *mutator {
	random, source := newRandom(t)
	dir := t.TempDir()
	m := &mutator{Rand: random, t: t, path: filepath.Join(dir, "keyhint.yaml"), client: newClient(), source: source}
	entries := newEntries(t, 3, source)
	texts := make([]any, 0, 12)
	for i, e := range entries {
		master, salt := e.MasterKey.Reveal(), e.SaltKey.Reveal()
		m.secrets = append(m.secrets, master, salt)
		if i == 1 { // the second has its secrets in files
			for name, secret := range map[string]string{"master": master, "salt": salt} {
				if err := writeInPlace(filepath.Join(dir, name), secret+"\n"); err != nil {
					t.Fatal(err)
				}
			}
			master, salt = "file://"+dir+"/master", "file://"+dir+"/salt"
		}
		texts = append(texts, master, salt, e.Check)
		// Sessions of several ages, for a maximum age that changes.
		for _, age := range []time.Duration{time.Minute, 50 * time.Hour, 9 * 24 * time.Hour, 29 * 24 * time.Hour} {
			m.sessions = append(m.sessions, sealed(t, e, now().Add(-age), source))
		}
	}
	m.text = fmt.Sprintf(`# Schlüssel von Mandant é
server:
  address: 127.0.0.1:0
admin:
  address: ""
auth:
  mode: none
log:
  level: info
  format: json
keyring:
  namespace: "tenant-é"
  max_age: 720h
  reload_interval: 3600s
  keys:
    # made 2025-12-24 by é
    - version: 1
      master_key: %s
      salt_key: %s
      check: %s
      status: resolve_only
    # in files
    - version: 2
      master_key: %s
      salt_key: %s
      check: %s
      activate_at: "2026-01-31T12:00:00Z"
      issue_until: "2086-01-31T12:00:00Z"
      status: enabled
    - version: 3
      master_key: %s
      salt_key: %s
      check: %s
      activate_at: "2026-03-31T12:00:00+02:00"
`, texts...)
	for _, secret := range m.secrets {
		m.forms = append(m.forms, secret, urlForm(secret), hexForm(secret), strings.ToUpper(hexForm(secret)),
			strings.ToLower(secret), strings.ToUpper(secret), swapCase(secret), reversed(secret), base64.StdEncoding.EncodeToString([]byte(secret)))
	}
	m.running = m.load(m.text)
	for i, answer := range m.answers(m.running) {
		if answer != "200" {
			t.Fatalf("session %d gets %s before anything is changed", i, answer)
		}
	}
	return m
}

// sealed is a session that an entry issued at some time, without a server.
func sealed(t *testing.T, e derive.Entry, at time.Time, source io.Reader) session {
	t.Helper()
	e.ActivateAt, e.IssueUntil, e.Status = time.Time{}, time.Time{}, derive.Enabled
	before := []derive.Entry{e}
	for v := e.Version - 1; v > 0; v-- { // rings have no gaps
		before = append(before, newEntry(t, v, source))
	}
	ring, err := derive.NewKeyring(before)
	if err != nil {
		t.Fatal(err)
	}
	s := session{document: fmt.Sprintf("document of version %d, %v", e.Version, at.Unix()), version: e.Version}
	key, hint, err := ring.Issue(derive.Document{Namespace: namespace, ID: s.document}, at, source)
	if err != nil {
		t.Fatal(err)
	}
	s.key, s.hint = key.Reveal(), hint.String()
	return s
}

func (m *mutator) load(text string) *config.Config {
	m.t.Helper()
	if err := writeInPlace(m.path, text); err != nil {
		m.t.Fatal(err)
	}
	c, err := config.Load(m.path, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	return c
}

// mutation makes another file. The classes take turns, and then there are two at once.
func (m *mutator) mutation(n int) (class, text string) {
	all := slices.Concat(validText, anyText)
	for text = m.text; text == m.text; {
		if n %= len(all) + 1; n < len(all) {
			class, text = all[n].name, all[n].mutate(m, m.text)
			continue
		}
		class = "two at once"
		if text = all[m.IntN(len(all))].mutate(m, m.text); text != "" {
			text = anyText[m.IntN(len(anyText))].mutate(m, text)
		}
	}
	return class, text
}

// judge does what a running server would do with a file, and checks it.
func (m *mutator) judge(class, text string) verdict {
	v := verdict{class: class, text: text, repeatable: true}
	if err := writeInPlace(m.path, text); err != nil {
		m.t.Fatal(err)
	}
	c, err := config.Load(m.path, nil)
	if err != nil {
		v.outcome = refusedAtLoad
	} else if err = errors.Join(c.Replaces(m.running), service.Check(c)); err != nil {
		v.outcome = refusedAsSuccessor
	}
	if err != nil {
		if strings.TrimSpace(err.Error()) == "" {
			v.faults = append(v.faults, "it is refused without a message")
		}
		if part := shown(err.Error(), m.forms); part != "" {
			v.faults = append(v.faults, fmt.Sprintf("the message shows %q of a secret: %v", part, err))
		}
		c = m.running // it stays in force
	}
	v.answers = m.answers(c)
	want := m.intended(c, text)
	if !slices.Equal(v.answers, want) {
		v.faults = append(v.faults, fmt.Sprintf("the earlier sessions get %v and should get %v", v.answers, want))
	}
	switch {
	case err != nil:
	case slices.ContainsFunc(v.answers, func(answer string) bool { return answer != "200" }):
		v.outcome = operatorsIntent
	default:
		v.outcome = losesNothing
	}
	if err == nil {
		v.repeatable = m.running.Replaces(c) == nil && c.Log.Level == m.running.Log.Level
	}
	return v
}

// answers resolves the earlier sessions with a configuration.
func (m *mutator) answers(c *config.Config) []string {
	answers := make([]string, len(m.sessions))
	for i, s := range m.sessions {
		hint, err := derive.ParseHint(s.hint)
		if err != nil {
			m.t.Fatal(err)
		}
		key, err := c.Keyring.Ring.Resolve(hint, derive.Document{Namespace: c.Keyring.Namespace, ID: s.document}, now(), c.Keyring.MaxAge)
		switch {
		case err == nil && key.Reveal() == s.key:
			answers[i] = "200"
		case err == nil:
			answers[i] = "another key"
		case errors.Is(err, derive.ErrDisabled), errors.Is(err, derive.ErrDestroyed):
			answers[i] = keyUnavailable
		case errors.Is(err, derive.ErrExpired):
			answers[i] = hintExpired
		default:
			answers[i] = err.Error()
		}
	}
	return answers
}

// intended is what the earlier sessions should get, as far as an operator can
// have meant it: a refusal only where the file's own words, read without
// keyhint's reader, say disabled, destroyed or a shorter maximum age.
func (m *mutator) intended(c *config.Config, text string) []string {
	var words struct {
		Keyring struct {
			MaxAge string `yaml:"max_age"`
			Keys   []struct{ Check, Status string }
		}
	}
	if c != m.running {
		// Its complaints are not of interest: what it can read it reads.
		yaml.Unmarshal([]byte(strings.TrimPrefix(text, "\ufeff")), &words)
	}
	want := make([]string, len(m.sessions))
	for i, s := range m.sessions {
		want[i] = "200"
		hint, err := derive.ParseHint(s.hint)
		if err != nil {
			m.t.Fatal(err)
		}
		if age, err := time.ParseDuration(words.Keyring.MaxAge); err == nil && age > 0 && now().Sub(hint.Reference().Time()) > age {
			want[i] = hintExpired
		}
		for _, e := range words.Keyring.Keys {
			mine := strings.HasPrefix(e.Check, fmt.Sprintf("%d-%s", hint.Version(), hint.Fingerprint()))
			if mine && (e.Status == "disabled" || e.Status == "destroyed") {
				want[i] = keyUnavailable
			}
		}
	}
	return want
}

// serve starts a server with the valid file.
func (m *mutator) serve(t *testing.T) (*served, string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keyhint.yaml")
	if err := writeInPlace(file, m.text); err != nil {
		t.Fatal(err)
	}
	p, err := launch(t, file, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.listens(); err != nil {
		t.Fatal(err)
	}
	return p, file
}

// replay gives a running server the mutated file, and then the valid one again.
func (m *mutator) replay(p *served, file string, w way, v verdict) error {
	refused := v.outcome == refusedAtLoad || v.outcome == refusedAsSuccessor
	from := len(p.lines())
	if err := w.write(file, v.text); err != nil {
		return err
	}
	line, err := p.await(from, func(line logLine) bool { return line.Msg == loggedInForce || line.Msg == loggedRefused })
	switch {
	case err != nil:
		return err
	case refused != (line.Msg == loggedRefused) || refused && line.Cause == "":
		return fmt.Errorf("the log says %s", line.text)
	}
	if err := m.compare(p, v.answers); err != nil {
		return err
	}
	after := map[bool]string{true: loggedGood, false: loggedInForce}[refused]
	again := len(p.lines())
	if err := w.write(file, m.text); err != nil {
		return err
	}
	if _, err := p.await(again, func(line logLine) bool { return line.Msg == after }); err != nil {
		return err
	}
	for _, line := range p.lines()[from:] {
		if part := shown(line.text, m.forms); part != "" {
			return fmt.Errorf("the log shows %q of a secret: %s", part, line.text)
		}
	}
	return m.compare(p, m.answers(m.running))
}

// compare asks a server for the earlier sessions.
func (m *mutator) compare(p *served, want []string) error {
	for i, s := range m.sessions {
		outcome, key, hint, err := exchange(m.client, p.url, s.document, s.hint)
		if err != nil {
			return err
		}
		if outcome != want[i] || outcome == "200" && (key != s.key || hint != s.hint) {
			return fmt.Errorf("the session %s gets %s instead of %s, or another key", s.hint, outcome, want[i])
		}
	}
	return nil
}

// shown returns 8 characters of a secret that stand in a message, if any do.
func shown(message string, secrets []string) string {
	const part = 8
	for _, secret := range secrets {
		for i := range len(secret) - part + 1 {
			if strings.Contains(message, secret[i:i+part]) {
				return secret[i : i+part]
			}
		}
	}
	return ""
}

// mutation is a class of them. It returns a file that may be the same by chance.
type mutation struct {
	name   string
	mutate func(m *mutator, text string) string
}

// anyText are the mutations of whatever is not empty.
var anyText = []mutation{
	{"lines deleted", func(m *mutator, text string) string {
		lines := linesOf(text)
		i := m.IntN(len(lines))
		return strings.Join(slices.Delete(lines, i, min(len(lines), i+1+m.IntN(3))), "")
	}},
	{"truncated", func(m *mutator, text string) string { return text[:m.IntN(len(text))] }},
	{"a character changed", func(m *mutator, text string) string {
		at := m.IntN(len(text))
		marks := []string{"", " ", "\t", "\n", ":", ": ", "-", "'", `"`, "#", " #", "{", "[", "]", "*", "&", "!", "|", ">", "%", "@", "\x00", "\xff", "\u2028", "\u00a0", "---\n", "x"}
		return text[:at] + marks[m.IntN(len(marks))] + text[at+m.IntN(2):]
	}},
	{"line ends and marks changed", func(m *mutator, text string) string {
		switch m.IntN(7) {
		case 0:
			return strings.ReplaceAll(text, "\n", "\r\n")
		case 1:
			return strings.ReplaceAll(text, "\n", "\r")
		case 2:
			return "\ufeff" + text
		case 3:
			return text + "\x00"
		case 4:
			return strings.ReplaceAll(text, "  ", "\t")
		case 5:
			return strings.TrimRight(text, "\n")
		}
		return "---\n" + text + "...\n"
	}},
}

// validText are the mutations of the valid file, whose form they know.
var validText = []mutation{
	{"an entry deleted", func(m *mutator, text string) string {
		entries := entryText.FindAllStringIndex(text, -1)
		e := entries[m.IntN(len(entries))]
		return text[:e[0]] + text[e[1]:]
	}},
	{"values swapped", func(m *mutator, text string) string {
		v := valueText.FindAllStringSubmatchIndex(text, -1)
		return swapped(text, v[m.IntN(len(v))], v[m.IntN(len(v))])
	}},
	{"values of one field swapped", func(m *mutator, text string) string {
		name := []string{"version", "check", "status", "activate_at"}[m.IntN(4)]
		v := regexp.MustCompile(`(?m)\b`+name+`: ()(.*)$`).FindAllStringSubmatchIndex(text, -1)
		return swapped(text, v[m.IntN(len(v))], v[m.IntN(len(v))])
	}},
	{"a value put in another place", func(m *mutator, text string) string {
		v := valueText.FindAllStringSubmatchIndex(text, -1)
		from, to := v[m.IntN(len(v))], v[m.IntN(len(v))]
		return text[:to[4]] + text[from[4]:from[5]] + text[to[5]:]
	}},
	{"blocks duplicated", func(m *mutator, text string) string {
		if m.IntN(2) == 0 {
			entries := entryText.FindAllString(text, -1)
			e := entries[m.IntN(len(entries))]
			if m.IntN(2) == 0 {
				e = regexp.MustCompile(`version: \d+`).ReplaceAllString(e, fmt.Sprintf("version: %d", 1+m.IntN(5)))
			}
			return text + e
		}
		lines := linesOf(text)
		i := m.IntN(len(lines))
		block := slices.Clone(lines[i:min(len(lines), i+1+m.IntN(6))])
		return strings.Join(slices.Insert(lines, m.IntN(len(lines)+1), block...), "")
	}},
	{"entries in another order", func(m *mutator, text string) string {
		entries := entryText.FindAllString(text, -1)
		at := entryText.FindStringIndex(text)[0]
		m.Shuffle(len(entries), func(i, j int) { entries[i], entries[j] = entries[j], entries[i] })
		return text[:at] + strings.Join(entries, "")
	}},
	{"digits changed", func(m *mutator, text string) string {
		b := []byte(text)
		digits := regexp.MustCompile(`\d`).FindAllStringIndex(text, -1)
		for range 1 + m.IntN(2) {
			b[digits[m.IntN(len(digits))][0]] = byte('0' + m.IntN(10))
		}
		return string(b)
	}},
	{"a check value changed", func(m *mutator, text string) string {
		sums := regexp.MustCompile(`check: \d-([0-9a-f]{16})`).FindAllStringSubmatchIndex(text, -1)
		b := []byte(text)
		b[sums[m.IntN(3)][2]+m.IntN(16)] = "0123456789abcdef"[m.IntN(16)]
		return string(b)
	}},
	{"encoded as UTF-16", func(m *mutator, text string) string {
		var b []byte
		order := []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian}[m.IntN(2)]
		if m.IntN(2) == 0 {
			text = "\ufeff" + text
		}
		for _, unit := range utf16.Encode([]rune(text)) {
			b = order.AppendUint16(b, unit)
		}
		return string(b)
	}},
	{"encoded otherwise", func(m *mutator, text string) string {
		switch m.IntN(4) {
		case 0: // latin-1
			var b []byte
			for _, r := range text {
				b = append(b, byte(r))
			}
			return string(b)
		case 1: // latin-1 taken for UTF-8 and encoded again
			var b strings.Builder
			for _, c := range []byte(text) {
				b.WriteRune(rune(c))
			}
			return b.String()
		case 2: // another normal form
			return strings.ReplaceAll(text, "é", "e\u0301")
		}
		return strings.ReplaceAll(text, "é", `\u00e9`) // escaped, which is the same only in quotes
	}},
	{"written anew by a tool", func(m *mutator, text string) string {
		var tree any
		if err := yaml.Unmarshal([]byte(text), &tree); err != nil {
			m.t.Fatal(err)
		}
		data, err := yaml.Marshal(tree)
		if m.IntN(2) == 0 {
			data, err = json.Marshal(tree)
		}
		if err != nil {
			m.t.Fatal(err)
		}
		return string(data)
	}},
	{"case changed", func(m *mutator, text string) string {
		change := []func(string) string{strings.ToUpper, strings.ToLower, swapCase}[m.IntN(3)]
		switch m.IntN(4) {
		case 0:
			return change(text)
		case 1:
			lines := linesOf(text)
			i := m.IntN(len(lines))
			lines[i] = change(lines[i])
			return strings.Join(lines, "")
		case 2:
			secret := m.inline()
			return strings.ReplaceAll(text, secret, change(secret))
		}
		letters := regexp.MustCompile(`[A-Za-z]`).FindAllStringIndex(text, -1)
		at := letters[m.IntN(len(letters))][0]
		return text[:at] + swapCase(text[at:at+1]) + text[at+1:]
	}},
	{"a secret put in another place", func(m *mutator, text string) string {
		v := regexp.MustCompile(`(?m)^[ -]*(\w+[^y]): (.+)$`).FindAllStringSubmatchIndex(text, -1) // of all but the keys
		m.turn++
		to := v[m.turn%len(v)]
		before := []string{"", "", "", "/", "file:///", "env://", "https://", "127.0.0.1:", "1-", "#"}
		return text[:to[4]] + before[m.IntN(len(before))] + m.inline() + text[to[5]:]
	}},
	{"secrets moved", func(m *mutator, text string) string {
		secrets := regexp.MustCompile(`(?m)(master|salt)_key: (.*)$`).FindAllStringSubmatchIndex(text, -1)
		a, b := secrets[m.IntN(6)], secrets[m.IntN(6)]
		if m.IntN(3) == 0 { // copied
			return text[:a[4]] + text[b[4]:b[5]] + text[a[5]:]
		}
		return swapped(text, a, b)
	}},
	{"entries exchange their secrets", func(m *mutator, text string) string {
		pairs := regexp.MustCompile(`(?m)^()( +master_key: .*\n +salt_key: .*)$`).FindAllStringSubmatchIndex(text, -1)
		return swapped(text, pairs[m.IntN(3)], pairs[m.IntN(3)])
	}},
	{"an entry made anew", func(m *mutator, text string) string {
		number, old := m.IntN(4), ""
		if number < 3 {
			old = entryText.FindAllString(text, -1)[number]
		}
		e := newEntry(m.t, uint32(number+1), m.source)
		fresh := fmt.Sprintf("    - version: %d\n      master_key: %s\n      salt_key: %s\n      check: %s\n      status: %s\n",
			e.Version, e.MasterKey.Reveal(), e.SaltKey.Reveal(), e.Check, []string{"enabled", "resolve_only"}[m.IntN(2)])
		if old == "" || m.IntN(3) == 0 {
			return text + fresh // a further entry, or a second one under the number
		}
		return strings.Replace(text, old, fresh, 1)
	}},
	{"a status changed", func(m *mutator, text string) string {
		entries := entryText.FindAllStringIndex(text, -1)
		at := entries[m.IntN(len(entries))]
		e := regexp.MustCompile(`(?m)^ +status: .*\n`).ReplaceAllString(text[at[0]:at[1]], "")
		status := []string{"enabled", "resolve_only", "disabled", "disabled", "disabled", "destroyed", "destroyed", "retired"}[m.IntN(8)]
		if status == "destroyed" && m.IntN(3) > 0 {
			e = regexp.MustCompile(`(?m)^ +(master|salt)_key: .*\n`).ReplaceAllString(e, "")
		}
		return text[:at[0]] + e + "      status: " + status + "\n" + text[at[1]:]
	}},
	{"max_age changed", func(m *mutator, text string) string {
		ages := []string{"0s", "1h", "60s", "72h", "240h", "1000m", "5000h", "30d", "-1h", `""`, "720"}
		return strings.Replace(text, "max_age: 720h", "max_age: "+ages[m.IntN(len(ages))], 1)
	}},
	{"another form of base64", func(m *mutator, text string) string {
		secret := m.inline()
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
		last := strings.IndexByte(alphabet, secret[42])
		forms := []string{
			urlForm(secret), strings.TrimRight(secret, "="), strings.TrimRight(urlForm(secret), "="), hexForm(secret), strings.ToUpper(hexForm(secret)),
			secret[:42] + alphabet[last^1:last^1+1] + "=", // bits after the last byte
			base64.StdEncoding.EncodeToString([]byte(secret)), reversed(secret),
			secret + "=", secret[:20] + " " + secret[20:], `"` + secret + `"`, "'" + secret + "'", `"` + secret + `\n"`,
			"|-\n        " + secret, ">-\n        " + secret, "|\n        " + secret, "!!binary " + secret, secret + " # old", "base64:" + secret, "env://" + secret, "file:///" + secret,
			secret[:22] + "\n        " + secret[22:],
		}
		return strings.Replace(text, secret, forms[m.IntN(len(forms))], 1)
	}},
	{"YAML beyond lines", func(m *mutator, text string) string {
		secret := m.inline()
		switch m.IntN(5) {
		case 0: // the same secret by reference
			return strings.Replace(strings.Replace(text, secret, "&s "+secret, 1), "status: enabled", "status: enabled\n      note: *s", 1)
		case 1:
			return strings.Replace(text, "master_key: "+secret, "master_key: {value: "+secret+"}", 1)
		case 2:
			return strings.Replace(text, "keyring:\n", "keyring: &k\n", 1) + "copy: *k\n"
		case 3:
			return text + "---\n" + text
		}
		return strings.Replace(text, "  keys:\n", "  keys:\n    - <<: {status: disabled}\n", 1)
	}},
}

var (
	entryText = regexp.MustCompile(`(?m)^    - (.*\n)(      .*\n)*`)
	valueText = regexp.MustCompile(`(?m)^[ -]*(\w+): (.+)$`) // its second group is the value
)

func linesOf(text string) []string { return strings.SplitAfter(text, "\n") }

// swapped exchanges the second groups of two matches.
func swapped(text string, a, b []int) string {
	if a[4] > b[4] {
		a, b = b, a
	}
	if a[4] == b[4] {
		return text
	}
	return text[:a[4]] + text[b[4]:b[5]] + text[a[5]:b[4]] + text[a[4]:a[5]] + text[b[5]:]
}

// inline is a secret that stands in the file itself.
func (m *mutator) inline() string { return m.secrets[[]int{0, 1, 4, 5}[m.IntN(4)]] }

func secretBytes(secret string) []byte {
	b, err := base64.StdEncoding.DecodeString(secret)
	if err != nil {
		panic(err)
	}
	return b
}

func urlForm(secret string) string { return base64.URLEncoding.EncodeToString(secretBytes(secret)) }
func hexForm(secret string) string { return hex.EncodeToString(secretBytes(secret)) }

func reversed(secret string) string {
	b := secretBytes(secret)
	slices.Reverse(b)
	return base64.StdEncoding.EncodeToString(b)
}

func swapCase(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return r
	}, text)
}
