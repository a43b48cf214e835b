package ratelimit_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyhint/httpapi/ratelimit"
)

// clock stands still until a test moves it.
type clock struct{ nanoseconds atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.nanoseconds.Store(time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC).UnixNano())
	return c
}

func (c *clock) Now() time.Time          { return time.Unix(0, c.nanoseconds.Load()) }
func (c *clock) advance(d time.Duration) { c.nanoseconds.Add(int64(d)) }

func parse(t testing.TB, text string) ratelimit.Limit {
	t.Helper()
	limit, err := ratelimit.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return limit
}

func newLimiter(t testing.TB, limit string, maxKeys int) (*ratelimit.Limiter, *clock) {
	t.Helper()
	c := newClock()
	return ratelimit.New(parse(t, limit), maxKeys, c.Now), c
}

// allowed is how many of n events may happen now.
func allowed(l *ratelimit.Limiter, key string, n int) (count int) {
	for range n {
		if ok, _ := l.Allow(key); ok {
			count++
		}
	}
	return count
}

func TestNoLimitAllowsEverything(t *testing.T) {
	l, _ := newLimiter(t, "", 1)
	if l != nil {
		t.Fatal("a limiter without a limit")
	}
	if got := allowed(l, "a", 1e5); got != 1e5 {
		t.Errorf("%d of 100000 are allowed", got)
	}
}

func TestCountsAreExactOverTime(t *testing.T) {
	for _, c := range []struct {
		limit  string
		events int
		one    time.Duration // until the next event
	}{
		{"1/s", 1, time.Second},
		{"20/s", 20, 50 * time.Millisecond},
		{"1000000/s", 1000000, time.Microsecond},
		{"7/m", 7, time.Minute/7 + 1},
		{"600/m", 600, 100 * time.Millisecond},
		{"1/h", 1, time.Hour},
		{"1000/h", 1000, 3600 * time.Millisecond},
	} {
		l, clock := newLimiter(t, c.limit, 10)
		expect := func(when string, want int) {
			t.Helper()
			if got := allowed(l, "a", want+3); got != want {
				t.Errorf("%s: %d are allowed %s, want %d", c.limit, got, when, want)
			}
		}
		expect("at first", c.events)
		clock.advance(c.one - time.Microsecond)
		if c.one > time.Microsecond {
			expect("a microsecond too early", 0)
		}
		clock.advance(time.Microsecond)
		expect("in time", 1)
		for range 100 {
			clock.advance(c.one)
			expect("at the sustained rate", 1)
		}
		clock.advance(24 * time.Hour)
		expect("after a quiet day", c.events)
	}
}

func TestLongRunIsBurstAndRate(t *testing.T) {
	for limit, want := range map[string]int{"20/s": 20 + 20*60, "600/m": 600 + 600, "1200/m": 1200 + 1200, "900/h": 900 + 15} {
		l, clock := newLimiter(t, limit, 10)
		got := allowed(l, "a", 2000)
		for range 60_000 { // one minute, asked twice every millisecond
			clock.advance(time.Millisecond)
			got += allowed(l, "a", 2)
		}
		if got != want {
			t.Errorf("%s: %d pass in a minute, want %d", limit, got, want)
		}
	}
}

func TestKeysAreIndependent(t *testing.T) {
	l, clock := newLimiter(t, "3/s", 100)
	keys := []string{"", "a", "A", "a ", "\x00", "a\x00", "203.0.113.7", "2001:db8::/64"}
	for range 3 {
		for _, key := range keys {
			if got := allowed(l, key, 10); got != 3 {
				t.Errorf("%q: %d are allowed, want 3", key, got)
			}
		}
		clock.advance(time.Second)
	}
}

