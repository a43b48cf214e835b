package access

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"slices"
)

// Everyone is access control that lets every caller do everything. It is for
// an endpoint that only its own machine can reach.
type Everyone struct{}

// Ready is nil.
func (Everyone) Ready() error { return nil }

// Identify returns a caller without a name.
func (Everyone) Identify(*http.Request) (Caller, error) { return allowed(""), nil }

// allowed is a caller who may do everything.
type allowed string

func (a allowed) Subject() string { return string(a) }

func (allowed) MayOpen(context.Context, string, Operation) error { return nil }

// ClientCertificates is access control by mutual TLS. It verifies the client's
// certificate at every request, because a connection can outlive the
// certificate, and the authorities that were accepted when it was made.
type ClientCertificates struct {
	Roots *x509.CertPool

	// Names are DNS names and URIs, one of which must be a subject alternative
	// name of the certificate, compared exactly. A caller who has one may do
	// everything. They are for use without Then.
	Names []string

	// Then decides on callers with any certificate that verifies.
	Then Control
}

// Ready is that of Then.
func (c ClientCertificates) Ready() error {
	if c.Then == nil {
		return nil
	}
	return c.Then.Ready()
}

// Identify returns a caller with the accepted name, or the one of Then.
func (c ClientCertificates) Identify(r *http.Request) (Caller, error) {
	certificate, err := c.verify(r)
	switch {
	case err != nil:
		return nil, unauthenticated(ClientCertificate, err)
	case c.Then != nil:
		return c.Then.Identify(r)
	}
	for _, name := range CertificateNames(certificate) {
		if slices.Contains(c.Names, name) {
			return allowed(name), nil
		}
	}
	return nil, denied(ClientName, errors.New("no name of the client certificate is in server.tls.client_names"))
}

func (c ClientCertificates) verify(r *http.Request) (*x509.Certificate, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, errors.New("there is no client certificate")
	}
	intermediates := x509.NewCertPool()
	for _, certificate := range r.TLS.PeerCertificates[1:] {
		intermediates.AddCert(certificate)
	}
	leaf := r.TLS.PeerCertificates[0]
	_, err := leaf.Verify(x509.VerifyOptions{
		Roots: c.Roots, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return leaf, err
}

// CertificateNames are the DNS names and URIs among a certificate's subject
// alternative names.
func CertificateNames(certificate *x509.Certificate) []string {
	names := slices.Clone(certificate.DNSNames)
	for _, uri := range certificate.URIs {
		names = append(names, uri.String())
	}
	return names
}
