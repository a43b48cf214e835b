package httpapi

import (
	"crypto/rand"
	"testing"
	"time"

	"keyhint/derive"
	"keyhint/httpapi/access"
)

// counting is what the metrics cost a request that got a key.
func counting(t testing.TB) func() {
	t.Helper()
	master, _ := derive.GenerateSecret(rand.Reader)
	salt, _ := derive.GenerateSecret(rand.Reader)
	ring, err := derive.NewKeyring([]derive.Entry{{Version: 1, MasterKey: master, SaltKey: salt, Check: derive.NewCheckValue(1, master, salt)}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	_, hint, err := ring.Issue(derive.Document{ID: "doc-1"}, now.Add(-time.Hour), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	m, usage := NewMetrics(time.Now), NewUsage(ring, nil)
	x := &exchange{operation: access.Resolve, version: 1, outcome: "ok"}
	return func() {
		usage.add(hint, x.operation, now)
		m.observeHintAge(now.Sub(hint.Reference().Time()))
		m.countRequest(x, 70*time.Microsecond)
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	if allocations := testing.AllocsPerRun(100, counting(t)); allocations != 0 {
		t.Errorf("counting a request makes %v allocations", allocations)
	}
}

func BenchmarkCountRequest(b *testing.B) {
	count := counting(b)
	b.Run("one core", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			count()
		}
	})
	b.Run("all cores", func(b *testing.B) {
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				count()
			}
		})
	})
}

func BenchmarkCountRefusal(b *testing.B) {
	m := NewMetrics(time.Now)
	b.ReportAllocs()
	for b.Loop() {
		m.countRefusal(derive.ErrTagMismatch, hintMismatch)
	}
}
