package httpapi_test

import (
	"testing"
	"time"

	"keyhint/derive"
	"keyhint/httpapi"
)

func TestIssueThenResolve(t *testing.T) {
	e := newEndpoint(t)
	first, second := e.issue("doc-1"), e.issue("doc-1")
	if first.Key == second.Key || first.KeyHint == second.KeyHint {
		t.Error("two sessions have one key or hint")
	}
	for range 3 {
		for _, s := range []session{second, first} {
			if got := e.resolve("doc-1", s.KeyHint); got != s {
				t.Errorf("hint %s resolves to another session", s.KeyHint)
			}
			e.ask("doc-2", s.KeyHint).wants(t, hintMismatch)
		}
	}
}

func TestNamespacesSeparateDocuments(t *testing.T) {
	ring := withRing(newKeyring(t, newEntry(t, 1)))
	one := newEndpoint(t, ring, func(c *httpapi.Config) { c.Namespace = "one" })
	none := newEndpoint(t, ring, func(c *httpapi.Config) { c.Namespace = "" })
	hint := one.issue("doc-1").KeyHint
	one.resolve("doc-1", hint)
	none.ask("doc-1", hint).wants(t, hintMismatch)
	one.ask("doc-1", none.issue("doc-1").KeyHint).wants(t, hintMismatch)
}

// TestRingThroughItsLife follows one session through what happens to its version.
func TestRingThroughItsLife(t *testing.T) {
	one, two := newEntry(t, 1), newEntry(t, 2)
	at := func(now time.Time, entries ...derive.Entry) endpoint {
		return newEndpoint(t, withRing(newKeyring(t, entries...)), func(c *httpapi.Config) { c.Now = func() time.Time { return now } })
	}
	issued := at(noon, one).issue("doc-1")
	resolves := func(e endpoint) {
		t.Helper()
		if e.resolve("doc-1", issued.KeyHint) != issued {
			t.Error("another session")
		}
	}
	version := func(s session) string { return s.KeyHint[:len("kh1.1")] }

	next := two
	next.ActivateAt = noon.Add(time.Hour)
	before, after := at(noon.Add(time.Hour-time.Nanosecond), one, next), at(noon.Add(time.Hour), one, next)
	if a, b := version(before.issue("doc-1")), version(after.issue("doc-1")); a != "kh1.1" || b != "kh1.2" {
		t.Errorf("issued by %s before the activation, %s after", a, b)
	}
	resolves(before)
	resolves(after)
	at(noon, one).ask("doc-1", after.issue("doc-1").KeyHint).wants(t, versionUnknown)

	limited := one
	limited.IssueUntil = noon.Add(time.Hour)
	at(noon, limited).issue("doc-1")
	ended := at(noon.Add(time.Hour), limited)
	ended.ask("doc-1", nil).wants(t, unavailable)
	resolves(ended)

	stopped := at(noon, with(one, derive.ResolveOnly))
	stopped.ask("doc-1", nil).wants(t, unavailable)
	resolves(stopped)

	withSuccessor := at(noon, with(one, derive.Disabled), two)
	withSuccessor.ask("doc-1", issued.KeyHint).wants(t, keyUnavailable)
	if got := version(withSuccessor.issue("doc-1")); got != "kh1.2" {
		t.Errorf("issued by %s", got)
	}
	noFallback := at(noon, one, with(two, derive.Disabled))
	noFallback.ask("doc-1", nil).wants(t, unavailable)
	resolves(noFallback)

	at(noon, with(one, derive.Disabled)).ask("doc-1", issued.KeyHint).wants(t, keyUnavailable)
	at(noon, with(one, derive.Destroyed), two).ask("doc-1", issued.KeyHint).wants(t, keyUnavailable)
	at(noon, newEntry(t, 1)).ask("doc-1", issued.KeyHint).wants(t, keyUnavailable)
	at(noon, with(one, derive.ResolveOnly), newEntry(t, 1)).ask("doc-1", issued.KeyHint).session(t)
	at(noon, with(one, derive.Disabled)).ask("doc-1", nil).wants(t, unavailable)
	resolves(at(noon.Add(1e5*time.Hour), one))
}

func TestHintsExpireByTheMillisecond(t *testing.T) {
	ring := withRing(newKeyring(t, newEntry(t, 1)))
	issued := newEndpoint(t, ring).issue("doc-1")
	after := func(age, maxAge time.Duration) endpoint {
		return newEndpoint(t, ring, func(c *httpapi.Config) {
			c.MaxAge = maxAge
			c.Now = func() time.Time { return noon.Add(age) }
		})
	}
	for _, age := range []time.Duration{-time.Hour, 0, time.Hour} {
		if after(age, time.Hour).resolve("doc-1", issued.KeyHint) != issued {
			t.Errorf("another session after %v", age)
		}
	}
	after(time.Hour+time.Millisecond, time.Hour).ask("doc-1", issued.KeyHint).wants(t, hintExpired)
	after(1e5*time.Hour, 0).resolve("doc-1", issued.KeyHint)
	// The age of a hint that was not issued for this document is not told.
	after(2*time.Hour, time.Hour).ask("doc-2", issued.KeyHint).wants(t, hintMismatch)
}
