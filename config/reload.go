package config

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// Reloader keeps a running configuration up to date with its files. A new one
// comes into force as a whole or not at all.
type Reloader struct {
	// Reading, if not nil, is called before the files are read, with whether a
	// signal asked for it; and what it returns, when they are. It is set before Run.
	Reading func(asked bool) (done func())

	flags   Flags
	apply   func(*Config) error
	log     *slog.Logger
	started *Config // what the listeners were opened with
	current *Config
	status  atomic.Pointer[ReloadStatus]
}

// ReloadStatus says how the last reading of the files went.
type ReloadStatus struct {
	Success time.Time // the last reading that could be used
	Failure time.Time // since when readings are refused; zero if the last one was not
	Cause   error     // of the last refusal; nil if there is none now
}

// Retries of a load that is refused: files that are replaced one after the
// other do not fit together for a moment.
const (
	loadAttempts  = 5
	retryInterval = 250 * time.Millisecond
)

// NewReloader begins with the configuration that is in force. apply puts
// another one in force; if it returns an error, the former must still be, and
// else the former's secrets must not be in use any more: they are wiped then.
func NewReloader(current *Config, flags Flags, apply func(*Config) error, log *slog.Logger) *Reloader {
	r := &Reloader{flags: flags, apply: apply, log: log, started: current, current: current}
	r.status.Store(&ReloadStatus{Success: time.Now()})
	return r
}

// Status is how the last reading went. It is safe for any number of goroutines.
func (r *Reloader) Status() ReloadStatus { return *r.status.Load() }

// Ready returns why the configuration in force is not the one in the files, or nil.
func (r *Reloader) Ready() error {
	if s := r.Status(); s.Cause != nil {
		return fmt.Errorf("since %s the configuration in the files is refused and the former one stays in force: %w",
			s.Failure.UTC().Format(time.RFC3339), s.Cause)
	}
	return nil
}

// Run reads the files again after each change, after each signal and at the
// configured interval, until ctx is done.
func (r *Reloader) Run(ctx context.Context, signals <-chan os.Signal) {
	watcher := newWatcher(r.log)
	changes := watcher.changes(ctx)
	for {
		// What changed before its folder was watched is found by one more reading.
		if watcher.follow(r.current.Sources) {
			r.read(ctx, false)
			if ctx.Err() == nil {
				continue
			}
		}
		asked := false
		select {
		case <-ctx.Done():
			return
		case <-changes:
		case <-signals:
			asked = true
		case <-time.After(r.current.Keyring.ReloadInterval):
		}
		r.read(ctx, asked)
		if ctx.Err() != nil {
			return
		}
		if asked {
			r.log.Info("read the configuration again on a signal", "fingerprint", r.current.Keyring.Ring.Fingerprint(), "refused", r.Status().Cause != nil)
		}
	}
}

func (r *Reloader) read(ctx context.Context, asked bool) {
	if r.Reading != nil {
		defer r.Reading(asked)()
	}
	r.reload(ctx)
}

// reload reads the files until they make a configuration that can replace the
// present one, or the attempts are used up.
func (r *Reloader) reload(ctx context.Context) {
	var next *Config
	var err error
	for attempt := range loadAttempts {
		if attempt > 0 {
			select {
			case <-time.After(retryInterval):
			case <-ctx.Done():
				return
			}
		}
		if next, err = r.load(); err == nil {
			break
		}
	}
	switch {
	case err != nil: // load wiped it
	case next.digest == r.current.digest:
		next.Wipe()
	default:
		if err = r.apply(next); err != nil {
			next.Wipe()
			break
		}
		r.reportFixed(next)
		r.current.Wipe()
		r.current = next
	}
	if ctx.Err() == nil {
		r.report(err)
	}
}

func (r *Reloader) load() (*Config, error) {
	next, err := Load(r.current.File, r.flags)
	if err != nil {
		return nil, err
	}
	if err := next.Replaces(r.current); err != nil {
		next.Wipe()
		return nil, err
	}
	return next, nil
}

// Replaces returns nil if a process may go on with c in place of old without
// losing a session, and otherwise every reason (DESIGN section 4).
func (c *Config) Replaces(old *Config) error {
	err := c.Keyring.Ring.Replaces(old.Keyring.Ring)
	if c.Keyring.Namespace != old.Keyring.Namespace {
		err = errors.Join(err, errors.New("keyring.namespace has changed: every session would be lost; restore it, and serve another namespace with another instance"))
	}
	if err != nil {
		return fmt.Errorf("%s cannot replace the configuration in force: %w", c.File, err)
	}
	return nil
}

// report notes the outcome, and logs it where it differs from the last one.
func (r *Reloader) report(err error) {
	old, now := r.Status(), time.Now()
	if err == nil {
		if old.Cause != nil {
			r.log.Info("the configuration in the files is good again", "config", r.current.File)
		}
		r.status.Store(&ReloadStatus{Success: now})
		return
	}
	next := ReloadStatus{Success: old.Success, Failure: old.Failure, Cause: err}
	if old.Cause == nil {
		next.Failure = now
	}
	if old.Cause == nil || old.Cause.Error() != err.Error() {
		r.log.Error("the configuration in the files is refused; the former one stays in force",
			"config", r.current.File, "cause", err, "since", next.Failure)
	}
	r.status.Store(&next)
}

// reportFixed names what has changed in the files and cannot change in a process.
func (r *Reloader) reportFixed(next *Config) {
	for _, fixed := range []struct {
		setting string
		differs bool
	}{
		{"server.address", next.Server.Address != r.started.Server.Address},
		{"server.tls", (next.Server.TLS == nil) != (r.started.Server.TLS == nil)},
		{"admin.address", next.Admin.Address != r.started.Admin.Address},
		{"log.format", next.Log.Format != r.started.Log.Format},
		{"keyring.ledger_file", next.Keyring.LedgerFile != r.started.Keyring.LedgerFile},
		{"memory.lock", next.Memory.Lock != r.started.Memory.Lock},
	} {
		if fixed.differs {
			r.log.Warn("a changed setting takes effect at the next start only", "setting", fixed.setting)
		}
	}
}
