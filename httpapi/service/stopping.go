package service

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"
)

// stopping is the way from the signal to stop to the end of the public listener:
// readiness turns off at once, and the listener goes on for a while, in which
// balancers notice.
type stopping struct {
	begun   atomic.Bool // the signal has come
	leaving atomic.Bool // clients are asked to use other connections
}

var errStopping = errors.New("keyhint is stopping; requests that still come are answered")

// ready returns why no more requests should be sent here, or nil.
func (s *stopping) ready() error {
	if s.begun.Load() {
		return errStopping
	}
	return nil
}

// ask asks clients to leave when it is time for that: HTTP/1.1 closes their
// connections after the answer, and for HTTP/2 net/http makes a GOAWAY of it.
func (s *stopping) ask(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.leaving.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// awaitStop returns when the public listener has to close: when ctx is done and
// the delay that is configured then is over, or when life is.
func (s *service) awaitStop(ctx, life context.Context) {
	select {
	case <-ctx.Done():
	case <-life.Done():
		return
	}
	delay := s.inForce.Load().config.Server.ShutdownDelay
	s.stopping.begun.Store(true)
	s.systemd.stopping(delay)
	s.Log.Info("stopping", "delay", delay.String())
	// A client that was asked to leave earlier could come back, by a balancer that
	// has not noticed.
	pause(life, delay/2)
	s.stopping.leaving.Store(true)
	pause(life, delay-delay/2)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
