// Package service runs keyhint: it puts a configuration in force on its
// listeners, and others after it as the files change.
package service

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"keyhint/config"
	"keyhint/derive"
	"keyhint/httpapi"
	"keyhint/httpapi/listen"
	"keyhint/httpapi/loopback"
)

// Options are what [Run] works with.
type Options struct {
	Config    *config.Config
	Flags     config.Flags // with which Config was loaded, for loading it again
	Log       *slog.Logger
	Level     *slog.LevelVar   // of Log; follows the configuration
	Hangup    <-chan os.Signal // asks for the files to be read again
	Sockets   listen.Sockets   // that systemd passed; may be nil
	Listening func(net.Addr)   // called once the public listener is there; may be nil
	Now       func() time.Time // the clock that sessions and tokens go by

	// Page makes the routes of a page beside the endpoint, for each configuration
	// that comes into force. They are served while it is [OpenToThisMachine].
	Page func(*config.Config, *slog.Logger) []httpapi.Route
}

// ErrRefused means that the ring must not come into force, by the ledger.
var ErrRefused = errors.New("the key ring is refused")

// Check returns what is wrong with a configuration that only its use can tell,
// as a [config.Error]. It looks at the ledger and the audit log, if they are here.
func Check(c *config.Config) error {
	if _, err := newEndpoint(c, nil, Options{Log: slog.New(slog.DiscardHandler), Now: time.Now}, nil, nil, httpapi.NewMetrics(time.Now)); err != nil {
		return err
	}
	if err := checkAudit(c); err != nil {
		return err
	}
	if err := validate(c, nil, time.Now()); err != nil {
		return err
	}
	if c.Keyring.LedgerFile == "" {
		return nil
	}
	ledger, err := config.OpenLedger(c.Keyring.LedgerFile, c.Keyring.Namespace)
	if err == nil {
		err = ledger.Admits(c.Keyring.Ring)
	}
	if err != nil {
		return c.Refuse([]*config.Problem{{Path: "keyring.ledger_file", Text: "does not fit: " + err.Error()}})
	}
	return nil
}

// Describe says in a few words what a ring does at a time.
func Describe(ring *derive.Keyring, now time.Time) string {
	primary, err := ring.Primary(now)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("version %d issues (check value %s)", primary.Version, primary.Check)
}

type service struct {
	Options
	metrics  *httpapi.Metrics
	issuing  *issuing
	inForce  atomic.Pointer[endpoint]
	handler  *httpapi.Switch
	reloader *config.Reloader
	systemd  *manager
	stopping stopping
	public   net.Addr // of the public listener
}

// headroomSize is how much memory, in bytes, is allocated and never touched, so
// that it is no more than a number to the operating system. To the garbage
// collector it is in use, and by that it decides how much may come in addition
// before it collects. What keyhint has in use besides is so little that it would
// collect after every thousand requests, and the 99th percentile of their latency
// would be a tenth higher.
const headroomSize = 6 << 20

// Run serves until ctx is done, goes on for the configured delay, then finishes
// what is in flight and returns nil. The private listener is there until the
// last answer is out. The error wraps a [config.Error], [ErrRefused] or a
// [ListenError], or is that of a listener which broke.
func Run(ctx context.Context, o Options) error {
	headroom := make([]byte, headroomSize)
	defer runtime.KeepAlive(headroom)
	k := o.Config.Keyring
	s := &service{Options: o, metrics: httpapi.NewMetrics(o.Now), systemd: &manager{log: o.Log},
		issuing: &issuing{path: k.LedgerFile, namespace: k.Namespace, log: o.Log}}
	log, err := openAudit(o.Config, s.metrics)
	if err != nil {
		return err
	}
	first, err := newEndpoint(o.Config, nil, o, log, s.issuing.mayIssue, s.metrics)
	if err == nil {
		if refused := s.issuing.admit(o.Config); refused != nil {
			err = fmt.Errorf("%w: %s: %w", ErrRefused, o.Config.File, refused)
		}
	}
	if err != nil {
		log.Close()
		return err
	}
	if err := validate(o.Config, nil, o.Now()); err != nil {
		o.Log.Warn("a certificate that clients refuse is in service", "cause", err)
	}
	s.handler = httpapi.NewSwitch(first.handler)
	s.enforce(first)
	defer func() { s.inForce.Load().audit.Close() }()

	public, private, err := openListeners(ctx, o.Config, o.Sockets)
	if err != nil {
		return err
	}
	defer public.Close()
	if private != nil {
		defer private.Close()
	}
	s.public = public.Addr()
	return s.run(ctx, public, private)
}

