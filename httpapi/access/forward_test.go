package access_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyhint/httpapi/access"
)

// What must never stand in an error.
const (
	forwardCookie   = "sid=c00kie-5ecret"
	forwardToken    = "Bearer t0ken-5ecret"
	forwardDocument = "d0cument-5ecret"
)

// forwardSoon bounds what must not hang; forwardBriefly is a timeout that a test
// waits for.
const (
	forwardSoon    = 30 * time.Second
	forwardBriefly = 150 * time.Millisecond
)

func newForward(t *testing.T, c access.ForwardConfig) *access.Forward {
	t.Helper()
	if c.Timeout == 0 {
		c.Timeout = forwardSoon
	}
	if c.MaxConcurrent == 0 {
		c.MaxConcurrent = 100
	}
	f, err := access.NewForward(c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// forwardHost is a host application on loopback.
func forwardHost(t *testing.T, answer http.HandlerFunc) *httptest.Server {
	t.Helper()
	host := httptest.NewServer(answer)
	t.Cleanup(host.Close)
	return host
}

// forwardRawHost gets whole requests and answers them with whatever bytes. The
// connection ends when answer returns.
func forwardRawHost(t *testing.T, answer func(conn net.Conn, request []byte)) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	var conns sync.Map
	t.Cleanup(func() {
		listener.Close()
		conns.Range(func(conn, _ any) bool { conn.(net.Conn).Close(); return true })
		running.Wait()
	})
	running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			conns.Store(conn, nil)
			running.Go(func() {
				defer conn.Close()
				var raw bytes.Buffer
				request, err := http.ReadRequest(bufio.NewReader(io.TeeReader(conn, &raw)))
				if err != nil {
					return
				}
				io.Copy(io.Discard, request.Body)
				answer(conn, raw.Bytes())
			})
		}
	})
	return "http://" + listener.Addr().String() + "/may-open"
}

func forwardRequest(header http.Header) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "https://keys.example/v1/key", io.NopCloser(unreadable{}))
	maps.Copy(r.Header, header)
	return r
}

// unreadable fails whoever reads a body that is not theirs.
type unreadable struct{}

func (unreadable) Read([]byte) (int, error) { panic("the body was read") }

func forwardCaller(t *testing.T, f *access.Forward) access.Caller {
	t.Helper()
	caller, err := f.Identify(forwardRequest(http.Header{"Cookie": {forwardCookie}, "Authorization": {forwardToken}}))
	if err != nil {
		t.Fatal(err)
	}
	return caller
}

// forwardAsk asks for a decision, which must come in time, and checks the error.
func forwardAsk(t *testing.T, f *access.Forward) error {
	t.Helper()
	return forwardAskAs(t, t.Context(), forwardCaller(t, f), forwardDocument)
}

func forwardAskAs(t *testing.T, ctx context.Context, caller access.Caller, document string) error {
	t.Helper()
	answer := make(chan error, 1)
	go func() { answer <- caller.MayOpen(ctx, document, access.Issue) }()
	select {
	case err := <-answer:
		forwardCheckError(t, err)
		return err
	case <-time.After(forwardSoon + 10*time.Second):
		t.Fatal("no decision")
		return nil
	}
}

// forwardCheckError: an error is of one kind, and shows no secret.
func forwardCheckError(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	kinds := 0
	for _, kind := range []error{access.ErrUnauthenticated, access.ErrDenied, access.ErrUnavailable} {
		if errors.Is(err, kind) {
			kinds++
		}
	}
	if kinds != 1 {
		t.Errorf("of %d kinds: %v", kinds, err)
	}
	text := fmt.Sprintf("%v %+v %#v", err, err, err)
	if strings.Contains(text, "5ecret") {
		t.Errorf("shows a secret: %s", text)
	}
	if strings.ContainsAny(err.Error(), "\r\n") {
		t.Errorf("more than one line: %q", err)
	}
}