func TestWaitingAsLongAsToldAllowsAndNoShorter(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		limit := ratelimit.Limit{
			Events: 1 + random.IntN(1<<random.IntN(10)),
			Per:    []time.Duration{time.Second, time.Minute, time.Hour}[random.IntN(3)],
		}
		clock := newClock()
		l := ratelimit.New(limit, 1, clock.Now)
		for range 20 {
			var wait time.Duration
			for ok := true; ok; {
				ok, wait = l.Allow("a")
				if ok && wait != 0 {
					t.Fatalf("%v: allowed, and to wait for %s", limit, wait)
				}
			}
			if wait < time.Second || wait%time.Second != 0 || wait > limit.Per {
				t.Fatalf("%v: to wait for %s", limit, wait)
			}
			clock.advance(wait - time.Second)
			if ok, _ := l.Allow("a"); ok && wait > time.Second {
				t.Fatalf("%v: a second less than %s is enough", limit, wait)
			}
			clock.advance(time.Second)
			if ok, again := l.Allow("a"); !ok {
				t.Fatalf("%v: after %s, to wait for another %s", limit, wait, again)
			}
			clock.advance(time.Duration(random.Int64N(int64(limit.Per))))
		}
	}
}

func TestRefusedEventsTakeNothing(t *testing.T) {
	l, clock := newLimiter(t, "60/m", 10)
	allowed(l, "a", 60)
	for range 1000 { // hammering for a whole second
		clock.advance(time.Millisecond - time.Nanosecond)
		if ok, _ := l.Allow("a"); ok {
			t.Fatal("allowed too early")
		}
	}
	clock.advance(1000 * time.Nanosecond)
	if got := allowed(l, "a", 3); got != 1 {
		t.Errorf("after a second of refusals %d are allowed, want 1", got)
	}
}

func TestMemoryIsBoundedWhateverTheKeys(t *testing.T) {
	const maxKeys = 10_000
	keys, long := 10_000_000, 1000
	if testing.Short() {
		keys = 100_000
	}
	l, clock := newLimiter(t, "20/s", maxKeys)
	before := heap()
	random := rand.New(rand.NewPCG(3, 4))
	key := make([]byte, 0, 8<<10)
	for i := range keys {
		key = strconv.AppendUint(key[:0], random.Uint64(), 36)
		if i >= keys-long {
			key = key[:cap(key)]
		}
		if ok, _ := l.Allow(string(key)); !ok {
			t.Fatal("a new key is refused")
		}
		if i%1000 == 0 {
			clock.advance(time.Millisecond)
		}
	}
	if n := l.Len(); n < maxKeys/2 || n > maxKeys {
		t.Errorf("%d keys are remembered, want %d at most", n, maxKeys)
	}
	if perKey := (heap() - before) / maxKeys; perKey > 300 {
		t.Errorf("a key takes %d bytes", perKey)
	} else {
		t.Logf("a key takes %d bytes", perKey)
	}
	runtime.KeepAlive(l)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestFloodOfOtherKeysDoesNotRefillAClientThatGoesOn(t *testing.T) {
	const maxKeys = 100
	l, _ := newLimiter(t, "5/h", maxKeys)
	allowed(l, "a", 5)
	for i := range 50 * maxKeys {
		l.Allow(fmt.Sprint("flood ", i))
		if i%(maxKeys/2) == 0 {
			if ok, _ := l.Allow("a"); ok {
				t.Fatalf("allowed after %d other keys", i)
			}
		}
	}
}

func TestForgettingTakesHalfOfAllKeysAtLeast(t *testing.T) {
	const maxKeys = 100
	for earlier := range maxKeys { // whatever was there before
		l, _ := newLimiter(t, "5/h", maxKeys)
		flood := func(n int, name string) {
			for i := range n {
				l.Allow(fmt.Sprint(name, i))
			}
		}
		flood(earlier, "earlier ")
		allowed(l, "a", 5)
		flood(maxKeys/2, "flood ")
		if got := allowed(l, "a", 1); got != 0 {
			t.Fatalf("forgotten after half of all other keys and %d earlier ones", earlier)
		}
		flood(maxKeys, "more flood ")
		if got := allowed(l, "a", 10); got != 5 {
			t.Errorf("a forgotten key may have %d events, want one full bucket of 5", got)
		}
	}
}

func TestForgettingAnIdleKeyChangesNothing(t *testing.T) {
	forgetful, clock := newLimiter(t, "10/m", 2)
	mindful := ratelimit.New(parse(t, "10/m"), 10, clock.Now)
	for range 5 {
		for _, l := range []*ratelimit.Limiter{forgetful, mindful} {
			if got := allowed(l, "a", 20); got != 10 {
				t.Errorf("%d are allowed, want 10", got)
			}
			l.Allow("b")
			l.Allow("c")
		}
		clock.advance(time.Minute)
	}
}

func TestAtLeastTwoKeysAreRemembered(t *testing.T) {
	for _, maxKeys := range []int{-1, 0, 1} {
		l, _ := newLimiter(t, "5/s", maxKeys)
		for range 5 {
			l.Allow("a")
			l.Allow("b")
		}
		if got := allowed(l, "a", 1) + allowed(l, "b", 1); got != 0 {
			t.Errorf("with %d keys, one of two is forgotten", maxKeys)
		}
	}
}

func TestConcurrentEventsAreCountedExactly(t *testing.T) {
	const limit, keys, goroutines, each = 1000, 5, 50, 500
	l, clock := newLimiter(t, "1000/h", 2*keys)
	small, _ := newLimiter(t, "1000/h", 2) // forgets all the time
	var passed [keys]atomic.Int64
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for i := range each {
				key := i % keys
				if ok, _ := l.Allow(strconv.Itoa(key)); ok {
					passed[key].Add(1)
				}
				small.Allow(strconv.Itoa(key))
			}
		})
	}
	wg.Wait()
	for key := range passed {
		if got, want := passed[key].Load(), int64(min(limit, goroutines*each/keys)); got != want {
			t.Errorf("key %d: %d passed, want %d", key, got, want)
		}
	}
	if n := small.Len(); n > 2 {
		t.Errorf("%d keys are remembered, want 2 at most", n)
	}
	clock.advance(time.Hour)
	if got := allowed(l, "0", limit+1); got != limit {
		t.Errorf("after an hour %d are allowed", got)
	}
}

