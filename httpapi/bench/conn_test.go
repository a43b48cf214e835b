package bench_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"keyhint/httpapi/bench"
)

func newConn(t *testing.T, target bench.Target) *bench.Conn {
	t.Helper()
	c := bench.NewConn(t.Context(), &target)
	t.Cleanup(c.Close)
	return c
}

// echo answers with what it got.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "text/echo")
	w.WriteHeader(http.StatusAccepted)
	fmt.Fprintf(w, "%s %s %s %q %s %s", r.Method, r.RequestURI, r.Host, r.Header.Get("Authorization"), r.Header.Get("Content-Type"), body)
	if r.URL.Query().Has("flush") { // makes the answer chunked
		w.(http.Flusher).Flush()
	}
	if r.URL.Query().Has("close") {
		w.Header().Set("Connection", "close")
	}
}

func TestPostSendsWhatItShould(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(echo))
	defer server.Close()
	host := strings.TrimPrefix(server.URL, "http://")
	for _, query := range []string{"", "?flush", "?close"} {
		c := newConn(t, bench.Target{URL: parse(t, server.URL+"/v1/key"+query), Token: "token"})
		for _, token := range []string{"token", "", "another"} {
			c.SetToken(token)
			credentials := `""`
			if token != "" {
				credentials = `"Bearer ` + token + `"`
			}
			for _, body := range []string{"{}", "", strings.Repeat("x", 10_000)} {
				want := fmt.Sprintf("POST /v1/key%s %s %s application/json %s", query, host, credentials, body)
				a, err := c.Post([]byte(body))
				if err != nil || a.Status != 202 || a.ContentType != "text/echo" || string(a.Body) != want {
					t.Errorf("%v, %d %s %s, want %s", err, a.Status, a.ContentType, a.Body, want)
				}
			}
		}
	}
}

func TestConnectionIsKeptAndRenewed(t *testing.T) {
	var connections, requests atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if requests.Add(1) == 10 {
			panic(http.ErrAbortHandler)
		}
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	c := newConn(t, bench.Target{URL: parse(t, server.URL+"/v1/key")})
	for i := range 20 {
		if _, err := c.Post(nil); (err != nil) != (i == 9) {
			t.Errorf("request %d: %v", i+1, err)
		}
	}
	if connections.Load() != 2 || requests.Load() != 20 {
		t.Errorf("%d connections and %d requests, want 2 and 20", connections.Load(), requests.Load())
	}
}

func TestAnswersThatAreNoneAreErrors(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"too long":           func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 16<<10)) },
		"too long in chunks": func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush(); w.Write(make([]byte, 1<<20)) },
		"cut short": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.Write([]byte("{}"))
		},
		"cut short in chunks": func(w http.ResponseWriter, _ *http.Request) {
			w.Write([]byte("{}"))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		},
		"a header without end": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			fmt.Fprint(conn, "HTTP/1.1 200 OK\r\n")
			for n := 0; ; n++ {
				if _, err := fmt.Fprintf(conn, "X-%d: %d\r\n", n, n); err != nil {
					return
				}
			}
		},
		"not HTTP": func(w http.ResponseWriter, _ *http.Request) {
			conn, _, _ := w.(http.Hijacker).Hijack()
			conn.Write([]byte("SSH-2.0-OpenSSH\r\n\r\n"))
			conn.Close()
		},
	} {
		server := httptest.NewServer(handler)
		c := newConn(t, bench.Target{URL: parse(t, server.URL+"/v1/key")})
		if a, err := c.Post(nil); err == nil {
			t.Errorf("%s: %d %.20q", name, a.Status, a.Body)
		}
		server.Close()
	}
}

func TestInformationalAnswersAreNotTheAnswer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		echo(w, r)
	}))
	defer server.Close()
	c := newConn(t, bench.Target{URL: parse(t, server.URL+"/v1/key")})
	for range 3 {
		if a, err := c.Post(nil); err != nil || a.Status != http.StatusAccepted {
			t.Error(err, a.Status)
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	c := newConn(t, bench.Target{URL: parse(t, server.URL+"/v1/key")})
	if a, err := c.Post(nil); err != nil || a.Status != 307 || requests.Load() != 1 {
		t.Errorf("%v, %d after %d requests", err, a.Status, requests.Load())
	}
}

// What counts is where the connection goes, not what its name looks like.
func TestNothingIsSentOffTheLoopback(t *testing.T) {
	c := newConn(t, bench.Target{URL: parse(t, "http://192.0.2.1:9/v1/key")})
	if _, err := c.Post(nil); !errors.Is(err, bench.ErrNotLoopback) {
		t.Error(err)
	}
}
