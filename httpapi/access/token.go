package access

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/golang-jwt/jwt/v5"
	lru "github.com/hashicorp/golang-lru/v2"

	"keyhint/httpapi/strictjson"
)

// TokenConfig is how tokens are verified (DESIGN section 6, mode jwt).
type TokenConfig struct {
	Keys     []Key    // from files
	KeySets  []string // URLs of JWKS: https, or http on loopback
	Audience []string // one of them must be in aud; at least one
	Issuer   string   // must equal iss; empty accepts any

	// Algorithms limits those that the keys are pinned to. Empty does not.
	Algorithms []string

	Leeway time.Duration // for clocks that differ, with exp, nbf and iat
	Cookie string        // name of the cookie that may carry the token; empty is none

	DocumentClaim    string   // names the document, or an array of them
	AllowAnyDocument bool     // a token without the document claim opens every document
	RoleClaim        string   // editor, the default, or viewer
	IssueRoles       []string // roles that may issue

	// ObserveCache is told of each token whether it was verified earlier. It may be
	// nil.
	ObserveCache func(hit bool)

	Now func() time.Time
	Log *slog.Logger
}

const (
	roleEditor = "editor"
	roleViewer = "viewer"
)

// ErrNoAudience is the cause of an [ErrUnauthenticated] that an operator can
// mend: a good token without aud, such as the RTC server gets. Accepting it
// would let that server fetch the keys that it must never have.
var ErrNoAudience = errors.New("the token has no aud, as tokens for the RTC server have none; mint a second token for this endpoint, with one of auth.jwt.audience as its aud, and never send that one to the RTC server")

const (
	maxTokenSize    = 8 << 10 // bytes
	maxCachedTokens = 10_000
)

// Tokens is access control by bearer tokens: JWTs (RFC 7519) that are signed
// with an asymmetric algorithm and minted for this endpoint alone.
type Tokens struct {
	config    TokenConfig
	parser    *jwt.Parser
	validator *jwt.Validator
	remotes   []*remoteKeySet
	gathering sync.Mutex // of keys
	verified  atomic.Pointer[verification]
}

// verification is a set of keys with the tokens that they have verified, so
// that these go when the keys change.
type verification struct {
	keys  []Key
	cache *lru.Cache[[sha256.Size]byte, *claims]
}

// NewTokens validates the configuration. If it names URLs, tokens that no other
// key has signed are refused as unavailable until [Tokens.Run] has fetched all.
func NewTokens(c TokenConfig) (*Tokens, error) {
	if len(c.Audience) == 0 || slices.Contains(c.Audience, "") {
		return nil, errors.New("auth.jwt.audience is missing: name this endpoint, and mint tokens with that name as aud")
	}
	if len(c.Keys) == 0 && len(c.KeySets) == 0 {
		return nil, errors.New("auth.jwt.keys is missing: name at least one file or URL with public keys")
	}
	if len(c.Algorithms) == 0 {
		c.Algorithms = []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
	}
	options := []jwt.ParserOption{
		jwt.WithValidMethods(c.Algorithms), jwt.WithStrictDecoding(), jwt.WithoutClaimsValidation(),
		jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithAudience(c.Audience...), jwt.WithIssuer(c.Issuer),
		jwt.WithLeeway(c.Leeway), jwt.WithTimeFunc(c.Now),
	}
	t := &Tokens{config: c, parser: jwt.NewParser(options...), validator: jwt.NewValidator(options...)}
	for _, url := range c.KeySets {
		remote, err := newRemoteKeySet(url, c.Log, t.useKeys)
		if err != nil {
			return nil, err
		}
		t.remotes = append(t.remotes, remote)
	}
	t.useKeys()
	return t, nil
}

// Run keeps the keys behind URLs up to date until ctx is done.
func (t *Tokens) Run(ctx context.Context) {
	for _, r := range t.remotes {
		go r.run(ctx)
	}
	<-ctx.Done()
}

