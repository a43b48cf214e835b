package derive

import (
	"crypto/sha256"
	"encoding/binary"
	"io"

	"golang.org/x/crypto/hkdf"
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
func sessionPRK(master, salt Secret, ref Reference) []byte {
	s := sessionSalt(salt, ref)
	defer clear(s)
	return extract(s, master.bytes())
}

// sessionSalt is the salt that ref names. Its info is 25 bytes with the counter
// of HKDF-Expand and a master key is 32, so the two messages that a salt key
// authenticates, here and in check values, are never the same.
func sessionSalt(salt Secret, ref Reference) []byte {
	s := make([]byte, sha256.Size)
	expand(s, salt.bytes(), append([]byte(labelSalt), ref[:]...))
	return s
}

// context is ctx of the specification behind a label: what key and tag bind.
func context(label string, version uint32, ref Reference, doc Document) []byte {
	info := make([]byte, 0, len(label)+4+len(ref)+4+len(doc.Namespace)+4+len(doc.ID))
	info = append(info, label...)
	info = binaryVersion(info, version)
	info = append(info, ref[:]...)
	info = lengthPrefixed(info, doc.Namespace)
	return lengthPrefixed(info, doc.ID)
}

func sessionKey(prk []byte, version uint32, ref Reference, doc Document) Key {
	key := Key{newOpaque()}
	expand(key.bytes(), prk, context(labelKey, version, ref, doc))
	return key
}

func sessionTag(prk []byte, version uint32, ref Reference, doc Document) (tag [TagSize]byte) {
	expand(tag[:], prk, context(labelTag, version, ref, doc))
	return tag
}

func extract(salt, secret []byte) []byte { return hkdf.Extract(sha256.New, secret, salt) }

// expand fills out, which is never empty and never longer than one SHA-256 block.
func expand(out, prk, info []byte) {
	if _, err := io.ReadFull(hkdf.Expand(sha256.New, prk, info), out); err != nil {
		panic("derive: expanding: " + err.Error()) // only past 255 blocks
	}
}

func binaryVersion(b []byte, version uint32) []byte {
	return binary.BigEndian.AppendUint32(b, version)
}

func lengthPrefixed(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}
