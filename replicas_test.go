package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyhint/derive"
)

// TestTwentyRotationsOfThreeReplicasLoseNothing rolls out 20 files to three
// servers whose clocks differ, in random order, while clients issue at any of
// them and resolve at any other. In each rotation one server is killed and
// started again, and one gets a file first that has to be refused.
//
// Every answer is compared with what the server may have in force: no older
// file than the last one that it confirmed before, and no newer one than it was
// given until then.
func TestTwentyRotationsOfThreeReplicasLoseNothing(t *testing.T) {
	const (
		rotations = 20
		workers   = 8
		rate      = 600 // requests a second
	)
	t.Parallel()
	random, source := newRandom(t)
	all := newEntries(t, rotations+1, source)
	l := newLoad(t, all)
	entries := slices.Clone(all[:1])
	var replicas []*replica
	for i, offset := range []time.Duration{-2 * time.Second, 0, 2 * time.Second} {
		dir := t.TempDir()
		r := &replica{name: fmt.Sprintf("replica %d", i), file: filepath.Join(dir, "keyhint.yaml"), offset: offset}
		if i > 0 { // two with a ledger, and one without
			r.ledger = filepath.Join(t.TempDir(), "ledger.json")
		}
		if err := r.begin(t, entries); err != nil {
			t.Fatal(err)
		}
		replicas = append(replicas, r)
	}

	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range workers {
		random := rand.New(rand.NewPCG(random.Uint64(), random.Uint64()))
		clients.Go(func() {
			tick := time.NewTicker(time.Second * workers / rate)
			defer tick.Stop()
			for {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				r := replicas[random.IntN(len(replicas))]
				if earlier, ok := l.pick(random); ok && random.IntN(4) > 0 {
					l.resolve(r, earlier)
				} else {
					l.issue(r, random)
				}
			}
		})
	}

	// Each replica gets each bad file, and a few get one twice. Some are killed
	// then, and must not start again before they get a good one.
	var mistakes []mistake
	for len(mistakes) < rotations {
		for i := range replicas {
			for _, f := range badFiles {
				mistakes = append(mistakes, mistake{f, i, f.startOf == i+1})
			}
		}
	}
	mistakes = mistakes[:rotations]
	random.Shuffle(len(mistakes), func(i, j int) { mistakes[i], mistakes[j] = mistakes[j], mistakes[i] })

	events := newTally()
	started := now()
	for n := range rotations {
		entries = rotate(random, slices.Clone(entries), all[n+1])
		killed, bad := random.IntN(len(replicas)), mistakes[n]
		if bad.atStart {
			killed = bad.replica
		}
		var done sync.WaitGroup
		for i, r := range replicas {
			p := rollout{
				way: ways[random.IntN(len(ways))], entries: entries, secrets: l.secrets,
				delay: time.Duration(random.IntN(250)) * time.Millisecond,
			}
			if i == bad.replica {
				p.refused = bad.badFile
				p.unreported = p.refused.early && random.IntN(3) > 0
				p.badText = bad.text(r, entries[:len(entries)-1], newEntry(t, uint32(len(entries)-1), source))
				p.pause = time.Duration(random.IntN(200)) * time.Millisecond
			}
			if i == killed {
				p.kill = []moment{beforeTheFile, rightAfterTheFile, afterConfirmation}[random.IntN(3)]
				if bad.atStart {
					p.kill = withTheRefusedFile
				}
			}
			done.Go(func() {
				if err := r.rollOut(t, p, events); err != nil {
					t.Errorf("rotation %d, %s: %v", n+1, r.name, err)
				}
			})
		}
		done.Wait()
		if t.Failed() {
			break
		}
	}
	took := now().Sub(started)
	close(stop)
	clients.Wait()

	t.Logf("%d rotations in %.1f s: %v", rotations, took.Seconds(), events.of)
	requests := 0
	for _, n := range l.tally.of {
		requests += n
	}
	t.Logf("%.0f requests a second: %v; %d wrong", float64(requests)/took.Seconds(), l.tally.of, l.faults())
	if events.of["killed and started again"] != rotations || events.of["refused file"] != rotations {
		t.Error("each rotation must have one of each")
	}
	for _, want := range []string{"issue 200", "issue " + unavailable, "resolve 200", "resolve " + versionUnknown, "resolve " + keyUnavailable} {
		if l.tally.of[want] == 0 {
			t.Errorf("no %s, so this shows too little", want)
		}
	}
	for _, r := range replicas {
		l.checkEverySession(r)
	}
}

