package access

import (
	"context"
	"crypto/x509"
	"fmt"
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

// ClientCertificates is access control by mutual TLS: a caller whose certificate
// has one of the names may do everything. The listener must have verified the
// certificate's chain.
type ClientCertificates struct {
	Names []string // DNS names or URIs of subject alternative names, compared exactly
}

// Ready is nil.
func (ClientCertificates) Ready() error { return nil }

// Identify returns a caller with the name of the certificate that is accepted.
func (c ClientCertificates) Identify(r *http.Request) (Caller, error) {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return nil, fmt.Errorf("%w: there is no verified client certificate", ErrUnauthenticated)
	}
	for _, name := range subjectNames(r.TLS.VerifiedChains[0][0]) {
		if slices.Contains(c.Names, name) {
			return allowed(name), nil
		}
	}
	return nil, fmt.Errorf("%w: no name of the client certificate is in server.tls.client_names", ErrDenied)
}

func subjectNames(certificate *x509.Certificate) []string {
	names := slices.Clone(certificate.DNSNames)
	for _, uri := range certificate.URIs {
		names = append(names, uri.String())
	}
	return names
}

// allowed is a caller who may do everything.
type allowed string

func (a allowed) Subject() string { return string(a) }

func (allowed) MayOpen(context.Context, string, Operation) error { return nil }