// useKeys puts the present keys in force and forgets verified tokens.
func (t *Tokens) useKeys() {
	t.gathering.Lock()
	defer t.gathering.Unlock()
	keys := slices.Clone(t.config.Keys)
	for _, r := range t.remotes {
		keys = append(keys, r.keys()...)
	}
	cache, err := lru.New[[sha256.Size]byte, *claims](maxCachedTokens)
	if err != nil {
		panic(err) // only for a size below 1
	}
	t.verified.Store(&verification{keys, cache})
}

// Cached is how many verified tokens are remembered.
func (t *Tokens) Cached() int { return t.verified.Load().cache.Len() }

// Ready tells which URL has not given a key set yet.
func (t *Tokens) Ready() error {
	var errs []error
	for _, r := range t.remotes {
		errs = append(errs, r.ready())
	}
	return errors.Join(errs...)
}

// Identify verifies the bearer token, or the one in the configured cookie.
func (t *Tokens) Identify(r *http.Request) (Caller, error) {
	raw, err := t.find(r)
	if err != nil {
		return nil, err
	}
	c, err := t.verify(r.Context(), raw)
	if err != nil {
		return nil, err
	}
	return tokenCaller{c, &t.config}, nil
}

// validate checks the claims that do not depend on the request.
func (t *Tokens) validate(c *claims) error {
	switch err := t.validator.Validate(c); {
	case len(c.Audience) == 0:
		return ErrNoAudience
	case c.Subject == "":
		return errors.New("the token has no sub")
	default:
		return err
	}
}

// find takes the token from the Authorization header or, if there is none, from
// the cookie. Where there are two there is no telling which is meant.
func (t *Tokens) find(r *http.Request) (string, error) {
	var found string
	switch headers := r.Header.Values("Authorization"); {
	case len(headers) > 1:
		return "", unauthenticated(AmbiguousCredentials, errors.New("there are several Authorization headers"))
	case len(headers) == 1:
		scheme, token, _ := strings.Cut(headers[0], " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return "", unauthenticated(AmbiguousCredentials, errors.New("the Authorization header is not of the scheme Bearer"))
		}
		found = strings.TrimSpace(token)
	case t.config.Cookie != "":
		cookies := r.CookiesNamed(t.config.Cookie)
		if len(cookies) > 1 {
			return "", unauthenticated(AmbiguousCredentials, errors.New("there are several cookies of the configured name"))
		}
		if len(cookies) == 1 {
			found = cookies[0].Value
		}
	}
	switch {
	case found == "":
		return "", unauthenticated(NoCredentials, errors.New("there is no token"))
	case len(found) > maxTokenSize:
		return "", unauthenticated(TokenMalformed, fmt.Errorf("the token is over %d bytes long", maxTokenSize))
	}
	return found, nil
}

// verify checks form, signature and claims. A token that has passed is known
// until it expires.
func (t *Tokens) verify(ctx context.Context, raw string) (*claims, error) {
	v := t.verified.Load()
	id := sha256.Sum256([]byte(raw))
	c, known := v.cache.Get(id)
	if t.config.ObserveCache != nil {
		t.config.ObserveCache(known)
	}
	if !known {
		keyID, algorithm, err := readHeader(raw)
		if err != nil {
			return nil, unauthenticated(TokenMalformed, err)
		}
		var keys []jwt.VerificationKey
		if v, keys, err = t.candidates(ctx, v, keyID, algorithm); err != nil {
			return nil, err
		}
		c = &claims{documentClaim: t.config.DocumentClaim, roleClaim: t.config.RoleClaim}
		if _, err := t.parser.ParseWithClaims(raw, c, func(*jwt.Token) (any, error) {
			return jwt.VerificationKeySet{Keys: keys}, nil
		}); err != nil {
			if unready := t.Ready(); unready != nil { // it may be of a key that is not there yet
				return nil, unavailable(KeySetUnavailable, unready)
			}
			return nil, badToken(err)
		}
	}
	if err := t.validate(c); err != nil {
		v.cache.Remove(id)
		return nil, badToken(err)
	}
	if !known {
		v.cache.Add(id, c)
	}
	return c, nil
}

