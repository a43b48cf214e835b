package bench_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyhint/httpapi/bench"
)

// BenchmarkFlat issues as many sessions as there are operations, each on a
// document of its own, then resolves a tenth of them in random order and compares
// the keys. For ten million give -benchtime 10000000x -timeout 1h.
//
// It reports the resident memory of keyhint before, at least and at most during
// either part (from the third second on, when the garbage collector has its
// rhythm) and after, and latencies of the first and the last whole minute.
func BenchmarkFlat(b *testing.B) {
	p := build(b)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	b.Run("none", func(b *testing.B) {
		s := newSide(b, p.startKeyhint(b, "auth: {mode: none}"), "", []string{""})
		s.perform(connections, func(int) string { return `{"documentId":"doc-1","keyHint":null}` }, func(int, answer) {})
		before, _ := s.memory()
		b.ReportMetric(before/1e6, "before-rss-MB")

		var mutex sync.Mutex
		type issued struct {
			document int
			answer   answer
		}
		kept := make([]issued, 0, b.N/8)
		s.measure(b, "issue", b.N, func(i int) string {
			return fmt.Sprintf(`{"documentId":"document-%d","keyHint":null}`, i)
		}, func(i int, a answer) {
			if i == 0 || rand.IntN(10) == 0 {
				mutex.Lock()
				defer mutex.Unlock()
				kept = append(kept, issued{i, a})
			}
		})
		rand.Shuffle(len(kept), func(i, j int) { kept[i], kept[j] = kept[j], kept[i] })
		s.measure(b, "resolve", len(kept), func(i int) string {
			return fmt.Sprintf(`{"documentId":"document-%d","keyHint":%q}`, kept[i].document, kept[i].answer.KeyHint)
		}, func(i int, a answer) {
			if a != kept[i].answer {
				b.Errorf("document-%d has another key, or another hint", kept[i].document)
			}
		})
		b.ReportMetric(float64(len(kept)), "resolved")
		after, _ := s.memory()
		b.ReportMetric(after/1e6, "after-rss-MB")
	})
}

// answer is the body of a 200.
type answer struct {
	Key     string `json:"key"`
	KeyHint string `json:"keyHint"`
}

// perform makes n requests over all connections and returns their latencies by
// the minute.
func (s *side) perform(n int, body func(i int) string, use func(i int, a answer)) []*bench.Histogram {
	minutes := []*bench.Histogram{new(bench.Histogram)}
	var mutex sync.Mutex
	var next atomic.Int64
	var all sync.WaitGroup
	start := time.Now()
	for _, c := range s.conns {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				sent := time.Now()
				response, err := c.Post([]byte(body(i)))
				took := time.Since(sent)
				var a answer
				if err == nil {
					err = json.Unmarshal(response.Body, &a)
				}
				if err != nil || response.Status != http.StatusOK || a.Key == "" {
					s.t.Errorf("request %d: %v, %d", i, err, response.Status)
					return
				}
				use(i, a)
				minute := int(sent.Sub(start) / time.Minute)
				mutex.Lock()
				for len(minutes) <= minute {
					minutes = append(minutes, new(bench.Histogram))
				}
				of := minutes[minute]
				mutex.Unlock()
				of.Add(took)
			}
		})
	}
	all.Wait()
	return minutes
}

// measure performs requests and reports memory and latency.
func (s *side) measure(b *testing.B, name string, n int, body func(i int) string, use func(i int, a answer)) {
	b.Helper()
	ended, sampled := make(chan struct{}), make(chan []float64)
	go func() {
		var samples []float64
		second := time.NewTicker(time.Second)
		defer second.Stop()
		for {
			select {
			case <-second.C:
				now, _ := s.memory()
				samples = append(samples, now)
			case <-ended:
				now, _ := s.memory()
				sampled <- append(samples, now)
				return
			}
		}
	}()
	start := time.Now()
	minutes := s.perform(n, body, use)
	took := time.Since(start)
	close(ended)
	samples := <-sampled
	samples = samples[min(2, len(samples)-1):]
	last := minutes[max(0, int(took/time.Minute)-1)]
	report := func(value float64, unit string) { b.ReportMetric(value, name+"-"+unit) }
	report(float64(n)/took.Seconds(), "req/s")
	report(slices.Min(samples)/1e6, "min-rss-MB")
	report(slices.Max(samples)/1e6, "max-rss-MB")
	for when, of := range map[string]*bench.Histogram{"first": minutes[0], "last": last} {
		report(float64(of.Quantile(0.5).Nanoseconds())/1000, when+"-p50-us")
		report(float64(of.Quantile(0.99).Nanoseconds())/1000, when+"-p99-us")
	}
}
