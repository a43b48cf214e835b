package derive

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
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
func (h Hint) String() string {
	return fmt.Sprintf("%s.%d-%s.%s.%s", suite, h.version, h.fingerprint, h.reference,
		base64.RawURLEncoding.EncodeToString(h.tag[:]))
}

// ParseHint reads a hint in its one spelling. The error wraps
// [ErrMalformedHint], names the part that is wrong and does not repeat the text.
func ParseHint(text string) (Hint, error) {
	if len(text) > MaxHintSize {
		return Hint{}, malformed("it is over %d characters long", MaxHintSize)
	}
	parts := strings.Split(text, ".")
	if len(parts) != 4 || parts[0] != suite {
		return Hint{}, malformed("it is not of the form %s.V-F.REF.TAG", suite)
	}
	number, fingerprint, found := strings.Cut(parts[1], "-")
	if !found {
		return Hint{}, malformed("its version has no fingerprint")
	}
	var h Hint
	var err error
	if h.version, err = parseVersion(number); err != nil {
		return Hint{}, malformed("its version is not a number from 1 to 2^32-1")
	}
	if !decodesTo(h.fingerprint[:], hex.DecodeString, fingerprint) {
		return Hint{}, malformed("its fingerprint is not 8 hex digits")
	}
	if h.reference, err = parseReference(parts[2]); err != nil {
		return Hint{}, malformed("its reference is not a UUIDv7")
	}
	if !decodesTo(h.tag[:], base64.RawURLEncoding.DecodeString, parts[3]) {
		return Hint{}, malformed("its tag is not 22 characters of base64url")
	}
	// The decoders above are lenient about case, signs, leading zeros, braces,
	// trailing bits and newlines; this comparison is not.
	if h.String() != text {
		return Hint{}, malformed("it is not in canonical spelling")
	}
	return h, nil
}

func decodesTo(dst []byte, decode func(string) ([]byte, error), text string) bool {
	b, err := decode(text)
	return err == nil && len(b) == len(dst) && copy(dst, b) == len(dst)
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformedHint, fmt.Sprintf(format, args...))
}
