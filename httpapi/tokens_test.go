package httpapi_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/fips140"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"keyhint/httpapi"
	"keyhint/httpapi/access"
)

// tokenTime is the endpoint's time in the tests of tokens.
var tokenTime = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const (
	documentClaim = "https://claims.tiny.cloud/rtc/document"
	roleClaim     = "https://claims.tiny.cloud/rtc/role"
)

// minter has a private key of every type and makes tokens of every kind.
type minter struct {
	rsa, otherRSA, weakRSA *rsa.PrivateKey
	p256, p384             *ecdsa.PrivateKey
	ed                     ed25519.PrivateKey
}

func newMinter(t testing.TB) *minter {
	t.Helper()
	var m minter
	var err error
	for _, k := range []struct {
		key  **rsa.PrivateKey
		bits int
	}{{&m.rsa, 2048}, {&m.otherRSA, 2048}, {&m.weakRSA, 1024}} {
		// Who mints tokens, and who forges them, need not be in FIPS 140-3 mode.
		fips140.WithoutEnforcement(func() { *k.key, err = rsa.GenerateKey(rand.Reader, k.bits) })
		if err != nil {
			t.Fatal(err)
		}
	}
	if m.p256, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	if m.p384, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	if _, m.ed, err = ed25519.GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	return &m
}

