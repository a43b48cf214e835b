package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The messages by which a server tells of its audit log.
const (
	loggedOpened = "the audit file was opened again"
	loggedRead   = "read the configuration again on a signal"
)

// audited is a server whose audit log is in a file, and what it has answered.
type audited struct {
	*served
	dir, file, sink string

	mutex   sync.Mutex
	answers []audibleAnswer
}

// audibleAnswer is an answer as its record should have it.
type audibleAnswer struct{ id, outcome, key, hint string }

func newAudited(t *testing.T) *audited {
	t.Helper()
	dir := t.TempDir()
	a := &audited{dir: dir, file: filepath.Join(dir, "keyhint.yaml"), sink: filepath.Join(dir, "audit.log")}
	a.configure(t, a.sink)
	return a
}

// configure writes the configuration with a sink.
func (a *audited) configure(t *testing.T, sink string) {
	t.Helper()
	e := newEntries(t, 1, mathrand.NewChaCha8([32]byte{2}))[0]
	text := fmt.Sprintf(`server:
  address: 127.0.0.1:0
admin:
  address: ""
auth:
  mode: none
audit:
  sink: %q
keyring:
  keys:
    - {version: 1, master_key: %s, salt_key: %s, check: %s}
`, sink, e.MasterKey.Reveal(), e.SaltKey.Reveal(), e.Check)
	if err := renameOver(a.file, text); err != nil {
		t.Fatal(err)
	}
}

// start begins to serve; shell runs before, in the process that the server becomes.
func (a *audited) start(t *testing.T, shell string, stdout io.Writer) {
	t.Helper()
	command := exec.Command("sh", "-c", shell+`exec keyhint serve --config "$0"`, a.file)
	command.Stdout = stdout
	s, err := launchCommand(t, command)
	if err == nil {
		_, err = s.listens()
	}
	if err != nil {
		t.Fatal(err)
	}
	a.served = s
}

// ask notes the answer, unless there is none.
func (a *audited) ask(client *http.Client, document string, keyHint any) (audibleAnswer, error) {
	body, err := json.Marshal(map[string]any{"documentId": document, "keyHint": keyHint})
	if err != nil {
		return audibleAnswer{}, err
	}
	response, err := client.Post(a.url, "application/json", strings.NewReader(string(body)))
	if err != nil {
		return audibleAnswer{}, err
	}
	defer response.Body.Close()
	var fields struct{ Key, KeyHint, Type string }
	if err := json.NewDecoder(response.Body).Decode(&fields); err != nil {
		return audibleAnswer{}, err
	}
	answer := audibleAnswer{response.Header.Get("X-Request-Id"), "granted", fields.Key, fields.KeyHint}
	if response.StatusCode != http.StatusOK {
		answer.outcome = fields.Type
	}
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.answers = append(a.answers, answer)
	return answer, nil
}

// load asks from 8 clients until it is stopped: for new keys, for earlier ones,
// and for what is refused.
func (a *audited) load(t *testing.T) (stop func()) {
	end := make(chan struct{})
	var clients sync.WaitGroup
	client := newClient()
	for n := range 8 {
		clients.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-end:
					return
				default:
				}
				document := fmt.Sprintf("document %d.%d", n, i)
				issued, err := a.ask(client, document, nil)
				if err == nil && issued.hint != "" {
					var resolved audibleAnswer
					if resolved, err = a.ask(client, document, issued.hint); err == nil && resolved.key != issued.key && resolved.key != "" {
						t.Errorf("%s resolves to another key", issued.hint)
					}
					if err == nil {
						_, err = a.ask(client, "another", issued.hint)
					}
				}
				if err != nil && !a.dying.Load() {
					t.Error(err)
					return
				}
				if err != nil {
					return
				}
			}
		})
	}
	return func() {
		close(end)
		clients.Wait()
		client.CloseIdleConnections()
	}
}

func (a *audited) answered() int {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return len(a.answers)
}

// auditRecord is what these tests look at of a record.
type auditRecord struct {
	Audit, Outcome, Problem, Hint string
	RequestID                     string `json:"request_id"`
}

// check compares the answers with the records in files: each has one, or more if
// some were not written in time. It returns how many lines are torn.
func (a *audited) check(t *testing.T, files ...string) (torn int) {
	t.Helper()
	records, keys := make(map[string][]auditRecord), make(map[string]bool)
	for _, answer := range a.answers {
		keys[answer.key] = true
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var r auditRecord
			if err := json.Unmarshal([]byte(line), &r); err != nil && line != "\n" {
				torn++
			}
			records[r.RequestID] = append(records[r.RequestID], r)
		}
		for _, word := range regexp.MustCompile(`[\w-]{43,}`).FindAllString(string(text), -1) {
			for i := range len(word) - 42 {
				if keys[word[i:i+43]] {
					t.Errorf("%s holds the key %s", file, word)
				}
			}
		}
	}
	granted := 0
	for _, answer := range a.answers {
		of := records[answer.id]
		if answer.outcome == "granted" {
			granted++
			if len(of) != 1 || of[0].Outcome != "granted" || of[0].Hint != answer.hint {
				t.Errorf("a key left, and its records are %+v", of)
			}
		} else if len(of) != 1 || of[0].Outcome != "refused" || of[0].Problem != answer.outcome {
			t.Errorf("%s was answered, and its records are %+v", answer.outcome, of)
		}
	}
	t.Logf("%d answers, %d with a key, in %d files with %d torn lines", len(a.answers), granted, len(files), torn)
	if granted < 100 {
		t.Error("that shows too little")
	}
	return torn
}