func forwardWrite(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Type"] = []string{contentType}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

const forwardAllowBody = `{"allow":true}`

func TestForwardDecides(t *testing.T) {
	const html = "<!doctype html><title>Log in</title>"
	pad := func(size int) string {
		return forwardAllowBody + strings.Repeat(" ", size-len(forwardAllowBody))
	}
	ok := func(body string) http.HandlerFunc { return forwardWrite(200, "application/json", body) }
	typed := func(contentType string) http.HandlerFunc { return forwardWrite(200, contentType, forwardAllowBody) }
	status := func(code int) http.HandlerFunc { return forwardWrite(code, "application/json", forwardAllowBody) }
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		want   error
		says   string
	}{
		{"allow", ok(forwardAllowBody), nil, ""},
		{"allow, Express", typed("application/json; charset=utf-8"), nil, ""},
		{"allow, +json", typed("Application/VND.host+json"), nil, ""},
		{"allow, with space and other members", ok("\r\n { \"user\": {\"allow\": false}, \"allow\" : true } \n"), nil, ""},
		{"allow, an escaped name", ok(`{"\u0061llow":true}`), nil, ""},
		{"allow, 64 KiB", ok(pad(64 << 10)), nil, ""},

		{"deny", ok(`{"allow":false}`), access.ErrDenied, "does not allow"},
		{"deny, 403", status(403), access.ErrDenied, "403"},
		{"deny, 403 in HTML", forwardWrite(403, "text/html", html), access.ErrDenied, "403"},
		{"401", status(401), access.ErrUnauthenticated, "401"},

		{"a single-page application", forwardWrite(200, "text/html; charset=utf-8", html), access.ErrUnavailable, "Content-Type"},
		{"HTML as JSON", ok(html), access.ErrUnavailable, "not one JSON value"},
		{"JSON as HTML", typed("text/html"), access.ErrUnavailable, "Content-Type"},
		{"JSON as text", typed("text/plain"), access.ErrUnavailable, "Content-Type"},
		{"JSON without type", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = nil
			io.WriteString(w, forwardAllowBody)
		}, access.ErrUnavailable, "Content-Type"},
		{"two types", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{"application/json", "text/html"}
			io.WriteString(w, forwardAllowBody)
		}, access.ErrUnavailable, "Content-Type"},
		{"a type like JSON", typed("application/jsonp"), access.ErrUnavailable, "Content-Type"},
		{"a malformed type", typed("application/json; charset"), access.ErrUnavailable, "Content-Type"},
		{"another charset", typed("application/json; charset=utf-16"), access.ErrUnavailable, "Content-Type"},

		{"a string", ok(`{"allow":"true"}`), access.ErrUnavailable, "neither true nor false"},
		{"a number", ok(`{"allow":1}`), access.ErrUnavailable, "neither true nor false"},
		{"null", ok(`{"allow":null}`), access.ErrUnavailable, "neither true nor false"},
		{"an array of true", ok(`{"allow":[true]}`), access.ErrUnavailable, "neither true nor false"},
		{"absent", ok(`{}`), access.ErrUnavailable, "neither true nor false"},
		{"in a member", ok(`{"data":{"allow":true}}`), access.ErrUnavailable, "neither true nor false"},
		{"with a space in the name", ok(`{"allow ":true}`), access.ErrUnavailable, "neither true nor false"},
		{"another case", ok(`{"Allow":true}`), access.ErrUnavailable, "letter case"},
		{"both cases", ok(`{"allow":true,"ALLOW":true}`), access.ErrUnavailable, "letter case"},
		{"true and false", ok(`{"allow":true,"allow":false}`), access.ErrUnavailable, "one name"},
		{"false and true", ok(`{"allow":false,"allow":true}`), access.ErrUnavailable, "one name"},
		{"true twice", ok(`{"allow":true,"\u0061llow":true}`), access.ErrUnavailable, "one name"},
		{"an array", ok(`[]`), access.ErrUnavailable, "not a JSON object"},
		{"an array of allow", ok(`[{"allow":true}]`), access.ErrUnavailable, "not a JSON object"},
		{"true alone", ok(`true`), access.ErrUnavailable, "not a JSON object"},
		{"True", ok(`{"allow":True}`), access.ErrUnavailable, "not one JSON value"},
		{"single quotes", ok(`{'allow':true}`), access.ErrUnavailable, "not one JSON value"},
		{"no body", ok(``), access.ErrUnavailable, "not one JSON value"},
		{"cut off", ok(`{"allow":true`), access.ErrUnavailable, "not one JSON value"},
		{"trailing data", ok(forwardAllowBody + `x`), access.ErrUnavailable, "not one JSON value"},
		{"two objects", ok(forwardAllowBody + "\n" + forwardAllowBody), access.ErrUnavailable, "not one JSON value"},
		{"a trailing NUL", ok(forwardAllowBody + "\x00"), access.ErrUnavailable, "not one JSON value"},
		{"a byte order mark", ok("\ufeff" + forwardAllowBody), access.ErrUnavailable, "not one JSON value"},
		{"UTF-16", ok("{\x00\"\x00a\x00"), access.ErrUnavailable, "not one JSON value"},
		{"invalid UTF-8", ok("{\"allow\":true,\"x\":\"\xff\"}"), access.ErrUnavailable, "not one JSON value"},
		{"64 KiB and a byte", ok(pad(64<<10 + 1)), access.ErrUnavailable, "more than 64 KiB"},

		{"201", status(201), access.ErrUnavailable, "201"},
		{"204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, access.ErrUnavailable, "204"},
		{"206", status(206), access.ErrUnavailable, "206"},
		{"304", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304) }, access.ErrUnavailable, "304"},
		{"400", status(400), access.ErrUnavailable, "400"},
		{"402", status(402), access.ErrUnavailable, "402"},
		{"404", status(404), access.ErrUnavailable, "404"},
		{"407", status(407), access.ErrUnavailable, "407"},
		{"429", status(429), access.ErrUnavailable, "429"},
		{"500", status(500), access.ErrUnavailable, "500"},
		{"502", status(502), access.ErrUnavailable, "502"},
		{"503", status(503), access.ErrUnavailable, "503"},
		{"999", status(999), access.ErrUnavailable, "999"},
		{"a panic", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, access.ErrUnavailable, "ended the connection"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := forwardAsk(t, newForward(t, access.ForwardConfig{URL: forwardHost(t, c.answer).URL}))
			if !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Fatalf("%v", err)
			}
			if c.says != "" && !strings.Contains(err.Error(), c.says) {
				t.Errorf("does not say %q: %v", c.says, err)
			}
		})
	}
}

func TestForwardFollowsNoRedirect(t *testing.T) {
	for _, status := range []int{300, 301, 302, 303, 307, 308} {
		var elsewhere atomic.Int64
		mux := http.NewServeMux()
		mux.Handle("/may-open", http.RedirectHandler("/login", status))
		mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
			elsewhere.Add(1)
			forwardWrite(200, "application/json", forwardAllowBody)(w, r)
		})
		f := newForward(t, access.ForwardConfig{URL: forwardHost(t, mux.ServeHTTP).URL + "/may-open"})
		err := forwardAsk(t, f)
		if !errors.Is(err, access.ErrUnavailable) || !strings.Contains(err.Error(), strconv.Itoa(status)) {
			t.Errorf("%d: %v", status, err)
		}
		if elsewhere.Load() != 0 {
			t.Errorf("%d was followed", status)
		}
	}
}

