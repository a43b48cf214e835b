// Package derive computes the keys of encrypted collaboration sessions from a
// ring of master secrets. It stores nothing: what it issues, it can recompute
// from the ring, the document and the public hint. It reads no file, no clock
// and no random source of its own; the caller hands in everything.
//
// # Usage
//
//	ring, err := derive.NewKeyring(entries)
//	key, hint, err := ring.Issue(doc, time.Now(), rand.Reader)   // a new session
//	hint, err = derive.ParseHint(text)                            // an earlier one
//	key, err = ring.Resolve(hint, doc, time.Now(), maxAge)
//
// # Suite kh1
//
// What follows specifies the suite completely. It never changes: another
// derivation would be another suite, with another prefix in its hints.
//
// Notation: || concatenates; u32(n) is n in 4 bytes, big-endian; lp(x) is
// u32(len(x)) || x with the length in bytes. Quoted labels are ASCII without a
// terminator. Strings stand for their UTF-8 bytes, never normalised. HKDF is
// RFC 5869 with HMAC-SHA-256.
//
// Inputs:
//
//	v     version of the ring entry, 1 to 2^32-1
//	MK    master key, exactly 32 bytes from a CSPRNG
//	SK    salt key, exactly 32 bytes from a CSPRNG, independent of MK
//	ref   salt reference, the 16 bytes of a UUIDv7 (RFC 9562 section 5.7)
//	ns    namespace, 0 to 128 bytes of UTF-8
//	doc   document id, 1 to 1024 bytes of UTF-8
//
// Derivation:
//
//	ctx   = u32(v) || ref || lp(ns) || lp(doc)
//	salt  = HKDF-Expand(PRK=SK, info="kh1 salt" || ref, L=32)
//	PRK   = HKDF-Extract(salt=salt, IKM=MK)
//	key   = HKDF-Expand(PRK, info="kh1 document key" || ctx, L=32)
//	tag   = HKDF-Expand(PRK, info="kh1 hint tag" || ctx, L=16)
//	check = HKDF(IKM=MK, salt=SK, info="kh1 check value" || u32(v), L=8)
//
// The key travels as unpadded base64url (RFC 4648 section 5), 43 characters.
//
// The check value identifies an entry and is safe to publish. It is written
// v, '-', and its 8 bytes as 16 lower-case hex digits: 3-9f86d081884c7d65.
//
// The hint names everything that recomputing the key needs beside the ring and
// the document, and nothing secret. It is at most 83 ASCII characters,
//
//	kh1.V-F.REF.TAG
//
// with V the version in decimal, F the first 8 hex digits of the check value,
// REF the reference as lower-case canonical UUID text and TAG the tag in
// unpadded base64url, 22 characters. One hint has one spelling; whatever
// differs from it in a sign, a leading zero, a letter's case, padding, trailing
// bits or surrounding space is malformed, as are v = 0, v > 2^32-1 and a UUID
// whose version is not 7 or whose variant is not 10.
//
// A reference is made from a Unix time in milliseconds, 48 bits, and 74 bits of
// a CSPRNG: 12 after the version, 62 after the variant.
//
// Resolving checks, in this order, and stops at the first failure:
//
//  1. the form of the hint ([ErrMalformedHint], from [ParseHint]),
//  2. that the ring knows the version ([ErrUnknownVersion]),
//  3. that an entry of this version has this fingerprint ([ErrUnknownFingerprint]),
//  4. that the entry's status resolves ([ErrDisabled], [ErrDestroyed]),
//  5. the tag, in constant time ([ErrTagMismatch]),
//  6. the age: now minus the reference's time must not exceed the maximum ([ErrExpired]).
//
// The tag comes from the same PRK as the key, so a tag that verifies certifies
// the key: wrong material is refused and never answered with a key that
// decrypts nothing.
//
// HMAC-SHA-256 is computed here over [crypto/sha256], and in FIPS 140-3 mode
// ([crypto/fips140]) by Go's validated module. [SelfTest] compares the former
// with golang.org/x/crypto/hkdf.
//
// # The key ring
//
// An [Entry] is a version, its two secrets, its check value, a status and an
// optional schedule. Versions number 1 to N without a gap. Several entries may
// share a version if their check values differ and at most one is [Enabled]:
// that heals a ring which two people extended at once.
//
// The primary is the highest version that has an entry whose ActivateAt is zero
// or has come. Only it issues: its enabled entry, once active and until its
// IssueUntil. When that is not to be had nothing issues ([ErrNothingIssues]) and
// resolving goes on. There is no falling back to an older version, which may be
// the one that leaked; the way out is a new version.
//
// To rotate, add an entry with a future ActivateAt and roll it out everywhere
// before that time. To stop a version, lower its status. To bury one, drop its
// secrets and mark it [Destroyed]; the tombstone keeps its number from being
// used again. [Keyring.Replaces] tells whether a new ring may take the place of
// a running one without losing a session.
//
// # Memory
//
// A ring holds its secrets in the memory of the entries that it was made from,
// and copies them nowhere. [Keyring.Wipe], [Secret.Wipe] and [Key.Wipe] zero
// them when nobody needs them any more, and scratch is cleared before a function
// returns. What Go cannot promise is that nothing was copied on the way: a stack
// that grows leaves its former place behind, registers are saved when a
// goroutine is interrupted, and strings, as from [Secret.Reveal] and
// [Key.Reveal], stay as long as the garbage collector lets them.
//
// # Compatibility
//
// Every derived byte is pinned by testdata/vectors/kh1.json, which a second,
// independent implementation makes and verifies. Keys issued by one release
// resolve in every later one.
package derive
