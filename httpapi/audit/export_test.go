package audit

import (
	"time"

	"keyhint/derive"
)

// Append writes a record as a line without a document key.
func Append(b []byte, r Record) []byte { return r.append(b, derive.Secret{}) }

// SetPatience changes how long a record may take.
func SetPatience(d time.Duration) { patience = d }