// Answers that a real HTTP server would not give, some of which echo the request.
func TestForwardSurvivesBrokenHosts(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
	silence := func(conn net.Conn) { io.Copy(io.Discard, conn) } // until the other side hangs up
	write := func(text string) func(net.Conn, []byte) {
		return func(conn net.Conn, _ []byte) { io.WriteString(conn, text) }
	}
	for _, c := range []struct {
		name   string
		answer func(conn net.Conn, request []byte)
		says   string
	}{
		{"hangs up", func(net.Conn, []byte) {}, "ended the connection"},
		{"says nothing", func(conn net.Conn, _ []byte) { silence(conn) }, "in time"},
		{"says nothing after the header", func(conn net.Conn, _ []byte) {
			io.WriteString(conn, head+"Content-Length: 14\r\n\r\n")
			silence(conn)
		}, "in time"},
		{"says all but the last byte", func(conn net.Conn, _ []byte) {
			io.WriteString(conn, head+"Content-Length: 15\r\n\r\n"+forwardAllowBody)
			silence(conn)
		}, "in time"},
		{"ends before the last byte", write(head + "Content-Length: 15\r\n\r\n" + forwardAllowBody), "ended the connection"},
		{"ends before the last chunk", write(head + "Transfer-Encoding: chunked\r\n\r\ne\r\n" + forwardAllowBody + "\r\n"), "ended the connection"},
		{"malformed chunks", write(head + "Transfer-Encoding: chunked\r\n\r\n5ecret\r\n"), "else than HTTP"},
		{"a length that is none", write(head + "Content-Length: 5ecret\r\n\r\n" + forwardAllowBody), "else than HTTP"},
		{"two lengths", write(head + "Content-Length: 14\r\nContent-Length: 5\r\n\r\n" + forwardAllowBody), "else than HTTP"},
		{"switches protocols and says nothing", func(conn net.Conn, _ []byte) {
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
			silence(conn)
		}, "101"},
		{"early hints for ever", func(conn net.Conn, _ []byte) {
			for {
				if _, err := io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"); err != nil {
					return
				}
			}
		}, "host application"},
		{"header for ever", func(conn net.Conn, _ []byte) {
			io.WriteString(conn, head)
			for {
				if _, err := io.WriteString(conn, "X-Filler: "+strings.Repeat("x", 1000)+"\r\n"); err != nil {
					return
				}
			}
		}, "header over 64 KiB"},
		{"header that trickles", func(conn net.Conn, _ []byte) { forwardTrickle(conn, nil) }, "in time"},
		{"echoes the request", func(conn net.Conn, request []byte) { conn.Write(request) }, "else than HTTP"},
		{"echoes the request in one line", func(conn net.Conn, request []byte) {
			conn.Write(append(bytes.ReplaceAll(request, []byte("\r\n"), []byte(" ")), "\r\n"...))
		}, "else than HTTP"},
		{"echoes the header in a malformed one", func(conn net.Conn, request []byte) {
			fmt.Fprintf(conn, "%sno colon %s\r\n\r\n", head, bytes.ReplaceAll(request, []byte("\r\n"), []byte(" ")))
		}, "else than HTTP"},
		{"echoes credentials in the status", func(conn net.Conn, _ []byte) {
			fmt.Fprintf(conn, "HTTP/1.1 500 %s %s\r\n\r\n", forwardCookie, forwardDocument)
		}, "500"},
		{"echoes credentials in the type", func(conn net.Conn, _ []byte) {
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: text/%s\r\n\r\n", forwardDocument)
		}, "Content-Type"},
		{"echoes credentials in the transfer encoding", func(conn net.Conn, _ []byte) {
			fmt.Fprintf(conn, "%sTransfer-Encoding: %s\r\n\r\n", head, forwardDocument)
		}, "else than HTTP"},
		{"echoes credentials in the body", func(conn net.Conn, _ []byte) {
			fmt.Fprintf(conn, "%s\r\n{\"%s\":1,\"%s\":2}", head, forwardDocument, forwardDocument)
		}, "one name"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			timeout := forwardSoon
			if c.says == "in time" {
				timeout = forwardBriefly
			}
			f := newForward(t, access.ForwardConfig{URL: forwardRawHost(t, c.answer), Timeout: timeout})
			err := forwardAsk(t, f)
			if !errors.Is(err, access.ErrUnavailable) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("does not say %q: %v", c.says, err)
			}
			if err := f.Ready(); err == nil {
				t.Error("ready")
			} else {
				forwardCheckError(t, err)
			}
		})
	}
}

// forwardTrickle writes an answer that would allow, a byte at a time, until the
// other side hangs up or gone is closed.
func forwardTrickle(w io.Writer, gone <-chan struct{}) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for text := []byte("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<16)); ; text = text[1:] {
		if _, err := w.Write(text[:1]); err != nil {
			return
		}
		if flusher, ok := w.(http.Flusher); ok {
			flusher.Flush()
		}
		select {
		case <-tick.C:
		case <-gone:
			return
		}
	}
}

func TestForwardCutsTrickles(t *testing.T) {
	var status atomic.Int64
	status.Store(http.StatusOK)
	host := forwardHost(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(int(status.Load()))
		io.WriteString(w, forwardAllowBody)
		forwardTrickle(w, r.Context().Done())
	}) // closing it waits for the trickles' end
	ask := func(timeout time.Duration) error {
		return forwardAsk(t, newForward(t, access.ForwardConfig{URL: host.URL, Timeout: timeout}))
	}
	if err := ask(forwardBriefly); !errors.Is(err, access.ErrUnavailable) || !strings.Contains(err.Error(), "in time") {
		t.Error(err)
	}
	// The status decides alone, if it comes in time, which on a busy machine takes some.
	status.Store(http.StatusForbidden)
	for timeout := forwardBriefly; ; timeout *= 4 {
		err := ask(timeout)
		if errors.Is(err, access.ErrDenied) {
			break
		}
		if timeout > 10*time.Second {
			t.Fatal(err)
		}
	}
}

func forwardWait(t *testing.T, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(forwardSoon):
		t.Fatal("waited in vain")
	}
}