// rotate adds a version, and may lower the one before or raise earlier ones
// again. The first time it lowers, and leaves a while in which nothing issues.
func rotate(random *rand.Rand, entries []derive.Entry, fresh derive.Entry) []derive.Entry {
	first := len(entries) == 1
	for i := range entries {
		switch e := &entries[i]; {
		case e.Status != derive.Enabled && random.IntN(5) < 2:
			e.Status = derive.Enabled
		case first:
			e.Status = derive.Disabled
		case i == len(entries)-1 && random.IntN(2) == 0:
			e.Status = []derive.Status{derive.Disabled, derive.ResolveOnly}[random.IntN(2)]
		}
	}
	if first || random.IntN(5) < 3 {
		fresh.ActivateAt = now().Add(time.Duration(200+random.IntN(1000)) * time.Millisecond)
	}
	return append(entries, fresh)
}

// mistake is a bad file and the replica that gets it.
type mistake struct {
	badFile
	replica int
	atStart bool // it is killed, and has to start with that file
}

// badFile is a mistake with a file, which has to be refused where the entries
// before it are in force.
type badFile struct {
	name    string
	text    func(r *replica, before []derive.Entry, stranger derive.Entry) string
	startOf int  // the replica, from 1, that must not start with it either; 0 for none
	early   bool // may be replaced before it is reported
}

var badFiles = []badFile{
	{name: "a file cut off", startOf: 3, early: true, text: func(r *replica, before []derive.Entry, _ derive.Entry) string {
		text := r.text("", before)
		return text[:strings.LastIndex(text, "check:")]
	}},
	{name: "a wrong check value", startOf: 1, early: true, text: func(r *replica, before []derive.Entry, _ derive.Entry) string {
		before = slices.Clone(before)
		before[len(before)/2].Check.Sum[7] ^= 1
		return r.text("", before)
	}},
	{name: "the first entry deleted", startOf: 2, early: true, text: func(r *replica, before []derive.Entry, _ derive.Entry) string {
		return r.text("", before[1:])
	}},
	// The next two are known by a ledger at a start, which all but the first replica have.
	{name: "the last entry deleted", startOf: 2, text: func(r *replica, before []derive.Entry, _ derive.Entry) string {
		return r.text("", before[:len(before)-1])
	}},
	{name: "other secrets under a known number", startOf: 3, text: func(r *replica, before []derive.Entry, stranger derive.Entry) string {
		before = slices.Clone(before)
		stranger.Version = before[len(before)-1].Version
		stranger.Check = derive.NewCheckValue(stranger.Version, stranger.MasterKey, stranger.SaltKey)
		before[len(before)-1] = stranger
		return r.text("", before)
	}},
	{name: "another namespace", text: func(r *replica, before []derive.Entry, _ derive.Entry) string {
		return strings.Replace(r.text("", before), namespace, "other", 1)
	}},
}

// moment is when in a rollout a server is killed and started again.
type moment int

const (
	never moment = iota
	beforeTheFile
	withTheRefusedFile
	rightAfterTheFile
	afterConfirmation
)

// rollout is what happens to one replica in one rotation.
type rollout struct {
	delay   time.Duration
	way     way
	entries []derive.Entry
	kill    moment

	refused    badFile // zero for none
	badText    string
	unreported bool // replaced before all attempts are used up
	pause      time.Duration
	secrets    []string // which no refusal may show
}

