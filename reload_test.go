package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyhint/derive"
)

// TestHundredReloadsUnderLoadLoseNothing changes the file of a server a hundred
// times, in all the ways in which files get changed, while clients issue and
// resolve.
func TestHundredReloadsUnderLoadLoseNothing(t *testing.T) {
	const (
		changes = 100
		rate    = 400 // requests a second
		minRate = 200
		workers = 8
	)
	random, source := newRandom(t)
	all := newEntries(t, changes+3, source)
	l := newLoad(t, all)
	// Version 3 issues at first. Nobody needs 1 and 2 but two sessions of long ago.
	entries := slices.Clone(all[:3])
	parked := []session{sealed(t, all[0], now(), source), sealed(t, all[1], now(), source)}
	r := &replica{name: "the server", file: filepath.Join(t.TempDir(), "keyhint.yaml")}
	if err := r.begin(t, entries); err != nil {
		t.Fatal(err)
	}
	p := r.process.Load()

	// The requests are due at a steady rate, whether or not answers are late.
	due, stop := make(chan time.Time, 100*rate), make(chan struct{})
	var clients sync.WaitGroup
	var mutex sync.Mutex
	var latencies []time.Duration
	started := now()
	go func() {
		defer close(due)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		next := started
		for sent := 0; ; {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			for ; !next.After(now()); next = started.Add(time.Duration(sent) * time.Second / rate) {
				due <- next
				sent++
			}
		}
	}()
	for range workers {
		random := rand.New(rand.NewPCG(random.Uint64(), random.Uint64()))
		clients.Go(func() {
			for at := range due {
				if earlier, ok := l.pick(random); ok && random.IntN(2) == 0 {
					l.resolve(r, earlier)
				} else {
					l.issue(r, random)
				}
				mutex.Lock()
				latencies = append(latencies, now().Sub(at))
				mutex.Unlock()
			}
		})
	}

	kinds := newTally()
	for n := range changes {
		kind, comment := changeRing(random, &entries, all), ""
		if kind == "comment" {
			comment = fmt.Sprintf("  # change %d\n", n)
		}
		kinds.count(kind)
		way := ways[n%len(ways)]
		kinds.count(way.name)
		if err := r.change(t, way, comment, entries); err != nil {
			t.Errorf("change %d (%s, %s): %v", n+1, kind, way.name, err)
			break
		}
		for i, s := range parked {
			want := "200"
			if entries[i].Status == derive.Disabled || entries[i].Status == derive.Destroyed {
				want = keyUnavailable
			}
			if outcome := l.resolve(r, s); outcome != want {
				t.Errorf("change %d: version %d is %v and its session gets %s", n+1, s.version, entries[i].Status, outcome)
			}
		}
	}
	took := now().Sub(started)
	close(stop)
	clients.Wait()

	slices.Sort(latencies)
	perSecond := float64(len(latencies)) / now().Sub(started).Seconds()
	t.Logf("%d changes in %.1f s: %v", changes, took.Seconds(), kinds.of)
	t.Logf("%d requests, %.0f a second: %v; %d wrong; latency p50 %v, p99 %v, max %v", len(latencies), perSecond, l.tally.of, l.faults(),
		latencies[len(latencies)/2], latencies[len(latencies)*99/100], latencies[len(latencies)-1])
	if perSecond < minRate {
		t.Errorf("%.0f requests a second; this shows nothing below %d", perSecond, minRate)
	}
	confirmed := 0
	for _, line := range p.lines() {
		switch {
		case line.Msg == loggedInForce:
			confirmed++
		case line.Level != "INFO":
			t.Errorf("the log has %s", line.text)
		}
	}
	if confirmed != 1+changes {
		t.Errorf("%d changes led to %d reloads", changes, confirmed-1)
	}
	l.checkEverySession(r)
}

