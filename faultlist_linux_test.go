package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// faults are in the order of the table.
var faults = []fault{
	{name: "10,000 idle connections", maxRSS: 400, inflict: idleConnections},
	{name: "2,000 slow writers", maxRSS: 150, inflict: slowWriters},
	{name: "32 bodies of 1 GB", maxRSS: 60, inflict: hugeBodies},
	{name: "32 chunked bodies without end", maxRSS: 60, inflict: endlessBodies},
	{name: "bodies nested 100,000 and 8,000 deep", maxRSS: 80, inflict: deepBodies},
	{name: "header floods", maxRSS: 100, inflict: headerFloods},
	{name: "HTTP/2 rapid reset", maxRSS: 150, prepare: endTLS, inflict: rapidReset},
	{name: "stopped for 2 s", maxRSS: 60, inflict: stopAndContinue},
	{name: "clock 10 years ahead and behind", maxRSS: 400, prepare: steerClock, inflict: clockJumps, outcomes: []string{hintExpired}},
	{name: "disk full for the ledger", maxRSS: 60, prepare: smallDisk, inflict: fullDisk, outcomes: []string{unavailable}},
	{name: "disk full for the audit log", maxRSS: 60, prepare: auditOnSmallDisk, inflict: fullAuditDisk, outcomes: []string{unavailable}},
	{name: "out of file descriptors", maxRSS: 60, prepare: fewFiles, inflict: noFilesLeft},
	{name: "authorizer flapping", maxRSS: 60, prepare: hostApplication, inflict: flapping, outcomes: []string{unavailable}},
	{name: "full load under GOMEMLIMIT=24MiB", maxRSS: 60, prepare: limitMemory, inflict: fullLoad},
}

// idleConnections opens connections that say nothing, or nothing after a first
// request. Those that never said anything are closed by the server.
func idleConnections(t *testing.T, v *victim) {
	const n = 10_000
	conns := make([]net.Conn, n)
	atOnce(n, 64, func(i int) {
		conn, err := net.DialTimeout("tcp", v.address(), patience)
		if err != nil {
			t.Errorf("connection %d: %v", i, err)
			return
		}
		conns[i] = conn
		conn.SetDeadline(time.Now().Add(2 * patience))
		if i%2 == 0 {
			fmt.Fprintf(conn, "GET /nowhere HTTP/1.1\r\nHost: %s\r\n\r\n", v.address())
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil || response.StatusCode != 404 {
				t.Errorf("connection %d: %v", i, err)
				return
			}
			io.Copy(io.Discard, response.Body)
		}
	})
	if t.Failed() {
		return
	}
	atOnce(n, n/2, func(i int) {
		if i%2 == 1 {
			if _, err := conns[i].Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Errorf("the server does not close connection %d, which says nothing: %v", i, err)
			}
		}
	})
	for _, conn := range conns {
		conn.Close()
	}
}

// slowWriters send a body a byte at a time until the server has enough of it.
func slowWriters(t *testing.T, v *victim) {
	const n = 2_000
	var cut atomic.Int64
	atOnce(n, n, func(i int) {
		conn := v.dial(t)
		defer conn.Close()
		fmt.Fprintf(conn, "POST /v1/key HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000\r\n\r\n", v.address())
		for range 1000 {
			if _, err := conn.Write([]byte(" ")); err != nil {
				cut.Add(1)
				return
			}
			conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
				cut.Add(1)
				return
			}
		}
	})
	if cut.Load() != n {
		t.Errorf("%d of %d slow writers were cut off", cut.Load(), n)
	}
}

func hugeBodies(t *testing.T, v *victim) {
	sendForever(t, v, "Content-Length: 1073741824\r\n", bytes.Repeat([]byte(" "), 1<<16))
}

func endlessBodies(t *testing.T, v *victim) {
	sendForever(t, v, "Transfer-Encoding: chunked\r\n", bytes.Repeat([]byte("400\r\n"+strings.Repeat(" ", 1024)+"\r\n"), 64))
}

