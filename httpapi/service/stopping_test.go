package service_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// status asks the private listener, on a new connection; 0 is no answer.
func (o observed) status(path string) int {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(o.admin + path)
	if err != nil {
		return 0
	}
	response.Body.Close()
	return response.StatusCode
}

func TestStoppingWithADelay(t *testing.T) {
	const delay = 3 * time.Second
	folder := t.TempDir()
	certify(t, folder)
	text := withTLS(fmt.Sprintf(head, "none", ""), folder) + newEntry(t, 1)
	r := observe(t, strings.Replace(text, "server:\n", fmt.Sprintf("server:\n  shutdown_delay: %s\n", delay), 1))

	type client struct {
		http.Client
		dials atomic.Int32
		asked bool // to leave
	}
	all := map[int]*client{1: {}, 2: {}} // by the version of HTTP
	for version, c := range all {
		protocols := new(http.Protocols)
		protocols.SetHTTP1(version == 1)
		protocols.SetHTTP2(version == 2)
		c.Transport = &http.Transport{
			Protocols:       protocols,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				c.dials.Add(1)
				return new(net.Dialer).DialContext(ctx, network, address)
			},
		}
		defer c.CloseIdleConnections()
	}
	ask := func(c *client) {
		t.Helper()
		response, err := c.Post("https://"+r.address()+"/v1/key", "application/json", strings.NewReader(`{"documentId":"doc-1","keyHint":null}`))
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if response.StatusCode != http.StatusOK {
			t.Errorf("status %d", response.StatusCode)
		}
		c.asked = c.asked || response.Close
	}
	for _, c := range all {
		ask(c)
	}
	if got := r.status("/readyz"); got != http.StatusOK {
		t.Fatalf("readiness %d before the signal", got)
	}

	began := time.Now()
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	r.eventually("readiness turns off", func() bool { return r.status("/readyz") == http.StatusServiceUnavailable })
	for version, c := range all {
		ask(c)
		if (c.dials.Load() != 1 || c.asked) && time.Since(began) < delay/2 {
			t.Errorf("HTTP/%d: asked to leave at once", version)
		}
	}
	for time.Since(began) < delay*3/4 {
		time.Sleep(10 * time.Millisecond)
	}
	for version, c := range all {
		ask(c)
		ask(c) // on another connection, and answered all the same
		if dials := c.dials.Load(); dials != 2 && dials != 3 || version == 1 && !c.asked {
			t.Errorf("HTTP/%d: not asked to leave; %d connections", version, dials)
		}
	}
	if live, ready := r.status("/livez"), r.status("/readyz"); live != http.StatusOK || ready != http.StatusServiceUnavailable {
		t.Errorf("live %d, ready %d", live, ready)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took < delay {
		t.Errorf("stopped after %s", took)
	}
	if r.status("/livez") != 0 {
		t.Error("the private listener is still there")
	}
}

// What a request in flight needs is there until it has its answer: access
// control, and for those who watch, the private listener.
func TestRequestInFlightIsFinishedBeforeAnythingElseEnds(t *testing.T) {
	asked, answer := make(chan struct{}), make(chan struct{})
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-answer
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"allow":true}`)
	}))
	defer host.Close()
	r := observe(t, fmt.Sprintf(head, "forward\n  forward:\n    timeout: 10s\n    url: "+host.URL, "")+newEntry(t, 1))
	answered := make(chan int, 1)
	go func() {
		status, _, _ := r.ask(nil)
		answered <- status
	}()
	<-asked
	stopped := make(chan error, 1)
	go func() { stopped <- r.stop() }()
	r.eventually("no new connections", func() bool {
		conn, err := net.Dial("tcp", r.address())
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	if live, ready := r.status("/livez"), r.status("/readyz"); live != http.StatusOK || ready != http.StatusServiceUnavailable {
		t.Errorf("live %d, ready %d", live, ready)
	}
	select {
	case err := <-stopped:
		t.Fatalf("stopped before the answer: %v", err)
	default:
	}
	close(answer)
	if got := <-answered; got != http.StatusOK {
		t.Errorf("status %d", got)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}
