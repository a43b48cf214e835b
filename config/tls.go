package config

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"strings"

	"github.com/hashicorp/go-secure-stdlib/reloadutil"
)

type tlsSection struct {
	CertFile     string   `mapstructure:"cert_file"`
	KeyFile      string   `mapstructure:"key_file"`
	MinVersion   string   `mapstructure:"min_version"`
	ClientCAFile string   `mapstructure:"client_ca_file"`
	ClientNames  []string `mapstructure:"client_names"`
}

// TLS is what the public listener ends TLS with.
type TLS struct {
	Certificate tls.Certificate // with Leaf
	MinVersion  uint16          // tls.VersionTLS12 or tls.VersionTLS13
	ClientCAs   []byte          // certificates in PEM; nil asks clients for none
	ClientNames []string        // for mode none: DNS names or URIs, one of which a client must have
}

func (v *validation) tls(s tlsSection) *TLS {
	versions := map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}
	t := &TLS{MinVersion: versions[s.MinVersion], ClientNames: s.ClientNames}
	if t.MinVersion == 0 {
		v.refuse("server.tls.min_version", `is not a version: write "1.3" or "1.2", in quotes`)
	}
	if s.CertFile == "" && s.KeyFile == "" {
		if s.ClientCAFile != "" || len(s.ClientNames) > 0 {
			v.refuse("server.tls", "asks for client certificates without TLS: set cert_file and key_file as well")
		}
		return nil
	}
	if s.CertFile == "" || s.KeyFile == "" {
		v.refuse("server.tls", "has only one of cert_file and key_file: set both, or none for plain HTTP")
		return nil
	}
	t.Certificate = v.certificate(s)
	if s.ClientCAFile != "" {
		t.ClientCAs = v.certificates("server.tls.client_ca_file", s.ClientCAFile)
	} else if len(s.ClientNames) > 0 {
		v.refuse("server.tls.client_names", "needs client_ca_file: the certificates of the authority that made the clients'")
	}
	for i, name := range s.ClientNames {
		if name == "" || strings.ContainsAny(name, "*? ") {
			v.refuse(item("server.tls.client_names", i), "is not a name: write a DNS name or URI as it stands in the certificate; there are no patterns")
		}
	}
	return t
}

// certificate loads a certificate with its key. Each configuration has a getter
// of its own, loaded once, so that a certificate comes into force together with
// everything else.
func (v *validation) certificate(s tlsSection) tls.Certificate {
	chain := v.file("server.tls.cert_file", s.CertFile)
	key := v.secretFile("server.tls.key_file", s.KeyFile)
	defer clear(key)
	if chain == nil || key == nil {
		return tls.Certificate{}
	}
	if bytes.Contains(key, []byte("DEK-Info")) { // the getter would try MD5, and panic in FIPS 140-3 mode
		v.refuse("server.tls.key_file", "names a key with a passphrase: write it without one, into a file that only keyhint may read")
		return tls.Certificate{}
	}
	getter := reloadutil.NewCertificateGetter(s.CertFile, s.KeyFile, "")
	if err := getter.Reload(); err != nil {
		v.refuse("server.tls.cert_file", "does not make a pair with key_file: %v", err)
		return tls.Certificate{}
	}
	certificate, err := getter.GetCertificate(nil)
	// The getter reads the files by itself. What it serves must be what was checked
	// above, and what the digest is of; the certificate decides on the key.
	if err != nil || !isChain(certificate.Certificate, chain) {
		v.refuse("server.tls.cert_file", "was replaced while it was being read: try again")
		return tls.Certificate{}
	}
	return *certificate
}

// isChain tells whether these are the certificates in a file, in DER and in PEM.
func isChain(chain [][]byte, file []byte) bool {
	for block, rest := pem.Decode(file); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if len(chain) == 0 || !bytes.Equal(chain[0], block.Bytes) {
			return false
		}
		chain = chain[1:]
	}
	return len(chain) == 0
}

// certificates reads a file of one or more certificates in PEM.
func (v *validation) certificates(setting, path string) []byte {
	data := v.file(setting, path)
	if data != nil && !x509.NewCertPool().AppendCertsFromPEM(data) {
		v.refuse(setting, "holds no certificate: write the path of a file with BEGIN CERTIFICATE")
	}
	return data
}
