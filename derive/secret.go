package derive

import (
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

const (
	// SecretSize is the length of a master key and of a salt key, in bytes.
	SecretSize = 32
	// secretTextSize is the length of a secret in standard base64 with padding.
	secretTextSize = 44
)

const redacted = "[redacted]"

// opaque holds 32 secret bytes. It is the common part of [Secret] and [Key].
//
// The bytes sit behind two pointers because fmt calls no method on an unexported
// field and prints its memory instead; under a verb that does not fit it even
// follows one pointer. Behind two it finds an address.
type opaque struct{ box **[32]byte }

func newOpaque() opaque {
	bytes := new([32]byte)
	return opaque{&bytes}
}

// bytes is the secret itself, not a copy. There must be one.
func (o opaque) bytes() []byte { return (*o.box)[:] }

// Format prints "[redacted]" for every verb and flag.
func (opaque) Format(state fmt.State, _ rune) { io.WriteString(state, redacted) }

// LogValue is "[redacted]".
func (opaque) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText is "[redacted]"; JSON and YAML encoders use it.
func (opaque) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// IsZero tells whether there are no bytes at all, as in the zero value.
func (o opaque) IsZero() bool { return o.box == nil }

// Wipe zeroes the bytes, here and in every copy of the value. It must not be
// used any more.
func (o opaque) Wipe() {
	if !o.IsZero() {
		clear(o.bytes())
	}
}

func (o opaque) equal(other opaque) bool {
	if o.IsZero() || other.IsZero() {
		return o.IsZero() && other.IsZero()
	}
	return subtle.ConstantTimeCompare(o.bytes(), other.bytes()) == 1
}

// Secret is a master key or a salt key: 32 bytes from a CSPRNG. The zero value
// is an absent secret. It prints as "[redacted]" through fmt, slog, JSON and
// YAML; [Secret.Reveal] is the only way to its bytes.
type Secret struct{ opaque }

// NewSecret copies 32 bytes into a secret. It refuses another length and bytes
// that no CSPRNG would give in practice: constant, counting, few distinct
// values, or printable text.
func NewSecret(b []byte) (Secret, error) {
	if len(b) != SecretSize {
		return Secret{}, fmt.Errorf("is %d bytes long; a secret is exactly %d", len(b), SecretSize)
	}
	if !looksRandom(b) {
		return Secret{}, errors.New("is a placeholder or a pattern; secrets are 32 bytes from a CSPRNG")
	}
	s := Secret{newOpaque()}
	copy(s.bytes(), b)
	return s, nil
}

// ParseSecret reads a secret written as standard base64 with padding (RFC 4648
// section 4), exactly 44 characters. Anything else is refused; the error never
// repeats the text. Bytes, other than a string, can be cleared afterwards.
func ParseSecret[Text string | []byte](text Text) (Secret, error) {
	if len(text) != secretTextSize {
		return Secret{}, fmt.Errorf("is %d characters long; a secret is 32 bytes in standard base64 with padding, exactly %d", len(text), secretTextSize)
	}
	var encoded [secretTextSize]byte
	var b [SecretSize + 1]byte // what 44 characters decode to without padding
	defer clear(encoded[:])
	defer clear(b[:])
	copy(encoded[:], text)
	n, err := base64.StdEncoding.Strict().Decode(b[:], encoded[:])
	if err != nil || n != SecretSize {
		return Secret{}, errors.New("is not 32 bytes in standard base64 with padding (letters, digits, + and /, ending in =)")
	}
	return NewSecret(b[:n])
}

// GenerateSecret reads a fresh secret from random.
func GenerateSecret(random io.Reader) (Secret, error) {
	var b [SecretSize]byte
	defer clear(b[:])
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return Secret{}, fmt.Errorf("reading randomness: %w", err)
	}
	return NewSecret(b[:])
}

// Equal compares in constant time.
func (s Secret) Equal(other Secret) bool { return s.equal(other.opaque) }

// Clone returns a copy that is not wiped with the secret.
func (s Secret) Clone() Secret {
	if s.IsZero() {
		return Secret{}
	}
	c := Secret{newOpaque()}
	copy(c.bytes(), s.bytes())
	return c
}

// Reveal writes the secret as [ParseSecret] reads it, for the file that keeps it.
func (s Secret) Reveal() string {
	if s.IsZero() {
		return ""
	}
	return base64.StdEncoding.EncodeToString(s.bytes())
}

// looksRandom is false for what people write while they mean to write a secret
// later. 32 random bytes fail it with a probability below 2^-45.
func looksRandom(b []byte) bool {
	var seen [256]bool
	distinct, printable, counting := 0, true, true
	for i, c := range b {
		if !seen[c] {
			seen[c] = true
			distinct++
		}
		printable = printable && c >= 0x20 && c < 0x7f
		counting = counting && (i < 2 || c-b[i-1] == b[1]-b[0])
	}
	return distinct >= 8 && !printable && !counting
}

// Key is the 32-byte key of one session. It prints as "[redacted]" through fmt,
// slog, JSON and YAML; [Key.Reveal] gives the form that goes to the client.
type Key struct{ opaque }

// Reveal writes the key as unpadded base64url, 43 characters.
func (k Key) Reveal() string { return string(k.AppendReveal(nil)) }

// AppendReveal appends what [Key.Reveal] returns, which can be cleared there.
func (k Key) AppendReveal(b []byte) []byte {
	if k.IsZero() {
		return b
	}
	return base64.RawURLEncoding.AppendEncode(b, k.bytes())
}

// Equal compares in constant time.
func (k Key) Equal(other Key) bool { return k.equal(other.opaque) }