func TestAddressKeyIsTheAddressOrItsNetwork(t *testing.T) {
	for address, want := range map[string]string{
		"203.0.113.7":                 "203.0.113.7",
		"::ffff:203.0.113.7":          "203.0.113.7",
		"2001:db8:1:2::":              "2001:db8:1:2::/64",
		"2001:db8:1:2:ffff:ffff:ff::": "2001:db8:1:2::/64",
		"2001:db8:1:3::":              "2001:db8:1:3::/64",
		"fe80::1%eth0":                "fe80::/64",
		"::1":                         "::/64",
	} {
		if got := ratelimit.AddressKey(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
	if got := ratelimit.AddressKey(netip.Addr{}); got != "invalid IP" {
		t.Errorf("no address: %s", got)
	}
}

// TestClientThatHeedsRetryAfterIsServed uses the limiter as the endpoint does.
func TestClientThatHeedsRetryAfterIsServed(t *testing.T) {
	l, clock := newLimiter(t, "3/m", 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer := netip.MustParseAddrPort(r.RemoteAddr).Addr()
		if ok, wait := l.Allow(ratelimit.AddressKey(peer)); !ok {
			w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)))
			w.WriteHeader(http.StatusTooManyRequests)
		}
	}))
	defer server.Close()
	post := func() (int, string) {
		answer, err := server.Client().Post(server.URL, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer.StatusCode, answer.Header.Get("Retry-After")
	}
	for range 3 {
		if status, _ := post(); status != http.StatusOK {
			t.Fatalf("status %d within the limit", status)
		}
	}
	for range 5 {
		status, retryAfter := post()
		if status != http.StatusTooManyRequests || retryAfter != "20" {
			t.Fatalf("status %d, Retry-After %q", status, retryAfter)
		}
		clock.advance(20 * time.Second)
		if status, _ := post(); status != http.StatusOK {
			t.Fatalf("status %d after waiting", status)
		}
	}
}

func BenchmarkAllow(b *testing.B) {
	const maxKeys = 100_000
	keys := make([]string, 2*maxKeys)
	for i := range keys {
		keys[i] = fmt.Sprint("10.", i>>16, ".", i>>8&0xff, ".", i&0xff)
	}
	for name, used := range map[string]int{"one key": 1, "known keys": maxKeys, "keys that are forgotten": 2 * maxKeys} {
		b.Run(name, func(b *testing.B) {
			l := ratelimit.New(parse(b, "20/s"), maxKeys, time.Now)
			var next atomic.Int64
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					l.Allow(keys[int(next.Add(1))%used])
				}
			})
		})
	}
}