func (r *replica) rollOut(t *testing.T, p rollout, events *tally) error {
	time.Sleep(p.delay)
	if p.kill == beforeTheFile {
		if err := r.restart(t, events); err != nil {
			return err
		}
	}
	if p.badText != "" {
		if err := r.refuse(t, p, events); err != nil {
			return fmt.Errorf("%s: %w", p.refused.name, err)
		}
	}
	process := r.process.Load()
	from := len(process.lines())
	s := newState(t, p.entries)
	r.give(s)
	if err := p.way.write(r.file, r.text("", p.entries)); err != nil {
		return err
	}
	switch p.kill {
	case rightAfterTheFile:
		time.Sleep(p.pause)
		return r.restart(t, events)
	case withTheRefusedFile:
		return r.start(t)
	}
	line, err := process.await(from, func(line logLine) bool { return line.Msg == loggedInForce })
	if err == nil {
		err = r.confirm(line)
	}
	if err == nil && p.kill == afterConfirmation {
		err = r.restart(t, events)
	}
	return err
}

// retried is for how long a file is tried again, at least, before it is reported.
const retried = 500 * time.Millisecond

// refuse gives the replica a file that it must refuse.
func (r *replica) refuse(t *testing.T, p rollout, events *tally) error {
	events.count("refused file")
	events.count("refused file: " + p.refused.name)
	process := r.process.Load()
	from := len(process.lines())
	isRefusal := func(line logLine) bool { return line.Msg == loggedRefused }
	written := now()
	if err := p.way.write(r.file, p.badText); err != nil {
		return err
	}
	if p.kill == withTheRefusedFile {
		events.count("killed and started again")
		events.count("no start with a refused file")
		process.kill()
		failed, err := launch(t, r.file, r.offset)
		if err != nil {
			return err
		}
		select {
		case <-failed.exited:
		case <-time.After(patience):
			return errors.New("a server starts with a refused file")
		}
		if code := failed.ProcessState.ExitCode(); code != exitRefused {
			return fmt.Errorf("the start ends with code %d", code)
		}
		for _, line := range failed.lines() {
			if part := shown(line.text, p.secrets); part != "" {
				return fmt.Errorf("the start shows %q of a secret", part)
			}
		}
		return nil
	}
	if p.unreported {
		events.count("replaced while it was tried again")
		time.Sleep(p.pause)
		if lines := process.lines()[from:]; slices.ContainsFunc(lines, isRefusal) && now().Sub(written) < retried {
			return errors.New("it is reported at once")
		}
		return nil
	}
	line, err := process.await(from, isRefusal)
	if err != nil {
		return err
	}
	if after := line.read.Sub(written); after < retried {
		return fmt.Errorf("it is reported after %v, so it was not tried again", after)
	}
	if part := shown(line.text, p.secrets); part != "" || line.Cause == "" {
		return fmt.Errorf("the refusal shows %q of a secret: %s", part, line.text)
	}
	return nil
}

// restart kills the server and starts it with the file that is there.
func (r *replica) restart(t *testing.T, events *tally) error {
	events.count("killed and started again")
	r.process.Load().kill()
	return r.start(t)
}

// namespace is that of all servers here. It is not ASCII on purpose.
const namespace = "tenant-é"

// The outcomes of requests that are refused as they should be.
const (
	versionUnknown = "409 urn:keyhint:version-unknown"
	keyUnavailable = "403 urn:keyhint:key-unavailable"
	hintExpired    = "403 urn:keyhint:hint-expired"
	unavailable    = "503 urn:keyhint:unavailable"
)

// replica is one of several servers, with its own file and its own clock.
type replica struct {
	name   string
	file   string
	ledger string        // path; empty for none
	offset time.Duration // of its clock

	process atomic.Pointer[served]

	mutex  sync.Mutex
	states []*state
}

// state is what a replica is to put in force at some time.
type state struct {
	entries     []derive.Entry // the versions 1 to n, in this order
	fingerprint string
	given       time.Time
	confirmed   time.Time
}

func newState(t *testing.T, entries []derive.Entry) *state {
	ring, err := derive.NewKeyring(entries)
	if err != nil {
		t.Error(err)
		return new(state)
	}
	return &state{entries: slices.Clone(entries), fingerprint: ring.Fingerprint()}
}

