package derive

import (
	"crypto/sha256"
	"encoding/binary"
)

// The suite and its labels. A different byte here is a different suite.
const (
	suite      = "kh1"
	labelSalt  = "kh1 salt"
	labelKey   = "kh1 document key"
	labelTag   = "kh1 hint tag"
	labelCheck = "kh1 check value"
)

// TagSize is the length of a hint's tag in bytes.
const TagSize = 16

// sessionPRK is the pseudorandom key that a session's key and tag both expand
// from: HKDF-Extract of the master key under the salt that ref names.
func sessionPRK(prk *[sha256.Size]byte, master, salt Secret, ref Reference) {
	var s [sha256.Size]byte
	defer clear(s[:])
	sessionSalt(&s, salt, ref)
	extract(prk, s[:], master.bytes())
}

// sessionSalt is the salt that ref names. Its info is 25 bytes with the counter
// of HKDF-Expand and a master key is 32, so the two messages that a salt key
// authenticates, here and in check values, are never the same.
func sessionSalt(s *[sha256.Size]byte, salt Secret, ref Reference) {
	expand(s[:], salt.bytes(), labelSalt, ref[:])
}

func sessionKey(prk *[sha256.Size]byte, context []byte) Key {
	key := Key{newOpaque()}
	expand(key.bytes(), prk[:], labelKey, context)
	return key
}

func sessionTag(prk *[sha256.Size]byte, context []byte) (tag [TagSize]byte) {
	expand(tag[:], prk[:], labelTag, context)
	return tag
}

// maxContextSize is the length of the longest ctx.
const maxContextSize = 4 + len(Reference{}) + 4 + MaxNamespaceSize + 4 + MaxDocumentIDSize

// appendContext appends ctx of the specification: what key and tag bind.
func appendContext(b []byte, version uint32, ref Reference, doc Document) []byte {
	b = binary.BigEndian.AppendUint32(b, version)
	b = append(b, ref[:]...)
	b = appendLengthPrefixed(b, doc.Namespace)
	return appendLengthPrefixed(b, doc.ID)
}

func appendLengthPrefixed(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}
