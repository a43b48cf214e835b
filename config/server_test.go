package config_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"keyhint/config"
)

// writeCertificate makes name.crt and name.key in the current folder.
func writeCertificate(t *testing.T, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: noon.Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM := func(path, kind string, der []byte, mode os.FileMode) {
		var text bytes.Buffer
		if err := pem.Encode(&text, &pem.Block{Type: kind, Bytes: der}); err != nil {
			t.Fatal(err)
		}
		writeFile(t, path, text.String(), mode)
	}
	writePEM(name+".crt", "CERTIFICATE", certificate, 0o644)
	writePEM(name+".key", "PRIVATE KEY", private, 0o600)
}

func TestLoadReadsServer(t *testing.T) {
	t.Chdir(t.TempDir())
	dir, _ := os.Getwd()
	writeCertificate(t, "server")
	writeCertificate(t, "ca")
	c := mustLoadHere(t, settings{
		"server.address":            "0.0.0.0:8443", // mode none: clients have certificates
		"server.trusted_proxies":    []string{"10.0.0.0/8", "2001:db8::1/128"},
		"server.tls.cert_file":      dir + "/server.crt",
		"server.tls.key_file":       dir + "/server.key",
		"server.tls.min_version":    "1.2",
		"server.tls.client_ca_file": dir + "/ca.crt",
		"server.tls.client_names":   []string{"app.example", "spiffe://example/app"},
	}.file(t))
	if want := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::1/128")}; !slices.Equal(c.Server.TrustedProxies, want) {
		t.Error(c.Server.TrustedProxies)
	}
	s := c.Server.TLS
	if s == nil || s.Certificate.Leaf.Subject.CommonName != "server" || s.MinVersion != tls.VersionTLS12 || s.ClientCAs == nil ||
		!slices.Equal(s.ClientNames, []string{"app.example", "spiffe://example/app"}) {
		t.Errorf("%+v", s)
	}
	if c := mustLoad(t, settings{}.file(t)); c.Server.TLS != nil {
		t.Error("TLS without a certificate")
	}
}

// settingRefusal is a setting that is wrong beside others that are right.
type settingRefusal struct {
	name   string
	beside settings
	path   string
	value  any
	says   string // after the file and its line
}

func (r settingRefusal) check(t *testing.T) {
	t.Run(r.name, func(t *testing.T) {
		dir, _ := os.Getwd()
		writeFile(t, "keyhint.yaml", strings.ReplaceAll(r.beside.with(r.path, r.value).file(t), "$DIR", dir), 0o600)
		c, err := config.Load("keyhint.yaml", nil)
		if c != nil || err == nil {
			t.Fatal("not refused")
		}
		// The lines are those of a generated file.
		_, said, _ := strings.Cut(err.Error(), ": line ")
		_, said, _ = strings.Cut(said, ": ")
		if said = strings.ReplaceAll(said, dir, "$DIR"); said != r.says {
			t.Errorf("the message is\n%v\nand should end in\n%s", err, r.says)
		}
	})
}

func TestLoadReadsAddresses(t *testing.T) {
	for _, address := range []string{"unix:/run/keyhint/keyhint.sock", "unix:/" + strings.Repeat("x", 106), "systemd"} {
		c := mustLoad(t, forwardSettings.with("server.address", address).with("admin.address", "unix:/run/keyhint/admin.sock").file(t))
		if c.Server.Address != address {
			t.Errorf("%s became %s", address, c.Server.Address)
		}
	}
	mustLoad(t, forwardSettings.with("server.address", "systemd").with("admin.address", "systemd").file(t))
}