// sign makes a token of a header and a payload that are written out, so that
// they can be wrong in any way.
func sign(t testing.TB, method jwt.SigningMethod, key any, header, payload string) string {
	t.Helper()
	text := encode(header) + "." + encode(payload)
	var signature []byte
	var err error
	fips140.WithoutEnforcement(func() { signature, err = method.Sign(text, key) })
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// goodClaims are the claims of a token that opens doc-1.
func goodClaims() map[string]any {
	return map[string]any{
		"sub": "alice", "aud": "keyhint", "exp": tokenTime.Add(time.Hour).Unix(), documentClaim: "doc-1",
	}
}

// claimsWith is the payload of a good token with some claims changed; nil removes one.
func claimsWith(changes map[string]any) string {
	c := goodClaims()
	for name, value := range changes {
		if value == nil {
			delete(c, name)
		} else {
			c[name] = value
		}
	}
	payload, err := json.Marshal(c)
	if err != nil {
		panic(err)
	}
	return string(payload)
}

func publicPEM(t testing.TB, public crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func (m *minter) keys(t testing.TB) []access.Key {
	t.Helper()
	keys, unfit, err := access.ParseKeys([]byte(publicPEM(t, m.rsa.Public()) + publicPEM(t, m.p256.Public()) +
		publicPEM(t, m.p384.Public()) + publicPEM(t, m.ed.Public())))
	if err != nil || len(unfit) > 0 {
		t.Fatal(err, unfit)
	}
	return keys
}

func tokenConfig(t testing.TB, m *minter) access.TokenConfig {
	return access.TokenConfig{
		Keys: m.keys(t), Audience: []string{"keyhint", "keyhint-eu"}, Leeway: 30 * time.Second, Cookie: "kh",
		DocumentClaim: documentClaim, RoleClaim: roleClaim, IssueRoles: []string{"editor"},
		Now: func() time.Time { return tokenTime }, Log: slog.New(slog.DiscardHandler),
	}
}

// guarded is an endpoint behind access control, over real HTTP, with its log.
type guarded struct {
	url string
	log *bytes.Buffer
}

func guard(t testing.TB, control access.Control) *guarded {
	t.Helper()
	g := &guarded{log: new(bytes.Buffer)}
	server := httptest.NewServer(httpapi.New(newConfig(t, withLog(g.log, slog.LevelInfo), func(c *httpapi.Config) {
		c.Access, c.Now = control, func() time.Time { return tokenTime }
	})))
	t.Cleanup(server.Close)
	g.url = server.URL + path
	return g
}

// ask posts a request with a header; keyHint "" is null.
func (g *guarded) ask(t testing.TB, documentID, keyHint string, header http.Header) (*http.Response, string) {
	t.Helper()
	request := map[string]any{"documentId": documentID, "keyHint": nil}
	if keyHint != "" {
		request["keyHint"] = keyHint
	}
	body, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodPost, g.url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(answer)
}

func bearer(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }

func TestTokensThatOpen(t *testing.T) {
	m := newMinter(t)
	tokens, err := access.NewTokens(tokenConfig(t, m))
	if err != nil {
		t.Fatal(err)
	}
	g := guard(t, tokens)
	rs := func(payload string) string {
		return sign(t, jwt.SigningMethodRS256, m.rsa, `{"alg":"RS256","typ":"JWT"}`, payload)
	}
	good := claimsWith(nil)
	for name, header := range map[string]http.Header{
		"RS256": bearer(rs(good)),
		"RS384": bearer(sign(t, jwt.SigningMethodRS384, m.rsa, `{"alg":"RS384"}`, good)),
		"RS512": bearer(sign(t, jwt.SigningMethodRS512, m.rsa, `{"alg":"RS512"}`, good)),
		"PS256": bearer(sign(t, jwt.SigningMethodPS256, m.rsa, `{"alg":"PS256"}`, good)),
		"PS384": bearer(sign(t, jwt.SigningMethodPS384, m.rsa, `{"alg":"PS384"}`, good)),
		"PS512": bearer(sign(t, jwt.SigningMethodPS512, m.rsa, `{"alg":"PS512"}`, good)),
		"ES256": bearer(sign(t, jwt.SigningMethodES256, m.p256, `{"alg":"ES256"}`, good)),
		"ES384": bearer(sign(t, jwt.SigningMethodES384, m.p384, `{"alg":"ES384"}`, good)),
		"EdDSA": bearer(sign(t, jwt.SigningMethodEdDSA, m.ed, `{"alg":"EdDSA"}`, good)),

		"a kid, where keys have none":      bearer(sign(t, jwt.SigningMethodRS256, m.rsa, `{"alg":"RS256","kid":"7"}`, good)),
		"jku, x5u and jwk are ignored":     bearer(sign(t, jwt.SigningMethodRS256, m.rsa, `{"alg":"RS256","jku":"http://127.0.0.1:1/","x5u":"http://127.0.0.1:1/","jwk":{"kty":"oct","k":"AA"}}`, good)),
		"scheme in small letters":          {"Authorization": {"bearer " + rs(good)}},
		"cookie":                           {"Cookie": {"other=1; kh=" + rs(good)}},
		"aud as an array":                  bearer(rs(claimsWith(map[string]any{"aud": []string{"other", "keyhint-eu"}}))),
		"one of several documents":         bearer(rs(claimsWith(map[string]any{documentClaim: []string{"doc-0", "doc-1"}}))),
		"role editor":                      bearer(rs(claimsWith(map[string]any{roleClaim: "editor"}))),
		"expired within the leeway":        bearer(rs(claimsWith(map[string]any{"exp": tokenTime.Unix() - 29}))),
		"not before, within the leeway":    bearer(rs(claimsWith(map[string]any{"nbf": tokenTime.Unix() + 30}))),
		"issued at, within the leeway":     bearer(rs(claimsWith(map[string]any{"iat": tokenTime.Unix() + 30}))),
		"fractions of seconds":             bearer(rs(claimsWith(map[string]any{"exp": float64(tokenTime.Unix()) + 0.5, "nbf": 1e9}))),
		"claims that are not known":        bearer(rs(claimsWith(map[string]any{"jti": "1", "x": map[string]any{"y": []int{1}}}))),
		"an issuer, when none is required": bearer(rs(claimsWith(map[string]any{"iss": "https://issuer.example"}))),
	} {
		for range 2 { // the second time the token is known
			if response, answer := g.ask(t, "doc-1", "", header); response.StatusCode != http.StatusOK {
				t.Errorf("%s: status %d, %s, log %s", name, response.StatusCode, answer, g.log)
			}
		}
	}
}

func TestHostileTokensGetNoKey(t *testing.T) {
	m := newMinter(t)
	config := tokenConfig(t, m)
	config.Issuer = "https://issuer.example"
	tokens, err := access.NewTokens(config)
	if err != nil {
		t.Fatal(err)
	}
	g := guard(t, tokens)

	const rs256 = `{"alg":"RS256","typ":"JWT"}`
	const unauthenticated, denied, malformed = http.StatusUnauthorized, http.StatusForbidden, http.StatusBadRequest
	withIssuer := func(changes map[string]any) string {
		all := map[string]any{"iss": "https://issuer.example"}
		for name, value := range changes {
			all[name] = value
		}
		return claimsWith(all)
	}
	good := withIssuer(nil)
	rs := func(header, payload string) string { return sign(t, jwt.SigningMethodRS256, m.rsa, header, payload) }
	claim := func(name string, value any) string { return rs(rs256, withIssuer(map[string]any{name: value})) }
	raw := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%s is not in %s", old, good)
		}
		return rs(rs256, strings.Replace(good, old, new, 1))
	}
	hs256 := func(header string, key []byte) string {
		text := encode(header) + "." + encode(good)
		var sum []byte
		fips140.WithoutEnforcement(func() {
			mac := hmac.New(sha256.New, key)
			mac.Write([]byte(text))
			sum = mac.Sum(nil)
		})
		return text + "." + base64.RawURLEncoding.EncodeToString(sum)
	}
	token := rs(rs256, good)
	parts := strings.Split(token, ".")
	publicKey := publicPEM(t, m.rsa.Public())
	der, _ := pem.Decode([]byte(publicKey))
	jwk := fmt.Sprintf(`{"kty":"RSA","n":%q,"e":"AQAB"}`, base64.RawURLEncoding.EncodeToString(m.otherRSA.N.Bytes()))
	otherRSA := func(header string) string { return sign(t, jwt.SigningMethodRS256, m.otherRSA, header, good) }
	half := len(parts[2]) / 2
	flipped := parts[2][:half] + string(parts[2][half]^1) + parts[2][half+1:]
	if !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", rune(flipped[half])) {
		flipped = "AAAA" + parts[2][4:]
	}

	cases := []struct {
		name   string
		header http.Header
		id     string // of the document; doc-1 if empty
		status int
	}{
		// no credentials, or several
		{"nothing", nil, "", unauthenticated},
		{"empty bearer", http.Header{"Authorization": {"Bearer "}}, "", unauthenticated},
		{"scheme alone", http.Header{"Authorization": {"Bearer"}}, "", unauthenticated},
		{"basic", http.Header{"Authorization": {"Basic " + token}}, "", unauthenticated},
		{"no scheme", http.Header{"Authorization": {token}}, "", unauthenticated},
		{"two headers", http.Header{"Authorization": {"Bearer " + token, "Bearer " + token}}, "", unauthenticated},
		{"two tokens in a header", http.Header{"Authorization": {"Bearer " + token + " " + token}}, "", unauthenticated},
		{"two cookies", http.Header{"Cookie": {"kh=" + token + "; kh=" + token}}, "", unauthenticated},
		{"another cookie", http.Header{"Cookie": {"KH=" + token}}, "", unauthenticated},
		{"a bad header beside a good cookie", http.Header{"Authorization": {"Bearer x"}, "Cookie": {"kh=" + token}}, "", unauthenticated},

		// algorithms
		{"alg none", bearer(encode(`{"alg":"none"}`) + "." + encode(good) + "."), "", unauthenticated},
		{"alg None", bearer(encode(`{"alg":"None"}`) + "." + encode(good) + "."), "", unauthenticated},
		{"alg none with a signature", bearer(encode(`{"alg":"none"}`) + "." + encode(good) + "." + parts[2]), "", unauthenticated},
		{"alg RS256, no signature", bearer(parts[0] + "." + parts[1] + "."), "", unauthenticated},
		{"HS256 with the public key in PEM", bearer(hs256(`{"alg":"HS256"}`, []byte(publicKey))), "", unauthenticated},
		{"HS256 with the public key in DER", bearer(hs256(`{"alg":"HS256"}`, der.Bytes)), "", unauthenticated},
		{"HS256 with an empty key", bearer(hs256(`{"alg":"HS256"}`, nil)), "", unauthenticated},
		{"HMAC under alg RS256", bearer(hs256(rs256, []byte(publicKey))), "", unauthenticated},
		{"RS256 signature under ES256", bearer(rs(`{"alg":"ES256"}`, good)), "", unauthenticated},
		{"ES256 signature under RS256", bearer(sign(t, jwt.SigningMethodES256, m.p256, rs256, good)), "", unauthenticated},
		{"ES384 signature under ES256", bearer(sign(t, jwt.SigningMethodES384, m.p384, `{"alg":"ES256"}`, good)), "", unauthenticated},
		{"ES512, for which there is no key", bearer(sign(t, jwt.SigningMethodES256, m.p256, `{"alg":"ES512"}`, good)), "", unauthenticated},
		{"RS256 signature under PS256", bearer(rs(`{"alg":"PS256"}`, good)), "", unauthenticated},
		{"alg in small letters", bearer(rs(`{"alg":"rs256"}`, good)), "", unauthenticated},
		{"no alg", bearer(rs(`{"typ":"JWT"}`, good)), "", unauthenticated},
		{"alg null", bearer(rs(`{"alg":null}`, good)), "", unauthenticated},
		{"alg as a list", bearer(rs(`{"alg":["RS256"]}`, good)), "", unauthenticated},
		{"ES256 signature of zeros", bearer(encode(`{"alg":"ES256"}`) + "." + encode(good) + "." + base64.RawURLEncoding.EncodeToString(make([]byte, 64))), "", unauthenticated},

		// keys
		{"another RSA key", bearer(otherRSA(rs256)), "", unauthenticated},
		{"a weak RSA key", bearer(sign(t, jwt.SigningMethodRS256, m.weakRSA, rs256, good)), "", unauthenticated},
		{"another key, embedded as jwk", bearer(otherRSA(`{"alg":"RS256","jwk":` + jwk + `}`)), "", unauthenticated},
		{"another key, named by jku", bearer(otherRSA(`{"alg":"RS256","jku":"` + g.url + `"}`)), "", unauthenticated},
		{"another key, named by x5u", bearer(otherRSA(`{"alg":"RS256","x5u":"` + g.url + `"}`)), "", unauthenticated},
		{"kid of a file", bearer(otherRSA(`{"alg":"RS256","kid":"../../../../dev/null"}`)), "", unauthenticated},
		{"kid of SQL", bearer(otherRSA(`{"alg":"RS256","kid":"' UNION SELECT 'x"}`)), "", unauthenticated},
		{"kid of a number", bearer(rs(`{"alg":"RS256","kid":1}`, good)), "", unauthenticated},
		{"kid null", bearer(rs(`{"alg":"RS256","kid":null}`, good)), "", unauthenticated},

		// headers
		{"crit", bearer(rs(`{"alg":"RS256","crit":["exp"],"exp":1}`, good)), "", unauthenticated},
		{"crit, empty", bearer(rs(`{"alg":"RS256","crit":[]}`, good)), "", unauthenticated},
		{"b64 false", bearer(rs(`{"alg":"RS256","b64":false,"crit":["b64"]}`, good)), "", unauthenticated},
		{"alg twice", bearer(rs(`{"alg":"none","alg":"RS256"}`, good)), "", unauthenticated},
		{"alg and ALG", bearer(rs(`{"alg":"RS256","ALG":"none"}`, good)), "", unauthenticated},
		{"header of invalid UTF-8", bearer(rs("{\"alg\":\"RS256\",\"x\":\"\xff\"}", good)), "", unauthenticated},
		{"header with trailing data", bearer(rs(rs256+"{}", good)), "", unauthenticated},
		{"header as a list", bearer(rs(`["RS256"]`, good)), "", unauthenticated},

		// form
		{"garbage", bearer("garbage"), "", unauthenticated},
		{"two dots alone", bearer(".."), "", unauthenticated},
		{"two parts", bearer(parts[0] + "." + parts[1]), "", unauthenticated},
		{"four parts", bearer(token + "." + parts[2]), "", unauthenticated},
		{"five parts, as if encrypted", bearer(token + "." + parts[0] + "." + parts[1]), "", unauthenticated},
		{"padding", bearer(token + "="), "", unauthenticated},
		{"standard base64", bearer(parts[0] + "." + base64.StdEncoding.EncodeToString([]byte(good)) + "." + parts[2]), "", unauthenticated},
		{"a bit of the signature flipped", bearer(parts[0] + "." + parts[1] + "." + flipped), "", unauthenticated},
		{"the payload of another token", bearer(parts[0] + "." + encode(withIssuer(map[string]any{"sub": "bob"})) + "." + parts[2]), "", unauthenticated},
		{"oversized", bearer(claim("jti", strings.Repeat("x", 8<<10))), "", unauthenticated},
		{"nested: a token as payload", bearer(rs(`{"alg":"RS256","cty":"JWT"}`, token)), "", unauthenticated},
		{"nested: a token as a JSON string", bearer(rs(rs256, `"`+token+`"`)), "", unauthenticated},
		{"empty payload", bearer(rs(rs256, "")), "", unauthenticated},
		{"payload null", bearer(rs(rs256, "null")), "", unauthenticated},
		{"payload with trailing data", bearer(rs(rs256, good+good)), "", unauthenticated},
		{"payload with a byte order mark", bearer(rs(rs256, "\ufeff"+good)), "", unauthenticated},

		// times
		{"expired", bearer(claim("exp", tokenTime.Unix()-31)), "", unauthenticated},
		{"expired just now, leeway included", bearer(claim("exp", tokenTime.Unix()-30)), "", unauthenticated},
		{"no exp", bearer(claim("exp", nil)), "", unauthenticated},
		{"exp as text", bearer(claim("exp", fmt.Sprint(tokenTime.Unix()+60))), "", unauthenticated},
		{"exp null", bearer(raw(`"exp":`, `"x":1,"exp":null,"y":`)), "", unauthenticated},
		{"exp out of every range", bearer(raw(`"exp":`, `"exp":1e300,"y":`)), "", unauthenticated},
		{"exp beyond a double", bearer(raw(`"exp":`, `"exp":1e400,"y":`)), "", unauthenticated},
		{"exp negative", bearer(claim("exp", -1)), "", unauthenticated},
		{"not yet valid", bearer(claim("nbf", tokenTime.Unix()+31)), "", unauthenticated},
		{"nbf as text", bearer(claim("nbf", "0")), "", unauthenticated},
		{"issued in the future", bearer(claim("iat", tokenTime.Unix()+31)), "", unauthenticated},
		{"iat as a list", bearer(claim("iat", []int{0})), "", unauthenticated},

		// audience, subject, issuer
		{"no aud, as the RTC server's tokens", bearer(claim("aud", nil)), "", unauthenticated},
		{"another aud", bearer(claim("aud", "rtc")), "", unauthenticated},
		{"another aud in an array", bearer(claim("aud", []string{"rtc", "keyhint2"})), "", unauthenticated},
		{"aud as an empty array", bearer(claim("aud", []string{})), "", unauthenticated},
		{"aud as an empty text", bearer(claim("aud", "")), "", unauthenticated},
		{"aud of numbers", bearer(claim("aud", []any{"keyhint", 1})), "", unauthenticated},
		{"aud as an object", bearer(claim("aud", map[string]string{"keyhint": "keyhint"})), "", unauthenticated},
		{"aud in other letters", bearer(claim("aud", "Keyhint")), "", unauthenticated},
		{"aud within a text", bearer(claim("aud", "keyhint keyhint-eu")), "", unauthenticated},
		{"no sub", bearer(claim("sub", nil)), "", unauthenticated},
		{"empty sub", bearer(claim("sub", "")), "", unauthenticated},
		{"sub as a number", bearer(claim("sub", 7)), "", unauthenticated},
		{"no iss", bearer(claim("iss", nil)), "", unauthenticated},
		{"another iss", bearer(claim("iss", "https://issuer.example/")), "", unauthenticated},

		// claims that two readers understand differently
		{"exp twice", bearer(raw(`"exp":`, `"exp":1,"exp":`)), "", unauthenticated},
		{"aud twice, once escaped", bearer(raw(`"aud":`, `"\u0061ud":"keyhint","aud":`)), "", unauthenticated},
		{"document twice", bearer(raw(`"`+documentClaim+`":`, `"`+documentClaim+`":"doc-2","`+documentClaim+`":`)), "", unauthenticated},
		{"SUB beside sub", bearer(raw(`"sub":`, `"SUB":"root","sub":`)), "", unauthenticated},
		{"EXP for exp", bearer(raw(`"exp":`, `"EXP":`)), "", unauthenticated},
		{"document claim in other letters", bearer(raw(documentClaim, strings.ToUpper(documentClaim))), "", unauthenticated},
		{"an unpaired surrogate in a claim", bearer(raw(`"alice"`, `"\ud800"`)), "", unauthenticated},
		{"invalid UTF-8 in a claim", bearer(raw(`"alice"`, "\"\xff\"")), "", unauthenticated},
		{"an unpaired surrogate in the document", bearer(raw(`"doc-1"`, `"doc-\udfff"`)), "doc-\ufffd", unauthenticated},

		// the document
		{"no document claim", bearer(claim(documentClaim, nil)), "", denied},
		{"another document", bearer(token), "doc-2", denied},
		{"the document's prefix", bearer(token), "doc-", denied},
		{"the document and more", bearer(token), "doc-10", denied},
		{"a trailing NUL", bearer(token), "doc-1\x00", denied},
		{"a trailing NUL in the claim", bearer(claim(documentClaim, "doc-1\x00")), "", denied},
		{"a trailing space", bearer(token), "doc-1 ", denied},
		{"other letters", bearer(token), "Doc-1", denied},
		{"NFD for NFC", bearer(claim(documentClaim, "caf\u00e9")), "cafe\u0301", denied},
		{"NFC for NFD", bearer(claim(documentClaim, "cafe\u0301")), "caf\u00e9", denied},
		{"a wildcard", bearer(claim(documentClaim, "*")), "", denied},
		{"a list without it", bearer(claim(documentClaim, []string{"doc-0", "doc-2"})), "", denied},
		{"a list with an empty one", bearer(claim(documentClaim, []string{""})), "", denied},
		{"document null", bearer(raw(`"doc-1"`, `null`)), "", unauthenticated},
		{"document as a number", bearer(claim(documentClaim, 1)), "1", unauthenticated},
		{"document true", bearer(claim(documentClaim, true)), "", unauthenticated},
		{"document as an empty list", bearer(claim(documentClaim, []string{})), "", unauthenticated},
		{"document in a list of lists", bearer(claim(documentClaim, []any{[]string{"doc-1"}})), "", unauthenticated},
		{"document in a list with a null", bearer(claim(documentClaim, []any{"doc-1", nil})), "", unauthenticated},
		{"document as an object", bearer(claim(documentClaim, map[string]string{"id": "doc-1"})), "", unauthenticated},

		// the role
		{"a viewer issues", bearer(claim(roleClaim, "viewer")), "", denied},
		{"an unknown role", bearer(claim(roleClaim, "admin")), "", denied},
		{"a role in other letters", bearer(claim(roleClaim, "Editor")), "", denied},
		{"role null", bearer(raw(`"sub":`, `"`+roleClaim+`":null,"sub":`)), "", unauthenticated},
		{"an empty role", bearer(claim(roleClaim, "")), "", unauthenticated},
		{"roles as a list", bearer(claim(roleClaim, []string{"editor"})), "", unauthenticated},

		// the request
		{"a document id that no claim can hold", bearer(token), strings.Repeat("x", 1025), malformed},
	}
	if response, answer := g.ask(t, "doc-1", "", bearer(token)); response.StatusCode != http.StatusOK {
		t.Fatalf("the token that the others differ from: %d, %s, %s", response.StatusCode, answer, g.log)
	}
	statuses := make(map[int]int)
	for _, c := range cases {
		id := c.id
		if id == "" {
			id = "doc-1"
		}
		response, answer := g.ask(t, id, "", c.header)
		statuses[response.StatusCode]++
		if response.StatusCode != c.status || strings.Contains(answer, `"key"`) {
			t.Errorf("%s: status %d, want %d: %s", c.name, response.StatusCode, c.status, answer)
		}
		if challenge := response.Header.Get("WWW-Authenticate"); (challenge != "") != (response.StatusCode == http.StatusUnauthorized) {
			t.Errorf("%s: status %d with WWW-Authenticate %q", c.name, response.StatusCode, challenge)
		}
	}
	if len(cases) < 60 {
		t.Errorf("%d hostile tokens", len(cases))
	}
	t.Logf("%d hostile tokens: statuses %v, 0 keys", len(cases), statuses)
}