// text is the replica's configuration file.
func (r *replica) text(comment string, entries []derive.Entry) string {
	var b strings.Builder
	fmt.Fprintf(&b, `server:
  address: 127.0.0.1:0
admin:
  address: ""
auth:
  mode: none
keyring:
  namespace: %s
  reload_interval: 1h # so that no change is found by chance
  ledger_file: %q
  keys:
%s`, namespace, r.ledger, comment)
	for _, e := range entries {
		fmt.Fprintf(&b, "    - version: %d\n", e.Version)
		if !e.MasterKey.IsZero() {
			fmt.Fprintf(&b, "      master_key: %s\n      salt_key: %s\n", e.MasterKey.Reveal(), e.SaltKey.Reveal())
		}
		for _, at := range []struct {
			name string
			time.Time
		}{{"activate_at", e.ActivateAt}, {"issue_until", e.IssueUntil}} {
			if !at.IsZero() {
				fmt.Fprintf(&b, "      %s: %q\n", at.name, at.UTC().Format(time.RFC3339Nano))
			}
		}
		fmt.Fprintf(&b, "      status: %s\n      check: %s\n", e.Status, e.Check)
	}
	return b.String()
}

// begin writes the first file and starts the server.
func (r *replica) begin(t *testing.T, entries []derive.Entry) error {
	r.give(newState(t, entries))
	if err := writeInPlace(r.file, r.text("", entries)); err != nil {
		return err
	}
	return r.start(t)
}

func (r *replica) start(t *testing.T) error {
	p, err := launch(t, r.file, r.offset)
	if err != nil {
		return err
	}
	line, err := p.listens()
	if err != nil {
		return err
	}
	if err := r.confirm(line); err != nil {
		return err
	}
	r.process.Store(p)
	return nil
}

// change writes another file and waits until it is in force.
func (r *replica) change(t *testing.T, w way, comment string, entries []derive.Entry) error {
	p := r.process.Load()
	from := len(p.lines())
	r.give(newState(t, entries))
	if err := w.write(r.file, r.text(comment, entries)); err != nil {
		return err
	}
	line, err := p.await(from, func(line logLine) bool { return line.Msg == loggedInForce })
	if err != nil {
		return err
	}
	return r.confirm(line)
}

// give notes that a state is about to be written to the file.
func (r *replica) give(s *state) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	s.given = now()
	r.states = append(r.states, s)
}

// confirm notes what a server says about the ring that is in force.
func (r *replica) confirm(line logLine) error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	last := r.states[len(r.states)-1]
	if line.Fingerprint != last.fingerprint {
		return fmt.Errorf("the ring %s is in force and not %s", line.Fingerprint, last.fingerprint)
	}
	if last.confirmed.IsZero() {
		last.confirmed = line.read
	}
	return nil
}

// possible are the states that may have been in force between two times.
func (r *replica) possible(from, to time.Time) []*state {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	first, last := 0, 0
	for i, s := range r.states {
		if !s.confirmed.IsZero() && s.confirmed.Before(from) {
			first = i
		}
		if !s.given.After(to) {
			last = i
		}
	}
	return slices.Clone(r.states[first : last+1])
}

// issues is the version that issues at a time of the server's own clock, or 0
// for none (DESIGN section 4, told again).
func (s *state) issues(at time.Time) uint32 {
	for _, e := range slices.Backward(s.entries) {
		if e.ActivateAt.After(at) {
			continue
		}
		if e.Status != derive.Enabled || !e.IssueUntil.IsZero() && !at.Before(e.IssueUntil) {
			return 0
		}
		return e.Version
	}
	return 0
}

// mayIssue tells whether a version may issue, or for 0 nothing may, at some
// time between two.
func (s *state) mayIssue(version uint32, from, to time.Time) bool {
	times := []time.Time{from, to}
	for _, e := range s.entries {
		for _, at := range []time.Time{e.ActivateAt, e.IssueUntil} {
			if at.After(from) && at.Before(to) {
				times = append(times, at)
			}
		}
	}
	return slices.ContainsFunc(times, func(at time.Time) bool { return s.issues(at) == version })
}