func (s *service) run(ctx context.Context, public, private net.Listener) error {
	// All that the public listener needs lives until it has given its last answer.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	group, life := errgroup.WithContext(life)
	open, closeUp := context.WithCancel(life)
	defer closeUp()

	s.inForce.Load().control.start(life)
	s.reloader = config.NewReloader(s.Config, s.Flags, func(c *config.Config) error { return s.apply(life, c) }, s.Log)
	s.reloader.Reading = s.tellReading
	s.metrics.WatchReload(func() httpapi.Reload {
		status := s.reloader.Status()
		return httpapi.Reload{Success: status.Success, Successful: status.Cause == nil}
	})
	group.Go(func() error { s.awaitStop(ctx, life); closeUp(); return nil })
	group.Go(func() error {
		defer end()
		return httpapi.Serve(open, public, s.stopping.ask(s.handler), s.tls(), s.Log)
	})
	if private != nil {
		admin := httpapi.NewAdmin(s.checks(), s.metrics, s.keyring)
		group.Go(func() error { return httpapi.Serve(life, private, admin, nil, s.Log) })
	}
	reload := make(chan os.Signal, 1)
	group.Go(func() error { s.followAudit(life, reload); return nil })
	group.Go(func() error { s.reloader.Run(life, reload); return nil })
	group.Go(func() error { s.announce(life); return nil })
	group.Go(func() error { s.watch(life); return nil })
	if s.issuing.path != "" {
		group.Go(func() error {
			s.issuing.keep(life, func() *config.Config { return s.inForce.Load().config })
			return nil
		})
	}
	s.Log.Info("serving", "address", public.Addr().String(), "path", s.Config.Server.Path, "config", s.Config.File, "auth", s.Config.Auth.Mode, "audit", s.Config.Audit.Sink)
	s.describe()
	if s.Listening != nil {
		s.Listening(public.Addr())
	}
	err := group.Wait()
	if err == nil {
		s.Log.Info("stopped")
	}
	return err
}

// apply puts another configuration in force, and returns when no request is
// being answered under the former one any more.
func (s *service) apply(ctx context.Context, c *config.Config) error {
	former := s.inForce.Load()
	next, err := s.prepare(ctx, c, former)
	if err != nil {
		return err
	}
	var finish func()
	if err := s.issuing.admitAnd(c, func() {
		finish = s.handler.Replace(next.handler)
		s.enforce(next)
	}); err != nil {
		next.release(former)
		return err
	}
	finish()
	former.release(next)
	if next.control != former.control {
		s.Log.Info("another access control is in force", "auth", c.Auth.Mode)
	}
	if next.audit != former.audit {
		s.Log.Info("another audit log is in force", "audit", c.Audit.Sink)
	}
	s.describe()
	return nil
}

// prepare makes the endpoint that is to follow the one in force, ready to serve.
func (s *service) prepare(ctx context.Context, c *config.Config, former *endpoint) (*endpoint, error) {
	if OpenToThisMachine(c) && !loopback.IsAddr(s.public) {
		return nil, errors.New("auth.mode is none, which gives every caller every key, and the listener that is open is not on a loopback address: restart to change both")
	}
	if err := validate(c, s.certificate(), s.Now()); err != nil {
		return nil, err
	}
	log, err := s.auditFor(c, former)
	if err != nil {
		return nil, err
	}
	next, err := newEndpoint(c, former, s.Options, log, s.issuing.mayIssue, s.metrics)
	if err != nil {
		if log != former.audit {
			log.Close()
		}
		return nil, err
	}
	if next.control != former.control {
		next.control.start(ctx)
		if err := next.control.settle(ctx); err != nil {
			next.release(former)
			return nil, err
		}
	}
	return next, nil
}

// enforce makes an endpoint the one in force, but for the handler. What it
// reports comes after the handler, so that nobody is told too early.
func (s *service) enforce(e *endpoint) {
	s.Level.Set(e.config.Log.Level)
	reported := httpapi.InForce{Usage: e.usage, MayIssue: s.issuing.mayIssue, Audit: e.audit, Tokens: e.control.tokens}
	if e.tls != nil {
		reported.Certificate = s.certificate
	}
	s.inForce.Store(e)
	s.metrics.Report(reported)
}

// describe logs the ring in force.
func (s *service) describe() {
	k := s.inForce.Load().config.Keyring
	s.Log.Info("a key ring is in force", "fingerprint", k.Ring.Fingerprint(), "versions", k.Ring.Versions(),
		"state", Describe(k.Ring, s.Now()))
}

// certificate is the one that the public listener shows; nil is plain HTTP.
func (s *service) certificate() *x509.Certificate {
	if c := s.inForce.Load().tls; c != nil {
		return c.Certificates[0].Leaf
	}
	return nil
}

// tls is the public listener's configuration, which follows the one in force.
func (s *service) tls() *tls.Config {
	if s.inForce.Load().tls == nil {
		return nil
	}
	return &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return s.inForce.Load().tls, nil
	}}
}