// changeRing makes one change after which issuing goes on, and names its kind.
// Further versions come from all.
func changeRing(random *rand.Rand, entries *[]derive.Entry, all []derive.Entry) string {
	es := *entries
	soon := func() time.Time { return now().Add(time.Duration(random.IntN(1000)) * time.Millisecond) }
	later := func() time.Time { return now().Add(time.Hour) }
	switch kind := random.IntN(10); {
	case kind < 3:
		e := all[len(es)]
		e.ActivateAt = []time.Time{{}, soon(), later()}[random.IntN(3)]
		*entries = append(es, e)
		return "version added"
	case kind < 5:
		e := &es[random.IntN(2)]
		switch {
		case e.Status == derive.Destroyed:
			return "comment"
		case random.IntN(20) == 0:
			e.MasterKey, e.SaltKey, e.Status = derive.Secret{}, derive.Secret{}, derive.Destroyed
		default:
			e.Status = (e.Status + 1 + derive.Status(random.IntN(2))) % derive.Destroyed
		}
		return "status of an old version"
	case kind < 8:
		e := &es[2+random.IntN(len(es)-2)]
		switch {
		case random.IntN(3) == 0:
			e.IssueUntil = later()
		case e.Version > 3 && random.IntN(2) == 0: // version 3 issues if nothing else does
			e.ActivateAt = later()
		default:
			e.ActivateAt = now().Add(-time.Hour)
		}
		return "schedule"
	}
	return "comment"
}

// TestConfirmedReloadLeavesNoRequestBehind has a request wait in the middle of
// its body while its version is disabled. The reload must not be confirmed
// before that request is answered, nor keep others waiting.
func TestConfirmedReloadLeavesNoRequestBehind(t *testing.T) {
	_, source := newRandom(t)
	entries := newEntries(t, 2, source)
	l := newLoad(t, entries)
	r := &replica{name: "the server", file: filepath.Join(t.TempDir(), "keyhint.yaml")}
	if err := r.begin(t, entries[:1]); err != nil {
		t.Fatal(err)
	}
	p := r.process.Load()
	address := strings.TrimSuffix(strings.TrimPrefix(p.url, "http://"), "/v1/key")
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	answers := bufio.NewReader(conn)
	const body = `{"documentId":"slow","keyHint":null}`
	fmt.Fprintf(conn, "POST /v1/key HTTP/1.1\r\nHost: %s\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", address, len(body))
	// It comes when the handler begins to read the body.
	if line, err := answers.ReadString('\n'); err != nil || !strings.Contains(line, " 100 ") {
		t.Fatalf("%q, %v", line, err)
	}
	answers.ReadString('\n')
	fmt.Fprint(conn, body[:len(body)/2])

	entries[0].Status = derive.Disabled
	from := len(p.lines())
	if err := ways[0].write(r.file, r.text("", entries)); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if _, _, hint, err := exchange(l.client, p.url, "quick", nil); err == nil && strings.HasPrefix(hint, "kh1.2-") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a slow request keeps the new ring out of force")
		}
	}
	isInForce := func(line logLine) bool { return line.Msg == loggedInForce }
	_, early := p.awaitFor(500*time.Millisecond, from, isInForce)
	fmt.Fprint(conn, body[len(body)/2:])
	answer, err := io.ReadAll(io.LimitReader(answers, 12))
	if err != nil {
		t.Fatal(err)
	}
	if early == nil && string(answer) == "HTTP/1.1 200" {
		t.Error("the reload was confirmed, and then a request was answered from the disabled version")
	}
	if string(answer) != "HTTP/1.1 200" {
		t.Errorf("the request in flight gets %s", answer)
	}
	if _, err := p.await(from, isInForce); err != nil {
		t.Error(err)
	}
}

// way is how a file gets a new content.
type way struct {
	name  string
	write func(path, text string) error
}

// ways begin with the one that is atomic. Each follows each kind of file that
// the others leave.
var ways = []way{
	{"rename over", renameOver},
	{"in place", writeInPlace},
	{"delete and create", func(path, text string) error {
		return errors.Join(os.Remove(path), writeInPlace(path, text))
	}},
	{"swap of a link", swapLink},
	{"swap of a link", swapLink}, // of the folder's alone now
	{"in place", writeInPlace},   // through the links
	{"swap of a link", swapLink},
}

func writeInPlace(path, text string) error { return os.WriteFile(path, []byte(text), 0o600) }

