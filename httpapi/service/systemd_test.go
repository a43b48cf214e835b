package service_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"keyhint/httpapi/service"
)

// manager stands for systemd: it gets the notifications of this process.
type manager struct {
	*testing.T
	mutex sync.Mutex
	heard []string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", path)
	m := &manager{T: t}
	var reading sync.WaitGroup
	reading.Go(func() {
		message := make([]byte, 64<<10)
		for {
			n, err := socket.Read(message)
			if err != nil {
				return
			}
			m.mutex.Lock()
			m.heard = append(m.heard, string(message[:n]))
			m.mutex.Unlock()
		}
	})
	t.Cleanup(func() { socket.Close(); reading.Wait() })
	return m
}

func (m *manager) messages() []string {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	return slices.Clone(m.heard)
}

// forget starts anew.
func (m *manager) forget() {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.heard = nil
}

// await returns the first message that matches, with those before it.
func (m *manager) await(pattern string) []string {
	m.Helper()
	want := regexp.MustCompile(`\A(?:` + pattern + `)\z`)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		heard := m.messages()
		if i := slices.IndexFunc(heard, want.MatchString); i >= 0 {
			return heard[:i+1]
		}
		if time.Now().After(deadline) {
			m.Fatalf("no message matches %s: %q", pattern, heard)
		}
	}
}

func tells(messages []string, assignment string) bool {
	return slices.ContainsFunc(messages, func(m string) bool { return slices.Contains(strings.Split(m, "\n"), assignment) })
}

func TestSystemdIsTold(t *testing.T) {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		fmt.Fprintf(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","use":"sig","kid":"1","x":%q}]}`, base64.RawURLEncoding.EncodeToString(public))
	}))
	defer keys.Close()
	releaseOnce := sync.OnceFunc(func() { close(release) })
	defer releaseOnce()

	m := newManager(t)
	hangup := make(chan os.Signal)
	text := fmt.Sprintf(head, "jwt\n  jwt:\n    audience: [keyhint]\n    keys: ["+keys.URL+"]", "") + newEntry(t, 1)
	read := make(chan struct{}, 100)
	r := start(t, text, func(o *service.Options) { o.Hangup, o.Log = hangup, slog.New(tellingLog{slog.DiscardHandler, read}) })

	// It listens, but every answer would be a refusal.
	m.await(`STATUS=waiting for access control: .*`)
	hangup <- syscall.SIGHUP
	<-read
	if heard := m.messages(); tells(heard, "READY=1") || tells(heard, "RELOADING=1") {
		t.Errorf("told before access control can decide: %q", heard)
	}
	releaseOnce()
	m.await(`READY=1\nSTATUS=version 1 issues \(check value 1-[0-9a-f]{16}\)`)

	m.forget()
	hangup <- syscall.SIGHUP
	m.await(`RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]+\nSTATUS=reading the configuration`)
	if heard := m.await(`READY=1\nSTATUS=version 1 issues .*`); len(heard) != 2 {
		t.Errorf("%q", heard)
	}

	// A refusal of several lines is one line of status, and no assignments.
	m.forget()
	writeFile(t, r.path, text+"one: 1\ntwo: 2\n")
	hangup <- syscall.SIGHUP
	heard := m.await(`READY=1\nSTATUS=since \S+ the configuration in the files is refused.* has 2 problems: line .*`)
	if len(heard) != 2 {
		t.Errorf("%q", heard)
	}

	// Changes that it notices by itself are no reloads that systemd waits for.
	m.forget()
	writeFile(t, r.path, text+newEntry(t, 2))
	if heard := m.await(`STATUS=version 2 issues .*`); tells(heard, "RELOADING=1") || tells(heard, "READY=1") {
		t.Errorf("%q", heard)
	}

	m.forget()
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	if heard := m.await(`STOPPING=1\nSTATUS=stopping .*`); len(heard) != 1 {
		t.Errorf("%q", heard)
	}
}

// tellingLog tells of each reading of the files that a signal asked for.
type tellingLog struct {
	slog.Handler
	read chan struct{}
}

func (l tellingLog) Enabled(context.Context, slog.Level) bool { return true }

func (l tellingLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "read the configuration again on a signal" {
		l.read <- struct{}{}
	}
	return nil
}

// heldLog holds whoever logs a request, until it is let go.
type heldLog struct {
	slog.Handler
	held chan struct{} // gets one for each that is held
	let  chan struct{}
}

func (h heldLog) Enabled(context.Context, slog.Level) bool { return true }

func (h heldLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "request" {
		h.held <- struct{}{}
		<-h.let
	}
	return nil
}

func TestWatchdogHearsOfAServiceThatAnswers(t *testing.T) {
	m := newManager(t)
	t.Setenv("WATCHDOG_USEC", "200000")
	h := heldLog{slog.DiscardHandler, make(chan struct{}, 1000), make(chan struct{})}
	let := sync.OnceFunc(func() { close(h.let) })
	defer let()
	start(t, fmt.Sprintf(head, "none", "")+newEntry(t, 1), func(o *service.Options) { o.Log = slog.New(h) })
	<-h.held
	time.Sleep(300 * time.Millisecond) // longer than a period
	if heard := m.messages(); tells(heard, "WATCHDOG=1") {
		t.Errorf("the service does not answer, and the watchdog hears %q", heard)
	}
	let()
	m.await("WATCHDOG=1")
	m.forget()
	m.await("WATCHDOG=1") // and again
}
