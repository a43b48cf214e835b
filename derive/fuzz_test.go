package derive_test

import (
	"strings"
	"testing"

	"keyhint/derive"
)

// hintSeeds are hints of every kind; a fuzz target that starts from nothing
// explores nothing, so an empty list fails.
func hintSeeds(f *testing.F) []string {
	f.Helper()
	ring := newKeyring(f, newEntries(f, 12)...)
	_, hint := issue(f, ring, doc, noon)
	h := hint.String()
	seeds := []string{
		h, strings.ToUpper(h), h + " ", h[:len(h)-1], h + "=", strings.Replace(h, ".", "..", 1),
		strings.Replace(h, "kh1.", "kh1.0", 1), strings.Replace(h, "kh1.12", "kh1.4294967295", 1),
		strings.Replace(h, "kh1.12", "kh1.4294967296", 1), strings.Replace(h, "-7", "-4", 1), "", "kh1", "kh1.1-", "null",
	}
	if _, err := derive.ParseHint(seeds[0]); err != nil || len(seeds) < 10 {
		f.Fatalf("the seeds are of no use: %v", err)
	}
	return seeds
}

func FuzzParseThenFormatIsIdentity(f *testing.F) {
	for _, seed := range hintSeeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		hint, err := derive.ParseHint(text)
		if err != nil {
			if hint != (derive.Hint{}) {
				t.Errorf("%q is refused and gives a hint", text)
			}
			return
		}
		if got := hint.String(); got != text {
			t.Errorf("%q formats to %q", text, got)
		}
		if len(text) > derive.MaxHintSize {
			t.Errorf("%q is a hint of %d characters", text, len(text))
		}
	})
}

func FuzzCheckValueParseThenFormatIsIdentity(f *testing.F) {
	seeds := []string{newEntry(f, 3).Check.String(), "1-0123456789abcdef", "01-0123456789abcdef", "4294967295-ffffffffffffffff", "1-0123456789ABCDEF", "0-0123456789abcdef", ""}
	if _, err := derive.ParseCheckValue(seeds[0]); err != nil {
		f.Fatal(err)
	}
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if check, err := derive.ParseCheckValue(text); err == nil && check.String() != text {
			t.Errorf("%q formats to %q", text, check)
		}
	})
}

// FuzzMutationNeverResolves takes any hint, document id and namespace: unless
// all three are the issued ones, there is no key.
func FuzzMutationNeverResolves(f *testing.F) {
	ring := newKeyring(f, newEntries(f, 12)...)
	key, hint := issue(f, ring, doc, noon)
	issued := hint.String()
	added := 0
	add := func(hint, id, namespace string) {
		f.Add(hint, id, namespace)
		added++
	}
	add(issued, doc.ID, doc.Namespace)
	for i := range issued {
		for _, flip := range []byte{1, 2, 4, 32} {
			b := []byte(issued)
			b[i] ^= flip
			add(string(b), doc.ID, doc.Namespace)
		}
	}
	for _, id := range []string{"doc-2", "doc-1 ", "Doc-1", "doc-1\x00", "", "\xff"} {
		add(issued, id, doc.Namespace)
	}
	for _, namespace := range []string{"", "tenantd", "tenan", "Tenant"} {
		add(issued, doc.ID, namespace)
	}
	if added < 4*len(issued) {
		f.Fatalf("%d seeds", added)
	}
	f.Fuzz(func(t *testing.T, text, id, namespace string) {
		parsed, err := derive.ParseHint(text)
		if err != nil {
			return
		}
		got, err := ring.Resolve(parsed, derive.Document{Namespace: namespace, ID: id}, noon, 0)
		same := text == issued && id == doc.ID && namespace == doc.Namespace
		if same != (err == nil) {
			t.Errorf("%q for %q in %q: %v", text, id, namespace, err)
		}
		if same != got.Equal(key) || !same && !got.IsZero() {
			t.Errorf("%q for %q in %q gives the wrong key", text, id, namespace)
		}
	})
}
