package main

import (
	"bufio"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"
)

// BenchmarkStart is the time from starting the program, with one entry, to the
// end of its first answer with a key.
func BenchmarkStart(b *testing.B) {
	binary, client := buildForTest(b), newClient()
	r := &replica{file: filepath.Join(b.TempDir(), "keyhint.yaml")}
	if err := writeInPlace(r.file, r.text("", newEntries(b, 1, rand.Reader))); err != nil {
		b.Fatal(err)
	}
	var times []time.Duration
	for b.Loop() {
		command := exec.Command(binary, "serve", "--config", r.file)
		command.Env = append(command.Environ(), "KEYHINT_AUDIT_SINK="+filepath.Join(b.TempDir(), "audit.log"))
		stderr, err := command.StderrPipe()
		if err != nil {
			b.Fatal(err)
		}
		begun := time.Now()
		if err := command.Start(); err != nil {
			b.Fatal(err)
		}
		var line logLine
		for lines := bufio.NewScanner(stderr); line.Msg != "serving" && lines.Scan(); {
			json.Unmarshal(lines.Bytes(), &line)
		}
		outcome, _, _, err := exchange(client, "http://"+line.Address+"/v1/key", "doc", nil)
		times = append(times, time.Since(begun))
		command.Process.Kill()
		command.Wait()
		if err != nil || outcome != "200" {
			b.Fatalf("%s, %v", outcome, err)
		}
	}
	b.ReportMetric(float64(quantile(times, 0.5)), "ns/op")
	b.ReportMetric(milliseconds(quantile(times, 1)), "max-ms")
}

// settling is how long a server waits after a change for more of them.
const settling = 100 * time.Millisecond

// BenchmarkReload is the time from a change of the file, settling included, to
// the server's word that the ring in it is in force. A client meanwhile asks for
// keys; its latencies while the file is read and at all other times are told as
// well.
func BenchmarkReload(b *testing.B) {
	binary := buildForTest(b)
	for _, size := range []int{1, 10_000} {
		entries := newEntries(b, size, rand.Reader)
		r := &replica{file: filepath.Join(b.TempDir(), "keyhint.yaml")}
		if err := writeInPlace(r.file, r.text("", entries)); err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("entries=%d", size), func(b *testing.B) {
			p, err := launchCommand(b, exec.Command(binary, "serve", "--config", r.file))
			if err == nil {
				_, err = p.listens()
			}
			if err != nil {
				b.Fatal(err)
			}
			var reloads, requests []span
			stop := make(chan struct{})
			var client sync.WaitGroup
			client.Go(func() { requests = askSteadily(b, p.url, stop) })
			for b.Loop() {
				text := r.text(fmt.Sprintf("  # change %d\n", len(reloads)), entries)
				from, begun := len(p.lines()), now()
				if err := renameOver(r.file, text); err != nil {
					b.Fatal(err)
				}
				line, err := p.await(from, func(line logLine) bool { return line.Msg == loggedInForce })
				if err != nil {
					b.Fatal(err)
				}
				reloads = append(reloads, span{begun, line.read})
				time.Sleep(line.read.Sub(begun)) // as much time without a reload
			}
			close(stop)
			client.Wait()

			var times, during, outside []time.Duration
			readings := slices.Clone(reloads)
			for i, reload := range reloads {
				times = append(times, reload.took())
				readings[i].from = reload.from.Add(settling)
			}
			for _, request := range requests {
				if slices.ContainsFunc(readings, request.overlaps) {
					during = append(during, request.took())
				} else {
					outside = append(outside, request.took())
				}
			}
			b.ReportMetric(float64(quantile(times, 0.5)), "ns/op")
			b.ReportMetric(milliseconds(quantile(times, 1)), "max-ms")
			b.ReportMetric(milliseconds(quantile(during, 0.99)), "p99-ms-during")
			b.ReportMetric(milliseconds(quantile(outside, 0.99)), "p99-ms-outside")
		})
	}
}

// askSteadily asks for new keys until stop is closed. One is due every 2 ms, and
// its time counts from then, however late the one before it was answered; but not
// from before this program woke up for it.
func askSteadily(b *testing.B, url string, stop <-chan struct{}) (requests []span) {
	client := newClient()
	woke := now()
	for due := woke; ; due = due.Add(2 * time.Millisecond) {
		if wait := time.Until(due); wait > 0 {
			select {
			case <-stop:
				return requests
			case <-time.After(wait):
				woke = now()
			}
		}
		from := due
		if from.Before(woke) {
			from = woke
		}
		if outcome, _, _, err := exchange(client, url, "doc", nil); err != nil || outcome != "200" {
			b.Errorf("%s, %v", outcome, err)
			return requests
		}
		requests = append(requests, span{from, now()})
	}
}

type span struct{ from, to time.Time }

func (s span) took() time.Duration      { return s.to.Sub(s.from) }
func (s span) overlaps(other span) bool { return s.from.Before(other.to) && other.from.Before(s.to) }

func quantile(times []time.Duration, q float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[min(int(q*float64(len(times))), len(times)-1)]
}

func milliseconds(d time.Duration) float64 { return float64(d) / 1e6 }
