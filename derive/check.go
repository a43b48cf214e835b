package derive

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
)

// CheckValue fingerprints a ring entry: it tells which material stands under
// which number, and is safe to publish (DESIGN section 2; what HSMs call a KCV).
type CheckValue struct {
	Version uint32  // of the entry
	Sum     [8]byte // first output bytes of HKDF over both secrets
}

// Fingerprint is the first 4 bytes of a check value, as hints carry it.
type Fingerprint [4]byte

// String is 8 lower-case hex digits.
func (f Fingerprint) String() string { return hex.EncodeToString(f[:]) }

// NewCheckValue computes the check value of an entry.
func NewCheckValue(version uint32, master, salt Secret) CheckValue {
	c := CheckValue{Version: version}
	var prk [sha256.Size]byte
	defer clear(prk[:])
	extract(&prk, salt.bytes(), master.bytes())
	expand(c.Sum[:], prk[:], labelCheck, binary.BigEndian.AppendUint32(nil, version))
	return c
}

// ParseCheckValue reads the form that [CheckValue.String] writes, and no other.
func ParseCheckValue(text string) (CheckValue, error) {
	var c CheckValue
	version, sum, found := strings.Cut(text, "-")
	if !found {
		return CheckValue{}, errCheckForm
	}
	v, err := parseVersion(version)
	if err != nil || len(sum) != hex.EncodedLen(len(c.Sum)) {
		return CheckValue{}, errCheckForm
	}
	if _, err := hex.Decode(c.Sum[:], []byte(sum)); err != nil {
		return CheckValue{}, errCheckForm
	}
	c.Version = v
	if c.String() != text {
		return CheckValue{}, errCheckForm
	}
	return c, nil
}

var errCheckForm = errors.New("is not a check value: the version, '-' and 16 lower-case hex digits, such as 3-9f86d081884c7d65")

// String is the version in decimal, '-', and 16 lower-case hex digits.
func (c CheckValue) String() string {
	b := strconv.AppendUint(make([]byte, 0, 10+1+16), uint64(c.Version), 10)
	b = append(b, '-')
	return string(hex.AppendEncode(b, c.Sum[:]))
}

// Fingerprint is the part of the check value that hints carry.
func (c CheckValue) Fingerprint() Fingerprint { return Fingerprint(c.Sum[:4]) }

// parseVersion reads 1 to 2^32-1; callers compare spellings.
func parseVersion(text string) (uint32, error) {
	v, err := strconv.ParseUint(text, 10, 32)
	if err == nil && v == 0 {
		err = strconv.ErrRange
	}
	return uint32(v), err
}
