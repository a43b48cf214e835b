package derive

import (
	"crypto/sha256"
	"crypto/subtle"
	"io"
	"time"
)

// Issue makes the key and the hint of a new session on doc under the primary.
// It takes the time of issue from now, kept to the millisecond, and 10 bytes
// from random, which must be a CSPRNG.
//
// The error wraps [ErrInvalidDocument] or [ErrNothingIssues], or tells that now
// is out of range or that random failed.
func (r *Keyring) Issue(doc Document, now time.Time, random io.Reader) (Key, Hint, error) {
	if err := doc.Validate(); err != nil {
		return Key{}, Hint{}, err
	}
	e, err := r.primary(now)
	if err != nil {
		return Key{}, Hint{}, err
	}
	ref, err := NewReference(now, random)
	if err != nil {
		return Key{}, Hint{}, err
	}
	key, hint := e.seal(ref, doc)
	if r.isWiped() {
		return Key{}, Hint{}, errWiped
	}
	return key, hint, nil
}

func (e *Entry) seal(ref Reference, doc Document) (Key, Hint) {
	var prk [sha256.Size]byte
	defer clear(prk[:])
	sessionPRK(&prk, e.MasterKey, e.SaltKey, ref)
	context := appendContext(make([]byte, 0, maxContextSize), e.Version, ref, doc)
	return sessionKey(&prk, context), Hint{
		version:     e.Version,
		fingerprint: e.Check.Fingerprint(),
		reference:   ref,
		tag:         sessionTag(&prk, context),
	}
}

// Resolve recomputes the key of the session on doc that hint was issued for.
// A hint older than maxAge is refused; 0 sets no limit.
//
// The error is [ErrUnknownVersion], [ErrUnknownFingerprint], [ErrDisabled],
// [ErrDestroyed], [ErrTagMismatch] or [ErrExpired], checked in this order, or
// wraps [ErrInvalidDocument].
func (r *Keyring) Resolve(hint Hint, doc Document, now time.Time, maxAge time.Duration) (Key, error) {
	if err := doc.Validate(); err != nil {
		return Key{}, err
	}
	e, err := r.lookup(hint)
	if err != nil {
		return Key{}, err
	}
	var prk [sha256.Size]byte
	defer clear(prk[:])
	sessionPRK(&prk, e.MasterKey, e.SaltKey, hint.reference)
	if r.isWiped() {
		return Key{}, errWiped
	}
	context := appendContext(make([]byte, 0, maxContextSize), e.Version, hint.reference, doc)
	tag := sessionTag(&prk, context)
	if subtle.ConstantTimeCompare(tag[:], hint.tag[:]) != 1 {
		return Key{}, ErrTagMismatch
	}
	if maxAge != 0 && now.Sub(hint.reference.Time()) > maxAge {
		return Key{}, ErrExpired
	}
	return sessionKey(&prk, context), nil
}

// lookup finds the entry that a hint names and may be resolved with.
func (r *Keyring) lookup(hint Hint) (*Entry, error) {
	if hint.version == 0 || hint.version > r.highest {
		return nil, ErrUnknownVersion
	}
	e := r.byID[entryID{hint.version, hint.fingerprint}]
	switch {
	case e == nil:
		return nil, ErrUnknownFingerprint
	case e.Status == Disabled:
		return nil, ErrDisabled
	case e.Status == Destroyed:
		return nil, ErrDestroyed
	}
	return e, nil
}