// sendForever sends up to 1 GiB, and must be told 413 and cut off long before.
func sendForever(t *testing.T, v *victim, header string, piece []byte) {
	var most atomic.Int64
	atOnce(32, 32, func(int) {
		conn := v.dial(t)
		defer conn.Close()
		fmt.Fprintf(conn, "POST /v1/key HTTP/1.1\r\nHost: %s\r\n%s\r\n", v.address(), header)
		answered := make(chan error, 1)
		go func() {
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err == nil && response.StatusCode != http.StatusRequestEntityTooLarge {
				err = errors.New(response.Status)
			}
			answered <- err
		}()
		sent := 0
		for sent < 1<<30 {
			n, err := conn.Write(piece)
			if sent += n; err != nil {
				break
			}
		}
		most.Store(max(most.Load(), int64(sent)))
		if err := <-answered; err != nil && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after %d bytes: %v", sent, err)
		}
	})
	if sent := most.Load(); sent >= 64<<20 {
		t.Errorf("the server took %d bytes of a body", sent)
	} else {
		t.Logf("cut off after %d KiB at most, with what the kernel buffers", sent>>10)
	}
}

func deepBodies(t *testing.T, v *victim) {
	client := newClient()
	for body, want := range map[string]int{
		strings.Repeat("[", 100_000):                                      http.StatusRequestEntityTooLarge,
		`{"documentId":` + strings.Repeat("[", 8_000):                     http.StatusBadRequest,
		`{"x":` + strings.Repeat(`{"a":`, 3_000):                          http.StatusBadRequest,
		`{"x":` + strings.Repeat("[", 8_000) + strings.Repeat("]", 8_000): http.StatusBadRequest,
	} {
		each(500, func(int) {
			if status, _, err := postJSON(client, v.url, body); err != nil || status != want {
				t.Errorf("%.20s: %d, %v", body, status, err)
			}
		})
	}
	client.CloseIdleConnections()
}

// headerFloods sends a megabyte in headers, thousands of headers, and headers
// that never end.
func headerFloods(t *testing.T, v *victim) {
	long := "X-Long: " + strings.Repeat("x", 1<<20) + "\r\n"
	many := strings.Repeat("X-Many: x\r\n", 10_000)
	atOnce(600, 600, func(i int) {
		conn := v.dial(t)
		defer conn.Close()
		fmt.Fprintf(conn, "POST /v1/key HTTP/1.1\r\nHost: %s\r\n", v.address())
		if i%3 == 0 { // a header now and then, until it is cut off
			for {
				if _, err := conn.Write([]byte("X-Slow: x\r\n")); err != nil {
					return
				}
				conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
				if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
					return
				}
			}
		}
		io.WriteString(conn, []string{long, many}[i%3-1]) // fails once the server has enough
		conn.SetReadDeadline(time.Now().Add(patience))
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err == nil && response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Error(response.Status)
		}
	})
}

// rapidReset opens HTTP/2 streams and resets each at once.
func rapidReset(t *testing.T, v *victim) {
	const streams = 20_000
	var opened atomic.Int64
	atOnce(8, 8, func(int) {
		conn, err := tls.Dial("tcp", v.address(), &tls.Config{RootCAs: v.ca, NextProtos: []string{"h2"}})
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		go io.Copy(io.Discard, conn)
		conn.SetDeadline(time.Now().Add(patience))
		io.WriteString(conn, http2.ClientPreface)
		framer := http2.NewFramer(conn, nil)
		framer.WriteSettings()
		var block bytes.Buffer
		encoder := hpack.NewEncoder(&block)
		for i := range uint32(streams) {
			block.Reset()
			for _, f := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":authority", v.address()}, {":path", "/v1/key"}} {
				encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
			}
			id := 2*i + 1
			if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true}); err != nil {
				return
			}
			if err := framer.WriteRSTStream(id, http2.ErrCodeCancel); err != nil {
				return
			}
			opened.Add(1)
		}
	})
	t.Logf("%d streams were opened and reset", opened.Load())
	if opened.Load() < 1000 {
		t.Error("that shows nothing")
	}
}

