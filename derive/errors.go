package derive

import "errors"

// The refusals of [ParseHint] and [Keyring.Resolve], in the order in which they
// are checked. Compare with errors.Is.
var (
	ErrMalformedHint      = errors.New("malformed hint")
	ErrUnknownVersion     = errors.New("version is not in the ring")
	ErrUnknownFingerprint = errors.New("the ring holds other material under this version")
	ErrDisabled           = errors.New("version is disabled")
	ErrDestroyed          = errors.New("version is destroyed")
	ErrTagMismatch        = errors.New("hint was not issued for this document")
	ErrExpired            = errors.New("hint is older than the maximum age")
)

// ErrNothingIssues is the refusal of [Keyring.Issue] when no entry may issue now.
var ErrNothingIssues = errors.New("no version issues")

// ErrInvalidDocument is the refusal of a document id or namespace out of bounds.
var ErrInvalidDocument = errors.New("invalid document")

// errWiped is for a fault of the caller, who used a ring after its end.
var errWiped = errors.New("the ring is wiped")
