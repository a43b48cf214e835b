package service_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	mathrand "math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"keyhint/httpapi/service"
)

// observed is a running service with its private listener.
type observed struct {
	*running
	admin string // http://host:port
}

func observe(t *testing.T, text string, adjust ...func(*service.Options)) observed {
	t.Helper()
	address := free(t)
	return observed{start(t, strings.Replace(text, "address: \"\"", "address: "+address, 1), adjust...), "http://" + address}
}

// rewrite changes the file that the service follows.
func (o observed) rewrite(text string) {
	o.Helper()
	writeFile(o.T, o.path, strings.Replace(text, "address: \"\"", "address: "+strings.TrimPrefix(o.admin, "http://"), 1))
}

func (o observed) get(path string) (status int, body string) {
	o.Helper()
	response, err := http.Get(o.admin + path)
	if err != nil {
		o.Fatal(err)
	}
	defer response.Body.Close()
	b, err := io.ReadAll(response.Body)
	if err != nil {
		o.Fatal(err)
	}
	return response.StatusCode, string(b)
}

// scrape gives the series and their values.
func (o observed) scrape() map[string]float64 {
	o.Helper()
	_, exposition := o.get("/metrics")
	series := make(map[string]float64)
	for line := range strings.Lines(exposition) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		line = strings.TrimSpace(line)
		i := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(line[i+1:], 64)
		if err != nil {
			o.Fatalf("%v: %s", err, line)
		}
		series[line[:i]] = value
	}
	return series
}