func stopAndContinue(t *testing.T, v *victim) {
	if err := v.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second) // this is the fault itself
	if err := v.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// steerClock has the server go by a clock that the test moves.
func steerClock(t *testing.T, v *victim) {
	v.program = "keyhint"
	file := filepath.Join(t.TempDir(), "offset")
	v.env = []string{clockFileEnv + "=" + file}
	v.jumps = func(offset time.Duration) {
		if err := renameOver(file, offset.String()); err != nil {
			t.Error(err)
		}
	}
	v.jumps(0)
	v.set(t, "keyring:\n", "keyring:\n  max_age: 8760h\n")
}

func clockJumps(t *testing.T, v *victim) {
	const years = 10 * 365 * 24 * time.Hour
	client := newClient()
	defer client.CloseIdleConnections()
	type issued struct{ document, key, hint string }
	var sessions []issued
	for _, offset := range []time.Duration{0, years, -years, 0} {
		v.jumps(offset)
		for i := range 50 {
			s := issued{document: fmt.Sprintf("at %v, %d", offset, i)}
			var outcome string
			if outcome, s.key, s.hint = ask(t, client, v.url, s.document, nil); outcome != "200" {
				t.Errorf("%s: %s", s.document, outcome)
			}
			sessions = append(sessions, s)
		}
	}
	// Back in the present only what was issued ten years ago is too old.
	for _, s := range sessions {
		want := "200"
		if strings.HasPrefix(s.document, "at -") {
			want = hintExpired
		}
		if outcome, key, _ := ask(t, client, v.url, s.document, s.hint); outcome != want || want == "200" && key != s.key {
			t.Errorf("%s: %s", s.document, outcome)
		}
	}
}

// fewFiles lets the server have 40 files open.
func fewFiles(_ *testing.T, v *victim) { v.shell = "ulimit -n 40; " }

// noFilesLeft takes all of them; the connections that are there go on.
func noFilesLeft(t *testing.T, v *victim) {
	var conns []net.Conn
	for range 100 { // the kernel accepts them even if the server cannot
		conns = append(conns, v.dial(t))
	}
	if !within(func() bool { return countFiles(t, v.Process.Pid) >= 40 }) {
		t.Fatal("it has files left")
	}
	time.Sleep(2 * time.Second) // this is the fault itself
	for _, conn := range conns {
		conn.Close()
	}
}

