package service

import (
	"time"

	"keyhint/config"
	"keyhint/httpapi"
)

// servedKeyring is the ring in force as /keyring shows it: as "keyhint keyring
// list --json" does, with what this process has done with each entry.
type servedKeyring struct {
	config.KeyringDescription
	CountingSince time.Time     `json:"counting_since"`
	Entries       []servedEntry `json:"entries"`
}

type servedEntry struct {
	config.EntryDescription
	Use httpapi.EntryUsage `json:"use"`
}

func (s *service) keyring() any {
	e := s.inForce.Load()
	d := config.Describe(e.config, s.Now())
	page := servedKeyring{KeyringDescription: d, CountingSince: s.metrics.Since().UTC(), Entries: make([]servedEntry, len(d.Entries))}
	for i, entry := range e.config.Keyring.Ring.Entries() {
		page.Entries[i] = servedEntry{d.Entries[i], e.usage.Of(entry.Check)}
	}
	return page
}
