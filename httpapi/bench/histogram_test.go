package bench_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"keyhint/httpapi/bench"
)

func TestQuantilesAreAtMostOneThirtySecondTooLong(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		var h bench.Histogram
		all := make([]time.Duration, 1+random.IntN(500))
		for i := range all {
			all[i] = time.Duration(random.Uint64N(1 << (1 + random.IntN(41))))
			h.Add(all[i])
		}
		slices.Sort(all)
		for _, share := range []float64{0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1} {
			rank := max(1, int(share*float64(len(all))+0.999999))
			exact, got := all[rank-1], h.Quantile(share)
			if got < exact || got > exact+exact/32 {
				t.Fatalf("round %d: quantile %g of %d is %d, want %d", round, share, len(all), got, exact)
			}
		}
		if n := h.Count(); n != uint64(len(all)) {
			t.Fatalf("%d counted, want %d", n, len(all))
		}
	}
}

func TestHistogramTakesEveryDuration(t *testing.T) {
	var h bench.Histogram
	if h.Quantile(0.5) != 0 || h.Count() != 0 {
		t.Error("an empty histogram has something in it")
	}
	for _, d := range []time.Duration{-1, 0, 1, 1<<63 - 1} {
		h.Add(d)
	}
	if h.Count() != 4 || h.Quantile(0.5) != 0 || h.Quantile(1) != 1<<63-1 {
		t.Errorf("%d counted, median %d, longest %d", h.Count(), h.Quantile(0.5), h.Quantile(1))
	}
}
