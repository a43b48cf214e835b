package derive_test

import (
	"bytes"
	"crypto/fips140"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"keyhint/derive"
)

// zeroReader is a random source for tests whose result does not depend on it.
type zeroReader struct{}

func (zeroReader) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func newRandom(t testing.TB) *mathrand.Rand {
	seed := mathrand.Uint64()
	t.Logf("seed %d", seed)
	return mathrand.New(mathrand.NewPCG(seed, seed))
}

func TestIssueThenResolve(t *testing.T) {
	entries := newEntries(t, 3)
	before := newKeyring(t, entries[:1]...)
	after := newKeyring(t, entries...)
	ids := []string{"doc-1", "doc-2", "\x00", "doc-1\x00", "é", "e\u0301", "👩‍👩‍👧", strings.Repeat("x", 1024), `{"documentId":1}`, " doc-1", "doc-1 "}
	seen := make(map[string]string)
	for _, namespace := range []string{"", "a", strings.Repeat("n", 128)} {
		for _, id := range ids {
			for range 3 {
				doc := derive.Document{Namespace: namespace, ID: id}
				key, hint := issue(t, before, doc, noon)
				if first, twice := seen[key.Reveal()]; twice {
					t.Fatalf("%q has the key of %q", id, first)
				}
				seen[key.Reveal()] = id
				parsed, err := derive.ParseHint(hint.String())
				if err != nil || parsed != hint {
					t.Fatalf("hint %s parses to %v, %v", hint, parsed, err)
				}
				for _, ring := range []*derive.Keyring{before, after} {
					again, err := ring.Resolve(parsed, doc, noon.Add(1e6*time.Hour), 0)
					if err != nil || !again.Equal(key) {
						t.Fatalf("document %q does not resolve: %v", id, err)
					}
				}
			}
		}
	}
}

