package service

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"keyhint/config"
	"keyhint/httpapi"
	"keyhint/httpapi/audit"
)

// openAudit opens the configured audit log; nil is none. The error is a
// [config.Error].
func openAudit(c *config.Config, metrics *httpapi.Metrics) (*audit.Log, error) {
	if c.Audit.Sink == config.AuditNone {
		return nil, nil
	}
	log, err := audit.Open(audit.Options{
		Sink: c.Audit.Sink, Fsync: c.Audit.Fsync, DocumentKey: c.Audit.DocumentKey, Observe: metrics.ObserveAudit,
	})
	if err != nil {
		return nil, refuseAudit(c, err)
	}
	return log, nil
}

// checkAudit looks at the file of the audit log, if it is here.
func checkAudit(c *config.Config) error {
	if c.Audit.Sink == config.AuditNone || c.Audit.Sink == config.AuditStdout {
		return nil
	}
	if err := audit.CheckFile(c.Audit.Sink); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return refuseAudit(c, err)
	}
	return nil
}

func refuseAudit(c *config.Config, err error) error {
	return c.Refuse([]*config.Problem{{Path: "audit.sink", Text: "cannot be used: " + err.Error()}})
}

// auditFor is the audit log of a configuration that is to follow another.
func (s *service) auditFor(c *config.Config, former *endpoint) (*audit.Log, error) {
	if c.Audit.Equal(former.config.Audit) {
		return former.audit, nil
	}
	return openAudit(c, s.metrics)
}

// followAudit opens the audit file anew on each hangup, which it passes on, as
// after a rotation. At each reload interval it does so if the file was moved
// away, or could not be opened the last time.
func (s *service) followAudit(ctx context.Context, hangups chan<- os.Signal) {
	for {
		e := s.inForce.Load()
		select {
		case <-ctx.Done():
			return
		case hangup := <-s.Hangup:
			s.reopenAudit()
			select {
			case hangups <- hangup:
			default: // one is waiting
			}
		case <-time.After(e.config.Keyring.ReloadInterval):
			if s.inForce.Load().audit.Detached() != nil {
				s.reopenAudit()
			}
		}
	}
}

func (s *service) reopenAudit() {
	e := s.inForce.Load()
	if e.audit == nil || e.config.Audit.Sink == config.AuditStdout {
		return
	}
	if err := e.audit.Reopen(); err != nil {
		s.Log.Error("the audit file cannot be opened again; records go on to the file that was open before", "cause", err)
	} else {
		s.Log.Info("the audit file was opened again", "file", e.config.Audit.Sink)
	}
}