// resolves is how the state answers for a session of a version.
func (s *state) resolves(version uint32) string {
	if version > uint32(len(s.entries)) {
		return versionUnknown
	}
	switch s.entries[version-1].Status {
	case derive.Disabled, derive.Destroyed:
		return keyUnavailable
	}
	return "200"
}

// session is what a client keeps of an answer.
type session struct {
	document, key, hint string
	version             uint32
}

// load is clients at work, and the judge of what they are answered.
type load struct {
	t       *testing.T
	client  *http.Client
	oracle  *derive.Keyring // has every entry there will ever be
	secrets []string
	tally   *tally
	wrong   atomic.Int64

	mutex    sync.Mutex
	sessions []session
}

func newLoad(t *testing.T, entries []derive.Entry) *load {
	t.Helper()
	oracle, err := derive.NewKeyring(entries)
	if err != nil {
		t.Fatal(err)
	}
	l := &load{t: t, client: newClient(), oracle: oracle, tally: newTally()}
	for _, e := range entries {
		l.secrets = append(l.secrets, e.MasterKey.Reveal(), e.SaltKey.Reveal())
	}
	return l
}

// fault reports a wrong answer.
func (l *load) fault(r *replica, format string, args ...any) {
	l.t.Helper()
	if l.wrong.Add(1) <= 20 {
		l.t.Errorf("%s: %s", r.name, fmt.Sprintf(format, args...))
	}
}

func (l *load) faults() int64 { return l.wrong.Load() }

// pick is an earlier session, often one of the latest.
func (l *load) pick(random *rand.Rand) (session, bool) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	n := len(l.sessions)
	if n == 0 {
		return session{}, false
	}
	if latest := 100; n > latest && random.IntN(2) == 0 {
		return l.sessions[n-1-random.IntN(latest)], true
	}
	return l.sessions[random.IntN(n)], true
}

// issue asks for a new session and judges the answer.
func (l *load) issue(r *replica, random *rand.Rand) {
	p := r.process.Load()
	s := session{document: fmt.Sprintf("document %d", random.IntN(1000))}
	from := now()
	outcome, key, hint, err := exchange(l.client, p.url, s.document, nil)
	to := now()
	if !l.answered(r, p, err) {
		return
	}
	l.tally.count("issue " + outcome)
	switch outcome {
	case unavailable:
	case "200":
		parsed, err := derive.ParseHint(hint)
		if err != nil {
			l.fault(r, "issues %q: %v", hint, err)
			return
		}
		right, err := l.oracle.Resolve(parsed, derive.Document{Namespace: namespace, ID: s.document}, to, 0)
		if err != nil || right.Reveal() != key {
			l.fault(r, "issues a key that its hint %s does not give: %v", hint, err)
			return
		}
		// The hint has the time of issue, to the millisecond.
		issued := parsed.Reference().Time().Add(-r.offset)
		if issued.Before(from.Add(-time.Millisecond)) || issued.After(to) {
			l.fault(r, "issues at %v and not between %v and %v", issued, from, to)
			return
		}
		if from.Before(issued) {
			from = issued
		}
		if end := issued.Add(time.Millisecond); end.Before(to) {
			to = end
		}
		s.key, s.hint, s.version = key, hint, parsed.Version()
	default:
		l.fault(r, "issuing gets %s", outcome)
		return
	}
	for _, state := range r.possible(from, to) {
		if state.mayIssue(s.version, from.Add(r.offset), to.Add(r.offset)) {
			if s.version > 0 {
				l.mutex.Lock()
				l.sessions = append(l.sessions, s)
				l.mutex.Unlock()
			}
			return
		}
	}
	l.fault(r, "issuing gets %s, version %d, which no ring that can be in force would", outcome, s.version)
}

