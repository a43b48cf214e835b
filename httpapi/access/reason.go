package access

import (
	"errors"

	"github.com/golang-jwt/jwt/v5"
)

// Reason says why access was refused, finer than the error that it comes with,
// for metrics. It is one of [Reasons], whatever a caller sends.
type Reason string

// The reasons for [ErrUnauthenticated].
const (
	NoCredentials        Reason = "no-credentials"
	AmbiguousCredentials Reason = "ambiguous-credentials" // of another scheme, or several
	TokenMalformed       Reason = "token-malformed"
	TokenKeyUnknown      Reason = "token-key-unknown"   // no key with its kid and for its alg
	TokenSignature       Reason = "token-signature"     // it does not verify, or its alg is not accepted
	TokenNoAudience      Reason = "token-no-audience"   // see [ErrNoAudience]
	TokenAudience        Reason = "token-audience"      // it is for another endpoint
	TokenIssuer          Reason = "token-issuer"        // of another iss
	TokenExpired         Reason = "token-expired"       // by exp
	TokenNotYetValid     Reason = "token-not-yet-valid" // by nbf or iat
	TokenClaims          Reason = "token-claims"        // one is missing
	ClientCertificate    Reason = "client-certificate"  // none, or it does not verify
	HostUnauthenticated  Reason = "host-unauthenticated"
)

// The reasons for [ErrDenied].
const (
	TokenDocument Reason = "token-document" // it is for another document, or names none
	TokenRole     Reason = "token-role"     // it is unknown, or may not issue
	ClientName    Reason = "client-name"    // the certificate has no accepted name
	HostDenied    Reason = "host-denied"
)

// The reasons for [ErrUnavailable].
const (
	KeySetUnavailable Reason = "key-set-unavailable" // it was not fetched yet
	HostUnavailable   Reason = "host-unavailable"
	HostTimeout       Reason = "host-timeout"
	HostBusy          Reason = "host-busy" // max_concurrent calls wait for it
)

// Reasons lists them all.
func Reasons() []Reason {
	return []Reason{
		NoCredentials, AmbiguousCredentials, TokenMalformed, TokenKeyUnknown, TokenSignature, TokenNoAudience, TokenAudience,
		TokenIssuer, TokenExpired, TokenNotYetValid, TokenClaims, ClientCertificate, HostUnauthenticated,
		TokenDocument, TokenRole, ClientName, HostDenied,
		KeySetUnavailable, HostUnavailable, HostTimeout, HostBusy,
	}
}

// ReasonOf returns the reason of a refusal, or "" if err is none of this package.
func ReasonOf(err error) Reason {
	var r *refusal
	if errors.As(err, &r) {
		return r.reason
	}
	return ""
}

// refusal is one of the package's errors with its reason and what led to it.
type refusal struct {
	kind   error // ErrUnauthenticated, ErrDenied or ErrUnavailable
	reason Reason
	cause  error // for the log
}

func (r *refusal) Error() string   { return r.kind.Error() + ": " + r.cause.Error() }
func (r *refusal) Unwrap() []error { return []error{r.kind, r.cause} }

func unauthenticated(reason Reason, cause error) error {
	return &refusal{ErrUnauthenticated, reason, cause}
}

func denied(reason Reason, cause error) error { return &refusal{ErrDenied, reason, cause} }

func unavailable(reason Reason, cause error) error { return &refusal{ErrUnavailable, reason, cause} }

// tokenReasons are those of what the token library finds, the weightiest first.
var tokenReasons = []struct {
	cause  error
	reason Reason
}{
	{ErrNoAudience, TokenNoAudience},
	{jwt.ErrTokenMalformed, TokenMalformed},
	{jwt.ErrTokenSignatureInvalid, TokenSignature},
	{jwt.ErrTokenUnverifiable, TokenSignature},
	{jwt.ErrTokenInvalidAudience, TokenAudience},
	{jwt.ErrTokenInvalidIssuer, TokenIssuer},
	{jwt.ErrTokenExpired, TokenExpired},
	{jwt.ErrTokenNotValidYet, TokenNotYetValid},
	{jwt.ErrTokenUsedBeforeIssued, TokenNotYetValid},
}

// badToken refuses a token for what is wrong with it.
func badToken(cause error) error {
	for _, t := range tokenReasons {
		if errors.Is(cause, t.cause) {
			return unauthenticated(t.reason, cause)
		}
	}
	return unauthenticated(TokenClaims, cause)
}
