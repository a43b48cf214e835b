package httpapi_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"keyhint/httpapi"
	"keyhint/httpapi/access"
)

// authority makes certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pool        *x509.CertPool
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key := newECKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, pool: x509.NewCertPool()}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.pool.AddCert(a.certificate)
	return a
}

func newECKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issue makes a certificate with DNS names and URIs; those with "://" are URIs.
func (a *authority) issue(t *testing.T, commonName string, names ...string) tls.Certificate {
	t.Helper()
	key := newECKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: commonName},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	for _, name := range names {
		if !strings.Contains(name, "://") {
			template.DNSNames = append(template.DNSNames, name)
			continue
		}
		uri, err := url.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = append(template.URIs, uri)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestMutualTLS(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	control := access.ClientCertificates{Roots: ours.pool, Names: []string{"editor.internal", "spiffe://cluster/editor"}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		handler := httpapi.New(newConfig(t, func(c *httpapi.Config) { c.Access = control }))
		ending := httpapi.NewTLS(ours.issue(t, "keyhint", "keyhint.internal"), tls.VersionTLS13, ours.pool)
		done <- httpapi.Serve(ctx, listener, handler, ending, slog.New(slog.DiscardHandler))
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	const refusedByTLS = 0
	for _, c := range []struct {
		name         string
		certificates []tls.Certificate
		maxVersion   uint16
		status       int
	}{
		{"an accepted DNS name", []tls.Certificate{ours.issue(t, "", "editor.internal")}, 0, http.StatusOK},
		{"an accepted URI", []tls.Certificate{ours.issue(t, "", "spiffe://cluster/editor")}, 0, http.StatusOK},
		{"an accepted one of several", []tls.Certificate{ours.issue(t, "", "other.internal", "editor.internal")}, 0, http.StatusOK},
		{"another name", []tls.Certificate{ours.issue(t, "", "other.internal")}, 0, http.StatusForbidden},
		{"a name below", []tls.Certificate{ours.issue(t, "", "a.editor.internal")}, 0, http.StatusForbidden},
		{"a wildcard", []tls.Certificate{ours.issue(t, "", "*.internal")}, 0, http.StatusForbidden},
		{"other letters", []tls.Certificate{ours.issue(t, "", "Editor.internal")}, 0, http.StatusForbidden},
		{"another URI", []tls.Certificate{ours.issue(t, "", "spiffe://cluster/editor/x")}, 0, http.StatusForbidden},
		{"the name as common name alone", []tls.Certificate{ours.issue(t, "editor.internal")}, 0, http.StatusForbidden},
		{"the name from another authority", []tls.Certificate{theirs.issue(t, "", "editor.internal")}, 0, refusedByTLS},
		{"no certificate", nil, 0, refusedByTLS},
		{"TLS 1.2", []tls.Certificate{ours.issue(t, "", "editor.internal")}, tls.VersionTLS12, refusedByTLS},
	} {
		client := http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{
			RootCAs: ours.pool, MaxVersion: c.maxVersion,
			// whatever authorities the server names, as a hostile client would
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if len(c.certificates) == 0 {
					return new(tls.Certificate), nil
				}
				return &c.certificates[0], nil
			},
		}}}
		response, err := client.Post("https://"+listener.Addr().String()+path, "application/json", strings.NewReader(`{"documentId":"doc-1","keyHint":null}`))
		status := refusedByTLS
		if err == nil {
			status = response.StatusCode
			response.Body.Close()
			if response.ProtoMajor != 2 {
				t.Errorf("%s: %s", c.name, response.Proto)
			}
		}
		if status != c.status {
			t.Errorf("%s: status %d, %v; want %d", c.name, status, err, c.status)
		}
		client.CloseIdleConnections()
	}
}
