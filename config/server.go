package config

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"path"
	"regexp"
	"strconv"
	"strings"
)

type serverSection struct {
	Address        string        `mapstructure:"address"`
	Path           string        `mapstructure:"path"`
	TrustedProxies []string      `mapstructure:"trusted_proxies"`
	CORS           corsSection   `mapstructure:"cors"`
	TLS            tlsSection    `mapstructure:"tls"`
	Limits         limitsSection `mapstructure:"limits"`
}

type corsSection struct {
	Origins     []string `mapstructure:"origins"`
	Credentials bool     `mapstructure:"credentials"`
}

type tlsSection struct {
	CertFile     string   `mapstructure:"cert_file"`
	KeyFile      string   `mapstructure:"key_file"`
	MinVersion   string   `mapstructure:"min_version"`
	ClientCAFile string   `mapstructure:"client_ca_file"`
	ClientNames  []string `mapstructure:"client_names"`
}

type limitsSection struct {
	PerAddress string `mapstructure:"per_address"`
	PerSubject string `mapstructure:"per_subject"`
}

type adminSection struct {
	Address string `mapstructure:"address"`
}

// Server says where and how the key endpoint is served.
type Server struct {
	Address        string         // host:port
	Path           string         // of the endpoint, such as /v1/key
	TrustedProxies []netip.Prefix // whose word on a client's address is taken
	CORS           CORS
	TLS            *TLS // nil is plain HTTP
	Limits         Limits
}

// CORS names the origins whose pages may read answers. Package cors says which
// spellings are good.
type CORS struct {
	Origins     []string
	Credentials bool
}

// TLS is what the public listener ends TLS with.
type TLS struct {
	Certificate tls.Certificate
	MinVersion  uint16   // tls.VersionTLS12 or tls.VersionTLS13
	ClientCAs   []byte   // certificates in PEM; nil asks clients for none
	ClientNames []string // for mode none: DNS names or URIs, one of which a client must have
}

// Limits bound the rate of requests, as package ratelimit reads them; empty is
// no limit.
type Limits struct {
	PerAddress, PerSubject string
}

// Admin says where the private listener is.
type Admin struct {
	Address string // host:port; empty is none
}

// routable are the paths that have one spelling and no meaning to a router.
var routable = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)

func (v *validation) server(s serverSection) Server {
	v.address("server.address", s.Address, "127.0.0.1:8080")
	if !routable.MatchString(s.Path) || path.Clean(s.Path) != s.Path {
		v.refuse("server.path", "is not a path that can be served: write one such as /v1/key, of letters, digits and . _ ~ -")
	} else if s.Path == "/openapi.yaml" {
		v.refuse("server.path", "is where the description of the API is served: write another, such as /v1/key")
	}
	return Server{
		Address: s.Address, Path: s.Path,
		TrustedProxies: v.prefixes("server.trusted_proxies", s.TrustedProxies),
		CORS:           CORS(s.CORS),
		TLS:            v.tls(s.TLS),
		Limits:         Limits(s.Limits),
	}
}

func (v *validation) admin(a adminSection, s serverSection) Admin {
	if a.Address == "" {
		return Admin{}
	}
	v.address("admin.address", a.Address, "127.0.0.1:9090")
	if a.Address == s.Address && !strings.HasSuffix(a.Address, ":0") {
		v.refuse("admin.address", "is server.address as well: what the private listener serves must not be public")
	}
	return Admin(a)
}

func (v *validation) address(setting, address, example string) {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		v.refuse(setting, "is not an address: write host:port, such as %s", example)
	}
}

// isLoopback tells whether an address can be reached from this machine only.
// Names other than localhost are not looked up: what they mean can change.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

func (v *validation) prefixes(setting string, list []string) []netip.Prefix {
	var prefixes []netip.Prefix
	for i, text := range list {
		prefix, err := netip.ParsePrefix(text)
		if err != nil || prefix != prefix.Masked() {
			v.refuse(item(setting, i), "is not a range of addresses: write one such as 10.0.0.0/8, or 192.0.2.7/32 for a single address")
			continue
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes
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
	certificate := v.file("server.tls.cert_file", s.CertFile)
	key := v.secretFile("server.tls.key_file", s.KeyFile)
	defer clear(key)
	if certificate != nil && key != nil {
		var err error
		if t.Certificate, err = tls.X509KeyPair(certificate, key); err != nil {
			v.refuse("server.tls.cert_file", "does not make a pair with key_file: %v", err)
		}
	}
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

// certificates reads a file of one or more certificates in PEM.
func (v *validation) certificates(setting, path string) []byte {
	data := v.file(setting, path)
	if data != nil && !x509.NewCertPool().AppendCertsFromPEM(data) {
		v.refuse(setting, "holds no certificate: write the path of a file with BEGIN CERTIFICATE")
	}
	return data
}