// Every key that left is in the log, whenever the server is killed.
func TestAuditLogSurvivesSIGKILL(t *testing.T) {
	a := newAudited(t)
	for range 5 {
		a.start(t, "", nil)
		stop := a.load(t)
		before := a.answered()
		if !within(func() bool { return a.answered() > before+300+mathrand.IntN(300) }) {
			t.Fatal("there are no answers")
		}
		a.kill()
		stop()
	}
	a.check(t, a.sink) // a large write may be cut off between two pages
}

// Through rotations, as logrotate makes them, no record is lost or torn; and on
// the same signal the configuration is read, as ever.
func TestAuditLogThroughRotations(t *testing.T) {
	const rotations = 20
	a := newAudited(t)
	a.start(t, "", nil)
	stop := a.load(t)
	files := []string{a.sink}
	for n := range rotations {
		from := len(a.lines())
		before := a.answered()
		if !within(func() bool { return a.answered() > before+20 }) {
			t.Fatal("there are no answers")
		}
		files = append(files, fmt.Sprintf("%s.%d", a.sink, n))
		if err := os.Rename(a.sink, files[n+1]); err != nil {
			t.Fatal(err)
		}
		if err := a.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		for _, message := range []string{loggedOpened, loggedRead} {
			if _, err := a.await(from, func(line logLine) bool { return line.Msg == message }); err != nil {
				t.Fatal(err)
			}
		}
	}
	before := a.answered()
	if !within(func() bool { return a.answered() > before+20 }) {
		t.Fatal("there are no answers")
	}
	stop()
	for _, file := range files {
		if info, err := os.Stat(file); err != nil || info.Size() == 0 || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", file, info, err)
		}
	}
	if torn := a.check(t, files...); torn != 0 {
		t.Errorf("%d torn lines", torn)
	}
	for _, line := range a.lines() {
		if line.Level != "INFO" {
			t.Errorf("the log has %s", line.text)
		}
	}
}

// A reader of stdout that goes away stops keys and not the server, which goes on
// when its file names another sink.
func TestAuditReaderThatGoesAway(t *testing.T) {
	a := newAudited(t)
	a.configure(t, "stdout")
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	reader, writer := os.NewFile(uintptr(ends[0]), "reader"), os.NewFile(uintptr(ends[1]), "writer")
	a.start(t, "", writer)
	writer.Close()
	client := newClient()
	defer client.CloseIdleConnections()
	first, err := a.ask(client, "doc", nil)
	if err != nil || first.key == "" {
		t.Fatal(first.outcome, err)
	}
	line, err := bufio.NewReader(reader).ReadString('\n')
	if err != nil || !strings.Contains(line, first.id) || !strings.Contains(line, first.hint) || strings.Contains(line, first.key) {
		t.Errorf("%q, %v", line, err)
	}
	reader.Close()
	for range 5 {
		for _, hint := range []any{nil, first.hint} {
			if answer, err := a.ask(client, "doc", hint); err != nil || answer.outcome != "urn:keyhint:unavailable" || answer.key != "" {
				t.Errorf("%+v, %v", answer, err)
			}
		}
		if answer, err := a.ask(client, "another", first.hint); err != nil || answer.outcome != "urn:keyhint:hint-mismatch" {
			t.Errorf("%+v, %v", answer, err)
		}
	}
	from := len(a.lines())
	a.configure(t, a.sink)
	if _, err := a.await(from, func(line logLine) bool { return line.Msg == loggedInForce }); err != nil {
		t.Fatal(err)
	}
	again, err := a.ask(client, "doc", first.hint)
	if err != nil || again.key != first.key {
		t.Errorf("%+v, %v", again, err)
	}
	if text, err := os.ReadFile(a.sink); err != nil || strings.Count(string(text), "\n") != 1 || !strings.Contains(string(text), again.id) {
		t.Errorf("%s, %v", text, err)
	}

	// One that cannot be opened is refused, and the other stays.
	from = len(a.lines())
	a.configure(t, filepath.Join(a.dir, "no", "such", "audit.log"))
	refused, err := a.await(from, func(line logLine) bool { return line.Msg == loggedRefused })
	if err != nil || !strings.Contains(refused.Cause, "audit.sink cannot be used: the folder") {
		t.Errorf("%s, %v", refused.text, err)
	}
	if answer, err := a.ask(client, "doc", first.hint); err != nil || answer.key != first.key {
		t.Errorf("%+v, %v", answer, err)
	}
}

