package service_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyhint/config"
)

// page is /keyring.
type page struct {
	Fingerprint    string
	Namespace      string
	MaxAge         string `json:"max_age"`
	Primary        uint32
	NothingIssues  string    `json:"nothing_issues"`
	NextActivation time.Time `json:"next_activation"`
	CountingSince  time.Time `json:"counting_since"`
	Entries        []struct {
		config.EntryDescription
		Use struct {
			Issued, Resolved uint64
			LastIssued       time.Time `json:"last_issued"`
			LastResolved     time.Time `json:"last_resolved"`
		}
	}
}

func (o observed) keyring() page {
	o.Helper()
	status, body := o.get("/keyring")
	if status != http.StatusOK {
		o.Fatalf("status %d: %s", status, body)
	}
	var p page
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		o.Fatalf("%v: %s", err, body)
	}
	return p
}

// with adds a line to an entry of the ring.
func with(entry, line string) string {
	return strings.TrimSuffix(entry, "\n") + "\n      " + line + "\n"
}

func TestKeyringPage(t *testing.T) {
	clock := newClock()
	one, two := newEntry(t, 1), newEntry(t, 2)
	three := with(newEntry(t, 3), fmt.Sprintf("activate_at: %q", clock.Now().Add(time.Hour).UTC().Format(time.RFC3339)))
	text := strings.Replace(fmt.Sprintf(head, "none", ""), "  keys:\n", "  namespace: tenant-7\n  max_age: 720h\n  keys:\n", 1)
	o := observe(t, text+one+two+three, clock.install)
	began := clock.Now()

	clock.advance(time.Minute)
	_, _, hint := o.ask(nil)
	issued := clock.Now()
	clock.advance(time.Minute)
	o.ask(hint)
	o.ask(hint)
	resolved := clock.Now()
	p := o.keyring()
	if p.Namespace != "tenant-7" || p.MaxAge != "720h0m0s" || p.Primary != 2 || p.NothingIssues != "" ||
		!p.NextActivation.Equal(began.Add(time.Hour)) || !p.CountingSince.Equal(began) || len(p.Entries) != 3 {
		t.Fatalf("%+v", p)
	}
	if _, metrics := o.get("/metrics"); !strings.Contains(metrics, `keyhint_keyring_info{fingerprint="`+p.Fingerprint+`"} 1`) {
		t.Errorf("the metrics have another fingerprint than %s", p.Fingerprint)
	}
	e := p.Entries[1]
	if e.Version != 2 || !strings.HasPrefix(e.Check, "2-") || e.Status != "enabled" || !e.Primary || e.NextChange == nil ||
		!e.DestroyableFrom.Equal(began.Add(time.Hour+720*time.Hour)) || e.Use.Issued != 1 || e.Use.Resolved != 2 ||
		!e.Use.LastIssued.Equal(issued) || !e.Use.LastResolved.Equal(resolved) {
		t.Errorf("%+v", e)
	}
	if e := p.Entries[0]; e.Primary || e.Use.Issued != 0 || e.Use.Resolved != 0 || !e.Use.LastIssued.IsZero() || !e.Use.LastResolved.IsZero() {
		t.Errorf("%+v", e)
	}

	// What the page says of the ring is what "keyhint keyring list --json" says.
	c, err := config.Load(o.path, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := config.Describe(c, clock.Now())
	if d.Fingerprint != p.Fingerprint || d.Primary != p.Primary || !slices.EqualFunc(d.Entries, p.Entries, func(a config.EntryDescription, b struct {
		config.EntryDescription
		Use struct {
			Issued, Resolved uint64
			LastIssued       time.Time `json:"last_issued"`
			LastResolved     time.Time `json:"last_resolved"`
		}
	}) bool {
		x, _ := json.Marshal(a)
		y, _ := json.Marshal(b.EntryDescription)
		return string(x) == string(y)
	}) {
		t.Errorf("%+v\nis not\n%+v", p, d)
	}

	o.rewrite(text + one + with(two, "status: resolve_only"))
	o.eventually("a refusal of the reload", func() bool { return o.scrape()["keyhint_config_last_reload_successful"] == 0 })
	if again := o.keyring(); again.Fingerprint != p.Fingerprint {
		t.Error("a refused ring is shown")
	}
	o.rewrite(text + one + with(two, "status: resolve_only") + three)
	o.eventually("the next ring", func() bool { return o.keyring().Fingerprint != p.Fingerprint })
	if p := o.keyring(); p.Primary != 0 || !strings.Contains(p.NothingIssues, "version 2 is primary and not enabled") ||
		p.Entries[1].Status != "resolve_only" || p.Entries[1].Use.Resolved != 2 {
		t.Errorf("%+v", p)
	}
}

// The secrets stand in none of the pages, in no spelling.
func TestPrivateListenerShowsNoSecret(t *testing.T) {
	var entries string
	for version := range uint32(20) {
		entries += newEntry(t, version+1)
	}
	o := observe(t, fmt.Sprintf(head, "none", "")+entries)
	_, key, hint := o.ask(nil)
	o.ask(hint)
	var pages string
	for _, path := range []string{"/keyring", "/metrics", "/readyz?verbose", "/readyz", "/livez", "/"} {
		_, body := o.get(path)
		pages += body
	}
	secrets := regexp.MustCompile(`(?:master|salt)_key: (\S{44})`).FindAllStringSubmatch(entries, -1)
	if len(secrets) != 40 {
		t.Fatalf("%d secrets", len(secrets))
	}
	forbidden := []string{key, key[:20], hint, "master_key", "salt_key"}
	for _, s := range secrets {
		raw, err := base64.StdEncoding.DecodeString(s[1])
		if err != nil {
			t.Fatal(err)
		}
		forbidden = append(forbidden, s[1][:20], s[1][22:42], base64.URLEncoding.EncodeToString(raw)[:20],
			hex.EncodeToString(raw)[:20], strings.ToUpper(hex.EncodeToString(raw)[:20]), string(raw))
	}
	for _, text := range forbidden {
		if strings.Contains(pages, text) {
			t.Errorf("a page holds %q", text)
		}
	}
	if !strings.Contains(pages, `"status": "enabled"`) {
		t.Error("the pages show no ring")
	}
}

func TestLargeRing(t *testing.T) {
	const size = 10_000
	var entries strings.Builder
	clock := newClock()
	for i := range size {
		at := clock.Now().Add(time.Duration(i-size/2) * time.Hour).UTC().Format(time.RFC3339)
		entries.WriteString(with(newEntry(t, uint32(i+1)), fmt.Sprintf("activate_at: %q", at)))
	}
	o := observe(t, fmt.Sprintf(head, "none", "")+entries.String(), clock.install)
	o.ask(nil)
	start := time.Now()
	p := o.keyring()
	took := time.Since(start)
	if len(p.Entries) != size || p.Primary != size/2+1 || p.Entries[size/2].Use.Issued != 1 {
		t.Errorf("%d entries, version %d is primary", len(p.Entries), p.Primary)
	}
	start = time.Now()
	series := o.scrape()
	t.Logf("/keyring took %v, /metrics %v with %d series", took, time.Since(start), len(series))
	if took > 10*time.Second {
		t.Errorf("/keyring took %v", took)
	}
	start = time.Now()
	o.get("/readyz")
	t.Logf("/readyz took %v", time.Since(start))
	if len(series) > 600 {
		t.Errorf("%d series", len(series))
	}
}

type readiness struct {
	Ready  bool
	Checks map[string]struct {
		OK, Advisory bool
		Detail       string
		Data         map[string]any
	}
}

func (o observed) readiness() readiness {
	o.Helper()
	_, body := o.get("/readyz?verbose")
	var r readiness
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		o.Fatalf("%v: %s", err, body)
	}
	return r
}