// resolve asks for an earlier session again, judges the answer and returns the outcome.
func (l *load) resolve(r *replica, s session) string {
	p := r.process.Load()
	from := now()
	outcome, key, hint, err := exchange(l.client, p.url, s.document, s.hint)
	to := now()
	if !l.answered(r, p, err) {
		return ""
	}
	l.tally.count("resolve " + outcome)
	if outcome == "200" && (key != s.key || hint != s.hint) {
		l.fault(r, "resolves %s to another session", s.hint)
		return outcome
	}
	states := r.possible(from, to)
	if !slices.ContainsFunc(states, func(state *state) bool { return state.resolves(s.version) == outcome }) {
		l.fault(r, "resolving %s gets %s, which no ring that can be in force would; one gives %s", s.hint, outcome, states[0].resolves(s.version))
	}
	return outcome
}

// answered tells whether there is an answer. There must be one unless the
// server is being killed.
func (l *load) answered(r *replica, p *served, err error) bool {
	switch {
	case err == nil:
		return true
	case p.dying.Load():
		l.tally.count("no answer while killed")
	default:
		l.fault(r, "no answer: %v", err)
	}
	return false
}

// checkEverySession resolves all sessions at a replica that has confirmed its
// last file, and makes sure that they are distinct.
func (l *load) checkEverySession(r *replica) {
	l.t.Helper()
	state := r.states[len(r.states)-1]
	keys, hints := make([]string, len(l.sessions)), make([]string, len(l.sessions))
	outcomes := newTally()
	each(len(l.sessions), func(i int) {
		s := l.sessions[i]
		keys[i], hints[i] = s.key, s.hint
		outcome := l.resolve(r, s)
		if outcome != state.resolves(s.version) {
			l.fault(r, "in the end, resolving %s gets %s", s.hint, outcome)
		}
		outcomes.count(outcome)
	})
	if len(set(keys)) != len(keys) || len(set(hints)) != len(hints) {
		l.t.Error("two sessions have one key or one hint")
	}
	l.t.Logf("%s, every session in the end: %v", r.name, outcomes.of)
}

// exchange posts a request as [ask] does, but leaves errors to the caller.
func exchange(client *http.Client, url, document string, keyHint any) (outcome, key, hint string, err error) {
	body, err := json.Marshal(map[string]any{"documentId": document, "keyHint": keyHint})
	if err != nil {
		return "", "", "", err
	}
	status, answer, err := postJSON(client, url, string(body))
	if err != nil {
		return "", "", "", err
	}
	var a struct{ Key, KeyHint, Type string }
	if err := json.Unmarshal(answer, &a); err != nil {
		return "", "", "", fmt.Errorf("%w: %s", err, answer)
	}
	outcome = fmt.Sprint(status)
	if a.Type != "" {
		outcome += " " + a.Type
	}
	return outcome, a.Key, a.KeyHint, nil
}

// now is the wall clock, which all processes share.
func now() time.Time { return time.Now().Round(0) }

var seedFlag = flag.Uint64("seed", 0, "seed of tests with random choices; 0 is a fresh one")

// newRandom returns random choices, and bytes for secrets, that the logged seed
// gives again.
func newRandom(t *testing.T) (*rand.Rand, io.Reader) {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("to repeat: go test . -run '^%s$' -args -seed %d", t.Name(), seed)
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	return rand.New(rand.NewPCG(seed, seed)), rand.NewChaCha8(key)
}

// newEntries are the versions 1 to n.
func newEntries(t testing.TB, n int, source io.Reader) []derive.Entry {
	entries := make([]derive.Entry, n)
	for i := range entries {
		entries[i] = newEntry(t, uint32(i+1), source)
	}
	return entries
}

func newEntry(t testing.TB, version uint32, source io.Reader) derive.Entry {
	t.Helper()
	var secrets [2]derive.Secret
	for i := range secrets {
		var err error
		if secrets[i], err = derive.GenerateSecret(source); err != nil {
			t.Fatal(err)
		}
	}
	return derive.Entry{Version: version, MasterKey: secrets[0], SaltKey: secrets[1], Check: derive.NewCheckValue(version, secrets[0], secrets[1])}
}
