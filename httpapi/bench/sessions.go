package bench

import (
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
)

// session is what was issued.
type session struct{ document, key, hint string }

// task is a request to make: the resolving of a session, or the issuing of one
// if it has no hint yet.
type task struct {
	session
	verifies bool // the session's hint, which was not resolved yet
}

func (t task) issues() bool { return t.hint == "" }

const (
	maxPending = 4096 // sessions that wait to be verified; from there, no more are issued
	maxKnown   = 1024 // verified sessions that may be resolved again
	maxKeys    = 1 << 15
)

// sessions decides what is asked for. It is safe for any number of goroutines.
type sessions struct {
	document string  // of all; empty: each has its own
	prefix   string  // of these documents' ids
	share    float64 // of requests that issue

	mu       sync.Mutex
	asked    int // requests
	begun    int // of them, to issue
	issued   int // of them, successfully
	pending  []session
	known    []session // that were verified
	verified int
	keys     map[string]bool // that were issued lately
}

func newSessions(document string, issueShare float64) *sessions {
	return &sessions{document: document, prefix: "keyhint-bench-" + rand.Text()[:8], share: issueShare, keys: make(map[string]bool)}
}

// next begins a session while fewer than their share were begun. Else it
// resolves the one that has waited longest, or if none waits, any.
func (s *sessions) next() task {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	issue := float64(s.begun) < s.share*float64(s.asked) && len(s.pending) < maxPending
	switch {
	case len(s.pending) > 0 && !issue:
		return s.takePending()
	case len(s.known) > 0 && !issue:
		return task{session: s.known[mathrand.IntN(len(s.known))]}
	}
	s.begun++
	document := s.document
	if document == "" {
		document = fmt.Sprint(s.prefix, "-", s.begun)
	}
	return task{session: session{document: document}}
}

// nextUnverified resolves a session of which unverified told.
func (s *sessions) nextUnverified() task {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.takePending()
}

func (s *sessions) takePending() task {
	t := task{session: s.pending[0], verifies: true}
	s.pending = s.pending[1:]
	return t
}

// unverified is how many sessions wait to be verified, those in flight not
// counted.
func (s *sessions) unverified() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pending)
}

// done takes the result of a task, and returns the error of it: that two sessions
// have one key only shows here. A session that could not be verified waits again,
// unless the answer was wrong.
func (s *sessions) done(t task, got session, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil && t.issues():
		if s.keys[got.key] {
			return mismatch(fmt.Sprintf("the new session on document %q has THE KEY OF ANOTHER session", t.document))
		}
		if len(s.keys) == maxKeys {
			clear(s.keys)
		}
		s.keys[got.key] = true
		s.issued++
		s.pending = append(s.pending, got)
	case err == nil && t.verifies:
		s.verified++
		if len(s.known) < maxKnown {
			s.known = append(s.known, got)
		} else {
			s.known[mathrand.IntN(maxKnown)] = got
		}
	case t.verifies && !errors.As(err, new(mismatch)):
		s.pending = append(s.pending, t.session)
	}
	return err
}

// sum puts the numbers of sessions into a report.
func (s *sessions) sum(r *Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.Issued, r.Verified, r.Unverified = s.issued, s.verified, len(s.pending)
}
