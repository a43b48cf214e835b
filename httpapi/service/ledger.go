package service

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"keyhint/config"
)

// issuing says whether new keys may be issued, as far as the ledger is
// concerned: every entry in force must be on record first.
type issuing struct {
	path      string // of the ledger; empty if there is none
	namespace string
	log       *slog.Logger
	mutex     sync.Mutex // of looking at the ledger and writing it
	stopped   atomic.Pointer[error]
}

func (i *issuing) mayIssue() error {
	if err := i.stopped.Load(); err != nil {
		return *err
	}
	return nil
}

// admit compares a ring with the ledger and puts it on record. The error says
// that the ring must not come into force. Trouble with the ledger itself is no
// such error: it stops issuing, and resolving goes on.
func (i *issuing) admit(c *config.Config) error { return i.admitAnd(c, func() {}) }

// admitAnd admits a ring and then puts it in force, with nothing in between that
// could put another one on record.
func (i *issuing) admitAnd(c *config.Config, enforce func()) error {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	if err := i.record(c); err != nil {
		return err
	}
	enforce()
	return nil
}

// record does the work of admit, under the lock.
func (i *issuing) record(c *config.Config) error {
	if i.path == "" {
		return nil
	}
	ledger, err := config.OpenLedger(i.path, i.namespace)
	if err == nil {
		if err := ledger.Admits(c.Keyring.Ring); err != nil {
			return err
		}
		if ledger.Empty() {
			i.log.Warn("a new ledger begins; entries that were in force before are not known to it", "ledger", i.path)
		}
		err = ledger.Record(c.Keyring.Ring)
	}
	i.settle(err)
	return nil
}

// settle notes whether the ledger is in order, and logs what is new about it.
func (i *issuing) settle(err error) {
	before := i.mayIssue()
	if err == nil {
		i.stopped.Store(nil)
		if before != nil {
			i.log.Info("the ledger is in order again; new sessions are accepted", "ledger", i.path)
		}
		return
	}
	i.stopped.Store(&err)
	if before == nil || before.Error() != err.Error() {
		i.log.Error("new sessions are refused until the ledger is in order; earlier ones resolve", "cause", err)
	}
}

// keep looks at the ledger again at the reload interval: it may be in order
// again, or not any more.
func (i *issuing) keep(ctx context.Context, inForce func() *config.Config) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(inForce().Keyring.ReloadInterval):
		}
		i.look(inForce)
	}
}

func (i *issuing) look(inForce func() *config.Config) {
	i.mutex.Lock()
	defer i.mutex.Unlock()
	if err := i.record(inForce()); err != nil {
		i.settle(err)
	}
}
