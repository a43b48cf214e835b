package service

import (
	"crypto/x509"
	"time"

	"keyhint/config"
)

// validate refuses a certificate that clients refuse at a time, unless the one
// that it takes the place of is as bad: then it is no reason to keep the rest of
// the configuration out. former is nil if there is none yet.
func validate(c *config.Config, former *x509.Certificate, now time.Time) error {
	if c.Server.TLS == nil {
		return nil
	}
	trouble := validity(c.Server.TLS.Certificate.Leaf, now)
	if trouble == nil || former != nil && validity(former, now) != nil {
		return nil
	}
	return c.Refuse([]*config.Problem{{Path: "server.tls.cert_file", Text: "names a certificate that clients refuse: " + trouble.Error()}})
}
