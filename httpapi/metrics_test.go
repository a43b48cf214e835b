package httpapi_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"keyhint/derive"
	"keyhint/httpapi"
	"keyhint/httpapi/access"
	"keyhint/httpapi/ratelimit"
)

// scraped are the series that begin with keyhint_, as a scrape gives them.
func scraped(t testing.TB, m *httpapi.Metrics) map[string]float64 {
	t.Helper()
	recorder := httptest.NewRecorder()
	httpapi.NewAdmin(nil, m, nil).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	series := make(map[string]float64)
	for line := range strings.Lines(recorder.Body.String()) {
		if !strings.HasPrefix(line, "keyhint_") {
			continue
		}
		line = strings.TrimSpace(line)
		i := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(line[i+1:], 64)
		if err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		series[line[:i]] = value
	}
	return series
}

// moved are the counters of a metric that differ, and by how much.
func moved(metric string, before, after map[string]float64) map[string]float64 {
	differ := make(map[string]float64)
	for series, value := range after {
		if strings.HasPrefix(series, metric+"{") && value != before[series] {
			differ[series] = value - before[series]
		}
	}
	return differ
}

func withMetrics(m *httpapi.Metrics) func(*httpapi.Config) {
	return func(c *httpapi.Config) { c.Metrics = m }
}

// wantRefusal checks that exactly one request was counted since before, as
// refused for this reason.
func wantRefusal(t *testing.T, m *httpapi.Metrics, before map[string]float64, reason string) {
	t.Helper()
	after := scraped(t, m)
	if got := moved("keyhint_refusals_total", before, after); !maps.Equal(got, map[string]float64{fmt.Sprintf("keyhint_refusals_total{reason=%q}", reason): 1}) {
		t.Errorf("refusals are %v, want one for %s", got, reason)
	}
	for series, n := range moved("keyhint_requests_total", before, after) {
		if n != 1 || strings.Contains(series, `outcome="ok"`) || strings.Contains(series, `outcome="other"`) {
			t.Errorf("counted as %s", series)
		}
	}
	if len(after) != len(before) {
		t.Errorf("%d series, and there were %d", len(after), len(before))
	}
	conflicts := after["keyhint_ring_conflicts_total"] - before["keyhint_ring_conflicts_total"]
	if want := reason == "fingerprint-unknown"; (conflicts == 1) != want {
		t.Errorf("%v ring conflicts", conflicts)
	}
	if given := moved("keyhint_keys_total", before, after); len(given) > 0 {
		t.Errorf("keys given out: %v", given)
	}
}

func TestRefusalsAreCountedByReason(t *testing.T) {
	reasons := map[string]string{
		"body that is not JSON": "malformed-request", "body that is not an object": "malformed-request", "no keyHint": "malformed-request",
		"no documentId": "malformed-request", "documentId too long": "malformed-request",
		"Host that is not loopback": "foreign-host",
		"malformed hint":            "hint-malformed", "hint of another document": "tag-mismatch",
		"hint of a disabled entry": "version-disabled", "hint of a destroyed entry": "version-destroyed",
		"hint of another fingerprint": "fingerprint-unknown", "expired hint": "hint-expired", "hint of an unknown version": "version-unknown",
		"body too large": "body-too-large", "content type": "unsupported-media-type", "nothing issues": "nothing-issues",
		"other path": "not-found", "other method": "method-not-allowed", "no randomness": "internal-error",
	}
	for _, r := range refusals(t) {
		t.Run(r.name, func(t *testing.T) {
			m := httpapi.NewMetrics(time.Now)
			e := newEndpoint(t, append(r.adjust, withMetrics(m))...)
			before := scraped(t, m)
			e.do(r.request(e)).wants(t, r.kind)
			wantRefusal(t, m, before, reasons[r.name])
		})
	}
	t.Run("issuing stopped", func(t *testing.T) {
		m := httpapi.NewMetrics(time.Now)
		e := newEndpoint(t, withMetrics(m), func(c *httpapi.Config) {
			c.MayIssue = func() error { return fmt.Errorf("the ledger is gone") }
		})
		before := scraped(t, m)
		e.ask("doc-1", nil).wants(t, unavailable)
		wantRefusal(t, m, before, "issuing-stopped")
	})
	t.Run("a page of another origin", func(t *testing.T) {
		m := httpapi.NewMetrics(time.Now)
		e := newEndpoint(t, withMetrics(m))
		before := scraped(t, m)
		request := postBody(`{"documentId":"a","keyHint":null}`)(e)
		request.Header.Set("Origin", "https://evil.example")
		request.Header.Set("Cookie", "a=b")
		e.do(request).wants(t, accessDenied)
		wantRefusal(t, m, before, "foreign-origin")
	})
}