// withTLS is a configuration that ends TLS with the files of a folder.
func withTLS(text, folder string) string {
	return strings.Replace(text, "server:\n", fmt.Sprintf("server:\n  tls:\n    cert_file: %[1]s/cert.pem\n    key_file: %[1]s/key.pem\n", folder), 1)
}

func TestCertificateIsShown(t *testing.T) {
	folder := t.TempDir()
	clock := newClock()
	clock.nanoseconds.Store(time.Now().UnixNano())
	first := certify(t, folder)
	o := observe(t, withTLS(fmt.Sprintf(head, "none", ""), folder)+newEntry(t, 1), clock.install)
	const metric = "keyhint_tls_certificate_expiry_timestamp_seconds"
	if got := o.scrape()[metric]; got != float64(first.NotAfter.Unix()) {
		t.Errorf("%s is %v, want %d", metric, got, first.NotAfter.Unix())
	}
	shown := o.readiness().Checks["tls"]
	if !shown.OK || shown.Data["not_after"] != first.NotAfter.UTC().Format(time.RFC3339) ||
		fmt.Sprint(shown.Data["names"]) != "[client.internal 127.0.0.1]" || shown.Data["serial"] != fmt.Sprintf("%x", first.SerialNumber) {
		t.Errorf("%+v", shown)
	}

	clock.advance(2 * time.Hour)
	r := o.readiness()
	if tls := r.Checks["tls"]; !r.Ready || tls.OK || !tls.Advisory || !strings.Contains(tls.Detail, "expired at "+first.NotAfter.UTC().Format(time.RFC3339)) {
		t.Errorf("%+v", r)
	}
	second := certifyUntil(t, folder, time.Now().Add(48*time.Hour))
	o.eventually("the second certificate", func() bool { return o.scrape()[metric] == float64(second.NotAfter.Unix()) })
	if tls := o.readiness().Checks["tls"]; !tls.OK || tls.Data["not_after"] != second.NotAfter.UTC().Format(time.RFC3339) {
		t.Errorf("%+v", tls)
	}
}

