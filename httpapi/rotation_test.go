package httpapi_test

import (
	"context"
	"crypto/ecdsa"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"keyhint/httpapi/access"
)

// The minter publishes a new key and signs with it from the same moment on,
// while 200 requests a second arrive, half of them with tokens not seen before.
func TestTokenKeyRotationUnderLoadLosesNoRequest(t *testing.T) {
	jwk := func(kid string, key *ecdsa.PrivateKey) string {
		point, err := key.PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf(`{"kty":"EC","crv":"P-256","kid":%q,"x":%q,"y":%q}`, kid,
			base64.RawURLEncoding.EncodeToString(point[1:33]), base64.RawURLEncoding.EncodeToString(point[33:]))
	}
	type signer struct {
		kid string
		key *ecdsa.PrivateKey
	}
	old, fresh := &signer{"old", newECKey(t)}, &signer{"fresh", newECKey(t)}
	var minting atomic.Pointer[signer]
	minting.Store(old)
	var fetches atomic.Int64
	keySet := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetches.Add(1)
		keys := []string{jwk(old.kid, old.key)}
		if minting.Load() == fresh {
			keys = append(keys, jwk(fresh.kid, fresh.key))
		}
		fmt.Fprintf(w, `{"keys":[%s]}`, strings.Join(keys, ","))
	}))
	defer keySet.Close()

	config := tokenConfig(t, newMinter(t))
	config.Keys, config.KeySets = nil, []string{keySet.URL}
	tokens, err := access.NewTokens(config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go tokens.Run(ctx)
	for deadline := time.Now().Add(10 * time.Second); tokens.Ready() != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(tokens.Ready())
		}
	}
	g := guard(t, tokens)

	mint := func(n int) http.Header {
		s := minting.Load()
		claims := jwt.MapClaims{"jti": n / 2}
		for name, value := range goodClaims() {
			claims[name] = value
		}
		token := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
		token.Header["kid"] = s.kid
		text, err := token.SignedString(s.key)
		if err != nil {
			panic(err)
		}
		return bearer(text)
	}
	const total = 600
	var group sync.WaitGroup
	var wrong atomic.Int64
	tick := time.NewTicker(time.Second / 200)
	defer tick.Stop()
	for n := range total {
		<-tick.C
		if n == total/2 {
			minting.Store(fresh)
		}
		group.Go(func() {
			if response, _ := g.ask(t, "doc-1", "", mint(n)); response.StatusCode != http.StatusOK {
				wrong.Add(1)
			}
		})
	}
	group.Wait()
	t.Logf("%d requests at 200 a second through a rotation: %d wrong answers, %d fetches", total, wrong.Load(), fetches.Load())
	if wrong.Load() != 0 || fetches.Load() != 2 {
		t.Errorf("%d wrong answers, %d fetches; want 0 and 2", wrong.Load(), fetches.Load())
	}
}