func TestLoadRefusesServer(t *testing.T) {
	const (
		notAddress = "server.address is not an address: write host:port, such as 127.0.0.1:8080, or unix:/absolute/path, or systemd"
		notPath    = "server.address has no path that a socket can have: write an absolute one without . and .., such as unix:/run/keyhint/keyhint.sock"
	)
	t.Chdir(t.TempDir())
	writeCertificate(t, "server")
	writeCertificate(t, "other")
	key, err := os.ReadFile("server.key")
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, "encrypted.key", "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00000000000000000000000000000000\n\nAAAAAAAAAAAAAAAAAAAAAA==\n-----END EC PRIVATE KEY-----\n", 0o600)
	writeFile(t, "public.key", string(key), 0o644)
	writeFile(t, "large.crt", strings.Repeat("\n", 1<<20+1), 0o644)
	withTLS := settings{"server.tls.cert_file": "$DIR/server.crt", "server.tls.key_file": "$DIR/server.key"}
	for _, c := range []settingRefusal{
		{"a proxy without a size", nil, "server.trusted_proxies", []string{"10.0.0.0/8", "10.0.0.1"},
			"server.trusted_proxies[1] is not a range of addresses: write one such as 10.0.0.0/8, or 192.0.2.7/32 for a single address"},
		{"a proxy beside its range", nil, "server.trusted_proxies", []string{"10.0.0.1/8"},
			"server.trusted_proxies[0] is not a range of addresses: write one such as 10.0.0.0/8, or 192.0.2.7/32 for a single address"},
		{"the private listener without port", nil, "admin.address", "127.0.0.1",
			"admin.address is not an address: write host:port, such as 127.0.0.1:9090, or unix:/absolute/path, or systemd"},
		{"the private listener on the public address", nil, "admin.address", "127.0.0.1:8080",
			"admin.address is server.address as well: what the private listener serves must not be public"},
		{"the private listener on the public socket", forwardSettings.with("server.address", "unix:/run/keyhint.sock"), "admin.address", "unix:/run/keyhint.sock",
			"admin.address is server.address as well: what the private listener serves must not be public"},
		{"a name in place of a port", nil, "server.address", "systemd:keyhint", notAddress},
		{"a relative socket", nil, "server.address", "unix:keyhint.sock", notPath},
		{"a socket without a path", nil, "server.address", "unix:", notPath},
		{"a socket in no folder", nil, "server.address", "unix:/", notPath},
		{"a socket with another spelling", nil, "server.address", "unix:/run/../keyhint.sock", notPath},
		{"a socket without a file", nil, "server.address", "unix:@keyhint", notPath},
		{"a long path", nil, "server.address", "unix:/" + strings.Repeat("x", 107),
			"server.address has a path of 108 bytes: the operating system allows 107 for a Unix socket; choose a shorter one"},
		{"no access control on a Unix socket", settings{"server.address": "unix:/run/keyhint.sock"}, "auth.mode", "none",
			"auth.mode is none, which gives every caller every key, and server.address is a Unix socket, where a proxy can let in callers from anywhere: set server.address to 127.0.0.1:8080, or server.tls with client_ca_file and client_names, or another mode"},
		{"no access control on whatever systemd passes", settings{"server.address": "systemd"}, "auth.mode", "none",
			"auth.mode is none, which gives every caller every key, and server.address is not a loopback address: set server.address to 127.0.0.1:8080, or server.tls with client_ca_file and client_names, or another mode"},
		{"an old TLS", withTLS, "server.tls.min_version", "1.1", `server.tls.min_version is not a version: write "1.3" or "1.2", in quotes`},
		{"no key", withTLS, "server.tls.key_file", "", "server.tls has only one of cert_file and key_file: set both, or none for plain HTTP"},
		{"no certificate", withTLS, "server.tls.cert_file", nil, "server.tls has only one of cert_file and key_file: set both, or none for plain HTTP"},
		{"a relative path", withTLS, "server.tls.cert_file", "server.crt", "server.tls.cert_file is not an absolute path: begin it with /"},
		{"a missing certificate", withTLS, "server.tls.cert_file", "$DIR/missing.crt", "server.tls.cert_file cannot be read: no such file or directory"},
		{"a large certificate", withTLS, "server.tls.cert_file", "$DIR/large.crt", "server.tls.cert_file cannot be read: $DIR/large.crt is larger than 1 MiB"},
		{"a folder for a certificate", withTLS, "server.tls.cert_file", "$DIR", "server.tls.cert_file cannot be read: $DIR is not a regular file"},
		{"another key", withTLS, "server.tls.key_file", "$DIR/other.key",
			"server.tls.cert_file does not make a pair with key_file: tls: private key does not match public key"},
		{"an encrypted key", withTLS, "server.tls.key_file", "$DIR/encrypted.key",
			"server.tls.key_file names a key with a passphrase: write it without one, into a file that only keyhint may read"},
		{"a key for everyone", withTLS, "server.tls.key_file", "$DIR/public.key",
			"server.tls.key_file names a file that holds secrets and can be read by everyone on this machine: run chmod o= $DIR/public.key"},
		{"no certificate of clients", withTLS, "server.tls.client_ca_file", "$DIR/server.key",
			"server.tls.client_ca_file holds no certificate: write the path of a file with BEGIN CERTIFICATE"},
		{"names of clients without an authority", withTLS, "server.tls.client_names", []string{"app.example"},
			"server.tls.client_names needs client_ca_file: the certificates of the authority that made the clients'"},
		{"clients without TLS", nil, "server.tls.client_ca_file", "$DIR/other.crt",
			"server.tls asks for client certificates without TLS: set cert_file and key_file as well"},
		{"a pattern for clients", withTLS.with("server.tls.client_ca_file", "$DIR/other.crt"), "server.tls.client_names", []string{"app.example", "*.example"},
			"server.tls.client_names[1] is not a name: write a DNS name or URI as it stands in the certificate; there are no patterns"},
		{"names of clients in another mode", withTLS.with("server.tls.client_ca_file", "$DIR/other.crt").with("auth.mode", "forward").with("auth.forward.url", "https://app.example"),
			"server.tls.client_names", []string{"app.example"},
			"server.tls.client_names is for auth.mode none: in another mode, client_ca_file alone asks for a client certificate besides"},
		{"no access control, and every client with a certificate", withTLS.with("server.tls.client_ca_file", "$DIR/other.crt"), "server.address", "0.0.0.0:8443",
			"auth.mode is none, which gives every caller every key, and server.address is not a loopback address: set server.address to 127.0.0.1:8080, or server.tls with client_ca_file and client_names, or another mode"},
	} {
		c.check(t)
	}
}

