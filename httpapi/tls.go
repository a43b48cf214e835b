package httpapi

import (
	"crypto/tls"
	"crypto/x509"
	"strings"

	"github.com/hashicorp/go-secure-stdlib/tlsutil"
)

// suites are the cipher suites of TLS 1.2 that are offered: all that Go knows
// with forward secrecy and authenticated encryption. TLS 1.3 has no others.
var suites = parseSuites(
	"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
	"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
	"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
)

func parseSuites(names ...string) []uint16 {
	parsed, err := tlsutil.ParseCiphers(strings.Join(names, ","))
	if err != nil {
		panic(err) // without a list, Go would offer more
	}
	return parsed
}

// NewTLS returns the configuration of a listener with one certificate. If
// clientCAs is not nil, a client must have a certificate that one of them made.
func NewTLS(certificate tls.Certificate, minVersion uint16, clientCAs *x509.CertPool) *tls.Config {
	c := &tls.Config{
		Certificates: []tls.Certificate{certificate},
		MinVersion:   minVersion,
		CipherSuites: suites,
		NextProtos:   []string{"h2", "http/1.1"},
	}
	if clientCAs != nil {
		c.ClientCAs, c.ClientAuth = clientCAs, tls.RequireAndVerifyClientCert
	}
	return c
}
