package service

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"keyhint/config"
	"keyhint/httpapi"
	"keyhint/httpapi/access"
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
	perAddress *ratelimit.Limiter
	perSubject *ratelimit.Limiter
}

// control is access control with what has to be done for it.
type control struct {
	access.Control
	advisory bool                  // not being ready does not make the instance unready
	run      func(context.Context) // nil if there is nothing to run
	tokens   *access.Tokens        // nil in other modes
	stop     context.CancelFunc    // of run; nil before it is started
}

// newEndpoint puts together what the configuration says. What a former endpoint
// has learnt (key sets, verified tokens, spent limits) is kept where its
// settings are the same. Errors name the setting.
func newEndpoint(c *config.Config, former *endpoint, o Options, mayIssue func() error, metrics *httpapi.Metrics) (*endpoint, error) {
	e := &endpoint{config: c}
	policy, err := cors.New(c.Server.CORS.Origins, c.Server.CORS.Credentials)
	if err != nil {
		return nil, fmt.Errorf("server.cors.origins: %w", err)
	}
	if err := e.limit(former); err != nil {
		return nil, err
	}
	if t := c.Server.TLS; t != nil {
		e.tls = httpapi.NewTLS(t.Certificate, t.MinVersion, t.ClientCAs)
	}
	if former != nil && reflect.DeepEqual(c.Auth, former.config.Auth) && reflect.DeepEqual(clientNames(c), clientNames(former.config)) {
		e.control = former.control
	} else if e.control, err = newControl(c, o, metrics); err != nil {
		return nil, err
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
		LoopbackHost: c.Auth.Mode == config.AuthNone && len(clientNames(c)) == 0,
		Now:          o.Now,
		Random:       rand.Reader,
		Log:          o.Log,
		Metrics:      metrics,
	})
	return e, nil
}

func (e *endpoint) limit(former *endpoint) error {
	for _, l := range []struct {
		setting string
		limit   func(*config.Config) string
		limiter func(*endpoint) **ratelimit.Limiter
	}{
		{"server.limits.per_address", func(c *config.Config) string { return c.Server.Limits.PerAddress }, func(e *endpoint) **ratelimit.Limiter { return &e.perAddress }},
		{"server.limits.per_subject", func(c *config.Config) string { return c.Server.Limits.PerSubject }, func(e *endpoint) **ratelimit.Limiter { return &e.perSubject }},
	} {
		limit, err := ratelimit.Parse(l.limit(e.config))
		if err != nil {
			return fmt.Errorf("%s %w", l.setting, err)
		}
		if former != nil && l.limit(former.config) == l.limit(e.config) {
			*l.limiter(e) = *l.limiter(former)
		} else {
			*l.limiter(e) = ratelimit.New(limit, limitedKeys, time.Now)
		}
	}
	return nil
}

// clientNames are the names of client certificates that auth.mode none accepts.
func clientNames(c *config.Config) []string {
	if c.Server.TLS == nil {
		return nil
	}
	return c.Server.TLS.ClientNames
}

func newControl(c *config.Config, o Options, metrics *httpapi.Metrics) (*control, error) {
	switch c.Auth.Mode {
	case config.AuthJWT:
		return newTokens(c.Auth.JWT, o)
	case config.AuthForward:
		f := c.Auth.Forward
		forward, err := access.NewForward(access.ForwardConfig{
			URL: f.URL, Timeout: f.Timeout, RootCAs: f.RootCAs, MaxConcurrent: f.MaxConcurrent, Observe: metrics.ObserveForward,
		})
		if err != nil {
			return nil, fmt.Errorf("auth.forward: %w", err)
		}
		return &control{Control: forward, advisory: true}, nil
	}
	if names := clientNames(c); len(names) > 0 {
		return &control{Control: access.ClientCertificates{Names: names}}, nil
	}
	return &control{Control: access.Everyone{}}, nil
}

func newTokens(j config.JWT, o Options) (*control, error) {
	var keys []access.Key
	for _, file := range j.KeyFiles {
		parsed, unfit, err := access.ParseKeys(file.Data)
		if err != nil {
			return nil, fmt.Errorf("%s: %s: %w", file.Setting, file.Path, err)
		}
		for _, reason := range unfit {
			o.Log.Warn("a key of a token key set is left out", "file", file.Path, "cause", reason)
		}
		keys = append(keys, parsed...)
	}
	tokens, err := access.NewTokens(access.TokenConfig{
		Keys: keys, KeySets: j.KeySets, Audience: j.Audience, Issuer: j.Issuer, Algorithms: j.Algorithms,
		Leeway: j.Leeway, Cookie: j.Cookie, DocumentClaim: j.DocumentClaim, AllowAnyDocument: j.AllowAnyDocument,
		RoleClaim: j.RoleClaim, IssueRoles: j.IssueRoles, Now: o.Now, Log: o.Log,
	})
	if err != nil {
		return nil, err
	}
	return &control{Control: tokens, run: tokens.Run, tokens: tokens}, nil
}

// start runs what has to run for the access control, once.
func (c *control) start(ctx context.Context) {
	if c.run == nil || c.stop != nil {
		return
	}
	ctx, c.stop = context.WithCancel(ctx)
	go c.run(ctx)
}
