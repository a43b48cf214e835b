package service

import (
	"context"
	"log/slog"
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
func (i *issuing) admit(c *config.Config) error {
	if i.path == "" {
		return nil
	}
	ledger, err := config.OpenLedger(i.path, i.namespace)
	if err == nil {
		if err := ledger.Admits(c.Keyring.Ring); err != nil {
			return err
		}
		err = ledger.Record(c.Keyring.Ring)
	}
	i.settle(err)
	return nil
}

// settle notes whether the ledger is in order, and logs what is new about it.
func (i *issuing) settle(err error) {
	before := i.mayIssue()
	switch {
	case err == nil:
		i.stopped.Store(nil)
		if before != nil {
			i.log.Info("the ledger is in order again; new sessions are accepted", "ledger", i.path)
		}
	default:
		i.stopped.Store(&err)
		if before == nil || before.Error() != err.Error() {
			i.log.Error("new sessions are refused until the ledger is in order; earlier ones resolve", "cause", err)
		}
	}
}

// retry tries again at intervals while the ledger is not in order.
func (i *issuing) retry(ctx context.Context, interval time.Duration, inForce func() *config.Config) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if i.mayIssue() == nil {
				continue
			}
			if err := i.admit(inForce()); err != nil {
				i.settle(err)
			}
		}
	}
}