func TestLimitsAreCountedApart(t *testing.T) {
	limit, err := ratelimit.Parse("1/h")
	if err != nil {
		t.Fatal(err)
	}
	for reason, adjust := range map[string]func(*httpapi.Config){
		"rate-limit-per-address": func(c *httpapi.Config) { c.PerAddress = ratelimit.New(limit, 10, time.Now) },
		"rate-limit-per-subject": func(c *httpapi.Config) {
			c.PerSubject = ratelimit.New(limit, 10, time.Now)
			c.Access = named("alice")
		},
	} {
		m := httpapi.NewMetrics(time.Now)
		e := newEndpoint(t, withMetrics(m), adjust)
		e.issue("doc-1")
		before := scraped(t, m)
		if a := e.ask("doc-1", nil); a.status != http.StatusTooManyRequests {
			t.Fatalf("status %d", a.status)
		}
		wantRefusal(t, m, before, reason)
	}
}

// named is access control that lets everyone in under one name.
type named string

func (named) Ready() error                                            { return nil }
func (n named) Identify(*http.Request) (access.Caller, error)         { return n, nil }
func (n named) Subject() string                                       { return string(n) }
func (named) MayOpen(context.Context, string, access.Operation) error { return nil }

func TestTokenRefusalsAreCountedByReason(t *testing.T) {
	minter := newMinter(t)
	config := tokenConfig(t, minter)
	config.Issuer = "https://issuer.example"
	m := httpapi.NewMetrics(time.Now)
	config.ObserveCache = m.ObserveTokenCache()
	tokens, err := access.NewTokens(config)
	if err != nil {
		t.Fatal(err)
	}
	e := newEndpoint(t, withMetrics(m), func(c *httpapi.Config) {
		c.Access, c.Now = tokens, func() time.Time { return tokenTime }
	})
	const rs256 = `{"alg":"RS256"}`
	signed := func(header string, changes map[string]any) http.Header {
		all := map[string]any{"iss": config.Issuer}
		maps.Copy(all, changes)
		return bearer(sign(t, jwt.SigningMethodRS256, minter.rsa, header, claimsWith(all)))
	}
	claim := func(name string, value any) http.Header { return signed(rs256, map[string]any{name: value}) }
	for _, c := range []struct {
		reason string
		header http.Header
	}{
		{"no-credentials", nil},
		{"no-credentials", http.Header{"Authorization": {"Bearer "}}},
		{"ambiguous-credentials", http.Header{"Authorization": {"Basic YTpi"}}},
		{"ambiguous-credentials", http.Header{"Authorization": {"Bearer a", "Bearer b"}}},
		{"ambiguous-credentials", http.Header{"Cookie": {"kh=a; kh=b"}}},
		{"token-malformed", bearer("x")},
		{"token-malformed", bearer(strings.Repeat("x", 9<<10))},
		{"token-malformed", signed(`{"alg":"RS256","crit":["x"]}`, nil)},
		{"token-malformed", claim("exp", "soon")},
		{"token-key-unknown", signed(`{"alg":"ES512"}`, nil)},
		{"token-signature", bearer(sign(t, jwt.SigningMethodRS256, minter.otherRSA, rs256, claimsWith(nil)))},
		{"token-no-audience", claim("aud", nil)},
		{"token-audience", claim("aud", "another")},
		{"token-issuer", claim("iss", "https://another.example")},
		{"token-expired", claim("exp", tokenTime.Unix()-31)},
		{"token-not-yet-valid", claim("nbf", tokenTime.Unix()+31)},
		{"token-not-yet-valid", claim("iat", tokenTime.Unix()+31)},
		{"token-claims", claim("exp", nil)},
		{"token-claims", claim("sub", nil)},
		{"token-document", claim(documentClaim, "doc-2")},
		{"token-document", claim(documentClaim, nil)},
		{"token-role", claim(roleClaim, "viewer")},
		{"token-role", claim(roleClaim, "owner")},
	} {
		before := scraped(t, m)
		request := postBody(`{"documentId":"doc-1","keyHint":null}`)(e)
		maps.Copy(request.Header, c.header)
		if a := e.do(request); a.status != http.StatusUnauthorized && a.status != http.StatusForbidden {
			t.Fatalf("%s: status %d", c.reason, a.status)
		}
		wantRefusal(t, m, before, c.reason)
	}

	before := scraped(t, m)
	for range 3 {
		request := postBody(`{"documentId":"doc-1","keyHint":null}`)(e)
		maps.Copy(request.Header, signed(rs256, map[string]any{"jti": "cached"}))
		e.do(request).session(t)
	}
	if got, want := moved("keyhint_token_cache_lookups_total", before, scraped(t, m)), map[string]float64{
		`keyhint_token_cache_lookups_total{result="hit"}`:  2,
		`keyhint_token_cache_lookups_total{result="miss"}`: 1,
	}; !maps.Equal(got, want) {
		t.Errorf("cache lookups are %v", got)
	}
}

