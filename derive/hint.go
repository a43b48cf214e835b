package derive

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// MaxHintSize is the length of the longest hint, in bytes of ASCII.
const MaxHintSize = 83

// Hint is what the client keeps and hands back to get the same key again. It
// holds nothing secret. The zero value is no hint and resolves to nothing.
type Hint struct {
	version     uint32
	fingerprint Fingerprint
	reference   Reference
	tag         [TagSize]byte
}

// Version is the number of the ring entry that issued the hint.
func (h Hint) Version() uint32 { return h.version }

// Fingerprint tells which material stood under that number.
func (h Hint) Fingerprint() Fingerprint { return h.fingerprint }

// Reference is the salt reference; its time is the time of issue. Neither is
// to be trusted before [Keyring.Resolve] has verified the tag.
func (h Hint) Reference() Reference { return h.reference }

// String is the one spelling of the hint: kh1.V-F.REF.TAG.
func (h Hint) String() string { return string(h.append(make([]byte, 0, MaxHintSize))) }

func (h Hint) append(b []byte) []byte {
	b = append(b, suite+"."...)
	b = strconv.AppendUint(b, uint64(h.version), 10)
	b = append(b, '-')
	b = hex.AppendEncode(b, h.fingerprint[:])
	b = append(b, '.')
	b = append(b, h.reference.String()...)
	b = append(b, '.')
	return base64.RawURLEncoding.AppendEncode(b, h.tag[:])
}

// ParseHint reads a hint in its one spelling. The error wraps
// [ErrMalformedHint], names the part that is wrong and does not repeat the text.
func ParseHint(text string) (Hint, error) {
	if len(text) > MaxHintSize {
		return Hint{}, malformed("it is over %d characters long", MaxHintSize)
	}
	rest, isSuite := strings.CutPrefix(text, suite+".")
	entry, rest, hasReference := strings.Cut(rest, ".")
	reference, tag, hasTag := strings.Cut(rest, ".")
	if !isSuite || !hasReference || !hasTag {
		return Hint{}, malformed("it is not of the form %s.V-F.REF.TAG", suite)
	}
	version, fingerprint, hasFingerprint := strings.Cut(entry, "-")
	if !hasFingerprint {
		return Hint{}, malformed("its version has no fingerprint")
	}
	var h Hint
	var err error
	if h.version, err = parseVersion(version); err != nil {
		return Hint{}, malformed("its version is not a number from 1 to 2^32-1")
	}
	if !decodeHex(h.fingerprint[:], fingerprint) {
		return Hint{}, malformed("its fingerprint is not 8 hex digits")
	}
	if h.reference, err = parseReference(reference); err != nil {
		return Hint{}, malformed("its reference is not a UUIDv7")
	}
	if !decodeBase64(h.tag[:], tag) {
		return Hint{}, malformed("its tag is not 22 characters of base64url")
	}
	// The decoders above are lenient about case, signs, leading zeros, braces,
	// trailing bits and newlines; this comparison is not.
	if string(h.append(make([]byte, 0, MaxHintSize))) != text {
		return Hint{}, malformed("it is not in canonical spelling")
	}
	return h, nil
}

// decodeHex and decodeBase64 fill dst, or tell that text does not.

func decodeHex(dst []byte, text string) bool {
	if len(text) != hex.EncodedLen(len(dst)) {
		return false
	}
	_, err := hex.Decode(dst, []byte(text))
	return err == nil
}

func decodeBase64(dst []byte, text string) bool {
	if len(text) != base64.RawURLEncoding.EncodedLen(len(dst)) {
		return false
	}
	n, err := base64.RawURLEncoding.Decode(dst, []byte(text))
	return err == nil && n == len(dst)
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformedHint, fmt.Sprintf(format, args...))
}
