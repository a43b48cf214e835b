package derive

import (
	"bytes"
	"crypto/fips140"
	"crypto/hmac"
	"crypto/sha256"
	"io"

	"golang.org/x/crypto/hkdf"
)

// HKDF-SHA-256 (RFC 5869) is here twice. The reference is
// golang.org/x/crypto/hkdf. Its HMACs live on the heap: making them takes longer
// than hashing, and their padded keys stay until the garbage collector comes.
// So keys are derived in place: HMAC over crypto/sha256 on the stack, with the
// scratch cleared. What crypto/sha256 leaves in frames of its own is out of reach.
//
// In FIPS 140-3 mode HMAC has to be that of the validated module, so there the
// reference derives. That the two agree is shown by published and random cases
// in the tests, and by [SelfTest] at each start.

// extract is HKDF-Extract.
func extract(prk *[sha256.Size]byte, salt, secret []byte) {
	if fips140.Enabled() {
		extractReference(prk, salt, secret)
	} else {
		extractInPlace(prk, salt, secret)
	}
}

// expand is HKDF-Expand with info = label || context. It fills out, which is
// at most 255 times 32 bytes.
func expand(out, prk []byte, label string, context []byte) {
	if fips140.Enabled() {
		expandReference(out, prk, label, context)
	} else {
		expandInPlace(out, prk, label, context)
	}
}

func extractInPlace(prk *[sha256.Size]byte, salt, secret []byte) {
	hmacSHA256(prk, salt, secret)
}

func expandInPlace(out, prk []byte, label string, context []byte) {
	var block [sha256.Size]byte
	defer clear(block[:])
	previous := block[:0]
	for counter := 1; len(out) > 0; counter++ {
		if counter > 255 {
			panic("derive: expanding past 255 blocks")
		}
		hmacSHA256(&block, prk, previous, []byte(label), context, []byte{byte(counter)})
		previous = block[:]
		out = out[copy(out, block[:]):]
	}
}

// hmacSHA256 is HMAC-SHA-256 (RFC 2104) of the parts of a message, joined. mac
// may overlap any of the inputs.
func hmacSHA256(mac *[sha256.Size]byte, key []byte, message ...[]byte) {
	var pad [sha256.BlockSize]byte
	defer clear(pad[:])
	if len(key) > len(pad) {
		digest := sha256.Sum256(key)
		defer clear(digest[:])
		key = digest[:]
	}
	copy(pad[:], key)

	for i := range pad {
		pad[i] ^= 0x36
	}
	h := sha256.New() // on the stack, which a test watches
	h.Write(pad[:])
	for _, part := range message {
		h.Write(part)
	}
	h.Sum(mac[:0])

	for i := range pad {
		pad[i] ^= 0x36 ^ 0x5c
	}
	h.Reset()
	h.Write(pad[:])
	h.Write(mac[:])
	h.Sum(mac[:0])
	h.Reset() // its state stood for the key
}

// MAC is HMAC-SHA-256 of a message under the secret, of which there must be one.
// It is for a secret with a purpose of its own, which is in no ring.
func (s Secret) MAC(message []byte) (mac [sha256.Size]byte) {
	if fips140.Enabled() {
		key := bytes.Clone(s.bytes())
		defer clear(key)
		h := hmac.New(sha256.New, key)
		h.Write(message)
		h.Sum(mac[:0])
		return mac
	}
	hmacSHA256(&mac, s.bytes(), message)
	return mac
}

// The reference is given copies, since what goes through an interface goes to
// the heap.

func extractReference(prk *[sha256.Size]byte, salt, secret []byte) {
	s, ikm := bytes.Clone(salt), bytes.Clone(secret)
	extracted := hkdf.Extract(sha256.New, ikm, s)
	copy(prk[:], extracted)
	clear(s)
	clear(ikm)
	clear(extracted)
}

func expandReference(out, prk []byte, label string, context []byte) {
	key, expanded := bytes.Clone(prk), make([]byte, len(out))
	info := append([]byte(label), context...)
	if _, err := io.ReadFull(hkdf.Expand(sha256.New, key, info), expanded); err != nil {
		panic("derive: expanding: " + err.Error()) // only past 255 blocks
	}
	copy(out, expanded)
	clear(key)
	clear(expanded)
}