// A reader that hangs holds a request for 5 seconds and the others not at all,
// and neither a reload nor the end of the program.
func TestAuditReaderThatHangs(t *testing.T) {
	a := newAudited(t)
	a.configure(t, "stdout")
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	reader, writer := os.NewFile(uintptr(ends[0]), "reader"), os.NewFile(uintptr(ends[1]), "writer")
	defer reader.Close()
	a.start(t, "", writer)
	writer.Close()
	client := newClient()
	defer client.CloseIdleConnections()
	ask := func() (outcome string, took time.Duration) {
		t.Helper()
		start := time.Now()
		answer, err := a.ask(client, "doc", nil)
		if err != nil {
			t.Fatal(err)
		}
		return answer.outcome, time.Since(start)
	}
	const unavailable = "urn:keyhint:unavailable"
	granted := 0
	outcome, took := ask()
	for ; outcome == "granted"; outcome, took = ask() {
		granted++
	}
	if outcome != unavailable || took < 4*time.Second || took > 10*time.Second {
		t.Errorf("after %d keys %s in %v", granted, outcome, took)
	}
	start := time.Now()
	for range 100 {
		if outcome, _ := ask(); outcome != unavailable {
			t.Fatal(outcome)
		}
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("100 refusals take %v", took)
	}
	lines := bufio.NewScanner(reader)
	for n := range granted {
		if !lines.Scan() || !strings.Contains(lines.Text(), `"outcome":"granted"`) {
			t.Fatalf("line %d is %s", n, lines.Text())
		}
	}
	if !within(func() bool { outcome, _ := ask(); return outcome == "granted" }) {
		t.Fatal("it does not recover")
	}
	for outcome, _ = ask(); outcome == "granted"; outcome, _ = ask() {
	}
	from := len(a.lines())
	a.configure(t, a.sink)
	if _, err := a.await(from, func(line logLine) bool { return line.Msg == loggedInForce }); err != nil {
		t.Fatal(err)
	}
	if outcome, _ := ask(); outcome != "granted" {
		t.Error(outcome)
	}
	if err := a.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-a.exited:
		if code := a.ProcessState.ExitCode(); code != 0 {
			t.Errorf("it ends with %d", code)
		}
	case <-time.After(patience):
		t.Error("it does not end")
	}
}

// A file that reaches the limit of its size stops keys and not the server, until
// it is rotated.
func TestAuditFileAtTheLimitOfItsSize(t *testing.T) {
	a := newAudited(t)
	a.start(t, "ulimit -f 16 && ", nil) // 8 KiB or 16, by the shell
	client := newClient()
	defer client.CloseIdleConnections()
	granted := 0
	for ; ; granted++ {
		answer, err := a.ask(client, "doc", nil)
		if err != nil {
			t.Fatal(err)
		}
		if answer.outcome == "urn:keyhint:unavailable" {
			break
		}
		if granted > 1000 {
			t.Fatal("there is no limit")
		}
	}
	if err := os.Rename(a.sink, a.sink+".1"); err != nil {
		t.Fatal(err)
	}
	from := len(a.lines())
	if err := a.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if _, err := a.await(from, func(line logLine) bool { return line.Msg == loggedOpened }); err != nil {
		t.Fatal(err)
	}
	last, err := a.ask(client, "doc", nil)
	if err != nil || last.key == "" {
		t.Fatalf("%+v, %v", last, err)
	}
	text, err := os.ReadFile(a.sink + ".1")
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.Collect(strings.Lines(string(text)))
	whole := slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return !json.Valid([]byte(line)) })
	t.Logf("%d keys, then a file of %d bytes with %d whole lines of %d", granted, len(text), len(whole), len(lines))
	if len(whole) != granted || len(lines) > granted+1 {
		t.Errorf("%d keys, %d whole lines of %d", granted, len(whole), len(lines))
	}
	text, err = os.ReadFile(a.sink)
	if err != nil {
		t.Fatal(err)
	}
	var gap struct {
		Audit     string
		Unwritten int
	}
	head, rest, _ := strings.Cut(string(text), "\n")
	if err := json.Unmarshal([]byte(head), &gap); err != nil || gap.Audit != "gap" || gap.Unwritten != 2 || !strings.Contains(rest, last.id) {
		t.Errorf("%v: %s", err, text)
	}
}

// A file that was deleted or moved without a signal is found at the interval.
func TestAuditFileThatIsGoneIsMadeAgain(t *testing.T) {
	a := newAudited(t)
	text, err := os.ReadFile(a.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeInPlace(a.file, replace(t, string(text), "keyring:\n", "keyring:\n  reload_interval: 1s\n")); err != nil {
		t.Fatal(err)
	}
	a.start(t, "", nil)
	client := newClient()
	defer client.CloseIdleConnections()
	for range 2 {
		from := len(a.lines())
		if err := os.Remove(a.sink); err != nil {
			t.Fatal(err)
		}
		if _, err := a.await(from, func(line logLine) bool { return line.Msg == loggedOpened }); err != nil {
			t.Fatal(err)
		}
		answer, err := a.ask(client, "doc", nil)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(a.sink); err != nil || !strings.Contains(string(text), answer.id) {
			t.Errorf("%s, %v", text, err)
		}
	}
}