// clock is a service's clock that a test sets.
type clock struct{ nanoseconds atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.nanoseconds.Store(time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) Now() time.Time             { return time.Unix(0, c.nanoseconds.Load()) }
func (c *clock) advance(d time.Duration)    { c.nanoseconds.Add(int64(d)) }
func (c *clock) install(o *service.Options) { o.Now = c.Now }

// byVersion names a series of a metric that is by version and operation.
func byVersion(metric, operation, version string) string {
	return fmt.Sprintf("%s{operation=%q,version=%q}", metric, operation, version)
}

// tokenGuarded is a configuration of mode jwt, and how to mint tokens for it.
func tokenGuarded(t *testing.T) (text string, mint func(claims jwt.MapClaims) string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "minter.pem")
	writeFile(t, path, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	text = strings.Replace(fmt.Sprintf(head, "jwt", ""), "mode: jwt", "mode: jwt\n  jwt:\n    keys: [file://"+path+"]\n    audience: [keyhint]\n    allow_any_document: true", 1)
	return text, func(claims jwt.MapClaims) string {
		all := jwt.MapClaims{"sub": "alice", "aud": "keyhint", "exp": time.Now().Add(time.Hour).Unix()}
		maps.Copy(all, claims)
		token, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, all).SignedString(private)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
}

// Whatever clients send, no series comes into being, and none goes.
func TestHostileRequestsMakeNoSeries(t *testing.T) {
	const requests = 10_000
	text, mint := tokenGuarded(t)
	o := observe(t, text+newEntry(t, 1)+newEntry(t, 2))
	before := o.scrape()
	good := mint(nil)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	statuses := make(map[int]int)
	var mutex sync.Mutex
	send := func(n int) {
		random := fmt.Sprintf("%x", mathrand.Uint64())
		method, url, token := http.MethodPost, o.url, good
		body := fmt.Sprintf(`{"documentId":"doc-%s","keyHint":null}`, random)
		resolving := func(hint string) string { return fmt.Sprintf(`{"documentId":"doc-%s","keyHint":%q}`, random, hint) }
		switch n % 10 {
		case 0: // another document
		case 1: // another token, that opens
			token = mint(jwt.MapClaims{"jti": random, "sub": "user-" + random})
		case 2: // one that does not
			token = mint(jwt.MapClaims{"aud": random})
		case 3:
			token = random
		case 4:
			body = resolving(random)
		case 5: // versions from 1 to 2^32-1
			body = resolving(fmt.Sprintf("kh1.%d-%.8s.019ab1d2-7c40-7d5e-9a51-3f0c6a2e8b17.X2Xk0fGk1hTn7cVd0rJ8vw", 1+mathrand.Uint32N(1<<32-1), random+"00000000"))
		case 6: // versions of the ring
			body = resolving(fmt.Sprintf("kh1.%d-%.8s.019ab1d2-7c40-7d5e-9a51-3f0c6a2e8b17.X2Xk0fGk1hTn7cVd0rJ8vw", 1+n/10%2, random+"00000000"))
		case 7:
			method = "M" + strings.ToUpper(random)
		case 8:
			url = strings.TrimSuffix(o.url, "/v1/key") + "/" + random
		case 9:
			body = fmt.Sprintf(`{"documentId":"x","keyHint":null,"documentId":%q}`, random)
		}
		request, err := http.NewRequest(method, url, strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		request.Header.Set("Authorization", "Bearer "+token)
		request.Header.Set("User-Agent", random)
		request.Header.Set("X-Request-Id", random)
		response, err := client.Do(request)
		if err != nil {
			t.Error(err)
			return
		}
		io.Copy(io.Discard, response.Body)
		response.Body.Close()
		mutex.Lock()
		statuses[response.StatusCode]++
		mutex.Unlock()
	}
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			for n := worker; n < requests; n += 4 {
				send(n)
			}
		})
	}
	group.Wait()
	after := o.scrape()
	t.Logf("%d requests had the statuses %v; %d series, %d of them keyhint's", requests, statuses, len(after),
		len(slices.Collect(func(yield func(string) bool) {
			for name := range after {
				if strings.HasPrefix(name, "keyhint_") && !yield(name) {
					return
				}
			}
		})))
	if len(statuses) < 6 {
		t.Errorf("statuses are %v only", statuses)
	}
	if got, want := slices.Sorted(maps.Keys(after)), slices.Sorted(maps.Keys(before)); !slices.Equal(got, want) {
		t.Errorf("series were\n%s\nand are\n%s", strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
	total := 0.0
	for name, value := range after {
		if strings.HasPrefix(name, "keyhint_requests_total{") {
			total += value
			if strings.Contains(name, `outcome="other"`) && value > 0 {
				t.Errorf("%s %v", name, value)
			}
		}
	}
	if total != requests || after[`keyhint_refusals_total{reason="other"}`] != 0 {
		t.Errorf("%v requests are counted", total)
	}
}

func TestMetricsKeepTheConventions(t *testing.T) {
	text, mint := tokenGuarded(t)
	o := observe(t, text+newEntry(t, 1))
	for _, token := range []string{mint(nil), mint(jwt.MapClaims{"exp": 1}), "x"} {
		for _, body := range []string{`{"documentId":"a","keyHint":null}`, `{"documentId":"a","keyHint":"x"}`, `{}`} {
			request, err := http.NewRequest(http.MethodPost, o.url, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer "+token)
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
		}
	}
	_, exposition := o.get("/metrics")
	problems, err := promlint.New(strings.NewReader(exposition)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
	if !strings.Contains(exposition, "keyhint_request_duration_seconds_bucket{") {
		t.Error(exposition)
	}

	request, err := http.NewRequest(http.MethodGet, o.admin+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "application/openmetrics-text;version=1.0.0")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || !strings.HasPrefix(response.Header.Get("Content-Type"), "application/openmetrics-text;") || !bytes.HasSuffix(body, []byte("# EOF\n")) {
		t.Errorf("OpenMetrics: %v, Content-Type %s", err, response.Header.Get("Content-Type"))
	}
}

// A version that nobody needs any more is seen to fall silent, whatever happens
// to the ring meanwhile.
func TestLastUseAndCountsOutliveReloads(t *testing.T) {
	clock := newClock()
	one, two := newEntry(t, 1), newEntry(t, 2)
	text := fmt.Sprintf(head, "none", "")
	o := observe(t, text+one, clock.install)
	const keys, last = "keyhint_keys_total", "keyhint_key_last_use_timestamp_seconds"
	want := func(when string, values map[string]float64) {
		t.Helper()
		series := o.scrape()
		for name, value := range values {
			if got, there := series[name]; !there || got != value {
				t.Errorf("%s: %s is %v (%t), want %v", when, name, got, there, value)
			}
		}
	}
	unix := func() float64 { return float64(clock.Now().UnixMilli()) / 1000 }

	want("at start", map[string]float64{byVersion(keys, "issue", "1"): 0, byVersion(last, "issue", "1"): 0, byVersion(last, "resolve", "1"): 0})
	_, _, hint := o.ask(nil)
	issued := unix()
	clock.advance(90*time.Minute + 250*time.Millisecond)
	o.ask(hint)
	resolved := unix()
	want("after both operations", map[string]float64{
		byVersion(keys, "issue", "1"): 1, byVersion(keys, "resolve", "1"): 1,
		byVersion(last, "issue", "1"): issued, byVersion(last, "resolve", "1"): resolved,
	})
	clock.advance(time.Hour)
	o.ask("kh1.bad")
	o.ask(withAnotherTag(hint))
	want("after refusals", map[string]float64{byVersion(keys, "resolve", "1"): 1, byVersion(last, "resolve", "1"): resolved})

	o.rewrite(text + one + two)
	o.eventually("version 2", func() bool { return o.scrape()["keyhint_primary_version"] == 2 })
	o.ask(nil)
	want("after a rotation", map[string]float64{
		byVersion(keys, "issue", "1"): 1, byVersion(keys, "issue", "2"): 1, byVersion(keys, "resolve", "1"): 1,
		byVersion(last, "issue", "1"): issued, byVersion(last, "resolve", "1"): resolved,
		byVersion(last, "issue", "2"): unix(), byVersion(last, "resolve", "2"): 0,
	})
	clock.advance(24 * time.Hour)
	o.ask(hint)
	want("after a late resolve", map[string]float64{
		byVersion(keys, "resolve", "1"): 2, byVersion(last, "resolve", "1"): unix(), byVersion(last, "issue", "1"): issued,
		`keyhint_requests_total{operation="issue",outcome="ok"}`: 2,
	})
}

// withAnotherTag changes the first character of a hint's tag.
func withAnotherTag(hint string) string {
	tag := strings.LastIndexByte(hint, '.') + 1
	other := "A"
	if hint[tag] == 'A' {
		other = "B"
	}
	return hint[:tag] + other + hint[tag+1:]
}

func TestAgesOfResolvedHints(t *testing.T) {
	clock := newClock()
	o := observe(t, fmt.Sprintf(head, "none", "")+newEntry(t, 1), clock.install)
	_, _, hint := o.ask(nil)
	ages := []time.Duration{0, 59 * time.Second, 2 * time.Hour, 100 * 24 * time.Hour, 20 * 365 * 24 * time.Hour}
	start, sum := clock.Now(), 0.0
	for _, age := range ages {
		clock.nanoseconds.Store(start.Add(age).UnixNano())
		o.ask(hint)
		sum += age.Seconds()
	}
	clock.nanoseconds.Store(start.Add(-time.Hour).UnixNano()) // a hint from the future counts as new
	o.ask(hint)
	series := o.scrape()
	for le, want := range map[string]float64{"60": 3, "3600": 3, "21600": 4, "7.776e+06": 4, "3.1536e+07": 5, "3.1536e+08": 5, "+Inf": 6} {
		name := fmt.Sprintf("keyhint_resolved_hint_age_seconds_bucket{le=%q}", le)
		if got, there := series[name]; !there || got != want {
			t.Errorf("%s is %v (%t), want %v", name, got, there, want)
		}
	}
	if got := series["keyhint_resolved_hint_age_seconds_sum"]; got != sum {
		t.Errorf("the sum is %v, want %v", got, sum)
	}
}

func TestLatencyIsMeasuredByOperation(t *testing.T) {
	o := observe(t, fmt.Sprintf(head, "none", "")+newEntry(t, 1))
	_, _, hint := o.ask(nil)
	o.ask(hint)
	o.ask(hint)
	o.ask(7)
	series := o.scrape()
	for operation, want := range map[string]float64{"issue": 1, "resolve": 2, "unknown": 1} {
		label := fmt.Sprintf("{operation=%q}", operation)
		count, sum := series["keyhint_request_duration_seconds_count"+label], series["keyhint_request_duration_seconds_sum"+label]
		if count != want || sum <= 0 || sum > 10 {
			t.Errorf("%s: %v requests took %v s, want %v", operation, count, sum, want)
		}
	}
}

func TestIssuingStoppedByTheLedgerIsAMetric(t *testing.T) {
	ledger := filepath.Join(t.TempDir(), "ledger.json")
	writeFile(t, ledger, "{")
	o := observe(t, fmt.Sprintf(head, "none", ledger)+newEntry(t, 1))
	if series := o.scrape(); series["keyhint_may_issue"] != 0 || series["keyhint_primary_version"] != 1 {
		t.Errorf("may issue %v, primary %v", series["keyhint_may_issue"], series["keyhint_primary_version"])
	}
	o.ask(nil)
	if got := o.scrape()[`keyhint_refusals_total{reason="issuing-stopped"}`]; got != 1 {
		t.Errorf("%v refusals", got)
	}
	good := observe(t, fmt.Sprintf(head, "none", "")+newEntry(t, 1))
	if got := good.scrape()["keyhint_may_issue"]; got != 1 {
		t.Errorf("without a ledger may issue is %v", got)
	}
}

func TestBuildIsKnown(t *testing.T) {
	o := observe(t, fmt.Sprintf(head, "none", "")+newEntry(t, 1))
	for name, value := range o.scrape() {
		if strings.HasPrefix(name, "keyhint_build_info{") {
			for _, label := range []string{"version=", "revision=", "modified=", `goversion="go1.`} {
				if !strings.Contains(name, label) || value != 1 {
					t.Errorf("%s %v", name, value)
				}
			}
			return
		}
	}
	t.Error("there is no keyhint_build_info")
}