func countFiles(t *testing.T, pid int) int {
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// smallDisk puts the ledger on a file system of its own, as large as a page or two.
func smallDisk(t *testing.T, v *victim) {
	v.disk = mountSmall(t, "64k")
	v.set(t, "keyring:\n", fmt.Sprintf("keyring:\n  reload_interval: 1s\n  ledger_file: %q\n", filepath.Join(v.disk, "ledger.json")))
}

// fullDisk fills that file system while another ring has to be put on record.
func fullDisk(t *testing.T, v *victim) {
	junk := filepath.Join(v.disk, "junk")
	if err := os.WriteFile(junk, make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	from := len(v.lines())
	added := newEntries(t, 2, mathrand.NewChaCha8([32]byte{1}))[1]
	v.config += fmt.Sprintf("    - {version: 2, master_key: %s, salt_key: %s, check: %s}\n", added.MasterKey.Reveal(), added.SaltKey.Reveal(), added.Check)
	if err := renameOver(v.file, v.config); err != nil {
		t.Fatal(err)
	}
	client := newClient()
	defer client.CloseIdleConnections()
	if !within(func() bool {
		outcome, _, _ := ask(t, client, v.url, "doc", nil)
		return outcome == unavailable
	}) {
		t.Fatal("it issues from a ring that is not on record")
	}
	if err := os.Remove(junk); err != nil {
		t.Fatal(err)
	}
	if !within(func() bool {
		outcome, _, hint := ask(t, client, v.url, "doc", nil)
		return outcome == "200" && strings.HasPrefix(hint, "kh1.2-")
	}) {
		t.Fatalf("it does not issue again: %v", v.lines()[from:])
	}
}

func auditOnSmallDisk(t *testing.T, v *victim) {
	v.disk = mountSmall(t, "4m")
	v.config += fmt.Sprintf("audit:\n  sink: %q\n", filepath.Join(v.disk, "audit.log"))
}

// fullAuditDisk fills the audit log's file system for a second.
func fullAuditDisk(t *testing.T, v *victim) {
	client := newClient()
	defer client.CloseIdleConnections()
	answers := func(want string) bool {
		return within(func() bool { outcome, _, _ := ask(t, client, v.url, "doc", nil); return outcome == want })
	}
	ready := func(want int) bool {
		return within(func() bool {
			response, err := client.Get(v.admin + "/readyz")
			if err != nil {
				t.Error(err)
				return false
			}
			response.Body.Close()
			return response.StatusCode == want
		})
	}
	junk := filepath.Join(v.disk, "junk")
	if err := os.WriteFile(junk, make([]byte, 8<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	if !answers(unavailable) || !ready(http.StatusServiceUnavailable) {
		t.Fatal("keys leave without records")
	}
	time.Sleep(time.Second)
	if outcome, _, _ := ask(t, client, v.url, "doc", nil); outcome != unavailable {
		t.Errorf("it answers %s", outcome)
	}
	if v.gauge(t, "keyhint_audit_writable") != 0 {
		t.Error("the metrics do not tell")
	}
	if err := os.Remove(junk); err != nil {
		t.Fatal(err)
	}
	if !ready(http.StatusOK) || !answers("200") {
		t.Fatal("it does not recover")
	}
	if v.gauge(t, "keyhint_audit_writable") != 1 {
		t.Error("the metrics do not tell that it has recovered")
	}
}

// hostApplication has the server ask an application that the test is.
func hostApplication(t *testing.T, v *victim) {
	v.host = new(host)
	server := httptest.NewServer(v.host)
	t.Cleanup(server.Close)
	v.set(t, "  mode: none\n", fmt.Sprintf("  mode: forward\n  forward: {url: %q, timeout: 200ms}\n", server.URL))
}

// host is an application that works, or fails in one of many ways.
type host struct{ failing atomic.Int32 }

var hostFailures = []http.HandlerFunc{
	func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "out of order", 500) },
	func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) },
	func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `<html>{"allow": true}</html>`) },
	func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, // hangs
	func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
}

func (h *host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body) // until then nobody notices that the server hangs up
	if n := h.failing.Load(); n > 0 {
		hostFailures[n-1](w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, `{"allow": true}`)
}

// flapping has the application fail in each way, and work in between.
func flapping(t *testing.T, v *victim) {
	client := newClient()
	defer client.CloseIdleConnections()
	for range 2 {
		for n := range hostFailures {
			for _, state := range []struct {
				failing int32
				want    string
			}{{int32(n + 1), unavailable}, {0, "200"}} {
				v.host.failing.Store(state.failing)
				for range 5 {
					if outcome, _, _ := ask(t, client, v.url, "doc", nil); outcome != state.want {
						t.Errorf("with failure %d: %s", state.failing, outcome)
					}
				}
			}
		}
	}
}

// mountSmall makes a file system of 64 KiB and returns its folder.
func mountSmall(t *testing.T, size string) string {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		skipUnlessRequired(t, "no file system can be mounted here: "+err.Error())
	}
	t.Cleanup(func() { syscall.Unmount(dir, 0) })
	return dir
}

func limitMemory(_ *testing.T, v *victim) { v.env = append(v.env, "GOMEMLIMIT=24MiB") }

// fullLoad asks as fast as 64 clients can for 3 s.
func fullLoad(t *testing.T, v *victim) {
	client := &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	until := time.Now().Add(3 * time.Second)
	var answered atomic.Int64
	atOnce(64, 64, func(i int) {
		for n := 0; time.Now().Before(until); n++ {
			if outcome, _, _, err := exchange(client, v.url, fmt.Sprint(i, n), nil); err != nil || outcome != "200" {
				t.Errorf("%s %v", outcome, err)
				return
			}
			answered.Add(1)
		}
	})
	t.Logf("%d requests more", answered.Load())
}
