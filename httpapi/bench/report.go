package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"
)

// Report is what came of a load.
type Report struct {
	Issue, Resolve Histogram     // latencies of right answers, under load
	Both           Histogram     // all of these
	Took           time.Duration // the load
	Unsent         int           // requests that were due and had no free connection until the end

	Issued     int // sessions, the very first included
	Verified   int // of them: their hints were resolved to the same keys
	Unverified int // of them: resolving was refused, or got no answer

	options Options
	mu      sync.Mutex
	wrong   int            // answers, those after the load included
	refused map[string]int // answers without a key, by status and problem type
	failed  map[string]int // requests without an answer, by cause
}

func newReport(o Options) *Report {
	return &Report{options: o, refused: make(map[string]int), failed: make(map[string]int)}
}

const (
	maxTold  = 10 // wrong answers that are told one by one
	maxKinds = 30 // of refusals that are counted one by one
)

// addVerified counts a request after the load, for verifying what is left.
// Whether it was of use is in [Report.Verified]; nothing else of it counts but a
// wrong answer.
func (r *Report) addVerified(t task, err error, took time.Duration) {
	if errors.As(err, new(mismatch)) {
		r.add(t, err, took)
	}
}

// add counts a request of the load.
func (r *Report) add(t task, err error, took time.Duration) {
	var refused refusal
	var wrong mismatch
	if err == nil {
		of := &r.Resolve
		if t.issues() {
			of = &r.Issue
		}
		of.Add(took)
		r.Both.Add(took)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case errors.As(err, &wrong):
		r.wrong++
		if r.options.Mismatch != nil && r.wrong <= maxTold {
			r.options.Mismatch(wrong.Error())
		}
	case errors.As(err, &refused):
		kind := refused.Error()
		if _, known := r.refused[kind]; !known && len(r.refused) >= maxKinds {
			kind = "others"
		}
		r.refused[kind]++
	default:
		r.failed[cause(err)]++
	}
}

// cause puts a failure to get an answer into one of few classes.
func cause(err error) string {
	var network net.Error
	switch {
	case errors.Is(err, ErrNotLoopback):
		return ErrNotLoopback.Error()
	case errors.As(err, &network) && network.Timeout():
		return "no answer in time"
	case errors.Is(err, net.ErrClosed), errors.Is(err, context.Canceled):
		return "no answer when it was stopped"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection ended"
	}
	return "other"
}

// Err is nil if all that was issued was verified, no answer was wrong, and some
// were right. Refusals and requests without an answer alone are no error: they
// are what a load can bring about.
func (r *Report) Err() error {
	switch {
	case r.wrong > 0:
		return fmt.Errorf("%d answers are WRONG", r.wrong)
	case r.Unverified > 0:
		return fmt.Errorf("%d of %d issued hints could not be verified", r.Unverified, r.Issued)
	case r.Both.Count() == 0:
		return errors.New("no request under load was answered with a key")
	}
	return nil
}

// tell gives lines of progress until the function that it returns is called.
func (r *Report) tell() (stop func()) {
	if r.options.Progress == nil {
		return func() {}
	}
	ended, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(r.options.Interval)
		defer ticker.Stop()
		start, last, before := time.Now(), time.Now(), uint64(0)
		for {
			select {
			case <-ended:
				return
			case now := <-ticker.C:
				n := r.Both.Count()
				r.options.Progress(r.progress(now.Sub(start), float64(n-before)/now.Sub(last).Seconds()))
				last, before = now, n
			}
		}
	}()
	return func() {
		close(ended)
		<-stopped
	}
}

func (r *Report) progress(passed time.Duration, rate float64) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	when := fmt.Sprintf("%s of %s", passed.Round(time.Second/10), r.options.Duration)
	if passed > r.options.Duration+lateness {
		when = "verifying what is left"
	}
	line := fmt.Sprintf("%s   %.0f/s   p50 %s   p99 %s   refused %d   failed %d", when, rate, short(r.Both.Quantile(0.5)), short(r.Both.Quantile(0.99)), sum(r.refused), sum(r.failed))
	if r.wrong > 0 {
		line += fmt.Sprintf("   WRONG %d", r.wrong)
	}
	return line
}

// String is the report as text of several lines, without keys and tokens.
func (r *Report) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%.1f s at %d requests/s over %d connections: %.1f answers/s\n\n", r.Took.Seconds(), r.options.Rate,
		r.options.Connections, float64(r.Both.Count())/r.Took.Seconds())
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "latency\tanswers\tp50\tp90\tp99\tp99.9\tmax\t")
	for _, row := range []struct {
		name string
		of   *Histogram
	}{{"issue", &r.Issue}, {"resolve", &r.Resolve}, {"both", &r.Both}} {
		fmt.Fprintf(w, "%s\t%d\t", row.name, row.of.Count())
		for _, share := range []float64{0.5, 0.9, 0.99, 0.999, 1} {
			fmt.Fprint(w, short(row.of.Quantile(share)), "\t")
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	fmt.Fprintln(&b)
	r.Both.draw(&b)
	fmt.Fprintf(&b, "verified   %d of %d issued hints resolve to the same key\n", r.Verified, r.Issued)
	fmt.Fprintf(&b, "wrong      %d\n", r.wrong)
	list(&b, "refused", r.refused)
	list(&b, "failed", r.failed)
	if r.Unsent > 0 {
		fmt.Fprintf(&b, "not sent   %d  no connection was free for them: the rate is too high for the server, for this many connections, or for this program\n", r.Unsent)
	}
	return b.String()
}

// list writes numbers by name, and 0 if there are none.
func list(w io.Writer, title string, numbers map[string]int) {
	if len(numbers) == 0 {
		fmt.Fprintf(w, "%-10s 0\n", title)
	}
	for _, name := range slices.Sorted(maps.Keys(numbers)) {
		fmt.Fprintf(w, "%-10s %d  %s\n", title, numbers[name], name)
	}
}

func sum(numbers map[string]int) (total int) {
	for _, n := range numbers {
		total += n
	}
	return total
}

// short rounds to three digits.
func short(d time.Duration) time.Duration {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit)
}
