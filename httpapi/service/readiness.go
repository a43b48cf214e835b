package service

import (
	"crypto/x509"
	"fmt"
	"time"

	"keyhint/httpapi"
	"keyhint/httpapi/access"
)

// checks are those of readiness. Most are advisory: what they find is the same
// on every replica, or does not get better by taking this one out of service.
func (s *service) checks() []httpapi.Check {
	return []httpapi.Check{
		{Name: "running", Fail: s.stopping.ready},
		{Name: "access", Fail: func() error { return s.inForce.Load().control.ready() }, Data: func() any { return describeAccess(s.inForce.Load()) }},
		{Name: "access_detail", Advisory: true, Fail: func() error { return s.inForce.Load().control.Ready() }},
		// No request can be answered with a key without a record, so this one counts.
		{Name: "audit", Fail: func() error { return s.inForce.Load().audit.Ready() }, Info: func() string { return "to " + s.inForce.Load().config.Audit.Sink }},
		{Name: "audit_file", Advisory: true, Fail: func() error { return s.inForce.Load().audit.Detached() }},
		{Name: "reload", Advisory: true, Fail: s.reloader.Ready, Data: func() any {
			status := s.reloader.Status()
			return reloadDetails{status.Success.UTC(), status.Failure.UTC()}
		}},
		{Name: "keyring", Fail: func() error { return nil }, Info: func() string {
			e := s.inForce.Load()
			return fmt.Sprintf("fingerprint %s, %d version(s), %s", e.usage.Fingerprint(), e.config.Keyring.Ring.Versions(), Describe(e.config.Keyring.Ring, s.Now()))
		}, Data: func() any { return describeRing(s.inForce.Load(), s.Now()) }},
		{Name: "issuing", Advisory: true, Fail: func() error {
			if err := s.issuing.mayIssue(); err != nil {
				return err
			}
			_, err := s.inForce.Load().config.Keyring.Ring.Primary(s.Now())
			return err
		}},
		{Name: "tls", Advisory: true, Fail: func() error {
			if c := s.certificate(); c != nil {
				return validity(c, s.Now())
			}
			return nil
		}, Info: func() string {
			c := s.certificate()
			if c == nil {
				return "plain HTTP"
			}
			return "the certificate is valid until " + c.NotAfter.UTC().Format(time.RFC3339)
		}, Data: func() any { return describeCertificate(s.certificate()) }},
	}
}

// The details under ?verbose. They hold no secret.
type (
	accessDetails struct {
		Mode         string          `json:"mode"`
		CachedTokens int             `json:"cached_tokens,omitzero"`
		KeySets      []keySetDetails `json:"key_sets,omitempty"`
	}
	keySetDetails struct {
		URL          string    `json:"url"`
		Fetched      time.Time `json:"fetched,omitzero"`
		FailingSince time.Time `json:"failing_since,omitzero"`
	}
	reloadDetails struct {
		Success      time.Time `json:"success"`
		FailingSince time.Time `json:"failing_since,omitzero"`
	}
	ringDetails struct {
		Fingerprint    string    `json:"fingerprint"`
		Versions       uint32    `json:"versions"`
		Primary        uint32    `json:"primary,omitzero"`
		NextActivation time.Time `json:"next_activation,omitzero"`
	}
	certificateDetails struct {
		NotBefore time.Time `json:"not_before"`
		NotAfter  time.Time `json:"not_after"`
		Names     []string  `json:"names"` // subject alternative names
		Serial    string    `json:"serial"`
	}
)

func describeAccess(e *endpoint) accessDetails {
	d := accessDetails{Mode: string(e.config.Auth.Mode)}
	if t := e.control.tokens; t != nil {
		d.CachedTokens = t.Cached()
		for _, set := range t.KeySets() {
			status := set.Status()
			d.KeySets = append(d.KeySets, keySetDetails{set.URL, status.Fetched.UTC(), status.FailingSince.UTC()})
		}
	}
	return d
}

func describeRing(e *endpoint, now time.Time) ringDetails {
	ring := e.config.Keyring.Ring
	primary, _ := ring.Primary(now)
	return ringDetails{e.usage.Fingerprint(), ring.Versions(), primary.Version, ring.NextActivation(now).UTC()}
}

func describeCertificate(c *x509.Certificate) any {
	if c == nil {
		return nil
	}
	names := access.CertificateNames(c)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	return certificateDetails{c.NotBefore, c.NotAfter, names, fmt.Sprintf("%x", c.SerialNumber)}
}

// validity returns why clients must refuse a certificate at a time, or nil.
func validity(c *x509.Certificate, now time.Time) error {
	switch {
	case now.After(c.NotAfter):
		return fmt.Errorf("the certificate expired at %s: put a new one in place of server.tls.cert_file", c.NotAfter.UTC().Format(time.RFC3339))
	case now.Before(c.NotBefore):
		return fmt.Errorf("the certificate is not valid before %s", c.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}