func TestResolveChecksInOrder(t *testing.T) {
	entries := newEntries(t, 5)
	_, hint := issue(t, newKeyring(t, entries[:1]...), doc, noon)
	late := noon.Add(time.Hour)
	other := derive.Document{Namespace: doc.Namespace, ID: "other"}
	entries[0].Status = derive.Disabled
	disabled := newKeyring(t, entries...)
	entries[0] = bury(entries[0])
	destroyed := newKeyring(t, entries...)
	entries[0] = newEntry(t, 1)
	replaced := newKeyring(t, entries...)
	_, high := issue(t, newKeyring(t, newEntries(t, 6)...), doc, noon)
	_, good := issue(t, replaced, doc, noon)

	// Each request has all the flaws that are checked later as well.
	for _, c := range []struct {
		name string
		ring *derive.Keyring
		hint derive.Hint
		doc  derive.Document
		want error
	}{
		{"zero hint", replaced, derive.Hint{}, other, derive.ErrUnknownVersion},
		{"unknown version", replaced, high, other, derive.ErrUnknownVersion},
		{"unknown fingerprint", replaced, hint, other, derive.ErrUnknownFingerprint},
		{"disabled", disabled, hint, other, derive.ErrDisabled},
		{"destroyed", destroyed, hint, other, derive.ErrDestroyed},
		{"tag", replaced, good, other, derive.ErrTagMismatch},
		{"age", replaced, good, doc, derive.ErrExpired},
	} {
		key, err := c.ring.Resolve(c.hint, c.doc, late, time.Minute)
		if !errors.Is(err, c.want) || !key.IsZero() {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestMaximumAge(t *testing.T) {
	ring := newKeyring(t, newEntry(t, 1))
	_, hint := issue(t, ring, doc, noon)
	for _, c := range []struct {
		age, maxAge time.Duration
		want        error
	}{
		{time.Hour, time.Hour, nil},
		{time.Hour + time.Millisecond, time.Hour, derive.ErrExpired},
		{time.Hour + 1, time.Hour, derive.ErrExpired},
		{1 << 62, 0, nil},
		{-time.Hour, time.Second, nil}, // issued by a replica whose clock is ahead
		{time.Hour, -1, derive.ErrExpired},
	} {
		if _, err := ring.Resolve(hint, doc, noon.Add(c.age), c.maxAge); !errors.Is(err, c.want) {
			t.Errorf("age %v of at most %v: %v, want %v", c.age, c.maxAge, err, c.want)
		}
	}
}

func TestInvalidDocuments(t *testing.T) {
	ring := newKeyring(t, newEntry(t, 1))
	_, hint := issue(t, ring, doc, noon)
	for name, doc := range map[string]derive.Document{
		"empty id":       {},
		"long id":        {ID: strings.Repeat("x", 1025)},
		"long UTF-8 id":  {ID: strings.Repeat("é", 513)},
		"id not UTF-8":   {ID: "a\xff"},
		"surrogate":      {ID: "\xed\xa0\x80"},
		"long namespace": {Namespace: strings.Repeat("x", 129), ID: "d"},
		"bad namespace":  {Namespace: "\xff", ID: "d"},
	} {
		if _, _, err := ring.Issue(doc, noon, rand.Reader); !errors.Is(err, derive.ErrInvalidDocument) {
			t.Errorf("%s: issuing gives %v", name, err)
		}
		if _, err := ring.Resolve(hint, doc, noon, 0); !errors.Is(err, derive.ErrInvalidDocument) {
			t.Errorf("%s: resolving gives %v", name, err)
		}
	}
}

func TestIssueNeedsClockAndRandomness(t *testing.T) {
	ring := newKeyring(t, newEntry(t, 1))
	for name, now := range map[string]time.Time{"before 1970": time.Unix(-1, 0), "after 10889": time.UnixMilli(1 << 48)} {
		if _, _, err := ring.Issue(doc, now, rand.Reader); err == nil {
			t.Errorf("%s: issued", name)
		}
	}
	if key, _, err := ring.Issue(doc, noon, bytes.NewReader(make([]byte, 9))); err == nil || !key.IsZero() {
		t.Error("issued with 9 of 10 random bytes")
	}
}

// RFC 9562, appendix A.6.
func TestReferenceOfRFC9562(t *testing.T) {
	random, err := hex.DecodeString("0cc3" + "18c4dc0c0c07398f")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2022, 2, 22, 14, 22, 22, 0, time.FixedZone("", -5*3600))
	ref, err := derive.NewReference(now, bytes.NewReader(random))
	if err != nil {
		t.Fatal(err)
	}
	if want := "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"; ref.String() != want {
		t.Errorf("reference %s, want %s", ref, want)
	}
	if !ref.Time().Equal(now) {
		t.Errorf("time %s, want %s", ref.Time(), now)
	}
}

func TestReferenceKeepsAll74Bits(t *testing.T) {
	base, err := derive.NewReference(noon, zeroReader{})
	if err != nil {
		t.Fatal(err)
	}
	distinct := make(map[derive.Reference]bool)
	for bit := range 80 {
		b := make([]byte, 10)
		b[bit/8] |= 1 << (bit % 8)
		ref, err := derive.NewReference(noon, bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if ref != base {
			distinct[ref] = true
		}
	}
	if len(distinct) != 74 {
		t.Errorf("%d random bits reach the reference, want 74", len(distinct))
	}
}

func TestConcurrentUse(t *testing.T) {
	ring := newKeyring(t, newEntries(t, 10)...)
	var group sync.WaitGroup
	for g := range 16 {
		group.Go(func() {
			for i := range 50 {
				doc := derive.Document{ID: fmt.Sprint(g, i)}
				key, hint, err := ring.Issue(doc, noon, rand.Reader)
				if err != nil {
					t.Error(err)
					return
				}
				if again, err := ring.Resolve(hint, doc, noon, 0); err != nil || !again.Equal(key) {
					t.Errorf("%v", err)
				}
			}
		})
	}
	group.Wait()
}

func TestAllocations(t *testing.T) {
	if fips140.Enabled() {
		t.Skip("HMACs of the FIPS 140-3 module live on the heap")
	}
	for _, size := range []int{1, 10_000} { // where 10,000 pointers are 80,000 bytes
		ring := newKeyring(t, newEntries(t, size)...)
		_, hint := issue(t, ring, doc, noon)
		text := hint.String()
		for name, call := range map[string]func(int){
			"issuing": func(int) {
				_, hint, _ := ring.Issue(doc, noon, rand.Reader)
				_ = hint.String()
			},
			"resolving": func(int) {
				hint, _ := derive.ParseHint(text)
				ring.Resolve(hint, doc, noon, 0)
			},
		} {
			if bytes, objects := allocated(100, call); objects > 8 || bytes > 1000 {
				t.Errorf("%s with %d entries allocates %v bytes in %v objects", name, size, bytes, objects)
			}
		}
	}
}