// A certificate that is replaced between two looks at it is refused, and read
// again. What is in force is what was looked at first.
func TestCertificateThatIsReplacedMeanwhileIsNotLoaded(t *testing.T) {
	t.Chdir(t.TempDir())
	dir, _ := os.Getwd()
	text := settings{"server.tls.cert_file": dir + "/link/server.crt", "server.tls.key_file": dir + "/link/server.key"}.file(t)
	writeFile(t, "keyhint.yaml", text, 0o600)
	for _, name := range []string{"one", "two"} {
		if err := os.Mkdir(name, 0o700); err != nil {
			t.Fatal(err)
		}
		t.Chdir(name)
		writeCertificate(t, "server")
		t.Chdir("..")
	}
	swap := func(to string) {
		os.Remove("new")
		if err := os.Symlink(to, "new"); err != nil {
			t.Error(err)
		}
		if err := os.Rename("new", "link"); err != nil {
			t.Error(err)
		}
	}
	swap("one")
	stop, swapped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(swapped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				swap([]string{"two", "one"}[i%2])
			}
		}
	}()
	defer func() { close(stop); <-swapped }()
	eventually(t, "a certificate that was replaced", func() bool {
		_, err := config.Load("keyhint.yaml", nil)
		return err != nil && strings.Contains(err.Error(), "was replaced while it was being read: try again")
	})
}
