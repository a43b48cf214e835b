package derive

import (
	"fmt"
	"time"
)

// Entry is one version of the master secrets, as the configuration gives it
// (DESIGN section 4).
type Entry struct {
	Version   uint32     // 1 to 2^32-1
	MasterKey Secret     // absent when destroyed
	SaltKey   Secret     // absent when destroyed
	Check     CheckValue // of the secrets under Version; stays when destroyed

	// ActivateAt is when the version becomes a candidate for primary. Zero is
	// always. It does not limit resolving.
	ActivateAt time.Time
	// IssueUntil is when the version stops issuing. Zero is never.
	IssueUntil time.Time

	Status Status
}

// Status says what an entry may be used for. The zero value is [Enabled].
type Status uint8

const (
	// Enabled issues while it is primary, and resolves.
	Enabled Status = iota
	// ResolveOnly resolves but does not issue.
	ResolveOnly
	// Disabled does neither; the secrets stay, so it can be undone.
	Disabled
	// Destroyed is a tombstone without secrets. It cannot be undone.
	Destroyed
)

var statusNames = [...]string{Enabled: "enabled", ResolveOnly: "resolve_only", Disabled: "disabled", Destroyed: "destroyed"}

// String is the name that the configuration file uses.
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return fmt.Sprintf("status %d", uint8(s))
}

// ParseStatus reads the name that [Status.String] writes.
func ParseStatus(name string) (Status, error) {
	for s, n := range statusNames {
		if n == name {
			return Status(s), nil
		}
	}
	return 0, fmt.Errorf("is not a status: write enabled, resolve_only, disabled or destroyed")
}

// public is the entry without its secrets.
func (e *Entry) public() Entry {
	p := *e
	p.MasterKey, p.SaltKey = Secret{}, Secret{}
	return p
}

// id is what a hint names an entry by.
func (e *Entry) id() entryID { return entryID{e.Version, e.Check.Fingerprint()} }

type entryID struct {
	version     uint32
	fingerprint Fingerprint
}