func TestAllowAnyDocument(t *testing.T) {
	m := newMinter(t)
	config := tokenConfig(t, m)
	config.AllowAnyDocument = true
	tokens, err := access.NewTokens(config)
	if err != nil {
		t.Fatal(err)
	}
	g := guard(t, tokens)
	for _, c := range []struct {
		payload string
		status  int
	}{
		{claimsWith(map[string]any{documentClaim: nil}), http.StatusOK},
		{claimsWith(map[string]any{documentClaim: "doc-2"}), http.StatusForbidden},
		{claimsWith(map[string]any{documentClaim: []string{}}), http.StatusUnauthorized},
		{claimsWith(map[string]any{documentClaim: 1}), http.StatusUnauthorized},
	} {
		token := sign(t, jwt.SigningMethodRS256, m.rsa, `{"alg":"RS256"}`, c.payload)
		if response, _ := g.ask(t, "doc-1", "", bearer(token)); response.StatusCode != c.status {
			t.Errorf("%s: status %d, want %d", c.payload, response.StatusCode, c.status)
		}
	}
}

func TestViewerResolvesAndDoesNotIssue(t *testing.T) {
	m := newMinter(t)
	tokens, err := access.NewTokens(tokenConfig(t, m))
	if err != nil {
		t.Fatal(err)
	}
	g := guard(t, tokens)
	mint := func(role string) http.Header {
		return bearer(sign(t, jwt.SigningMethodRS256, m.rsa, `{"alg":"RS256"}`, claimsWith(map[string]any{roleClaim: role})))
	}
	_, answer := g.ask(t, "doc-1", "", mint("editor"))
	var issued struct{ Key, KeyHint string }
	if err := json.Unmarshal([]byte(answer), &issued); err != nil {
		t.Fatal(err)
	}
	response, again := g.ask(t, "doc-1", issued.KeyHint, mint("viewer"))
	if response.StatusCode != http.StatusOK || again != answer {
		t.Errorf("a viewer resolves with status %d", response.StatusCode)
	}
}