func TestForwardRefusalsAreCountedByReason(t *testing.T) {
	release := make(chan struct{})
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.Header.Get("Cookie") {
		case "401":
			w.WriteHeader(http.StatusUnauthorized)
		case "500":
			w.WriteHeader(http.StatusInternalServerError)
		case "slow":
			<-release
		case "yes":
			fmt.Fprint(w, `{"allow":true}`)
		default:
			fmt.Fprint(w, `{"allow":false}`)
		}
	}))
	defer host.Close()
	defer close(release)
	m := httpapi.NewMetrics(time.Now)
	forward, err := access.NewForward(access.ForwardConfig{
		URL: host.URL, Timeout: 500 * time.Millisecond, MaxConcurrent: 1, Observe: m.ObserveForward(),
	})
	if err != nil {
		t.Fatal(err)
	}
	e := newEndpoint(t, withMetrics(m), func(c *httpapi.Config) { c.Access = forward })
	ask := func(cookie string) answer {
		request := postBody(`{"documentId":"doc-1","keyHint":null}`)(e)
		if cookie != "" {
			request.Header.Set("Cookie", cookie)
		}
		return e.do(request)
	}
	for _, c := range []struct{ cookie, reason, outcome string }{
		{"", "no-credentials", ""},
		{"401", "host-unauthenticated", "unauthenticated"},
		{"no", "host-denied", "deny"},
		{"500", "host-unavailable", "unavailable"},
		{"slow", "host-timeout", "unavailable"},
	} {
		before := scraped(t, m)
		ask(c.cookie)
		wantRefusal(t, m, before, c.reason)
		want := map[string]float64{}
		if c.outcome != "" {
			want[fmt.Sprintf("keyhint_forward_duration_seconds_count{outcome=%q}", c.outcome)] = 1
		}
		if got := moved("keyhint_forward_duration_seconds_count", before, scraped(t, m)); !maps.Equal(got, want) {
			t.Errorf("%q: decisions are %v", c.cookie, got)
		}
	}
	before := scraped(t, m)
	ask("yes").session(t)
	after := scraped(t, m)
	if got := moved("keyhint_refusals_total", before, after); len(got) > 0 {
		t.Errorf("refusals are %v", got)
	}
	if got := moved("keyhint_forward_duration_seconds_count", before, after); got[`keyhint_forward_duration_seconds_count{outcome="allow"}`] != 1 {
		t.Errorf("decisions are %v", got)
	}
}

