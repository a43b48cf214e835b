package bench_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyhint/httpapi/bench"
)

const (
	slice       = 250 * time.Millisecond // of load on one server, before it is the other's turn
	connections = 16

	// coldTokens are more than keyhint remembers, so that each is unknown again
	// when its turn comes.
	coldTokens = 10_500
)

// BenchmarkHTTP compares keyhint with a bare server that decodes the same bodies
// and answers with a constant. Each runs on one core and its load on another, in
// turns of a quarter of a second, so that what disturbs the machine disturbs
// both. An operation is one turn of each; give -benchtime 40x or more.
//
// All connections are always busy. The figures are medians over turns, and those
// beginning with x- medians of keyhint's in proportion to the bare server's. All
// of them are of whole processes.
func BenchmarkHTTP(b *testing.B) {
	p := build(b)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	compare := func(name, settings string, tokens ...string) {
		for _, operation := range []string{"issue", "resolve"} {
			b.Run(name+"/"+operation, func(b *testing.B) {
				keyhint, bare := p.startKeyhint(b, settings), p.startBare(b, p.core)
				body := `{"documentId":"doc-1","keyHint":null}`
				if operation == "resolve" {
					body = fmt.Sprintf(`{"documentId":"doc-1","keyHint":%q}`, post(b, keyhint, tokens[0], body))
				}
				takeTurns(b, newSide(b, keyhint, body, tokens), newSide(b, bare, body, tokens))
			})
		}
	}
	compare("none", "auth: {mode: none}", "")
	for _, algorithm := range []string{"RS256", "ES256", "EdDSA"} {
		minter := newMinter(b, algorithm)
		tokens := minter.mint(b, coldTokens)
		compare(algorithm+"-cached", minter.settings(), tokens[0])
		compare(algorithm+"-cold", minter.settings(), tokens...)
		compare(algorithm+"-cached-audit", minter.settings()+fmt.Sprintf("\naudit: {sink: %q}", filepath.Join(b.TempDir(), "audit.log")), tokens[0])
	}
	host := p.startBare(b, p.loadCore)
	compare("forward", fmt.Sprintf("auth: {mode: forward, forward: {url: %q}}", "http://"+host.target.URL.Host+"/may-open"), "a-session")
}

// side is one of the two servers with the load on it.
type side struct {
	*process
	conns  []*bench.Conn
	body   []byte
	tokens []string
	next   atomic.Int64 // of tokens

	turns []turn
}

// turn is what is measured in a slice.
type turn struct{ requests, rate, cpu, p50, p99, p999 float64 } // 1, 1/s, us

func newSide(b *testing.B, p *process, body string, tokens []string) *side {
	s := &side{process: p, body: []byte(body), tokens: tokens}
	for range connections {
		c := bench.NewConn(b.Context(), &p.target)
		b.Cleanup(c.Close)
		c.SetToken(tokens[0])
		s.conns = append(s.conns, c)
	}
	return s
}

// takeTurn keeps all connections busy for a slice. The answers are counted and
// not looked into: this program has to be faster than the server.
func (s *side) takeTurn() {
	var latency bench.Histogram
	var ended atomic.Bool
	var all sync.WaitGroup
	start, used := time.Now(), s.cpu()
	time.AfterFunc(slice, func() { ended.Store(true) })
	for _, c := range s.conns {
		all.Go(func() {
			for !ended.Load() {
				if len(s.tokens) > 1 {
					c.SetToken(s.tokens[s.next.Add(1)%int64(len(s.tokens))])
				}
				sent := time.Now()
				answer, err := c.Post(s.body)
				if err != nil || answer.Status != http.StatusOK {
					s.t.Errorf("%v, %d: %s", err, answer.Status, answer.Body)
					return
				}
				latency.Add(time.Since(sent))
			}
		})
	}
	all.Wait()
	n := float64(latency.Count())
	us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
	s.turns = append(s.turns, turn{
		n, n / time.Since(start).Seconds(), us(s.cpu()-used) / n, us(latency.Quantile(0.5)), us(latency.Quantile(0.99)), us(latency.Quantile(0.999)),
	})
}

// takeTurns measures both sides and reports them.
func takeTurns(b *testing.B, keyhint, bare *side) {
	sides := [...]*side{keyhint, bare}
	var bytes, times [2]float64
	for i, s := range sides {
		s.takeTurn() // to warm up
		s.turns = nil
		bytes[i], times[i] = s.allocated()
	}
	for b.Loop() {
		for _, s := range sides {
			s.takeTurn()
		}
	}
	b.ReportMetric(0, "ns/op") // it is that of the slices
	for unit, of := range map[string]func(turn) float64{
		"req/s":      func(t turn) float64 { return t.rate },
		"cpu-us/req": func(t turn) float64 { return t.cpu },
		"p50-us":     func(t turn) float64 { return t.p50 },
		"p99-us":     func(t turn) float64 { return t.p99 },
		"p99.9-us":   func(t turn) float64 { return t.p999 },
	} {
		var ratios []float64
		for i := range keyhint.turns {
			ratios = append(ratios, of(keyhint.turns[i])/of(bare.turns[i]))
		}
		b.ReportMetric(median(keyhint.turns, of), unit)
		b.ReportMetric(median(bare.turns, of), "bare-"+unit)
		b.ReportMetric(median(ratios, func(r float64) float64 { return r }), "x-"+unit)
	}
	for i, prefix := range []string{"", "bare-"} {
		s, n := sides[i], 0.0
		for _, t := range s.turns {
			n += t.requests
		}
		allBytes, allTimes := s.allocated()
		_, most := s.memory()
		b.ReportMetric((allBytes-bytes[i])/n, prefix+"B/req")
		b.ReportMetric((allTimes-times[i])/n, prefix+"allocs/req")
		b.ReportMetric(most/1e6, prefix+"max-rss-MB")
	}
}

func median[T any](of []T, value func(T) float64) float64 {
	var values []float64
	for _, v := range of {
		values = append(values, value(v))
	}
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}
