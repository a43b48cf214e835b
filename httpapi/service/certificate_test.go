package service_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// served is the certificate that a new connection gets.
func (r *running) served() []byte {
	r.Helper()
	conn, err := tls.Dial("tcp", r.address(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		r.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].Raw
}

func (r *running) address() string {
	return strings.TrimSuffix(strings.TrimPrefix(r.url, "http://"), "/v1/key")
}

// One connection of HTTP/1.1 and one of HTTP/2 carry all requests of their
// clients, before, while and after certificates change.
func TestConnectionsOutliveCertificates(t *testing.T) {
	const changes = 5
	folder := t.TempDir()
	first := certify(t, folder).Raw
	r := start(t, withTLS(fmt.Sprintf(head, "none", ""), folder)+newEntry(t, 1))

	stop := make(chan struct{})
	var clients sync.WaitGroup
	defer clients.Wait()
	defer sync.OnceFunc(func() { close(stop) })()
	type client struct {
		dials, requests atomic.Int32
	}
	all := map[string]*client{"HTTP/1.1": {}, "HTTP/2.0": {}}
	for proto, c := range all {
		dialer := tls.Dialer{Config: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}}
		if proto == "HTTP/2.0" {
			dialer.Config.NextProtos = []string{"h2"}
		}
		protocols := new(http.Protocols)
		protocols.SetHTTP1(proto == "HTTP/1.1")
		protocols.SetHTTP2(proto == "HTTP/2.0")
		transport := &http.Transport{Protocols: protocols, DialTLSContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			c.dials.Add(1)
			return dialer.DialContext(ctx, network, address)
		}}
		clients.Go(func() {
			defer transport.CloseIdleConnections()
			for {
				select {
				case <-stop:
					return
				default:
				}
				response, err := (&http.Client{Transport: transport}).Post("https://"+r.address()+"/v1/key", "application/json", strings.NewReader(`{"documentId":"doc-1","keyHint":null}`))
				if err != nil {
					t.Errorf("%s: %v", proto, err)
					return
				}
				io.Copy(io.Discard, response.Body)
				response.Body.Close()
				if response.StatusCode != http.StatusOK || response.Proto != proto {
					t.Errorf("%s: status %d over %s", proto, response.StatusCode, response.Proto)
				}
				c.requests.Add(1)
			}
		})
	}
	requested := func() {
		t.Helper()
		for proto, c := range all {
			before := c.requests.Load()
			r.eventually("more requests over "+proto, func() bool { return c.requests.Load() > before+10 })
		}
	}
	requested()
	if string(r.served()) != string(first) {
		t.Fatal("another certificate is served")
	}
	for range changes {
		next := certify(t, folder).Raw
		r.eventually("the next certificate", func() bool { return string(r.served()) == string(next) })
		requested()
	}
	for proto, c := range all {
		t.Logf("%s: %d requests over %d connection(s), %d changes", proto, c.requests.Load(), c.dials.Load(), changes)
		if c.dials.Load() != 1 {
			t.Errorf("%s: %d connections", proto, c.dials.Load())
		}
	}
}