// A version that falls out of those with metrics of their own takes its series
// with it. No counter ever steps back.
func TestVersionsWithMetricsAreBounded(t *testing.T) {
	entries := make([]derive.Entry, 0, 200)
	var former *httpapi.Usage
	m := httpapi.NewMetrics(time.Now)
	hints := make(map[int]string)
	previous := map[string]float64{}
	resolved := 0
	for _, size := range []int{1, 64, 65, 200} {
		for len(entries) < size {
			entries = append(entries, newEntry(t, uint32(len(entries)+1)))
		}
		ring := newKeyring(t, entries...)
		usage := httpapi.NewUsage(ring, former)
		m.Report(httpapi.InForce{Usage: usage})
		e := newEndpoint(t, withRing(ring), withMetrics(m), func(c *httpapi.Config) { c.Usage = usage })
		hints[size] = e.issue("doc-1").KeyHint
		for _, hint := range hints {
			e.resolve("doc-1", hint)
			resolved++
		}
		series := scraped(t, m)
		versions, sum := 0, 0.0
		for name, value := range series {
			if strings.HasPrefix(name, "keyhint_keys_total{") && value < previous[name] {
				t.Errorf("with %d versions %s steps back from %v to %v", size, name, previous[name], value)
			}
			if strings.HasPrefix(name, `keyhint_keys_total{operation="resolve"`) {
				versions++
				sum += value
			}
		}
		want := size
		if size > 64 {
			want = 65 // with the others
		}
		if versions != want {
			t.Errorf("%d versions have %d series, want %d", size, versions, want)
		}
		if series[fmt.Sprintf(`keyhint_keys_total{operation="issue",version="%d"}`, size)] != 1 {
			t.Errorf("with %d versions the newest is not counted: %v", size, series)
		}
		previous, former = series, usage
	}
	if got := previous[`keyhint_keys_total{operation="resolve",version="other"}`]; got != 4 {
		t.Errorf("%v keys of other versions, want those of 1 (twice), 64 and 65", got)
	}
	if got := former.Of(entries[0].Check); got.Issued != 1 || got.Resolved != 4 || !got.LastResolved.Equal(noon) {
		t.Errorf("version 1: %+v", got)
	}
}

func TestVersionsThatGiveKeysAreShownFirst(t *testing.T) {
	entries := make([]derive.Entry, 100)
	for i := range entries {
		entries[i] = newEntry(t, uint32(i+1))
		if i > 0 {
			entries[i] = with(entries[i], []derive.Status{derive.Destroyed, derive.Disabled}[i%2])
		}
	}
	m := httpapi.NewMetrics(time.Now)
	m.Report(httpapi.InForce{Usage: httpapi.NewUsage(newKeyring(t, entries...), nil)})
	series := scraped(t, m)
	for version, want := range map[int]bool{1: true, 2: false, 37: false, 38: true, 100: true} {
		if _, shown := series[fmt.Sprintf(`keyhint_keys_total{operation="resolve",version="%d"}`, version)]; shown != want {
			t.Errorf("version %d is shown: %t", version, shown)
		}
	}
}

func TestEntriesUnderOneNumberAreCountedApartAndShownTogether(t *testing.T) {
	one, twin := newEntry(t, 1), newEntry(t, 1)
	old := newEndpoint(t, withRing(newKeyring(t, one))).issue("doc-1").KeyHint
	ring := newKeyring(t, with(one, derive.ResolveOnly), twin)
	m, usage := httpapi.NewMetrics(time.Now), httpapi.NewUsage(ring, nil)
	m.Report(httpapi.InForce{Usage: usage})
	e := newEndpoint(t, withRing(ring), withMetrics(m), func(c *httpapi.Config) { c.Usage = usage })
	e.resolve("doc-1", e.issue("doc-1").KeyHint)
	for range 3 {
		e.resolve("doc-1", old)
	}
	if a, b := usage.Of(one.Check), usage.Of(twin.Check); a.Issued != 0 || a.Resolved != 3 || b.Issued != 1 || b.Resolved != 1 || !a.LastIssued.IsZero() {
		t.Errorf("%+v, %+v", a, b)
	}
	series := scraped(t, m)
	if series[`keyhint_keys_total{operation="resolve",version="1"}`] != 4 || series[`keyhint_key_last_use_timestamp_seconds{operation="issue",version="1"}`] != float64(noon.Unix()) {
		t.Errorf("%v", series)
	}
}