// candidates are the keys that may have signed a token, of v or, if no key there
// has the token's kid, of what a new fetch has brought.
func (t *Tokens) candidates(ctx context.Context, v *verification, keyID, algorithm string) (*verification, []jwt.VerificationKey, error) {
	if keyID != "" && !v.knows(keyID) {
		for _, r := range t.remotes {
			r.refetch(ctx)
		}
		v = t.verified.Load()
	}
	keys := v.candidates(keyID, algorithm)
	if len(keys) > 0 {
		return v, keys, nil
	}
	if err := t.Ready(); err != nil {
		return nil, nil, unavailable(KeySetUnavailable, err)
	}
	return nil, nil, unauthenticated(TokenKeyUnknown, errors.New("no key has the token's kid and is of the type for its alg"))
}

// readHeader reads the JOSE header (RFC 7515 section 4) strictly. The token's
// own idea of its key, in jku, x5u, jwk or x5c, is not looked at.
func readHeader(raw string) (keyID, algorithm string, err error) {
	encoded, _, _ := strings.Cut(raw, ".")
	header, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return "", "", errors.New("the token's header is not base64url")
	}
	members, err := strictjson.Object(header, "alg", "kid", "crit", "b64")
	if err != nil {
		return "", "", fmt.Errorf("the token's header is %w", err)
	}
	for _, name := range []string{"crit", "b64"} {
		if members.Get(name) != nil {
			return "", "", fmt.Errorf("the token's header has %s, and no extension is supported", name)
		}
	}
	algorithm, ok := strictjson.String(members.Get("alg"))
	if !ok {
		return "", "", errors.New("the token's header has no alg")
	}
	if value := members.Get("kid"); value != nil {
		if keyID, ok = strictjson.String(value); !ok {
			return "", "", errors.New("the token's kid is not a string")
		}
	}
	return keyID, algorithm, nil
}

// knows tells whether a key has this kid.
func (v *verification) knows(keyID string) bool {
	return slices.ContainsFunc(v.keys, func(k Key) bool { return k.id == keyID })
}

// candidates are the keys that may have signed a token: of the type for its
// algorithm and, where both have a kid, of that kid.
func (v *verification) candidates(keyID, algorithm string) []jwt.VerificationKey {
	var keys []jwt.VerificationKey
	for _, k := range v.keys {
		if slices.Contains(k.algorithms, algorithm) && (keyID == "" || k.id == "" || k.id == keyID) {
			keys = append(keys, k.public)
		}
	}
	return keys
}

// tokenCaller is the bearer of a verified token.
type tokenCaller struct {
	claims *claims
	config *TokenConfig
}

// Subject is the token's sub.
func (c tokenCaller) Subject() string { return c.claims.Subject }

// MayOpen checks the document and the role. Document ids are compared code
// point by code point: without normalisation or case folding.
func (c tokenCaller) MayOpen(_ context.Context, documentID string, operation Operation) error {
	switch documents := c.claims.documents; {
	case len(documents) == 0 && !c.config.AllowAnyDocument:
		return denied(TokenDocument, fmt.Errorf("the token names no document in %s", c.config.DocumentClaim))
	case len(documents) > 0 && !slices.Contains(documents, documentID):
		return denied(TokenDocument, errors.New("the token is for another document"))
	}
	role := c.claims.role
	if role == "" {
		role = roleEditor
	}
	switch {
	case role != roleEditor && role != roleViewer:
		return denied(TokenRole, errors.New("the token's role is unknown"))
	case operation == Issue && !slices.Contains(c.config.IssueRoles, role):
		return denied(TokenRole, fmt.Errorf("the role %s may not issue", role))
	}
	return nil
}
