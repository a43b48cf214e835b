package access_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"keyhint/httpapi/access"
)

// keySetServer serves a JWKS that a test changes.
type keySetServer struct {
	*httptest.Server
	body    atomic.Pointer[string]
	status  atomic.Int64
	fetches atomic.Int64
}

func newKeySetServer(t *testing.T, body string) *keySetServer {
	s := &keySetServer{}
	s.set(http.StatusOK, body)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.fetches.Add(1)
		if status := int(s.status.Load()); status != http.StatusOK {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		}
		fmt.Fprint(w, *s.body.Load())
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *keySetServer) set(status int, body string) {
	s.status.Store(int64(status))
	s.body.Store(&body)
}

func newECKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// jwks is a key set of public keys; their kids are k0, k1 and so on.
func jwks(t *testing.T, keys ...*ecdsa.PrivateKey) string {
	t.Helper()
	var list []string
	for i, key := range keys {
		point, err := key.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, fmt.Sprintf(`{"kty":"EC","crv":"P-256","kid":"k%d","x":%q,"y":%q}`, i,
			base64.RawURLEncoding.EncodeToString(point[1:33]), base64.RawURLEncoding.EncodeToString(point[33:])))
	}
	return `{"keys":[` + strings.Join(list, ",") + `]}`
}

func requestWith(t *testing.T, kid string, key *ecdsa.PrivateKey) *http.Request {
	t.Helper()
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"sub": "alice", "aud": "keyhint", "exp": time.Now().Add(time.Hour).Unix(), "doc": "doc-1",
	})
	token.Header["kid"] = kid
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodPost, "/v1/key", nil)
	r.Header.Set("Authorization", "Bearer "+text)
	return r
}

func startTokens(t *testing.T, url string) *access.Tokens {
	t.Helper()
	return startTokensWith(t, url, nil)
}

