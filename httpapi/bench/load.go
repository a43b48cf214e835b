package bench

import (
	"context"
	"sync"
	"time"
)

// lateness is by how much the scheduler may delay a request without the request
// counting as not sent.
const lateness = 100 * time.Millisecond

// load is a run of [Run].
type load struct {
	conns    []*Conn
	sessions *sessions
	report   *Report
}

// tryOut issues a session and resolves it. It shows a wrong URL or token before
// there is any load.
func (l *load) tryOut() error {
	for range 2 {
		t := l.sessions.next()
		got, err := perform(l.conns[0], t)
		if err := l.sessions.done(t, got, err); err != nil {
			return err
		}
	}
	return nil
}

// run makes n requests at the configured rate, or as many until ctx is done, and
// has their results counted. It returns when all are answered, with how many it
// made and how long it took to send them.
func (l *load) run(ctx context.Context, n int, next func() task, count func(t task, err error, took time.Duration)) (sent int, took time.Duration) {
	start := time.Now()
	due := make(chan time.Time)
	var all sync.WaitGroup
	for _, c := range l.conns[:min(n, len(l.conns))] {
		all.Go(func() {
			for from := range due {
				t := next()
				got, err := perform(c, t)
				took := time.Since(from)
				count(t, l.sessions.done(t, got, err), took)
			}
		})
	}
	sent = pace(ctx, l.report.options.Rate, n, due)
	took = time.Since(start)
	close(due)
	all.Wait()
	return sent, took
}

// pace sends the times from which the latency of n requests counts, each at that
// time or when somebody takes it. It returns how many were taken when ctx is
// done. The first is due one interval after the start, so that runs in a row keep
// to the rate as well.
//
// A request that nobody was free to make counts from when it was due. One that
// is late because this program slept too long counts from its waking: that is
// not the server's doing.
func pace(ctx context.Context, rate, n int, due chan<- time.Time) int {
	start := time.Now()
	woke := start
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := range n {
		at := start.Add(time.Duration(i+1) * time.Second / time.Duration(rate))
		if wait := time.Until(at); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
				woke = time.Now()
			case <-ctx.Done():
				return i
			}
		}
		if at.Before(woke) {
			at = woke
		}
		select {
		case due <- at:
		case <-ctx.Done():
			return i
		}
	}
	return n
}
