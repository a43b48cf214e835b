package derive_test

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"keyhint/derive"
)

// BenchmarkIssue is Keyring.Issue, BenchmarkIssueText with Hint.String;
// BenchmarkResolve is Keyring.Resolve, BenchmarkResolveText with ParseHint.
//
// Each is timed in turns with its floor, the four bare HMACs that the suite
// cannot do without; "ratio" is the one over the other. With -cpu 1,2 it is done
// on one core and on two at once; a time is that of one call on one core.

func BenchmarkIssue(b *testing.B) {
	benchmark(b, func(c *benchCase, _ int) error {
		_, _, err := c.ring.Issue(c.doc, c.now, rand.Reader)
		return err
	})
}

func BenchmarkIssueText(b *testing.B) {
	benchmark(b, func(c *benchCase, _ int) error {
		_, hint, err := c.ring.Issue(c.doc, c.now, rand.Reader)
		_ = hint.String()
		return err
	})
}

func BenchmarkResolve(b *testing.B) {
	benchmark(b, func(c *benchCase, i int) error {
		_, err := c.ring.Resolve(c.hints[i%len(c.hints)], c.doc, c.now, 0)
		return err
	})
}

func BenchmarkResolveText(b *testing.B) {
	benchmark(b, func(c *benchCase, i int) error {
		hint, err := derive.ParseHint(c.texts[i%len(c.texts)])
		if err != nil {
			return err
		}
		_, err = c.ring.Resolve(hint, c.doc, c.now, 0)
		return err
	})
}

func BenchmarkNewKeyring(b *testing.B) {
	for _, size := range []int{1, 10_000} {
		entries := newEntries(b, size)
		b.Run(fmt.Sprintf("entries=%d", size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				newKeyring(b, entries...)
			}
		})
	}
}

func benchmark(b *testing.B, op func(c *benchCase, i int) error) {
	for _, size := range []int{1, 10, 1000, 10_000} {
		entries := newEntries(b, size)
		for i := range entries {
			entries[i].ActivateAt = noon.Add(time.Duration(i) * time.Second)
		}
		ring := newKeyring(b, entries...)
		for _, idSize := range []int{10, 100, 1024} {
			c := newBenchCase(b, ring, entries, idSize)
			b.Run(fmt.Sprintf("entries=%d/id=%d", size, idSize), func(b *testing.B) {
				compare(b, func(i int) {
					if err := op(c, i); err != nil {
						b.Error(err)
					}
				}, func(int) { c.floor.run() })
			})
		}
	}
}

// benchCase is a ring with all versions active, and sessions on one document
// that were issued by versions from all over it.
type benchCase struct {
	ring  *derive.Keyring
	doc   derive.Document
	now   time.Time
	hints []derive.Hint
	texts []string
	floor floor
}

func newBenchCase(b *testing.B, ring *derive.Keyring, entries []derive.Entry, idSize int) *benchCase {
	b.Helper()
	c := &benchCase{
		ring: ring,
		doc:  derive.Document{Namespace: "tenant", ID: strings.Repeat("d", idSize)},
		now:  entries[len(entries)-1].ActivateAt,
	}
	for i := range 1024 {
		_, hint := issue(b, ring, c.doc, entries[i*7919%len(entries)].ActivateAt) // by a prime, to spread
		c.hints = append(c.hints, hint)
		c.texts = append(c.texts, hint.String())
	}
	c.floor = newFloor(b, entries[0], c.hints[0].Reference(), c.doc)
	if key, err := ring.Resolve(c.hints[0], c.doc, c.now, 0); err != nil || key.Reveal() != base64.RawURLEncoding.EncodeToString(c.floor.run()) {
		b.Fatalf("the floor derives another key: %v", err)
	}
	return c
}

// compare runs op and floor in turns, many calls each time, and reports medians:
// what else the machine does meanwhile falls on both or counts on neither.
func compare(b *testing.B, op, floor func(i int)) {
	const calls = 100
	bytes, objects := allocated(calls, op)
	_, floorObjects := allocated(calls, floor)
	var mu sync.Mutex
	var ops, floors []time.Duration
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i += calls {
			start := time.Now()
			for j := range calls {
				op(i + j)
			}
			middle := time.Now()
			for j := range calls {
				floor(i + j)
			}
			end := time.Now()
			mu.Lock()
			ops, floors = append(ops, middle.Sub(start)), append(floors, end.Sub(middle))
			mu.Unlock()
		}
	})
	median := func(times []time.Duration) float64 {
		slices.Sort(times)
		return float64(times[len(times)/2]) / calls
	}
	b.ReportAllocs()
	b.ReportMetric(bytes, "B/op")
	b.ReportMetric(objects, "allocs/op")
	b.ReportMetric(median(ops), "ns/op")
	b.ReportMetric(median(floors), "floor-ns/op")
	b.ReportMetric(floorObjects, "floor-allocs/op")
	b.ReportMetric(median(ops)/median(floors), "ratio")
}

// allocated is what one call allocates, on average.
func allocated(calls int, call func(i int)) (bytes, objects float64) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range calls {
		call(i)
	}
	runtime.ReadMemStats(&after)
	return float64(after.TotalAlloc-before.TotalAlloc) / float64(calls), float64(after.Mallocs-before.Mallocs) / float64(calls)
}

// floor is what the key and the tag of one session cannot do without: four
// HMACs, each over a message that is at hand.
type floor struct {
	saltKey, masterKey         []byte
	saltInfo, keyInfo, tagInfo []byte
}

func newFloor(b *testing.B, e derive.Entry, ref derive.Reference, doc derive.Document) floor {
	b.Helper()
	decode := func(s derive.Secret) []byte {
		secret, err := base64.StdEncoding.DecodeString(s.Reveal())
		if err != nil {
			b.Fatal(err)
		}
		return secret
	}
	u32 := func(n int) string { return string(binary.BigEndian.AppendUint32(nil, uint32(n))) }
	ctx := u32(int(e.Version)) + string(ref[:]) + u32(len(doc.Namespace)) + doc.Namespace + u32(len(doc.ID)) + doc.ID
	return floor{
		saltKey: decode(e.SaltKey), masterKey: decode(e.MasterKey),
		saltInfo: []byte("kh1 salt" + string(ref[:]) + "\x01"),
		keyInfo:  []byte("kh1 document key" + ctx + "\x01"),
		tagInfo:  []byte("kh1 hint tag" + ctx + "\x01"),
	}
}

// run returns the key.
func (f *floor) run() []byte {
	var prk, out [sha256.Size]byte
	bareHMAC(prk[:0], f.saltKey, f.saltInfo)
	bareHMAC(prk[:0], prk[:], f.masterKey)
	bareHMAC(out[:0], prk[:], f.tagInfo)
	bareHMAC(out[:0], prk[:], f.keyInfo)
	return out[:]
}

func bareHMAC(out, key, message []byte) {
	mac := hmac.New(sha256.New, key)
	mac.Write(message)
	mac.Sum(out)
}
