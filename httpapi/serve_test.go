package httpapi_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"keyhint/httpapi"
)

// run is Serve without TLS and without a log.
func run(ctx context.Context, listener net.Listener, handler http.Handler) error {
	return httpapi.Serve(ctx, listener, handler, nil, slog.New(slog.DiscardHandler))
}

// serve runs Serve on a free port until the test ends.
func serve(t testing.TB, handler http.Handler) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error)
	go func() { served <- run(ctx, listener, handler) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String()
}

// dial opens a connection that gives up after a while.
func dial(t testing.TB, address string) *net.TCPConn {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// raw sends bytes that no client library would and reads the answer.
func raw(t testing.TB, address, request string) answer {
	t.Helper()
	conn := dial(t, address)
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	return read(t, conn)
}

func read(t testing.TB, conn net.Conn) answer {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	return readAnswer(t, response)
}

// gate is a handler that reports requests and holds them until it is opened.
type gate struct{ entered, open chan struct{} }

func newGate() gate { return gate{make(chan struct{}, 1), make(chan struct{})} }

func (g gate) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	g.entered <- struct{}{}
	<-g.open
	io.WriteString(w, "finished")
}

func TestRequestInFlightFinishesAfterCancel(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	g := newGate()
	served := make(chan error, 1)
	go func() { served <- run(ctx, listener, g) }()

	conn := dial(t, listener.Addr().String())
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	<-g.entered
	cancel()
	for { // the listener closes some time after the cancel
		late, err := net.DialTimeout("tcp", listener.Addr().String(), time.Second)
		if err != nil {
			break
		}
		late.Close()
	}
	select {
	case err := <-served:
		t.Fatalf("Serve returned %v before the request was finished", err)
	default:
	}
	close(g.open)
	if a := read(t, conn); a.status != http.StatusOK || string(a.body) != "finished" {
		t.Errorf("the request in flight has status %d, body %q", a.status, a.body)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve returned %v", err)
	}
}

func TestServeReturnsTheListenersFailure(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	if err := run(t.Context(), listener, newGate()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve returned %v", err)
	}
}

func TestHeaderSizeIsLimited(t *testing.T) {
	address := serve(t, httpapi.New(newConfig(t)))
	request := func(size int) string {
		return "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Filler: " + strings.Repeat("x", size) + "\r\n\r\n"
	}
	if a := raw(t, address, request(15<<10)); a.status != http.StatusNotFound {
		t.Errorf("a header of 15 KiB has status %d", a.status)
	}
	// net/http allows 4 KiB more than it is told.
	if a := raw(t, address, request(20<<10)); a.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a header of 20 KiB has status %d", a.status)
	}
}

// pipes is a listener whose connections exist in memory only, so that a
// synctest bubble can let the server's timeouts pass in no time.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

func TestSlowAndIdleClientsAreCut(t *testing.T) {
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: 33\r\n\r\n", path)
	for _, test := range []struct {
		name   string
		send   string
		after  time.Duration // of the last byte, the connection is closed
		status int           // of the answer before that; 0 if there is none
	}{
		{"nothing", "", 5 * time.Second, 0},
		{"half a header", head[:30], 5 * time.Second, 0},
		{"no body", head, 10 * time.Second, 400},
		{"half a body", head + `{"documentId"`, 10 * time.Second, 400},
		{"no second request", head + `{"documentId":"a","keyHint":null}`, 2 * time.Minute, 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				listener := newPipes()
				served := make(chan error)
				go func() {
					served <- run(ctx, listener, httpapi.New(newConfig(t)))
				}()
				conn := listener.dial()
				start := time.Now()
				if _, err := io.WriteString(conn, test.send); err != nil {
					t.Fatal(err)
				}
				received, _ := io.ReadAll(conn)
				if took := time.Since(start); took < test.after || took > test.after+time.Second {
					t.Errorf("cut after %v, want %v", took, test.after)
				}
				want := ""
				if test.status > 0 {
					want = fmt.Sprintf("HTTP/1.1 %d ", test.status)
				}
				if !strings.HasPrefix(string(received), want) || want == "" && len(received) > 0 {
					t.Errorf("received %q, want %q", received, want)
				}
				cancel()
				if err := <-served; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestClientThatReadsNothingIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		listener := newPipes()
		served := make(chan error)
		go func() {
			served <- run(ctx, listener, httpapi.New(newConfig(t)))
		}()
		conn := listener.dial()
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if received, _ := io.ReadAll(conn); len(received) > 0 {
			t.Errorf("received %q after the time for writing", received)
		}
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// Whatever has reached the server when it is told to stop gets an answer.
func TestWhatIsOnItsWayIsAnswered(t *testing.T) {
	const request = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
	for _, c := range []struct {
		name         string
		sent, rest   string        // before and after the server is told to stop
		pause        time.Duration // between the two
		answers      bool
		atLeast, max time.Duration // until Serve returns
	}{
		{"nothing yet", "", request, 3 * time.Second, true, 3 * time.Second, 4 * time.Second},
		{"half a header", request[:10], request[10:], 3 * time.Second, true, 3 * time.Second, 4 * time.Second},
		{"nothing, for ever", "", "", 0, false, 5 * time.Second, 6 * time.Second},
		{"half a header, for ever", request[:10], "", 0, false, 5 * time.Second, 6 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				listener := newPipes()
				served := make(chan error, 1)
				go func() { served <- run(ctx, listener, httpapi.New(newConfig(t))) }()
				conn := listener.dial()
				if _, err := io.WriteString(conn, c.sent); err != nil {
					t.Fatal(err)
				}
				start := time.Now()
				cancel()
				go func() {
					time.Sleep(c.pause)
					io.WriteString(conn, c.rest)
				}()
				received, _ := io.ReadAll(conn)
				if answered := strings.HasPrefix(string(received), "HTTP/1.1 404 "); answered != c.answers {
					t.Errorf("received %q", received)
				} else if answered && !strings.Contains(string(received), "\r\nConnection: close\r\n") {
					t.Errorf("the client is not told that the connection ends: %q", received)
				}
				err := <-served
				if took := time.Since(start); err != nil || took < c.atLeast || took > c.max {
					t.Errorf("Serve returned %v after %v", err, took)
				}
			})
		})
	}
}

func TestDrainingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		listener := newPipes()
		served := make(chan error)
		g := newGate()
		go func() { served <- run(ctx, listener, g) }()
		conn := listener.dial()
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		<-g.entered
		start := time.Now()
		cancel()
		err := <-served
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took < 25*time.Second || took > 26*time.Second {
			t.Errorf("Serve returned %v after %v", err, took)
		}
		if received, _ := io.ReadAll(conn); len(received) > 0 {
			t.Errorf("received %q", received)
		}
		close(g.open)
	})
}
