package config_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"keyhint/config"
)

func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			entries := make([]entry, n)
			for i := range entries {
				entries[i] = newEntry(b, uint32(i+1))
			}
			write(b, ring(entries...))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := config.Load("keyhint.yaml", nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Each entry has a date, so that each changes something.
func BenchmarkDescribe(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			entries := make([]entry, n)
			for i := range entries {
				at := noon.Add(time.Duration(i-n/2) * time.Hour).Format(time.RFC3339)
				entries[i] = newEntry(b, uint32(i+1)).with("activate_at", strconv.Quote(at))
			}
			c := mustLoad(b, ring(entries...)+"  max_age: 720h\n")
			for b.Loop() {
				config.Describe(c, noon)
			}
		})
	}
}
