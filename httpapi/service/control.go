package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keyhint/config"
	"keyhint/httpapi"
	"keyhint/httpapi/access"
)

// control is access control with what has to be done for it.
type control struct {
	access.Control
	advisory bool                  // not being ready does not make the instance unready
	run      func(context.Context) // nil if there is nothing to run
	tokens   *access.Tokens        // nil in other modes
	stop     context.CancelFunc    // of run; nil before it is started
}

// newControl makes the configured access control. With an error it returns the
// setting at fault.
func newControl(c *config.Config, o Options, metrics *httpapi.Metrics) (*control, string, error) {
	var made *control
	switch c.Auth.Mode {
	case config.AuthJWT:
		var setting string
		var err error
		if made, setting, err = newTokens(c.Auth.JWT, o, metrics); err != nil {
			return nil, setting, err
		}
	case config.AuthForward:
		f := c.Auth.Forward
		forward, err := access.NewForward(access.ForwardConfig{
			URL: f.URL, Timeout: f.Timeout, RootCAs: certPool(f.CAs), MaxConcurrent: f.MaxConcurrent, Observe: metrics.ObserveForward(),
		})
		if err != nil {
			return nil, "auth.forward", err
		}
		made = &control{Control: forward, advisory: true}
	default:
		made = &control{Control: access.Everyone{}}
	}
	if roots := certPool(clientCAs(c)); roots != nil {
		certificates := access.ClientCertificates{Roots: roots, Names: clientNames(c)}
		if c.Auth.Mode != config.AuthNone {
			certificates.Then = made.Control
		}
		made.Control = certificates
	}
	return made, "", nil
}

func newTokens(j config.JWT, o Options, metrics *httpapi.Metrics) (*control, string, error) {
	var keys []access.Key
	for _, file := range j.KeyFiles {
		parsed, unfit, err := access.ParseKeys(file.Data)
		if err != nil {
			return nil, file.Setting, fmt.Errorf("names %s: %w", file.Path, err)
		}
		for _, reason := range unfit {
			o.Log.Warn("a key of a token key set is left out", "file", file.Path, "cause", reason)
		}
		keys = append(keys, parsed...)
	}
	tokens, err := access.NewTokens(access.TokenConfig{
		Keys: keys, KeySets: j.KeySets, Audience: j.Audience, Issuer: j.Issuer, Algorithms: j.Algorithms,
		Leeway: j.Leeway, Cookie: j.Cookie, DocumentClaim: j.DocumentClaim, AllowAnyDocument: j.AllowAnyDocument,
		RoleClaim: j.RoleClaim, IssueRoles: j.IssueRoles, ObserveCache: metrics.ObserveTokenCache(), Now: o.Now, Log: o.Log,
	})
	if err != nil {
		return nil, "auth.jwt.keys", err
	}
	return &control{Control: tokens, run: tokens.Run, tokens: tokens}, "", nil
}

// start runs what has to run for the access control, once.
func (c *control) start(ctx context.Context) {
	if c.run == nil || c.stop != nil {
		return
	}
	ctx, c.stop = context.WithCancel(ctx)
	go c.run(ctx)
}

// ready returns why the instance cannot do without a decision that it cannot
// make, or nil.
func (c *control) ready() error {
	if c.advisory {
		return nil
	}
	return c.Ready()
}

// settling bounds how long another access control may take to become ready
// before it is refused.
const settling = 10 * time.Second

var errUnsettled = errors.New("the new access control is not ready")

// settle waits until the access control can decide.
func (c *control) settle(ctx context.Context) error {
	deadline := time.After(settling)
	for {
		err := c.ready()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			return fmt.Errorf("%w: %w", errUnsettled, err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (c *control) end() {
	if c.stop != nil {
		c.stop()
	}
}
