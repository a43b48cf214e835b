package derive

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gofrs/uuid/v5"
)

// Reference is a salt reference: a UUIDv7 (RFC 9562 section 5.7) that stands in
// the hint for a salt which only the server can compute, and carries the time
// of issue.
type Reference uuid.UUID

// NewReference makes a reference from a time, kept to the millisecond, and 74
// bits of random, from which it reads 10 bytes. It keeps no state: there is no
// counter, and a clock that jumps leaves no trace in later references.
// It refuses times before 1970 or after the year 10889, the range of 48 bits.
func NewReference(now time.Time, random io.Reader) (Reference, error) {
	ms := now.UnixMilli()
	if ms < 0 || ms >= 1<<48 {
		return Reference{}, fmt.Errorf("the clock says %s, which a UUIDv7 cannot hold", now.UTC().Format(time.RFC3339))
	}
	var id uuid.UUID
	if _, err := io.ReadFull(random, id[6:]); err != nil {
		return Reference{}, fmt.Errorf("reading randomness: %w", err)
	}
	binary.BigEndian.PutUint16(id[0:], uint16(ms>>32))
	binary.BigEndian.PutUint32(id[2:], uint32(ms))
	id.SetVersion(uuid.V7)
	id.SetVariant(uuid.VariantRFC9562)
	return Reference(id), nil
}

// Time is the time of issue that the reference carries, to the millisecond.
func (r Reference) Time() time.Time {
	ms := int64(binary.BigEndian.Uint16(r[0:]))<<32 | int64(binary.BigEndian.Uint32(r[2:]))
	return time.UnixMilli(ms).UTC()
}

// String is the canonical lower-case text of the UUID, 36 characters.
func (r Reference) String() string { return uuid.UUID(r).String() }

// parseReference reads a UUIDv7; callers compare spellings.
func parseReference(text string) (Reference, error) {
	id, err := uuid.FromString(text)
	if err == nil && (id.Version() != uuid.V7 || id.Variant() != uuid.VariantRFC9562) {
		err = errors.New("not a UUIDv7")
	}
	return Reference(id), err
}
