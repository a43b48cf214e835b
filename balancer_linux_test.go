package main

import (
	"crypto/rand"
	"encoding/csv"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"keyhint/config"
)

// TestRollingRestartsBehindABalancer restarts two servers behind haproxy, one
// after the other, again and again, while clients go on. haproxy may neither
// repeat a request nor send it to the other server, so that one that a server
// drops is one that a client misses.
func TestRollingRestartsBehindABalancer(t *testing.T) {
	if _, err := exec.LookPath("haproxy"); err != nil {
		skipUnlessRequired(t, "haproxy is not installed")
	}
	rounds := 6
	if testing.Short() {
		rounds = 1
	}
	for _, c := range []struct {
		name, server, backend string // lines of the configuration of a server, and of haproxy
	}{
		{"HTTP/1.1", "address: $ADDRESS", "$ADDRESS"},
		{"HTTP/2 over TLS", "address: $ADDRESS\n  tls: {cert_file: $DIR/cert.pem, key_file: $DIR/key.pem}", "$ADDRESS ssl verify none alpn h2 no-check-ssl check-proto h1"},
		{"Unix socket", "address: unix:$DIR/socket", "unix@$DIR/socket"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBalancer(t, c.server, c.backend)
			clients := b.load(t)
			for range rounds {
				for _, s := range b.servers {
					b.restart(t, s)
				}
			}
			clients.stop()
			t.Logf("%d requests, %d restarts: %v; haproxy says %s", clients.requests(), 2*rounds, clients.of, b.report(t))
			if clients.of["200"] != clients.requests() || clients.requests() < 100*rounds {
				t.Error("not every request was answered with a key")
			}
			backend := b.stats(t)["BACKEND"]
			for _, counter := range []string{"econ", "eresp", "wretr", "wredis", "hrsp_5xx", "hrsp_other"} {
				if backend[counter] != "0" {
					t.Errorf("haproxy counts %s of %s", backend[counter], counter)
				}
			}
		})
	}
}

// balancer is haproxy in front of two servers that share a ring.
type balancer struct {
	url     string
	control string // path of its socket
	servers []*balanced
}

// balanced is a server behind the balancer, or its next run.
type balanced struct {
	*served
	name, dir, file string
}

// shutdownDelay is long enough for haproxy to notice; see newBalancer.
const shutdownDelay = time.Second

func newBalancer(t *testing.T, server, backend string) *balancer {
	t.Helper()
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"allow":true}`)
	}))
	t.Cleanup(host.Close)
	entry, err := config.NewEntry(1, time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	dir, front := t.TempDir(), freeAddress(t)
	b := &balancer{url: "http://" + front + "/v1/key", control: filepath.Join(dir, "control")}
	text := fmt.Sprintf(`global
    stats socket %s mode 600 level user
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout check 500ms
    retries 0
frontend keys
    bind %s
    default_backend keyhint
backend keyhint
    balance roundrobin
    option httpchk GET /readyz
    http-check expect status 200
    default-server check inter 100ms fall 2 rise 2
