package service

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"reflect"
	"time"

	"keyhint/config"
	"keyhint/httpapi"
	"keyhint/httpapi/audit"
	"keyhint/httpapi/clientaddr"
	"keyhint/httpapi/cors"
	"keyhint/httpapi/ratelimit"
)

// limitedKeys bounds how many addresses, and how many subjects, limits remember.
const limitedKeys = 100_000

// endpoint is one configuration in force: the public handler and what it needs.
type endpoint struct {
	config     *config.Config
	handler    http.Handler
	tls        *tls.Config // nil is plain HTTP
	control    *control
	usage      *httpapi.Usage
	perAddress *ratelimit.Limiter
	perSubject *ratelimit.Limiter
	audit      *audit.Log // nil keeps none
}

// newEndpoint puts together what the configuration says, with its audit log,
// which is open already. What a former endpoint has learnt (key sets, verified
// tokens, spent limits) is kept where its settings are the same; former may be
// nil. Everything that is wrong is in the error, a [config.Error].
func newEndpoint(c *config.Config, former *endpoint, o Options, log *audit.Log, mayIssue func() error, metrics *httpapi.Metrics) (*endpoint, error) {
	e := &endpoint{config: c, audit: log}
	var problems []*config.Problem
	note := func(setting string, err error) {
		if err != nil {
			problems = append(problems, &config.Problem{Path: setting, Text: err.Error()})
		}
	}
	policy, err := cors.New(c.Server.CORS.Origins, c.Server.CORS.Credentials)
	note("server.cors.origins", err)
	var was config.Limits
	var spentAddress, spentSubject *ratelimit.Limiter
	var used *httpapi.Usage
	if former != nil {
		used = former.usage
		was, spentAddress, spentSubject = former.config.Server.Limits, former.perAddress, former.perSubject
	}
	e.perAddress, err = limiter(c.Server.Limits.PerAddress, was.PerAddress, spentAddress)
	note("server.limits.per_address", err)
	e.perSubject, err = limiter(c.Server.Limits.PerSubject, was.PerSubject, spentSubject)
	note("server.limits.per_subject", err)

	if former != nil && sameControl(c, former.config) {
		e.control = former.control
	} else {
		var setting string
		e.control, setting, err = newControl(c, o, metrics)
		note(setting, err)
	}
	if len(problems) > 0 {
		return nil, c.Refuse(problems)
	}
	if t := c.Server.TLS; t != nil {
		e.tls = httpapi.NewTLS(t.Certificate, t.MinVersion, certPool(t.ClientCAs))
	} else if former != nil {
		e.tls = former.tls // the listener cannot change what it speaks
	}
	e.usage = httpapi.NewUsage(c.Keyring.Ring, used)
	var page []httpapi.Route
	if o.Page != nil {
		page = o.Page(c, o.Log)
	}
	e.handler = httpapi.New(httpapi.Config{
		Path:         c.Server.Path,
		Keyring:      c.Keyring.Ring,
		Namespace:    c.Keyring.Namespace,
		MaxAge:       c.Keyring.MaxAge,
		MayIssue:     mayIssue,
		Access:       e.control,
		CORS:         policy,
		Clients:      clientaddr.New(c.Server.TrustedProxies),
		PerAddress:   e.perAddress,
		PerSubject:   e.perSubject,
		LoopbackOnly: OpenToThisMachine(c),
		Page:         page,
		Now:          o.Now,
		Random:       rand.Reader,
		Log:          o.Log,
		Metrics:      metrics,
		Usage:        e.usage,
		Audit:        log,
	})
	return e, nil
}

// release ends what an endpoint that is not in force does not share with the one
// that is.
func (e *endpoint) release(inForce *endpoint) {
	if e.control != inForce.control {
		e.control.end()
	}
	if e.audit != inForce.audit {
		e.audit.Close()
	}
}

// OpenToThisMachine tells whether every caller on this machine, and nobody else,
// gets every key.
func OpenToThisMachine(c *config.Config) bool {
	return c.Auth.Mode == config.AuthNone && len(clientNames(c)) == 0
}

// limiter makes the limiter for a setting, or keeps the former one if the
// setting is the same.
func limiter(setting, was string, former *ratelimit.Limiter) (*ratelimit.Limiter, error) {
	if former != nil && setting == was {
		return former, nil
	}
	limit, err := ratelimit.Parse(setting)
	return ratelimit.New(limit, limitedKeys, time.Now), err
}

// sameControl tells whether two configurations have one access control.
func sameControl(a, b *config.Config) bool {
	return reflect.DeepEqual(a.Auth, b.Auth) && reflect.DeepEqual(clientNames(a), clientNames(b)) && reflect.DeepEqual(clientCAs(a), clientCAs(b))
}

// clientNames are the names of client certificates that auth.mode none accepts.
func clientNames(c *config.Config) []string {
	if c.Server.TLS == nil {
		return nil
	}
	return c.Server.TLS.ClientNames
}

// clientCAs are the authorities of client certificates, in PEM.
func clientCAs(c *config.Config) []byte {
	if c.Server.TLS == nil {
		return nil
	}
	return c.Server.TLS.ClientCAs
}

// certPool holds the certificates in PEM, or is nil if there are none.
func certPool(pem []byte) *x509.CertPool {
	if pem == nil {
		return nil
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return pool
}