func TestForwardReadsNoMoreThanItMust(t *testing.T) {
	const size = 100 << 20
	chunk := bytes.Repeat([]byte(" "), 64<<10)
	for _, c := range []struct {
		protocol, status int
	}{{1, 200}, {1, 403}, {1, 500}, {2, 200}, {2, 403}} {
		var written atomic.Int64
		done := make(chan struct{})
		host := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			defer close(done)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(c.status)
			io.WriteString(w, forwardAllowBody)
			for written.Load() < size {
				n, err := w.Write(chunk)
				written.Add(int64(n))
				if err != nil {
					return
				}
			}
		}))
		host.EnableHTTP2 = c.protocol == 2
		host.StartTLS()
		t.Cleanup(host.Close)
		f := newForward(t, access.ForwardConfig{URL: host.URL, RootCAs: forwardRoots(host)})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := forwardAsk(t, f)
		runtime.ReadMemStats(&after)
		forwardWait(t, done)
		if err == nil || c.status == 200 && !strings.Contains(err.Error(), "more than 64 KiB") {
			t.Errorf("%v: %v", c, err)
		}
		most := int64(size / 2) // what fits into the sockets' buffers is not read
		if c.protocol == 2 {
			most = 512 << 10 // the host waits until it may send more
		}
		if n := written.Load(); n > most {
			t.Errorf("%v: the host could write %d bytes", c, n)
		}
		allocated := after.TotalAlloc - before.TotalAlloc
		if allocated > 4<<20 {
			t.Errorf("%v: allocated %d bytes", c, allocated)
		}
		t.Logf("HTTP/%d, %d: the host wrote %d KiB, %d KiB were allocated", c.protocol, c.status, written.Load()>>10, allocated>>10)
	}
}

// forwardRoots trusts a TLS host.
func forwardRoots(host *httptest.Server) *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AddCert(host.Certificate())
	return roots
}

func TestForwardFailsClosedWithoutHost(t *testing.T) {
	t.Run("connection refused", func(t *testing.T) {
		host := forwardHost(t, nil)
		host.Close()
		err := forwardAsk(t, newForward(t, access.ForwardConfig{URL: host.URL + "/?key=5ecret"}))
		if !errors.Is(err, access.ErrUnavailable) || !strings.Contains(err.Error(), "connection refused") {
			t.Error(err)
		}
	})
	t.Run("no such host", func(t *testing.T) {
		f := newForward(t, access.ForwardConfig{URL: "https://host.invalid/", Timeout: time.Second})
		if err := forwardAsk(t, f); !errors.Is(err, access.ErrUnavailable) {
			t.Error(err)
		}
	})
	t.Run("no TLS handshake", func(t *testing.T) {
		silent, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
		f := newForward(t, access.ForwardConfig{URL: "https://" + silent.Addr().String(), Timeout: forwardBriefly})
		if err := forwardAsk(t, f); !errors.Is(err, access.ErrUnavailable) || !strings.Contains(err.Error(), "in time") {
			t.Error(err)
		}
	})
	t.Run("HTTP behind https", func(t *testing.T) {
		host := forwardHost(t, forwardWrite(200, "application/json", forwardAllowBody))
		f := newForward(t, access.ForwardConfig{URL: strings.Replace(host.URL, "http:", "https:", 1)})
		if err := forwardAsk(t, f); !errors.Is(err, access.ErrUnavailable) || !strings.Contains(err.Error(), "does not look like a TLS handshake") {
			t.Error(err)
		}
	})
}

func TestForwardVerifiesTLS(t *testing.T) {
	start := func(t *testing.T, change func(*httptest.Server)) (*httptest.Server, *x509.CertPool) {
		host := httptest.NewUnstartedServer(forwardWrite(200, "application/json", forwardAllowBody))
		host.TLS = &tls.Config{}
		host.Config.ErrorLog = log.New(io.Discard, "", 0)
		change(host)
		host.StartTLS()
		t.Cleanup(host.Close)
		return host, forwardRoots(host)
	}
	same := func(*httptest.Server) {}
	t.Run("unknown CA", func(t *testing.T) {
		host, _ := start(t, same)
		for _, roots := range []*x509.CertPool{nil, x509.NewCertPool()} {
			err := forwardAsk(t, newForward(t, access.ForwardConfig{URL: host.URL, RootCAs: roots}))
			if !errors.Is(err, access.ErrUnavailable) || !strings.Contains(err.Error(), "unknown authority") {
				t.Error(err)
			}
		}
	})
	t.Run("another name", func(t *testing.T) {
		host, roots := start(t, same)
		url := strings.Replace(host.URL, "127.0.0.1", "localhost", 1)
		err := forwardAsk(t, newForward(t, access.ForwardConfig{URL: url, RootCAs: roots}))
		if !errors.Is(err, access.ErrUnavailable) || !strings.Contains(err.Error(), "localhost") {
			t.Error(err)
		}
	})
	t.Run("TLS 1.1", func(t *testing.T) {
		host, roots := start(t, func(s *httptest.Server) { s.TLS.MinVersion, s.TLS.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 })
		err := forwardAsk(t, newForward(t, access.ForwardConfig{URL: host.URL, RootCAs: roots}))
		if !errors.Is(err, access.ErrUnavailable) || !strings.Contains(err.Error(), "protocol version") {
			t.Error(err)
		}
	})
	t.Run("a CA file's CA", func(t *testing.T) {
		host, roots := start(t, func(s *httptest.Server) { s.TLS.MaxVersion = tls.VersionTLS12 })
		if err := forwardAsk(t, newForward(t, access.ForwardConfig{URL: host.URL, RootCAs: roots})); err != nil {
			t.Error(err)
		}
	})
	t.Run("HTTP/2", func(t *testing.T) {
		var major, conns atomic.Int64
		host, roots := start(t, func(s *httptest.Server) {
			s.EnableHTTP2 = true
			s.Config.ConnState = forwardCount(&conns)
			answer := s.Config.Handler
			s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				major.Store(int64(r.ProtoMajor))
				answer.ServeHTTP(w, r)
			})
		})
		f := newForward(t, access.ForwardConfig{URL: host.URL, RootCAs: roots})
		for range 50 {
			if err := forwardAsk(t, f); err != nil {
				t.Fatal(err)
			}
		}
		if major.Load() != 2 || conns.Load() != 1 {
			t.Errorf("HTTP/%d, %d connections", major.Load(), conns.Load())
		}
	})
}

// forwardCount counts new connections.
func forwardCount(n *atomic.Int64) func(net.Conn, http.ConnState) {
	return func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			n.Add(1)
		}
	}
}

