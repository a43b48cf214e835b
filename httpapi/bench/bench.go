// Package bench puts a bounded load on a key endpoint and verifies every answer.
//
// The load is open: requests are due at a fixed rate, whatever becomes of earlier
// ones, and latency counts from when a request was due. A server that stalls for
// a second is charged with every request of that second, and not with one for
// each connection, as it would be if requests waited for answers to earlier ones
// (coordinated omission).
//
// Memory does not grow with time, with rate, or with what the server answers.
package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"keyhint/derive"
	"keyhint/httpapi/loopback"
)

// The bounds of [Options].
const (
	MaxRate        = 100_000 // requests per second
	MaxConnections = 1_000
	MaxDuration    = time.Hour
	MaxIssueShare  = 0.5 // because each issued session is resolved
)

// Options are what [Run] works with. All fields are required unless said otherwise.
type Options struct {
	Target      Target
	Document    string        // of all sessions; empty: each has its own
	Rate        int           // requests per second
	Connections int           // and so requests in flight, at most
	Duration    time.Duration // of the load; verifying what is left, at the same rate, can add 10 s
	IssueShare  float64       // of requests that begin a session; the others resolve

	// Progress, if not nil, gets a line of text every Interval.
	Progress func(line string)
	Interval time.Duration

	// Mismatch, if not nil, is told of wrong answers as they come, of ten at
	// most. The text has no key.
	Mismatch func(text string)
}

// Validate returns what is wrong with the options. It repeats no token.
func (o Options) Validate() error {
	u := o.Target.URL
	switch {
	case u == nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return errors.New("the URL must be http:// or https:// and a host, such as http://127.0.0.1:8080/v1/key")
	case u.User != nil || u.Fragment != "":
		return errors.New("the URL must have neither a user name nor a fragment")
	case u.Path == "":
		return errors.New("the URL has no path; keyhint's is /v1/key unless server.path is another")
	case !o.Target.AnyHost && !loopback.IsHost(u.Hostname()):
		return ErrNotLoopback
	case o.Target.Token != "" && u.Scheme == "http" && !loopback.IsHost(u.Hostname()):
		return errors.New("a token goes to other machines over https only")
	case strings.ContainsFunc(o.Target.Token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("the token has a character that no token has, such as a space")
	case o.Document != "" && derive.Document{ID: o.Document}.Validate() != nil:
		return errors.New("the document id must be 1 to 1024 bytes of UTF-8")
	case o.Rate < 1 || o.Rate > MaxRate:
		return fmt.Errorf("the rate must be 1 to %d requests per second", MaxRate)
	case o.Connections < 1 || o.Connections > MaxConnections:
		return fmt.Errorf("connections must be 1 to %d", MaxConnections)
	case o.Duration <= 0 || o.Duration > MaxDuration:
		return fmt.Errorf("the duration must be above 0 and at most %s", MaxDuration)
	case o.planned() < 1:
		return errors.New("the duration is too short for one request at this rate")
	case !(o.IssueShare >= 0 && o.IssueShare <= MaxIssueShare):
		return fmt.Errorf("the share of requests that issue must be 0 to %g, since each issued session is resolved", MaxIssueShare)
	}
	return nil
}

// planned is how many requests the load is.
func (o Options) planned() int { return int(o.Duration * time.Duration(o.Rate) / time.Second) }

const (
	verifyTimeout = 10 * time.Second // for what is left to verify after the load
	graceTimeout  = 2 * time.Second  // for finishing once ctx is done
)

// Run loads the target until the time is over or ctx is done, and resolves the
// issued hints that were not yet. An error means that there was no load: the
// options are wrong, or the very first session was not right. What goes wrong
// under load is in the report.
func Run(ctx context.Context, o Options) (*Report, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	work, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(graceTimeout, cut) })()
	l := &load{sessions: newSessions(o.Document, o.IssueShare), report: newReport(o)}
	for range o.Connections {
		c := NewConn(work, &o.Target)
		defer c.Close()
		l.conns = append(l.conns, c)
	}
	if err := l.tryOut(); err != nil {
		return nil, err
	}

	defer l.report.tell()()
	start := time.Now()
	running, cancel := context.WithTimeout(ctx, o.Duration+lateness)
	defer cancel()
	sent, sending := l.run(running, o.planned(), l.sessions.next, l.report.add)
	l.report.Took = time.Since(start)
	l.report.Unsent = max(0, min(o.planned(), int(sending*time.Duration(o.Rate)/time.Second))-sent)

	verifying, cancel := context.WithTimeout(work, verifyTimeout)
	defer cancel()
	for n := l.sessions.unverified(); n > 0 && verifying.Err() == nil; n = l.sessions.unverified() {
		l.run(verifying, n, l.sessions.nextUnverified, l.report.addVerified)
	}
	l.sessions.sum(l.report)
	return l.report, nil
}
