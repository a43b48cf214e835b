package bench

import (
	"fmt"
	"io"
	"math"
	"math/bits"
	"strings"
	"sync/atomic"
	"time"
)

// Histogram counts durations in a fixed amount of memory. Buckets double in
// width with each power of two, which is divided into 32 of them, so what it
// tells is at most 1/32 too long. It is safe for any number of goroutines.
type Histogram struct {
	counts  [maxExponent * perPower]atomic.Uint64
	longest atomic.Int64
}

const (
	perPower    = 32
	maxExponent = 38 // 2^42 ns, over an hour
)

// bucketOf is the index of the bucket for a number of nanoseconds: exact below
// 64, and by the six leading bits from there.
func bucketOf(ns uint64) int {
	shift := max(0, bits.Len64(ns)-6)
	return min(shift*perPower+int(ns>>shift), maxExponent*perPower-1)
}

// upperEnd is the longest duration that a bucket counts.
func upperEnd(bucket int) time.Duration {
	shift := max(0, bucket/perPower-1)
	return time.Duration((bucket-shift*perPower+1)<<shift - 1)
}

// Add counts a duration.
func (h *Histogram) Add(d time.Duration) {
	d = max(0, d)
	h.counts[bucketOf(uint64(d))].Add(1)
	for {
		longest := h.longest.Load()
		if int64(d) <= longest || h.longest.CompareAndSwap(longest, int64(d)) {
			return
		}
	}
}

// Count is how many durations were added.
func (h *Histogram) Count() uint64 { return h.countUpTo(math.MaxInt64) }

// countUpTo is how many durations are in buckets that end by d.
func (h *Histogram) countUpTo(d time.Duration) (n uint64) {
	for i := range h.counts {
		if upperEnd(i) > d {
			break
		}
		n += h.counts[i].Load()
	}
	return n
}

// Quantile is the duration within which a share of all durations is; 0 if there
// are none. The share is from 0 to 1; 1 gives the longest, exactly.
func (h *Histogram) Quantile(share float64) time.Duration {
	longest := time.Duration(h.longest.Load())
	rank := uint64(math.Ceil(share * float64(h.Count())))
	if share >= 1 || rank == 0 {
		return longest
	}
	var n uint64
	for i := range h.counts {
		if n += h.counts[i].Load(); n >= rank {
			return min(upperEnd(i), longest)
		}
	}
	return longest
}

// draw writes a line for each step from 1, 2 and 5 times a power of ten to the
// next, as far as there are durations, and an empty line.
func (h *Histogram) draw(w io.Writer) {
	const width = 50
	total := h.Count()
	var before uint64
	for power := time.Microsecond; before < total; power *= 10 {
		for _, end := range []time.Duration{power, 2 * power, 5 * power} {
			n := h.countUpTo(end)
			if n > 0 && before < total {
				share := float64(n-before) / float64(total)
				fmt.Fprintf(w, "up to %6s %9d %6.2f%% %s\n", end, n-before, 100*share, strings.Repeat("#", int(math.Ceil(width*share))))
			}
			before = n
		}
	}
	fmt.Fprintln(w)
}
