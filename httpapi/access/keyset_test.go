package access_test

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"keyhint/httpapi/access"
)

func block(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func spki(t *testing.T, public any) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return block("PUBLIC KEY", der)
}

func TestParseKeys(t *testing.T) {
	rsaKey := func(bits int) (key *rsa.PrivateKey) {
		var err error
		// Whoever made it need not have been in FIPS 140-3 mode.
		fips140.WithoutEnforcement(func() { key, err = rsa.GenerateKey(rand.Reader, bits) })
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	strong, weak := rsaKey(2048), rsaKey(1024)
	p256, p224 := newECKey(t), func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}()
	edPublic, edPrivate, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var x25519 *ecdh.PrivateKey
	fips140.WithoutEnforcement(func() { x25519, err = ecdh.X25519().GenerateKey(rand.Reader) })
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "minter"}},
		&x509.Certificate{SerialNumber: big.NewInt(1)}, edPublic, edPrivate)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(p256)
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	jwk := func(n *big.Int, more string) string {
		return fmt.Sprintf(`{"kty":"RSA","e":"AQAB","n":%q%s}`, b64(n.Bytes()), more)
	}
	set := func(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }
	good := jwk(strong.N, "")

	noX25519 := "its type is none of"
	if fips140.Enforced() {
		noX25519 = "use of X25519 is not allowed"
	}
	for _, c := range []struct {
		name        string
		data        string
		keys, unfit int
		says        string // the error; empty if there is none
	}{
		{"PUBLIC KEY", spki(t, strong.Public()), 1, 0, ""},
		{"RSA PUBLIC KEY", block("RSA PUBLIC KEY", x509.MarshalPKCS1PublicKey(&strong.PublicKey)), 1, 0, ""},
		{"CERTIFICATE", block("CERTIFICATE", certificate), 1, 0, ""},
		{"several", "# the minters\n" + spki(t, strong.Public()) + "\n" + spki(t, p256.Public()) + spki(t, edPublic), 3, 0, ""},
		{"weak RSA", spki(t, strong.Public()) + spki(t, weak.Public()), 0, 0, "PEM block 2: it is an RSA key of 1024 bits"},
		{"P-224", spki(t, p224.Public()), 0, 0, "its type is none of"},
		{"X25519", spki(t, x25519.PublicKey()), 0, 0, noX25519},
		{"a private key", block("PRIVATE KEY", pkcs8), 0, 0, "give its public key"},
		{"an RSA private key", block("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(strong)), 0, 0, "give its public key"},
		{"another block", block("PGP MESSAGE", nil), 0, 0, "none of PUBLIC KEY"},
		{"a broken block", block("PUBLIC KEY", []byte("x")), 0, 0, "PEM block 1"},
		{"trailing data", spki(t, strong.Public()) + "x", 0, 0, "neither PEM nor a JWKS"},
		{"empty", "", 0, 0, "no key"},
		{"text", "secret", 0, 0, "neither PEM nor a JWKS"},

		{"a set", set(good, jwk(strong.N, `,"alg":"PS256","use":"sig","kid":"1","key_ops":["verify"]`)), 2, 0, ""},
		{"a set with keys for other uses", set(good, jwk(strong.N, `,"use":"enc"`), `{"kty":"oct","k":"AAAA"}`, jwk(strong.N, `,"key_ops":["wrapKey"]`)), 1, 3, ""},
		{"a set with a weak key", set(good, jwk(weak.N, "")), 1, 1, ""},
		{"a set with an alg of another type", set(good, jwk(strong.N, `,"alg":"ES256"`), jwk(strong.N, `,"alg":"HS256"`), jwk(strong.N, `,"alg":"none"`)), 1, 3, ""},
		{"a set with types unknown", set(good, `{"kty":"XYZ"}`, `{}`), 1, 2, ""},
		{"a set of unfit keys", set(jwk(weak.N, "")), 0, 1, "RSA key of 1024 bits"},
		{"an empty set", set(), 0, 0, "no key"},
		{"a set with duplicates", `{"keys":[` + good + `],"keys":[]}`, 0, 0, "not a JWKS"},
		{"a single JWK", good, 0, 0, "no key"},
		{"x5u is not fetched", set(jwk(strong.N, `,"x5u":"http://127.0.0.1:1/"`)), 1, 0, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			keys, unfit, err := access.ParseKeys([]byte(c.data))
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("error %v, want %q", err, c.says)
			}
			if len(keys) != c.keys || len(unfit) != c.unfit {
				t.Errorf("%d keys, unfit %v", len(keys), unfit)
			}
		})
	}
}