func TestBadCertificateStaysOutOfService(t *testing.T) {
	folder := t.TempDir()
	cert, key := filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	inForce := certify(t, folder).Raw
	o := observe(t, withTLS(fmt.Sprintf(head, "none", ""), folder)+newEntry(t, 1))
	read := func(path string) string {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	for _, bad := range []struct {
		name string
		make func()
		says string
	}{
		{"garbage for a certificate", func() { writeFile(t, cert, "garbage") }, "does not make a pair with key_file"},
		{"half a certificate", func() { writeFile(t, cert, read(cert)[:200]) }, "does not make a pair with key_file"},
		{"nothing for a certificate", func() { writeFile(t, cert, "") }, "does not make a pair with key_file"},
		{"garbage for a key", func() { writeFile(t, key, "garbage") }, "does not make a pair with key_file"},
		{"the key of another certificate", func() {
			other := t.TempDir()
			certify(t, other)
			writeFile(t, cert, read(filepath.Join(other, "cert.pem")))
		}, "private key does not match public key"},
		{"a key for everyone", func() {
			if err := os.Chmod(key, 0o644); err != nil {
				t.Fatal(err)
			}
		}, "can be read by everyone"},
		{"a certificate that has expired", func() { certifyFor(t, folder, time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)) }, "the certificate expired at"},
		{"a certificate of the future", func() { certifyFor(t, folder, time.Now().Add(time.Hour), time.Now().Add(2*time.Hour)) }, "the certificate is not valid before"},
		{"no certificate", func() { os.Remove(cert) }, "cannot be read: no such file"},
	} {
		t.Run(bad.name, func(t *testing.T) {
			bad.make()
			o.eventually("a refusal", func() bool {
				reload := o.readiness().Checks["reload"]
				return !reload.OK && strings.Contains(reload.Detail, bad.says)
			})
			if string(o.served()) != string(inForce) {
				t.Error("the certificate in force is not served any more")
			}
			if check := o.readiness().Checks["tls"]; !check.OK {
				t.Errorf("the certificate in force counts as bad: %s", check.Detail)
			}
			if err := os.RemoveAll(key); err != nil {
				t.Fatal(err)
			}
			inForce = certify(t, folder).Raw
			o.eventually("a good certificate", func() bool { return o.readiness().Checks["reload"].OK && string(o.served()) == string(inForce) })
		})
	}
}

// A certificate that has expired is no reason to stay down, nor to keep a ring
// with a version that leaked.
func TestExpiredCertificateIsReportedAndKeepsNothingElseOut(t *testing.T) {
	folder := t.TempDir()
	expired := certifyFor(t, folder, time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)).Raw
	text := withTLS(fmt.Sprintf(head, "none", ""), folder) + newEntry(t, 1)
	o := observe(t, text)
	if r := o.readiness(); !r.Ready || r.Checks["tls"].OK || !strings.Contains(r.Checks["tls"].Detail, "the certificate expired at") {
		t.Errorf("%+v", r)
	}
	if string(o.served()) != string(expired) {
		t.Error("another certificate is served")
	}
	o.rewrite(text + newEntry(t, 2))
	o.eventually("the second version", func() bool { return o.readiness().Checks["keyring"].Data["versions"] == 2.0 })
	good := certify(t, folder).Raw
	o.eventually("a good certificate", func() bool { return o.readiness().Checks["tls"].OK && string(o.served()) == string(good) })
}

// A resumed session does not show the client's certificate again.
func TestResumedSessionIsVerifiedByTheAuthoritiesInForce(t *testing.T) {
	folder, other := t.TempDir(), t.TempDir()
	certify(t, folder)
	certify(t, other)
	pair, err := tls.LoadX509KeyPair(filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	text := func(ca string) string {
		return strings.Replace(withTLS(fmt.Sprintf(head, "none", ""), folder), "key.pem\n", "key.pem\n    client_ca_file: "+ca+"/cert.pem\n    client_names: [client.internal]\n", 1)
	}
	one := newEntry(t, 1)
	r := start(t, text(folder)+one)
	sessions := tls.NewLRUClientSessionCache(1)
	ask := func() (status int, resumed bool) {
		t.Helper()
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
			InsecureSkipVerify: true, Certificates: []tls.Certificate{pair}, ClientSessionCache: sessions,
		}}}
		response, err := client.Post("https://"+r.address()+"/v1/key", "application/json", strings.NewReader(`{"documentId":"doc-1","keyHint":null}`))
		if err != nil {
			return 0, false
		}
		defer response.Body.Close()
		io.Copy(io.Discard, response.Body)
		return response.StatusCode, response.TLS.DidResume
	}
	ask()
	if status, resumed := ask(); status != http.StatusOK || !resumed {
		t.Fatalf("status %d, resumed %t", status, resumed)
	}
	writeFile(t, r.path, text(other)+one)
	r.eventually("a refusal", func() bool { status, _ := ask(); return status != http.StatusOK })
	for range 3 {
		if status, _ := ask(); status == http.StatusOK {
			t.Error("a resumed session is accepted")
		}
	}
}
