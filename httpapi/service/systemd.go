package service

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// manager tells systemd how the service is doing (sd_notify(3)). Where keyhint
// was not started by a unit with Type=notify, it tells nobody.
type manager struct {
	log    *slog.Logger
	mutex  sync.Mutex
	phase  phase
	status string // as it was told last
}

type phase int

const (
	starting phase = iota
	running
	ending
)

// ready says that the service is up, or that a reload is done.
func (m *manager) ready(status string) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.phase != ending {
		m.phase = running
		m.tell(daemon.SdNotifyReady, status)
	}
}

// reloading says that the files are being read because systemd asked for it.
// Before the service is up, it asks too early, and what tells that it is up must
// not be mistaken for the end of the reload.
func (m *manager) reloading() {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.phase == running {
		m.tell(daemon.SdNotifyReloading+"\n"+strings.TrimSpace(daemon.SdNotifyMonotonicUsec()), "reading the configuration")
	}
}

// reloaded says that the files have been read.
func (m *manager) reloaded(status string) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.phase == running {
		m.tell(daemon.SdNotifyReady, status)
	}
}

// stopping says that the service ends, after a delay in which it goes on.
func (m *manager) stopping(delay time.Duration) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.phase = ending
	m.tell(daemon.SdNotifyStopping, fmt.Sprintf("stopping after a delay of %s", delay))
}

// say shows something in "systemctl status", unless it is there already.
func (m *manager) say(status string) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.phase != ending && status != m.status {
		m.tell("", status)
	}
}

// alive tells the watchdog to wait for another period.
func (m *manager) alive() {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	m.send(daemon.SdNotifyWatchdog)
}

func (m *manager) tell(state, status string) {
	m.status = status
	// A line break would begin another assignment.
	m.send(strings.TrimPrefix(state+"\n", "\n") + "STATUS=" + strings.Join(strings.Fields(status), " "))
}

func (m *manager) send(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		m.log.Warn("systemd could not be told about the service", "cause", err)
	}
}

// status is what "systemctl status" shows.
func (s *service) status() string {
	if err := s.reloader.Ready(); err != nil {
		return err.Error()
	}
	return Describe(s.inForce.Load().config.Keyring.Ring, s.Now())
}

// tellReading tells systemd of a reading of the files, if it asked for that, and
// in any case what came of it.
func (s *service) tellReading(asked bool) (done func()) {
	if !asked {
		return func() { s.systemd.say(s.status()) }
	}
	s.systemd.reloading()
	return func() { s.systemd.reloaded(s.status()) }
}

// announce tells systemd that the service is up, once access control can decide:
// until then every answer is a refusal, and what is to start after it, or the
// next replica's restart, has to wait.
func (s *service) announce(ctx context.Context) {
	for {
		err := s.inForce.Load().control.ready()
		if err == nil {
			s.systemd.ready(s.status())
			return
		}
		s.systemd.say("waiting for access control: " + err.Error())
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return
		}
	}
}
