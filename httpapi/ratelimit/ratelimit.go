// Package ratelimit counts the events of many keys, such as client addresses or
// subjects, in token buckets that take a bounded amount of memory.
package ratelimit

import (
	"crypto/sha256"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limiter holds a bucket for each key that was seen lately. A nil Limiter
// allows everything. It is safe for any number of goroutines.
//
// Keys are forgotten by generations: one that asks belongs to the young, whether
// its event is allowed or not. When the young are half of all that may be
// remembered, they become the old, and those who were old are forgotten. A
// forgotten key starts again with a full bucket. That gives nobody more than
// they have:
//   - A bucket refills within the limit's period. So forgetting changes nothing
//     unless more than half of that number of keys ask within one period.
//   - To be forgotten, a client must stop asking and make all these others ask.
//     Whoever commands so many addresses has a full bucket at each of them, and
//     wins one bucket more for all that effort.
//
// Refusing new keys instead would let such a flood lock out everyone else.
type Limiter struct {
	limit      rate.Limit // events per second
	burst      int
	generation int // keys
	now        func() time.Time

	mu         sync.Mutex
	young, old map[digest]*rate.Limiter // see bucket
}

// digest stands for a key, so that long keys take no more memory than short
// ones, and none is kept in clear.
type digest = [sha256.Size]byte

// New returns a limiter that remembers up to maxKeys keys (at least two), at
// less than 200 bytes each, or nil if the limit is the zero one. The clock must
// not step back; time.Now, with its monotonic reading, does not.
func New(limit Limit, maxKeys int, now func() time.Time) *Limiter {
	if limit == (Limit{}) {
		return nil
	}
	return &Limiter{
		limit:      rate.Limit(float64(limit.Events) / limit.Per.Seconds()),
		burst:      limit.Events,
		generation: max(1, maxKeys/2),
		now:        now,
		young:      make(map[digest]*rate.Limiter),
	}
}

// Allow counts an event of a key and tells whether it may happen. If not, it
// takes nothing from the bucket, and retryAfter tells how long the key has to
// wait until one may: whole seconds, at least one.
func (l *Limiter) Allow(key string) (ok bool, retryAfter time.Duration) {
	if l == nil {
		return true, 0
	}
	d := sha256.Sum256([]byte(key))
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now() // under the lock, so that no bucket sees an earlier time than its last
	tokens := l.bucket(d)
	if tokens.AllowN(now, 1) {
		return true, 0
	}
	missing := 1 - tokens.TokensAt(now)
	wait := time.Duration(missing / float64(l.limit) * float64(time.Second))
	return false, max(1, (wait+time.Second-1)/time.Second) * time.Second
}

// bucket returns the bucket of a key, a full one if it is new.
//
// Nothing is ever deleted from a map: one from which a key goes for each that
// comes, such as an LRU list has, grows far beyond its number of keys (Go 1.26:
// from 80 bytes a key to 630 after 10^8 keys).
func (l *Limiter) bucket(key digest) *rate.Limiter {
	if tokens, ok := l.young[key]; ok {
		return tokens
	}
	tokens, ok := l.old[key]
	if !ok {
		tokens = rate.NewLimiter(l.limit, l.burst)
	}
	if len(l.young) == l.generation {
		l.old, l.young = l.young, make(map[digest]*rate.Limiter)
	}
	l.young[key] = tokens
	return tokens
}

// AddressKey is the key of a client's address: the address itself if it is
// IPv4, and its /64 if it is IPv6, because that is what one client has at least.
// Every address that is none has the same key.
func AddressKey(address netip.Addr) string {
	address = address.Unmap().WithZone("")
	if !address.Is6() {
		return address.String()
	}
	return netip.PrefixFrom(address, 64).Masked().String()
}