func TestReadinessDetails(t *testing.T) {
	text, _ := tokenGuarded(t)
	o := observe(t, text+newEntry(t, 1))
	r := o.readiness()
	if !r.Ready {
		t.Errorf("%+v", r)
	}
	for name, fields := range map[string]map[string]any{
		"access":  {"mode": "jwt"},
		"keyring": {"fingerprint": o.keyring().Fingerprint, "versions": 1.0, "primary": 1.0},
		"reload":  {},
	} {
		check := r.Checks[name]
		for field, want := range fields {
			if !check.OK || check.Data[field] != want {
				t.Errorf("%s: %+v, want %s %v", name, check, field, want)
			}
		}
	}
	if at, _ := r.Checks["reload"].Data["success"].(string); at == "" {
		t.Errorf("%+v", r.Checks["reload"])
	}
	if tls := r.Checks["tls"]; !tls.OK || tls.Detail != "plain HTTP" || tls.Data != nil {
		t.Errorf("%+v", tls)
	}
	if _, there := o.scrape()["keyhint_tls_certificate_expiry_timestamp_seconds"]; there {
		t.Error("there is a certificate's expiry without TLS")
	}
	o.rewrite("broken")
	o.eventually("a refusal", func() bool {
		reload := o.readiness().Checks["reload"]
		return !reload.OK && reload.Data["failing_since"] != nil
	})
}

// What is shown is what new requests get, however long an earlier one takes.
func TestNewRingIsShownWhileAFormerRequestIsAnswered(t *testing.T) {
	var requests atomic.Int32
	asked, answer := make(chan struct{}), make(chan struct{})
	finish := sync.OnceFunc(func() { close(answer) })
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) == 1 {
			close(asked)
			<-answer
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"allow":true}`)
	}))
	defer host.Close()
	defer finish()
	text := fmt.Sprintf(head, "forward\n  forward:\n    timeout: 10s\n    url: "+host.URL, "") + newEntry(t, 1)
	o := observe(t, text)
	answered := make(chan int, 1)
	go func() {
		status, _, _ := o.ask(nil)
		answered <- status
	}()
	<-asked
	o.rewrite(text + newEntry(t, 2))
	o.eventually("the new ring is shown", func() bool { return len(o.keyring().Entries) == 2 })
	if _, _, hint := o.ask(nil); !strings.HasPrefix(hint, "kh1.2-") {
		t.Errorf("a new session has the hint %s", hint)
	}
	select {
	case <-answered:
		t.Fatal("the former request was answered before")
	default:
	}
	finish()
	if got := <-answered; got != http.StatusOK {
		t.Errorf("status %d", got)
	}
}
