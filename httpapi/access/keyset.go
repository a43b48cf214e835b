package access

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"github.com/MicahParks/jwkset"
	"github.com/go-json-experiment/json"
)

// Key verifies tokens: a public key, pinned to the algorithms of its type.
type Key struct {
	id         string // kid; empty for keys from PEM
	algorithms []string
	public     crypto.PublicKey
}

// Bounds of RSA keys, in bits: below them they are weak, above them they only
// cost time.
const (
	minRSASize = 2048
	maxRSASize = 8192
)

// ParseKeys reads public keys from PEM (one or several of PUBLIC KEY, RSA PUBLIC
// KEY and CERTIFICATE) or from a JWKS (RFC 7517). In PEM every block must fit.
// In a JWKS, where keys for other uses are common, those that do not fit are
// left out, and unfit says why; that at least one fits is required of both.
func ParseKeys(data []byte) (keys []Key, unfit []error, err error) {
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		keys, unfit, err = parseJWKS(data)
	} else {
		keys, err = parsePEM(data)
	}
	if err == nil && len(keys) == 0 {
		err = errors.Join(append([]error{errors.New("there is no key that can verify tokens")}, unfit...)...)
	}
	return keys, unfit, err
}

func parsePEM(data []byte) ([]Key, error) {
	var keys []Key
	for len(bytes.TrimSpace(data)) > 0 {
		block, rest := pem.Decode(data)
		if block == nil {
			return nil, errors.New("neither PEM nor a JWKS: write one or more blocks of BEGIN PUBLIC KEY, or a JSON object with keys")
		}
		public, err := parseBlock(block)
		if err != nil {
			return nil, fmt.Errorf("PEM block %d: %w", len(keys)+1, err)
		}
		key, err := newKey("", "", public)
		if err != nil {
			return nil, fmt.Errorf("PEM block %d: %w", len(keys)+1, err)
		}
		keys = append(keys, key)
		data = rest
	}
	return keys, nil
}

func parseBlock(block *pem.Block) (crypto.PublicKey, error) {
	switch block.Type {
	case "PUBLIC KEY":
		return x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		return x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		return certificate.PublicKey, nil
	case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY":
		return nil, errors.New("this is a private key, which only the minter of tokens should have: give its public key")
	}
	return nil, errors.New("it is none of PUBLIC KEY, RSA PUBLIC KEY and CERTIFICATE")
}

func parseJWKS(data []byte) (keys []Key, unfit []error, err error) {
	var set jwkset.JWKSMarshal
	if err := json.Unmarshal(data, &set); err != nil {
		return nil, nil, errors.New("not a JWKS: write a JSON object with keys, a list of JWKs, and without duplicate names")
	}
	for i, jwk := range set.Keys {
		key, err := parseJWK(jwk)
		if err != nil {
			unfit = append(unfit, fmt.Errorf("key %d: %w", i+1, err))
			continue
		}
		keys = append(keys, key)
	}
	return keys, unfit, nil
}

func parseJWK(jwk jwkset.JWKMarshal) (Key, error) {
	switch {
	case jwk.KTY == jwkset.KtyOct:
		return Key{}, errors.New("it is a shared secret; only public keys verify tokens here")
	case jwk.USE != "" && jwk.USE != jwkset.UseSig:
		return Key{}, errors.New("its use is not sig")
	case len(jwk.KEYOPS) > 0 && !slices.Contains(jwk.KEYOPS, jwkset.KeyOpsVerify):
		return Key{}, errors.New("its key_ops do not have verify")
	}
	// The key itself counts; what certificates say beside it, or behind a URL, does not.
	jwk.X5U, jwk.X5C, jwk.X5T, jwk.X5TS256 = "", nil, "", ""
	parsed, err := jwkset.NewJWKFromMarshal(jwk, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
	if err != nil {
		return Key{}, errors.New("it is not a well-formed JWK of a known type")
	}
	return newKey(jwk.KID, string(jwk.ALG), parsed.Key())
}

// newKey pins a public key to the algorithms of its type, or to the one of them
// that is given.
func newKey(id, algorithm string, public crypto.PublicKey) (Key, error) {
	k := Key{id: id, public: public}
	switch public := public.(type) {
	case *rsa.PublicKey:
		if size := public.N.BitLen(); size < minRSASize || size > maxRSASize {
			return Key{}, fmt.Errorf("it is an RSA key of %d bits; %d to %d are accepted", size, minRSASize, maxRSASize)
		}
		k.algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}
	case *ecdsa.PublicKey:
		switch public.Curve {
		case elliptic.P256():
			k.algorithms = []string{"ES256"}
		case elliptic.P384():
			k.algorithms = []string{"ES384"}
		case elliptic.P521():
			k.algorithms = []string{"ES512"}
		}
	case ed25519.PublicKey:
		k.algorithms = []string{"EdDSA"}
	}
	if len(k.algorithms) == 0 {
		return Key{}, errors.New("its type is none of RSA, EC on P-256, P-384 or P-521, and Ed25519")
	}
	if algorithm != "" {
		if !slices.Contains(k.algorithms, algorithm) {
			return Key{}, errors.New("its alg is not one for signatures with a key of its type")
		}
		k.algorithms = []string{algorithm}
	}
	return k, nil
}