func startTokensWith(t *testing.T, url string, keys []access.Key) *access.Tokens {
	t.Helper()
	tokens, err := access.NewTokens(access.TokenConfig{
		Keys: keys, KeySets: []string{url}, Audience: []string{"keyhint"}, DocumentClaim: "doc", RoleClaim: "role",
		IssueRoles: []string{"editor"}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	t.Cleanup(stop)
	go tokens.Run(ctx)
	return tokens
}

// eventually waits for a condition that other goroutines bring about.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func TestUnreachableKeySetIsRetried(t *testing.T) {
	key := newECKey(t)
	server := newKeySetServer(t, jwks(t, key))
	server.set(http.StatusBadGateway, "")
	tokens := startTokens(t, server.URL)
	eventually(t, "a first fetch", func() bool { return server.fetches.Load() > 0 })
	if err := tokens.Ready(); err == nil || !strings.Contains(err.Error(), server.URL) {
		t.Errorf("ready without keys: %v", err)
	}
	if _, err := tokens.Identify(requestWith(t, "k0", key)); !errors.Is(err, access.ErrUnavailable) {
		t.Errorf("without keys a token gives %v", err)
	}
	server.set(http.StatusOK, jwks(t, key))
	eventually(t, "readiness", func() bool { return tokens.Ready() == nil })
	if _, err := tokens.Identify(requestWith(t, "k0", key)); err != nil {
		t.Errorf("with keys a token gives %v", err)
	}
	if s := tokens.KeySets()[0].Status(); s.Fetched.IsZero() || !s.FailingSince.IsZero() {
		t.Errorf("status %+v", s)
	}
}

func TestUnknownKidFetchesOnce(t *testing.T) {
	first, second := newECKey(t), newECKey(t)
	server := newKeySetServer(t, jwks(t, first))
	tokens := startTokens(t, server.URL)
	eventually(t, "readiness", func() bool { return tokens.Ready() == nil })
	server.set(http.StatusOK, jwks(t, first, second))

	// All of them come before the new key is known; all of them wait for it.
	const callers = 50
	results := make(chan error, callers)
	for range callers {
		go func() {
			_, err := tokens.Identify(requestWith(t, "k1", second))
			results <- err
		}()
	}
	for range callers {
		if err := <-results; err != nil {
			t.Errorf("a token of the new key gives %v", err)
		}
	}
	for i := range 50 {
		if _, err := tokens.Identify(requestWith(t, fmt.Sprintf("unknown-%d", i), newECKey(t))); !errors.Is(err, access.ErrUnauthenticated) {
			t.Errorf("an unknown kid gives %v", err)
		}
	}
	if n := server.fetches.Load(); n != 2 {
		t.Errorf("%d fetches, want 1 at the start and 1 for unknown kids in this minute", n)
	}
}

// A key without a kid fits every kid, and must not stand in for one that is not
// fetched yet.
func TestKeyWithoutKidDoesNotHideANewOne(t *testing.T) {
	local, first, second := newECKey(t), newECKey(t), newECKey(t)
	server := newKeySetServer(t, jwks(t, first))
	keys, _, err := access.ParseKeys([]byte(spki(t, local.Public())))
	if err != nil {
		t.Fatal(err)
	}
	tokens := startTokensWith(t, server.URL, keys)
	eventually(t, "readiness", func() bool { return tokens.Ready() == nil })
	server.set(http.StatusOK, jwks(t, first, second))
	for name, request := range map[string]*http.Request{
		"a new key": requestWith(t, "k1", second), "the first": requestWith(t, "k0", first), "the local one": requestWith(t, "local", local),
	} {
		if _, err := tokens.Identify(request); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTokenOfAKeySetThatWasNeverFetchedIsUnavailable(t *testing.T) {
	local, remote := newECKey(t), newECKey(t)
	server := newKeySetServer(t, "")
	server.set(http.StatusBadGateway, "")
	keys, _, err := access.ParseKeys([]byte(spki(t, local.Public())))
	if err != nil {
		t.Fatal(err)
	}
	tokens := startTokensWith(t, server.URL, keys)
	if _, err := tokens.Identify(requestWith(t, "k0", remote)); !errors.Is(err, access.ErrUnavailable) {
		t.Errorf("a token of the key set: %v", err)
	}
	if _, err := tokens.Identify(requestWith(t, "local", local)); err != nil {
		t.Errorf("a token of the local key: %v", err)
	}
}

func TestLastGoodKeySetStaysInForce(t *testing.T) {
	for name, bad := range map[string]struct {
		status int
		body   string
	}{
		"an error":          {http.StatusInternalServerError, ""},
		"a redirect":        {http.StatusFound, ""},
		"HTML":              {http.StatusOK, "<!doctype html>"},
		"no keys":           {http.StatusOK, `{"keys":[]}`},
		"a shared secret":   {http.StatusOK, `{"keys":[{"kty":"oct","k":"AAAA"}]}`},
		"a weak key":        {http.StatusOK, `{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}`},
		"a duplicate name":  {http.StatusOK, `{"keys":[],"keys":[]}`},
		"a megabyte and on": {http.StatusOK, strings.Repeat(" ", 1<<20) + `{}`},
	} {
		t.Run(name, func(t *testing.T) {
			key := newECKey(t)
			server := newKeySetServer(t, jwks(t, key))
			tokens := startTokens(t, server.URL)
			eventually(t, "readiness", func() bool { return tokens.Ready() == nil })
			server.set(bad.status, bad.body)
			if _, err := tokens.Identify(requestWith(t, "unknown", key)); !errors.Is(err, access.ErrUnauthenticated) {
				t.Errorf("an unknown kid gives %v", err)
			}
			if n := server.fetches.Load(); n != 2 {
				t.Errorf("%d fetches", n)
			}
			if s := tokens.KeySets()[0].Status(); s.FailingSince.IsZero() {
				t.Error("the failure is not reported")
			}
			if _, err := tokens.Identify(requestWith(t, "k0", key)); err != nil {
				t.Errorf("a token of the good set gives %v", err)
			}
			if err := tokens.Ready(); err != nil {
				t.Errorf("not ready: %v", err)
			}
		})
	}
}

func TestVanishedKeyIsForgottenWithItsTokens(t *testing.T) {
	old, fresh := newECKey(t), newECKey(t)
	server := newKeySetServer(t, jwks(t, old))
	tokens := startTokens(t, server.URL)
	eventually(t, "readiness", func() bool { return tokens.Ready() == nil })
	known := requestWith(t, "k0", old)
	if _, err := tokens.Identify(known); err != nil {
		t.Fatal(err)
	}
	server.set(http.StatusOK, strings.ReplaceAll(jwks(t, fresh), "k0", "fresh"))
	if _, err := tokens.Identify(requestWith(t, "fresh", fresh)); err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.Identify(known); !errors.Is(err, access.ErrUnauthenticated) {
		t.Errorf("a known token of a key that is gone gives %v", err)
	}
}

func TestKeySetURLs(t *testing.T) {
	for url, good := range map[string]bool{
		"https://issuer.example/jwks.json": true, "http://127.0.0.1:9/jwks": true, "http://localhost/jwks": true, "http://[::1]/": true,
		"http://issuer.example/jwks.json": false, "http://127.0.0.1.example/": false, "https://user:pass@issuer.example/": false,
		"ftp://127.0.0.1/": false, "https://": false, "issuer.example/jwks": false, "https://issuer.example/#x": false, "": false,
	} {
		_, err := access.NewTokens(access.TokenConfig{KeySets: []string{url}, Audience: []string{"keyhint"}, Now: time.Now})
		if good != (err == nil) {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestHungKeySetServerIsGivenUp(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never answers
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	tokens := startTokens(t, "http://"+listener.Addr().String())
	eventually(t, "a failure", func() bool { return !tokens.KeySets()[0].Status().FailingSince.IsZero() })
}