// Whoever is refused learns nothing about hints: not from status, body or headers.
func TestRefusedCallersCannotTellHintsApart(t *testing.T) {
	m := newMinter(t)
	tokens, err := access.NewTokens(tokenConfig(t, m))
	if err != nil {
		t.Fatal(err)
	}
	g := guard(t, tokens)
	good := sign(t, jwt.SigningMethodRS256, m.rsa, `{"alg":"RS256"}`, claimsWith(nil))
	_, answer := g.ask(t, "doc-1", "", bearer(good))
	var issued struct{ Key, KeyHint string }
	if err := json.Unmarshal([]byte(answer), &issued); err != nil {
		t.Fatal(err)
	}
	other := sign(t, jwt.SigningMethodRS256, m.rsa, `{"alg":"RS256"}`, claimsWith(map[string]any{documentClaim: "doc-2"}))
	for name, header := range map[string]http.Header{"bad token": bearer(good[:len(good)-4]), "no token": nil, "another document's token": bearer(other)} {
		var seen []string
		for _, hint := range []string{issued.KeyHint, issued.KeyHint[:20], "x", strings.Replace(issued.KeyHint, "kh1.1-", "kh1.2-", 1), ""} {
			response, answer := g.ask(t, "doc-1", hint, header)
			h := response.Header.Clone()
			for _, varies := range []string{"X-Request-Id", "Date"} {
				h.Del(varies)
			}
			seen = append(seen, fmt.Sprint(response.StatusCode, h, answer))
		}
		for _, s := range seen[1:] {
			if s != seen[0] {
				t.Errorf("%s: hints can be told apart:\n%s\n%s", name, seen[0], s)
			}
		}
	}
}

