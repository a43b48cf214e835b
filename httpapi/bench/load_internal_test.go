package bench

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// take receives n times and returns how long after the start each is from.
func take(due <-chan time.Time, n int, start time.Time) (from []time.Duration) {
	for range n {
		from = append(from, (<-due).Sub(start))
	}
	return from
}

func TestRequestsCountFromWhenTheyWereDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, due := time.Now(), make(chan time.Time)
		go pace(t.Context(), 10, 100, due)
		prompt := take(due, 5, start)
		time.Sleep(3 * time.Second) // nobody is free
		late := take(due, 40, start)
		for i, from := range append(prompt, late...) {
			if want := time.Duration(i+1) * time.Second / 10; from != want {
				t.Errorf("request %d counts from %s, want %s", i, from, want)
			}
		}
		if passed := time.Since(start); passed != 4500*time.Millisecond {
			t.Errorf("the pace is caught up with after %s", passed)
		}
		take(due, 55, start)
	})
}

func TestPaceEndsWithItsContext(t *testing.T) {
	for _, taken := range []int{0, 7} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			due, sent := make(chan time.Time), make(chan int)
			go func() { sent <- pace(ctx, 10, 100, due) }()
			take(due, taken, time.Now())
			if n := <-sent; n != taken {
				t.Errorf("%d sent, want %d", n, taken)
			}
		})
	}
}

func TestSessionsThatCannotBeVerifiedAreBounded(t *testing.T) {
	s := newSessions("", MaxIssueShare)
	for range 10 * maxPending {
		task := s.next()
		if task.issues() {
			s.done(task, session{task.document, "key of " + task.document, "hint"}, nil)
		} else {
			s.done(task, session{}, refusal{status: 429})
		}
	}
	if n := s.unverified(); n != maxPending {
		t.Errorf("%d wait, want %d", n, maxPending)
	}
}
