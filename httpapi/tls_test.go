package httpapi_test

import (
	"context"
	"crypto"
	"crypto/fips140"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"keyhint/httpapi"
)

// serveTLS runs Serve with a self-made certificate until the test ends.
func serveTLS(t *testing.T, key crypto.Signer, minVersion uint16) (address string, roots *x509.CertPool) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AddCert(certificate)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	ending := httpapi.NewTLS(tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, minVersion, nil)
	go func() {
		done <- httpapi.Serve(ctx, listener, httpapi.New(newConfig(t)), ending, slog.New(slog.DiscardHandler))
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return listener.Addr().String(), roots
}

func TestTLSVersions(t *testing.T) {
	for _, c := range []struct {
		min, client uint16
		works       bool
	}{
		{tls.VersionTLS13, tls.VersionTLS10, false},
		{tls.VersionTLS13, tls.VersionTLS11, false},
		{tls.VersionTLS13, tls.VersionTLS12, false},
		{tls.VersionTLS13, tls.VersionTLS13, true},
		{tls.VersionTLS12, tls.VersionTLS10, false},
		{tls.VersionTLS12, tls.VersionTLS11, false},
		{tls.VersionTLS12, tls.VersionTLS12, true},
		{tls.VersionTLS12, tls.VersionTLS13, true},
	} {
		address, roots := serveTLS(t, newECKey(t), c.min)
		conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: roots, MinVersion: c.client, MaxVersion: c.client})
		if (err == nil) != c.works {
			t.Errorf("a client of %s, where %s is the least: %v", tls.VersionName(c.client), tls.VersionName(c.min), err)
		}
		if err == nil {
			conn.Close()
		}
	}
}

// With TLS 1.2, a suite works if it has forward secrecy and authenticated
// encryption, and no other does.
func TestTLS12SuitesAreForwardSecretAndAuthenticated(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	withECDSA, ecdsaRoots := serveTLS(t, newECKey(t), tls.VersionTLS12)
	withRSA, rsaRoots := serveTLS(t, rsaKey, tls.VersionTLS12)
	want := 6
	if fips140.Enabled() {
		want = 4 // without those of ChaCha20
	}
	tried, worked := 0, 0
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if suite.SupportedVersions[0] == tls.VersionTLS13 {
			continue
		}
		tried++
		address, roots := withRSA, rsaRoots
		if strings.Contains(suite.Name, "_ECDSA_") {
			address, roots = withECDSA, ecdsaRoots
		}
		conn, err := tls.Dial("tcp", address, &tls.Config{
			RootCAs: roots, MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite.ID},
		})
		good := strings.HasPrefix(suite.Name, "TLS_ECDHE_") && (strings.Contains(suite.Name, "_GCM_") || strings.Contains(suite.Name, "_POLY1305") && !fips140.Enabled())
		if (err == nil) != good {
			t.Errorf("%s: %v", suite.Name, err)
		}
		if err == nil {
			worked++
			conn.Close()
		}
	}
	if tried < 20 || worked != want {
		t.Errorf("%d of %d suites work", worked, tried)
	}
}

func TestHTTP2AndHTTP1OverTLS(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		address, roots := serveTLS(t, newECKey(t), version)
		for want, http2 := range map[string]bool{"HTTP/2.0": true, "HTTP/1.1": false} {
			client := http.Client{Transport: &http.Transport{ForceAttemptHTTP2: http2, TLSClientConfig: &tls.Config{RootCAs: roots, MaxVersion: version}}}
			response, err := client.Post("https://"+address+path, "application/json", strings.NewReader(`{"documentId":"doc-1","keyHint":null}`))
			if err != nil {
				t.Fatal(err)
			}
			a := readAnswer(t, response)
			a.session(t)
			if response.Proto != want || response.TLS.Version != version {
				t.Errorf("%s over %s, want %s over %s", response.Proto, tls.VersionName(response.TLS.Version), want, tls.VersionName(version))
			}
			client.CloseIdleConnections()
		}
	}
}