func TestTokenForTheRTCServerIsExplainedToTheOperator(t *testing.T) {
	m := newMinter(t)
	tokens, err := access.NewTokens(tokenConfig(t, m))
	if err != nil {
		t.Fatal(err)
	}
	g := guard(t, tokens)
	payload := claimsWith(map[string]any{"aud": nil, roleClaim: "editor"})
	response, _ := g.ask(t, "doc-1", "", bearer(sign(t, jwt.SigningMethodRS256, m.rsa, `{"alg":"RS256"}`, payload)))
	if response.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %d", response.StatusCode)
	}
	for _, words := range []string{`"level":"WARN"`, "minted for the RTC server", "mint a second token", "auth.jwt.audience"} {
		if !strings.Contains(g.log.String(), words) {
			t.Errorf("the log does not say %q: %s", words, g.log)
		}
	}
}

func TestKnownTokensAreCheckedOnEveryRequest(t *testing.T) {
	m := newMinter(t)
	config := tokenConfig(t, m)
	now := tokenTime
	config.Now = func() time.Time { return now }
	tokens, err := access.NewTokens(config)
	if err != nil {
		t.Fatal(err)
	}
	g := guard(t, tokens)
	header := bearer(sign(t, jwt.SigningMethodRS256, m.rsa, `{"alg":"RS256"}`, claimsWith(nil)))
	for _, c := range []struct {
		now    time.Time
		id     string
		status int
	}{
		{tokenTime, "doc-1", http.StatusOK},
		{tokenTime, "doc-2", http.StatusForbidden},
		{tokenTime.Add(time.Hour), "doc-1", http.StatusOK},
		{tokenTime.Add(time.Hour + 30*time.Second), "doc-1", http.StatusUnauthorized},
		{tokenTime, "doc-1", http.StatusOK},
	} {
		now = c.now
		if response, _ := g.ask(t, c.id, "", header); response.StatusCode != c.status {
			t.Errorf("at %s for %s: status %d, want %d", c.now, c.id, response.StatusCode, c.status)
		}
	}
}