`, b.control, front)
	for _, name := range []string{"one", "two"} {
		s := &balanced{name: name, dir: t.TempDir()}
		s.file = filepath.Join(s.dir, "keyhint.yaml")
		admin := freeAddress(t)
		expand := strings.NewReplacer("$ADDRESS", freeAddress(t), "$DIR", s.dir).Replace
		if err := writeInPlace(s.file, fmt.Sprintf("server:\n  %s\n  shutdown_delay: %s\nadmin:\n  address: %s\nauth:\n  mode: forward\n  forward: {url: %q}\nkeyring:\n  keys:\n%s",
			expand(server), shutdownDelay, admin, host.URL, entry)); err != nil {
			t.Fatal(err)
		}
		writeCertificate(t, s.dir)
		if s.served, err = launch(t, s.file, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := s.listens(); err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(admin)
		text += fmt.Sprintf("    server %s %s addr 127.0.0.1 port %s\n", name, expand(backend), port)
		b.servers = append(b.servers, s)
	}
	file := filepath.Join(dir, "haproxy.cfg")
	if err := writeInPlace(file, text); err != nil {
		t.Fatal(err)
	}
	haproxy := exec.Command("haproxy", "-db", "-f", file)
	output := new(strings.Builder)
	haproxy.Stdout, haproxy.Stderr = output, output
	if err := haproxy.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- haproxy.Wait() }()
	t.Cleanup(func() {
		haproxy.Process.Kill()
		<-ended
		if t.Failed() {
			t.Logf("haproxy:\n%s", output)
		}
	})
	for _, s := range b.servers {
		b.awaitUp(t, s)
	}
	return b
}

// stats are haproxy's numbers, by server and name.
func (b *balancer) stats(t *testing.T) map[string]map[string]string {
	t.Helper()
	conn, err := net.Dial("unix", b.control)
	if err != nil {
		return nil // it is not there yet
	}
	defer conn.Close()
	io.WriteString(conn, "show stat keyhint 6 -1\n") // of the backend and its servers
	text, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(strings.TrimSpace(string(text)), "# "))).ReadAll()
	if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	stats := make(map[string]map[string]string)
	for _, row := range rows[1:] {
		values := make(map[string]string)
		for i, name := range rows[0] {
			values[name] = row[i]
		}
		stats[values["svname"]] = values
	}
	return stats
}

func (b *balancer) report(t *testing.T) string {
	stats := b.stats(t)
	return fmt.Sprintf("%s of one, %s of two; %s retries, %s failed connections, %s broken answers",
		stats["one"]["stot"], stats["two"]["stot"], stats["BACKEND"]["wretr"], stats["BACKEND"]["econ"], stats["BACKEND"]["eresp"])
}

func (b *balancer) awaitUp(t *testing.T, s *balanced) {
	t.Helper()
	if !within(func() bool { return strings.HasPrefix(b.stats(t)[s.name]["status"], "UP") }) {
		t.Fatalf("haproxy does not see server %s: %v", s.name, b.stats(t)[s.name])
	}
}

// restart stops a server as an operator does, and starts it again.
func (b *balancer) restart(t *testing.T, s *balanced) {
	t.Helper()
	s.dying.Store(true)
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.exited:
	case <-time.After(patience + shutdownDelay):
		t.Fatalf("server %s does not stop", s.name)
	}
	if code := s.ProcessState.ExitCode(); code != 0 {
		t.Fatalf("server %s exits with %d: %s", s.name, code, s.lines()[len(s.lines())-1].text)
	}
	next, err := launch(t, s.file, 0)
	if err != nil {
		t.Fatal(err)
	}
	s.served = next
	if _, err := s.listens(); err != nil {
		t.Fatal(err)
	}
	b.awaitUp(t, s)
}

// clients ask a balancer for keys, and again for the same.
type clients struct {
	*tally
	stop func()
}

func (c *clients) requests() int {
	n := 0
	for _, count := range c.of {
		n += count
	}
	return n
}

// load begins with requests: of clients that keep their connections, and of
// others that make a new one for each.
func (b *balancer) load(t *testing.T) *clients {
	const workers, rate = 8, 240 // requests a second of all together
	c := &clients{tally: newTally()}
	stop := make(chan struct{})
	var all sync.WaitGroup
	for w := range workers {
		client := &http.Client{Timeout: patience, Transport: cookies{&http.Transport{DisableKeepAlives: w%2 == 1}}}
		all.Go(func() {
			defer client.CloseIdleConnections()
			tick := time.NewTicker(time.Second * workers / rate)
			defer tick.Stop()
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-tick.C:
				}
				document := fmt.Sprintf("document %d of client %d", i, w)
				outcome, key, hint, err := exchange(client, b.url, document, nil)
				c.count(outcomeOf(outcome, err))
				if err != nil || key == "" {
					continue
				}
				outcome, again, _, err := exchange(client, b.url, document, hint)
				if again != key && err == nil {
					outcome = "another key"
				}
				c.count(outcomeOf(outcome, err))
			}
		})
	}
	c.stop = sync.OnceFunc(func() { close(stop); all.Wait() })
	t.Cleanup(c.stop)
	return c
}

func outcomeOf(outcome string, err error) string {
	if err != nil {
		return err.Error()
	}
	return outcome
}

// cookies sends one with every request.
type cookies struct{ http.RoundTripper }

func (c cookies) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Cookie", "session=1")
	return c.RoundTripper.RoundTrip(r)
}

func (c cookies) CloseIdleConnections() { c.RoundTripper.(*http.Transport).CloseIdleConnections() }
