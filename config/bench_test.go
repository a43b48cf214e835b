package config_test

import (
	"fmt"
	"testing"

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