// All calls over HTTP/2 share a connection. When its path goes dead without a
// word, as behind a firewall that forgets, later calls must find another one.
func TestForwardLeavesDeadConnections(t *testing.T) {
	host := httptest.NewUnstartedServer(forwardWrite(200, "application/json", forwardAllowBody))
	host.EnableHTTP2 = true
	host.StartTLS()
	t.Cleanup(host.Close)

	relay, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { relay.Close() })
	var accepted, dead atomic.Int64 // connections; the first so many are dead
	go func() {
		for {
			near, err := relay.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", host.Listener.Addr().String())
			if err != nil {
				near.Close()
				return
			}
			number := accepted.Add(1)
			pump := func(to, from net.Conn) {
				defer to.Close()
				buffer := make([]byte, 4096)
				for {
					n, err := from.Read(buffer)
					if err != nil {
						return
					}
					if number > dead.Load() {
						to.Write(buffer[:n])
					}
				}
			}
			go pump(near, far)
			go pump(far, near)
		}
	}()

	f := newForward(t, access.ForwardConfig{URL: "https://" + relay.Addr().String(), RootCAs: forwardRoots(host), Timeout: forwardBriefly * 4})
	succeed := func() (tries int, took time.Duration) {
		start := time.Now()
		for tries = 1; ; tries++ {
			err := forwardAsk(t, f)
			if err == nil {
				return tries, time.Since(start)
			}
			if time.Since(start) > forwardSoon {
				t.Fatalf("still: %v", err)
			}
		}
	}
	succeed()
	dead.Store(accepted.Load())
	tries, took := succeed()
	t.Logf("a decision after %d calls and %s", tries, took)
}

func TestForwardRefusesCallers(t *testing.T) {
	var calls atomic.Int64
	host := forwardHost(t, func(http.ResponseWriter, *http.Request) { calls.Add(1) })
	f := newForward(t, access.ForwardConfig{URL: host.URL})
	for name, header := range map[string]http.Header{
		"no credentials":             {"X-Api-Key": {"5ecret"}},
		"empty credentials":          {"Cookie": {""}, "Authorization": {""}},
		"two Cookies":                {"Cookie": {forwardCookie, "sid=another-5ecret"}},
		"one Cookie twice":           {"Cookie": {forwardCookie, forwardCookie}},
		"an empty and a full Cookie": {"Cookie": {"", forwardCookie}},
		"two Authorizations":         {"Authorization": {forwardToken, "Bearer another-5ecret"}},
		"a Cookie, two tokens":       {"Cookie": {forwardCookie}, "Authorization": {forwardToken, forwardToken}},
	} {
		caller, err := f.Identify(forwardRequest(header))
		if caller != nil || !errors.Is(err, access.ErrUnauthenticated) {
			t.Errorf("%s: %v, %v", name, caller, err)
		}
		forwardCheckError(t, err)
	}
	if n := calls.Load(); n != 0 {
		t.Errorf("the host was asked %d times", n)
	}
	if err := f.Ready(); err != nil {
		t.Error(err)
	}
}

