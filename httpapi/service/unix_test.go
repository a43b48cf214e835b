package service_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// onSocket is a client of a Unix socket.
func onSocket(path string) *http.Client {
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
}

// overSocket starts a service on Unix sockets whose host application allows
// everything, and returns clients of both.
func overSocket(t *testing.T, settings string) (r *running, public, private *http.Client) {
	t.Helper()
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"allow":true}`)
	}))
	t.Cleanup(host.Close)
	folder := t.TempDir()
	text := strings.NewReplacer("127.0.0.1:0\n", "unix:"+folder+"/public\n"+settings, `address: ""`, "address: unix:"+folder+"/private").Replace(
		fmt.Sprintf(head, "forward\n  forward:\n    url: "+host.URL, "")) + newEntry(t, 1)
	return start(t, text), onSocket(filepath.Join(folder, "public")), onSocket(filepath.Join(folder, "private"))
}

func post(t *testing.T, client *http.Client, forwardedFor string) int {
	t.Helper()
	request, err := http.NewRequest(http.MethodPost, "http://localhost/v1/key", strings.NewReader(`{"documentId":"doc-1","keyHint":null}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Cookie", "session=1")
	request.Header.Set("X-Forwarded-For", forwardedFor)
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	io.Copy(io.Discard, response.Body)
	return response.StatusCode
}

func TestUnixSockets(t *testing.T) {
	r, public, private := overSocket(t, "")
	if status := post(t, public, "192.0.2.1"); status != http.StatusOK {
		t.Errorf("status %d", status)
	}
	response, err := private.Get("http://localhost/readyz")
	if err != nil || response.StatusCode != http.StatusOK {
		t.Errorf("%v, %v", response, err)
	}
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	for _, client := range []*http.Client{public, private} {
		if _, err := client.Get("http://localhost/"); err == nil {
			t.Error("a socket is still there")
		}
	}
}

// All callers on a Unix socket have one address, 127.0.0.1. If that is a trusted
// proxy's, they have those that it names.
func TestClientAddressesOverUnixSockets(t *testing.T) {
	const limit = "  limits: {per_address: 1/m}\n"
	_, public, _ := overSocket(t, limit)
	if first, second := post(t, public, "192.0.2.1"), post(t, public, "192.0.2.2"); first != http.StatusOK || second != http.StatusTooManyRequests {
		t.Errorf("a proxy that is not trusted: %d, %d", first, second)
	}
	_, public, _ = overSocket(t, limit+"  trusted_proxies: [127.0.0.1/32]\n")
	if first, second, again := post(t, public, "192.0.2.1"), post(t, public, "192.0.2.2"), post(t, public, "192.0.2.1"); first != http.StatusOK || second != http.StatusOK || again != http.StatusTooManyRequests {
		t.Errorf("a trusted proxy: %d, %d, %d", first, second, again)
	}
}

// A proxy in front of a Unix socket can let in anyone, so access control is never
// optional there, whatever a later file says of addresses.
func TestReloadNeverOpensAUnixSocketToEveryone(t *testing.T) {
	r, _, private := overSocket(t, "")
	text, err := os.ReadFile(r.path)
	if err != nil {
		t.Fatal(err)
	}
	_, ring, _ := strings.Cut(string(text), "keys:\n")
	writeFile(t, r.path, fmt.Sprintf(head, "none", "")+ring)
	r.eventually("a refusal", func() bool {
		response, err := private.Get("http://localhost/readyz?verbose")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Contains(string(body), "the listener that is open is not on a loopback address")
	})
}