func renameOver(path, text string) error {
	if err := writeInPlace(path+".new", text); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// swapLink does as Kubernetes: the file is a link through a link to a folder,
// and the latter is swapped for one to a new folder.
func swapLink(path, text string) error {
	link := func(target, path string) error {
		return errors.Join(os.Symlink(target, path+".new"), os.Rename(path+".new", path))
	}
	data, name := filepath.Join(filepath.Dir(path), "..data"), filepath.Base(path)
	folder, err := os.MkdirTemp(filepath.Dir(path), "..")
	if err != nil {
		return err
	}
	former, _ := os.Readlink(data)
	if err := errors.Join(writeInPlace(filepath.Join(folder, name), text), link(filepath.Base(folder), data)); err != nil {
		return err
	}
	if target, _ := os.Readlink(path); target != "..data/"+name {
		if err := link("..data/"+name, path); err != nil {
			return err
		}
	}
	if former != "" {
		return os.RemoveAll(filepath.Join(filepath.Dir(path), former))
	}
	return nil
}

// served is a running "keyhint serve", for which this test program stands in.
type served struct {
	*exec.Cmd
	url    string
	exited chan struct{}
	dying  atomic.Bool // set before it is killed

	mutex sync.Mutex
	log   []logLine
}

// logLine is a line of the log, which is in JSON, or of what else stderr got.
type logLine struct {
	text string
	read time.Time

	Level, Msg, Address, Fingerprint, Cause string
}

// The messages by which a server tells of a reload.
const (
	loggedInForce = "a key ring is in force"
	loggedRefused = "the configuration in the files is refused; the former one stays in force"
	loggedGood    = "the configuration in the files is good again"
)

// disaster is how the Go runtime begins to tell of one.
var disaster = regexp.MustCompile(`^(panic: |fatal error: |WARNING: DATA RACE)`)

// launch starts a server and does not wait for it.
func launch(t *testing.T, file string, offset time.Duration) (*served, error) {
	command := exec.Command("keyhint", "serve", "--config", file)
	command.Env = append(command.Env, clockOffsetEnv+"="+offset.String())
	return launchCommand(t, command)
}

// launchCommand starts a command that serves, with the variables that it has
// and those of this process that are not settings of keyhint.
func launchCommand(t testing.TB, command *exec.Cmd) (*served, error) {
	s := &served{Cmd: command, exited: make(chan struct{})}
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "KEYHINT_") {
			s.Env = append(s.Env, variable)
		}
	}
	stderr, err := s.StderrPipe()
	if err != nil {
		return nil, err
	}
	if s.Stdout == nil { // where the audit log goes unless the configuration says otherwise
		stdout, err := os.OpenFile(filepath.Join(t.TempDir(), "stdout"), os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		defer stdout.Close()
		s.Stdout = stdout
	}
	knowSecrets(command)
	if err := s.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(s.exited)
		lines := bufio.NewScanner(stderr)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			line := logLine{text: lines.Text(), read: now()}
			json.Unmarshal(lines.Bytes(), &line) // or it is the last word of one that failed
			if disaster.MatchString(line.text) {
				t.Errorf("the server writes %s", line.text)
			}
			s.mutex.Lock()
			s.log = append(s.log, line)
			s.mutex.Unlock()
		}
		s.Wait()
		knowSecrets(command)
		searchOutput(t, s)
	}()
	t.Cleanup(s.kill)
	return s, nil
}

// listens waits until the server serves, and returns what it says about its ring.
func (s *served) listens() (logLine, error) {
	line, err := s.await(0, func(line logLine) bool { return line.Msg == "serving" })
	if err != nil {
		return logLine{}, err
	}
	s.url = "http://" + line.Address + "/v1/key"
	return s.await(0, func(line logLine) bool { return line.Msg == loggedInForce })
}

func (s *served) lines() []logLine {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.log[:len(s.log):len(s.log)]
}

// await returns the first line, from the given one on, that matches.
func (s *served) await(from int, match func(logLine) bool) (logLine, error) {
	return s.awaitFor(patience, from, match)
}

func (s *served) awaitFor(limit time.Duration, from int, match func(logLine) bool) (logLine, error) {
	for deadline := time.Now().Add(limit); ; time.Sleep(time.Millisecond) {
		ended := false
		select {
		case <-s.exited:
			ended = true
		default:
		}
		lines := s.lines()[from:]
		if i := slices.IndexFunc(lines, match); i >= 0 {
			return lines[i], nil
		}
		var last string
		for _, line := range lines[max(0, len(lines)-2):] { // an error has a line, and a hint
			last += "\n" + line.text
		}
		if ended {
			return logLine{}, fmt.Errorf("the server has ended: %v; its last lines: %s", s.ProcessState, last)
		}
		if time.Now().After(deadline) {
			return logLine{}, fmt.Errorf("no such line in the log within %v; the last ones: %s", limit, last)
		}
	}
}

// kill ends the server without a chance to do anything.
func (s *served) kill() {
	s.dying.Store(true)
	s.Process.Kill()
	<-s.exited
}