// Every byte that the host gets is known: nothing else of the caller's request.
func TestForwardSendsThisOnly(t *testing.T) {
	received := make(chan []byte, 1)
	url := forwardRawHost(t, func(conn net.Conn, request []byte) {
		received <- request
		fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nSet-Cookie: sid=next-5ecret\r\nContent-Length: 14\r\nConnection: close\r\n\r\n%s", forwardAllowBody)
	})
	f := newForward(t, access.ForwardConfig{URL: url})
	const cookie, token = "Cookie: " + forwardCookie + "\r\n", "Authorization: " + forwardToken + "\r\n"
	for _, c := range []struct {
		name       string
		with       string // of the two headers, as net/http sorts them
		document   string
		documentAs string
		operation  access.Operation
	}{
		{"issue", token + cookie, "doc", "doc", access.Issue},
		{"resolve", token + cookie, "doc", "doc", access.Resolve},
		{"a cookie", cookie, "doc", "doc", access.Issue},
		{"a token", token, "doc", "doc", access.Issue},
		{"an injected member", cookie, `x","operation":"resolve`, `x\",\"operation\":\"resolve`, access.Issue},
		{"an injected object", cookie, `"},{"documentId":"y`, `\"},{\"documentId\":\"y`, access.Issue},
		{"an injected header", cookie, "x\r\nCookie: sid=admin\r\n\r\n{}", `x\r\nCookie: sid=admin\r\n\r\n{}`, access.Issue},
		{"an escape", cookie, `x\u0022,\`, `x\\u0022,\\`, access.Issue},
		{"NUL and other controls", cookie, "a\x00b\x1f\t\x7f", `a\u0000b\u001f\t` + "\x7f", access.Issue},
		{"markup", cookie, "</script>&\u2028", "</script>&\u2028", access.Issue},
		{"beyond ASCII", cookie, "e\u0301\u00e9\U0001f511\ufffd\ufeff", "e\u0301\u00e9\U0001f511\ufffd\ufeff", access.Issue},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := forwardRequest(http.Header{
				"X-Forwarded-For": {"192.0.2.1"}, "Forwarded": {"for=192.0.2.1"}, "X-Real-Ip": {"192.0.2.1"},
				"User-Agent": {"Mozilla/5.0"}, "Referer": {"https://app.example/doc"}, "Origin": {"https://app.example"},
				"Accept": {"*/*"}, "Accept-Language": {"de"}, "Accept-Encoding": {"gzip"}, "Content-Type": {"text/plain"},
				"Proxy-Authorization": {"Basic eDp5"}, "X-Csrf-Token": {"x"}, "X-Request-Id": {"x"}, "Traceparent": {"x"},
				"X-Http-Method-Override": {"GET"}, "Connection": {"Cookie, close"}, "Expect": {"100-continue"}, "Te": {"trailers"},
			})
			r.Trailer = http.Header{"X-Trailer": {"x"}}
			if strings.Contains(c.with, cookie) {
				r.Header.Set("Cookie", forwardCookie)
			}
			if strings.Contains(c.with, token) {
				r.Header.Set("Authorization", forwardToken)
			}
			caller, err := f.Identify(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := caller.MayOpen(t.Context(), c.document, c.operation); err != nil {
				t.Fatal(err)
			}
			body := fmt.Sprintf(`{"documentId":"%s","operation":"%s"}`, c.documentAs, c.operation)
			headers := []string{"Accept: application/json\r\n", c.with, "Content-Type: application/json\r\n"}
			if c.with == token+cookie {
				headers = []string{headers[0], token, headers[2], cookie}
			} else if c.with == cookie {
				headers = []string{headers[0], headers[2], cookie}
			}
			want := fmt.Sprintf("POST /may-open HTTP/1.1\r\nHost: %s\r\nUser-Agent: keyhint\r\nContent-Length: %d\r\n%s\r\n%s",
				strings.Split(url, "/")[2], len(body), strings.Join(headers, ""), body)
			if got := <-received; string(got) != want {
				t.Errorf("sent\n%q\nnot\n%q", got, want)
			}
			var read struct{ DocumentID, Operation string }
			if err := json.Unmarshal([]byte(body), &read); err != nil || read.DocumentID != c.document || read.Operation != string(c.operation) {
				t.Errorf("reads as %q, %v", read, err)
			}
		})
	}
}

// Two ids must never become one, as U+FFFD would make of these.
func TestForwardRefusesIDsThatAreNotUTF8(t *testing.T) {
	var calls atomic.Int64
	host := forwardHost(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		forwardWrite(200, "application/json", forwardAllowBody)(w, r)
	})
	f := newForward(t, access.ForwardConfig{URL: host.URL})
	for _, document := range []string{forwardDocument + "\xff", forwardDocument + "\xed\xa0\x80"} {
		if err := forwardAskAs(t, t.Context(), forwardCaller(t, f), document); !errors.Is(err, access.ErrDenied) {
			t.Errorf("%q: %v", document, err)
		}
	}
	if n := calls.Load(); n != 0 {
		t.Errorf("the host was asked %d times", n)
	}
}

// The environment is read once per process, so this test runs in one of its own.
// LOCALHOST in capitals is a name that net/http would ask a proxy for.
func TestForwardIgnoresTheEnvironmentsProxy(t *testing.T) {
	const marker = "KEYHINT_TEST_FORWARD_HOST"
	if url := os.Getenv(marker); url != "" {
		if proxy, err := http.ProxyFromEnvironment(httptest.NewRequest(http.MethodPost, url, nil)); proxy == nil {
			t.Fatalf("net/http would not use a proxy here, so this shows nothing: %v", err)
		}
		if err := forwardAsk(t, newForward(t, access.ForwardConfig{URL: url})); err != nil {
			t.Fatal(err)
		}
		return
	}
	host := forwardHost(t, forwardWrite(200, "application/json", forwardAllowBody))
	_, port, _ := net.SplitHostPort(host.Listener.Addr().String())
	t.Setenv(marker, "http://LOCALHOST:"+port)
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, "http://127.0.0.1:1")
	}
	t.Setenv("NO_PROXY", "")
	t.Setenv("no_proxy", "")
	out, err := exec.Command(os.Args[0], "-test.run=^TestForwardIgnoresTheEnvironmentsProxy$", "-test.count=1", "-test.v").CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS")) {
		t.Errorf("%v\n%s", err, out)
	}
}

// forwardHold is a host that holds every call until released.
type forwardHold struct {
	*httptest.Server
	arrived chan struct{}
	release func()
	most    atomic.Int64
}

func newForwardHold(t *testing.T) *forwardHold {
	released := make(chan struct{})
	h := &forwardHold{arrived: make(chan struct{}, 1000), release: sync.OnceFunc(func() { close(released) })}
	var now atomic.Int64
	h.Server = forwardHost(t, func(w http.ResponseWriter, r *http.Request) {
		for n := now.Add(1); ; {
			if most := h.most.Load(); n <= most || h.most.CompareAndSwap(most, n) {
				break
			}
		}
		defer now.Add(-1)
		h.arrived <- struct{}{}
		select {
		case <-released:
		case <-r.Context().Done():
		}
		forwardWrite(200, "application/json", forwardAllowBody)(w, r)
	})
	t.Cleanup(h.release)
	return h
}

func TestForwardCapsConcurrency(t *testing.T) {
	const limit = 3
	host := newForwardHold(t)
	f := newForward(t, access.ForwardConfig{URL: host.URL, MaxConcurrent: limit})
	caller := forwardCaller(t, f)
	answers := make(chan error, limit+1)
	ask := func() { answers <- caller.MayOpen(t.Context(), forwardDocument, access.Issue) }
	for range limit {
		go ask()
	}
	for range limit {
		forwardWait(t, host.arrived)
	}
	// One more, which is given a shorter time than those that hold the slots.
	ctx, cancel := context.WithTimeout(t.Context(), forwardBriefly)
	defer cancel()
	err := forwardAskAs(t, ctx, caller, forwardDocument)
	if !errors.Is(err, access.ErrUnavailable) || !strings.Contains(err.Error(), "at once") {
		t.Errorf("one too many: %v", err)
	}
	if f.Ready() == nil {
		t.Error("ready")
	}
	// And one whose turn comes.
	go ask()
	host.release()
	for range limit + 1 {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
	if n := host.most.Load(); n != limit {
		t.Errorf("%d calls at once", n)
	}
	if err := f.Ready(); err != nil {
		t.Error(err)
	}
}

// Waiting counts towards the timeout, and slots come back however calls end.
func TestForwardSlotsComeBack(t *testing.T) {
	const limit, callers = 2, 200
	host := newForwardHold(t)
	f := newForward(t, access.ForwardConfig{URL: host.URL, MaxConcurrent: limit, Timeout: forwardBriefly})
	caller := forwardCaller(t, f)
	var wait sync.WaitGroup
	start := time.Now()
	for range callers {
		wait.Go(func() {
			err := caller.MayOpen(t.Context(), forwardDocument, access.Issue)
			if !errors.Is(err, access.ErrUnavailable) {
				t.Error(err)
			}
			forwardCheckError(t, err)
		})
	}
	wait.Wait()
	if took := time.Since(start); took > callers/limit*forwardBriefly/2 {
		t.Errorf("%d callers waited for %s: one after the other", callers, took)
	}
	host.release()
	for successes := 0; successes < 2*limit; {
		err := forwardAsk(t, f)
		if err == nil {
			successes++
		} else if time.Since(start) > forwardSoon {
			t.Fatal(err)
		}
	}
}

func TestForwardReusesConnections(t *testing.T) {
	var conns, calls atomic.Int64
	big := strings.Repeat(" ", 32<<10)
	host := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch calls.Add(1) % 5 {
		case 0:
			forwardWrite(200, "application/json", forwardAllowBody)(w, r)
		case 1:
			forwardWrite(200, "application/json", `{"allow":false}`+big)(w, r)
		case 2:
			forwardWrite(403, "text/html", big)(w, r)
		case 3:
			forwardWrite(500, "text/html", big)(w, r)
		case 4:
			w.Header().Set("Location", "/login")
			forwardWrite(302, "text/html", big)(w, r)
		}
	}))
	host.Config.ConnState = forwardCount(&conns)
	host.Start()
	t.Cleanup(host.Close)
	f := newForward(t, access.ForwardConfig{URL: host.URL, MaxConcurrent: 8})
	allowed := 0
	for range 50 {
		if forwardAsk(t, f) == nil {
			allowed++
		}
	}
	if allowed != 10 || conns.Load() != 1 {
		t.Errorf("%d of 50 allowed over %d connections", allowed, conns.Load())
	}

	// Concurrently, a few more may be opened, never one for each call.
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 100 {
				forwardCaller(t, f).MayOpen(t.Context(), forwardDocument, access.Resolve)
			}
		})
	}
	wait.Wait()
	if n := conns.Load(); n > 40 {
		t.Errorf("%d connections for 8 callers", n)
	}
	t.Logf("%d connections for 50 calls in a row and 800 from 8 callers", conns.Load())
}

func TestForwardConcurrently(t *testing.T) {
	host := forwardHost(t, func(w http.ResponseWriter, r *http.Request) {
		var question struct{ DocumentID string }
		json.NewDecoder(r.Body).Decode(&question)
		// Each caller may open the document that is named like its cookie.
		if r.Header.Get("Cookie") == question.DocumentID {
			forwardWrite(200, "application/json", forwardAllowBody)(w, r)
		} else {
			forwardWrite(200, "application/json", `{"allow":false}`)(w, r)
		}
	})
	var outcomes sync.Map
	f := newForward(t, access.ForwardConfig{URL: host.URL, MaxConcurrent: 10, Observe: func(outcome string, _ time.Duration) {
		n, _ := outcomes.LoadOrStore(outcome, new(atomic.Int64))
		n.(*atomic.Int64).Add(1)
	}})
	var wait sync.WaitGroup
	for who := range 40 {
		wait.Go(func() {
			own := "user=" + strconv.Itoa(who)
			caller, err := f.Identify(forwardRequest(http.Header{"Cookie": {own}}))
			if err != nil {
				t.Error(err)
				return
			}
			for i := range 40 {
				err := caller.MayOpen(t.Context(), "user="+strconv.Itoa(i), access.Issue)
				if i == who && err != nil || i != who && !errors.Is(err, access.ErrDenied) {
					t.Errorf("%d on %d: %v", who, i, err)
				}
				if err := f.Ready(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	for outcome, want := range map[string]int64{access.ForwardAllow: 40, access.ForwardDeny: 40 * 39} {
		if n, ok := outcomes.Load(outcome); !ok || n.(*atomic.Int64).Load() != want {
			t.Errorf("%s: not %d", outcome, want)
		}
	}
}

func TestForwardEndsWithItsCaller(t *testing.T) {
	host := newForwardHold(t)
	var outcomes []string
	f := newForward(t, access.ForwardConfig{URL: host.URL, MaxConcurrent: 1, Timeout: time.Hour, Observe: func(outcome string, _ time.Duration) {
		outcomes = append(outcomes, outcome)
	}})
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-host.arrived; cancel() }()
		err := forwardAskAs(t, ctx, forwardCaller(t, f), forwardDocument)
		if !errors.Is(err, access.ErrUnavailable) || !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	if err := f.Ready(); err != nil {
		t.Errorf("the host is blamed: %v", err)
	}
	if want := slices.Repeat([]string{access.ForwardCanceled}, 3); !slices.Equal(outcomes, want) {
		t.Errorf("%q", outcomes)
	}
}

func TestForwardReadyAndObserve(t *testing.T) {
	var answer atomic.Value
	host := forwardHost(t, func(w http.ResponseWriter, r *http.Request) { answer.Load().(http.HandlerFunc)(w, r) })
	var outcome string
	var took time.Duration
	began := time.Now()
	f := newForward(t, access.ForwardConfig{URL: host.URL, Observe: func(o string, d time.Duration) { outcome, took = o, d }})
	if err := f.Ready(); err != nil {
		t.Fatal(err)
	}
	json := "application/json"
	allow, deny := forwardWrite(200, json, forwardAllowBody), forwardWrite(403, json, "")
	const since = `^since (\S+): access control is unavailable: the host application `
	var firstSince string
	for i, c := range []struct {
		answer  http.HandlerFunc
		outcome string
		ready   string // a pattern; empty: ready
	}{
		{allow, access.ForwardAllow, ""},
		{forwardWrite(500, json, ""), access.ForwardUnavailable, since + "answered 500$"},
		{forwardWrite(302, json, ""), access.ForwardUnavailable, since + "answered 302$"},
		{deny, access.ForwardDeny, ""},
		{forwardWrite(500, json, ""), access.ForwardUnavailable, since + "answered 500$"},
		{forwardWrite(401, json, ""), access.ForwardUnauthenticated, ""},
		{forwardWrite(200, "text/html", ""), access.ForwardUnavailable, since + "answered 200, but .*Content-Type"},
		{allow, access.ForwardAllow, ""},
	} {
		answer.Store(c.answer)
		before := time.Now()
		forwardAsk(t, f)
		if elapsed := time.Since(before); outcome != c.outcome || took <= 0 || took > elapsed {
			t.Errorf("step %d: observed %s, %s of %s", i, outcome, took, elapsed)
		}
		err := f.Ready()
		if c.ready == "" {
			if err != nil {
				t.Errorf("step %d: %v", i, err)
			}
			firstSince = ""
			continue
		}
		if !errors.Is(err, access.ErrUnavailable) {
			t.Fatalf("step %d: %v", i, err)
		}
		match := regexp.MustCompile(c.ready).FindStringSubmatch(err.Error())
		if match == nil {
			t.Fatalf("step %d: %v", i, err)
		}
		at, parseErr := time.Parse(time.RFC3339, match[1])
		if parseErr != nil || at.Before(began.Add(-time.Second)) || at.After(time.Now()) {
			t.Errorf("step %d: since %s, %v", i, match[1], parseErr)
		}
		if firstSince == "" {
			firstSince = match[1]
			time.Sleep(time.Until(at.Add(time.Second))) // so that a later failure has another time
		} else if firstSince != match[1] {
			t.Errorf("step %d: since %s, not %s", i, match[1], firstSince)
		}
	}
}

func TestForwardSubject(t *testing.T) {
	f := newForward(t, access.ForwardConfig{URL: "https://app.example/may-open"})
	identify := func(f *access.Forward, cookie, authorization string) access.Caller {
		header := http.Header{}
		if cookie != "" {
			header.Set("Cookie", cookie)
		}
		if authorization != "" {
			header.Set("Authorization", authorization)
		}
		caller, err := f.Identify(forwardRequest(header))
		if err != nil {
			t.Fatal(err)
		}
		return caller
	}
	caller := identify(f, forwardCookie, forwardToken)
	if !regexp.MustCompile(`^[0-9a-f]{16}$`).MatchString(caller.Subject()) {
		t.Error(caller.Subject())
	}
	if caller.Subject() != identify(f, forwardCookie, forwardToken).Subject() {
		t.Error("not stable")
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, caller); strings.Contains(text, "5ecret") {
			t.Error(text)
		}
	}
	seen := map[string]bool{caller.Subject(): true}
	for _, other := range []access.Caller{
		identify(newForward(t, access.ForwardConfig{URL: "https://app.example/may-open"}), forwardCookie, forwardToken),
		identify(f, "ab", "c"), identify(f, "a", "bc"), identify(f, "abc", ""), identify(f, "", "abc"), identify(f, "c", "ab"),
	} {
		if seen[other.Subject()] {
			t.Errorf("%s twice", other.Subject())
		}
		seen[other.Subject()] = true
	}
}

// The host may say whom it decided about.
func TestForwardSubjectFromTheHost(t *testing.T) {
	longest := strings.Repeat("x", 256)
	for body, want := range map[string]string{
		`{"allow":true,"subject":"alice"}`:               "alice",
		`{"allow":false,"subject":"bob"}`:                "bob",
		`{"allow":true,"subject":"` + longest + `"}`:     longest,
		`{"allow":true,"subject":"` + longest + `x"}`:    "",
		`{"allow":true}`:                                 "",
		`{"allow":true,"subject":""}`:                    "",
		`{"allow":true,"subject":null}`:                  "",
		`{"allow":true,"subject":7}`:                     "",
		`{"allow":"yes","subject":"alice"}`:              "",
		`{"allow":true,"subject":"a","subject":"alice"}`: "",
		`{"allow":true,"Subject":"alice"}`:               "",
	} {
		host := forwardHost(t, forwardWrite(200, "application/json", body))
		f := newForward(t, access.ForwardConfig{URL: host.URL})
		caller, err := f.Identify(forwardRequest(http.Header{"Cookie": {forwardCookie}}))
		if err != nil {
			t.Fatal(err)
		}
		before := caller.Subject()
		caller.MayOpen(t.Context(), "doc-1", access.Issue)
		if want == "" {
			want = before
		}
		if got := caller.Subject(); got != want {
			t.Errorf("%s: the subject is %q, not %q", body, got, want)
		}
	}
}

func TestNewForwardRefuses(t *testing.T) {
	for url, says := range map[string]string{
		"https://app.example/may-open":    "",
		"https://app.example:8443/a?b=c":  "",
		"HTTPS://app.example":             "",
		"http://127.0.0.1:3000/may-open":  "",
		"http://127.9.9.9/":               "",
		"http://localhost:3000/":          "",
		"http://[::1]:3000/":              "",
		"":                                "not absolute",
		"/may-open":                       "not absolute",
		"app.example/may-open":            "not absolute",
		"https:may-open":                  "not absolute",
		"https:///may-open":               "not absolute",
		"https://:443/":                   "not absolute",
		"https://app.example:port/":       "not absolute",
		"https://app.example/\n":          "not absolute",
		"https://u:5ecret@app.example/%":  "not absolute",
		"https://u:5ecret@app.example/":   "user name",
		"https://@app.example/":           "user name",
		"http://127.0.0.1@app.example/":   "user name",
		"https://app.example/#a":          "fragment",
		"https://app.example/#":           "fragment",
		"http://app.example/":             "neither https",
		"http://localhost.app.example/":   "neither https",
		"http://127.0.0.1.app.example/":   "neither https",
		"http://0.0.0.0/":                 "neither https",
		"http://192.168.0.1/":             "neither https",
		"http://2130706433/":              "neither https",
		"ftp://app.example/":              "neither https",
		"unix://app/run/app.sock":         "neither https",
		"javascript://app.example/%0aabc": "neither https",
	} {
		f, err := access.NewForward(access.ForwardConfig{URL: url, Timeout: time.Second, MaxConcurrent: 1})
		switch {
		case says == "" && err != nil:
			t.Errorf("%q: %v", url, err)
		case says != "" && (f != nil || err == nil || !strings.Contains(err.Error(), says)):
			t.Errorf("%q: %v", url, err)
		case err != nil && strings.Contains(err.Error(), "5ecret"):
			t.Errorf("shows a password: %v", err)
		}
	}
	for says, c := range map[string]access.ForwardConfig{
		"timeout":        {URL: "https://app.example", MaxConcurrent: 1},
		"max_concurrent": {URL: "https://app.example", Timeout: time.Second, MaxConcurrent: -1},
	} {
		if _, err := access.NewForward(c); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}

var _ access.Control = (*access.Forward)(nil)
