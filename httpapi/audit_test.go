package httpapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"keyhint/derive"
	"keyhint/httpapi"
	"keyhint/httpapi/access"
	"keyhint/httpapi/audit"
	"keyhint/httpapi/ratelimit"
)

// auditFile is an audit log in a file.
type auditFile struct {
	testing.TB
	path string
	log  *audit.Log
}

func newAuditFile(t testing.TB, m *httpapi.Metrics) *auditFile {
	t.Helper()
	path := filepath.Join(t.TempDir(), "audit.log")
	options := audit.Options{Sink: path}
	if m != nil {
		options.Observe = m.ObserveAudit
	}
	log, err := audit.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	return &auditFile{t, path, log}
}

func (f *auditFile) to(c *httpapi.Config) { c.Audit = f.log }

// records are those of a log, by request id.
func (f *auditFile) records() map[string]map[string]any {
	f.Helper()
	text, err := os.ReadFile(f.path)
	if err != nil {
		f.Fatal(err)
	}
	records := make(map[string]map[string]any)
	for line := range strings.Lines(string(text)) {
		var r map[string]any
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			f.Fatalf("%v: %s", err, line)
		}
		id, _ := r["request_id"].(string)
		if records[id] != nil {
			f.Errorf("two records of one request: %s", line)
		}
		records[id] = r
	}
	return records
}

// only is the record of a request, which must be the only one and there before
// its answer; and of what it is to hold, nothing more and nothing less.
func (f *auditFile) wants(a answer, want map[string]any) {
	f.Helper()
	got := f.records()[a.header.Get("X-Request-Id")]
	if got == nil {
		f.Fatalf("status %d has no record", a.status)
	}
	all := map[string]any{
		"audit": "request", "time": "2026-11-23T12:00:00.000000Z", "request_id": a.header.Get("X-Request-Id"),
		"client": "127.0.0.1", "namespace": "tenant", "status": float64(a.status), "outcome": "granted",
	}
	if a.status != http.StatusOK {
		var p problem
		decodeExactly(f, a.body, &p)
		all["outcome"], all["problem"] = "refused", p.Type
	}
	maps.Copy(all, want)
	if !maps.Equal(got, all) {
		f.Errorf("the record is\n%v, want\n%v", got, all)
	}
}

// ofHint are the members of a record with a hint.
func ofHint(t testing.TB, text, documentID, operation string) map[string]any {
	t.Helper()
	hint, err := derive.ParseHint(text)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{
		"document_id": documentID, "operation": operation, "hint": text,
		"version": float64(hint.Version()), "salt_reference": hint.Reference().String(),
	}
}

func TestKeysHaveRecords(t *testing.T) {
	f := newAuditFile(t, nil)
	e := newEndpoint(t, f.to, func(c *httpapi.Config) { c.Access = named("alice \"\u202e\n") })
	a := e.ask("doc-\u2028", nil)
	s := a.session(t)
	want := ofHint(t, s.KeyHint, "doc-\u2028", "issue")
	want["subject"] = "alice \"\u202e\n"
	f.wants(a, want)
	want["operation"] = "resolve"
	f.wants(e.ask("doc-\u2028", s.KeyHint), want)
}

// What is recorded of refusals: the document and the operation once they are
// known, and of a hint what parses, although nobody looked at it.
func TestRefusalsHaveRecords(t *testing.T) {
	stale := newEndpoint(t).issue(canary).KeyHint
	for _, r := range refusals(t) {
		t.Run(r.name, func(t *testing.T) {
			f := newAuditFile(t, nil)
			e := newEndpoint(t, append(r.adjust, f.to)...)
			request := r.request(e)
			a := e.do(request)
			a.wants(t, r.kind)
			if r.kind == notFound || r.kind == methodNotAllowed {
				if got := f.records(); len(got) > 0 {
					t.Errorf("no decision, and a record: %v", got)
				}
				return
			}
			want := map[string]any{}
			switch r.name {
			case "malformed hint":
				want = map[string]any{"document_id": canary, "operation": "resolve"}
			case "nothing issues", "no randomness":
				want = map[string]any{"document_id": canary, "operation": "issue"}
			}
			if body, err := request.GetBody(); err == nil {
				var sent struct{ KeyHint, DocumentID string }
				json.NewDecoder(body).Decode(&sent)
				if _, err := derive.ParseHint(sent.KeyHint); err == nil {
					want = ofHint(t, sent.KeyHint, sent.DocumentID, "resolve")
				}
			}
			if r.name == "expired hint" {
				want["time"] = "2026-11-23T13:00:00.001000Z"
			}
			f.wants(a, want)
			if len(f.records()) != 1 {
				t.Errorf("%v", f.records())
			}
		})
	}
	for name, test := range map[string]struct {
		adjust func(*httpapi.Config)
		body   string
		kind   kind
		want   map[string]any
	}{
		"unauthenticated": {func(c *httpapi.Config) { c.Access = refusing{access.ErrUnauthenticated, nil} }, `{"documentId":"d","keyHint":null}`,
			kind{401, "urn:keyhint:unauthenticated", ""}, nil},
		"denied, with a hint": {func(c *httpapi.Config) { c.Access = refusing{nil, access.ErrDenied} }, `{"documentId":"` + canary + `","keyHint":"` + stale + `"}`,
			accessDenied, ofHint(t, stale, canary, "resolve")},
		"undecided": {func(c *httpapi.Config) { c.Access = refusing{nil, access.ErrUnavailable} }, `{"documentId":"d","keyHint":null}`,
			unavailable, map[string]any{"document_id": "d", "operation": "issue"}},
		"the caller went away": {func(c *httpapi.Config) {
			c.Access = refusing{nil, errors.Join(access.ErrUnavailable, context.Canceled)}
		},
			`{"documentId":"d","keyHint":null}`, unavailable, map[string]any{"document_id": "d", "operation": "issue"}},
		"over the limit": {func(c *httpapi.Config) { c.PerAddress = spent(t, "127.0.0.1") }, `{"documentId":"d","keyHint":null}`,
			kind{429, "urn:keyhint:rate-limited", "3600"}, nil},
		"over the caller's limit": {func(c *httpapi.Config) { c.Access, c.PerSubject = named("alice"), spent(t, "alice") }, `{"documentId":"d","keyHint":null}`,
			kind{429, "urn:keyhint:rate-limited", "3600"}, map[string]any{"subject": "alice"}},
		"too much for a hint": {func(*httpapi.Config) {}, `{"documentId":"d","keyHint":"` + strings.Repeat("x", 16000) + `"}`,
			hintMismatch, map[string]any{"document_id": "d", "operation": "resolve"}},
		"a panic": {func(c *httpapi.Config) { c.Random = panicking{} }, `{"documentId":"d","keyHint":null}`,
			internalError, map[string]any{"document_id": "d", "operation": "issue"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newAuditFile(t, nil)
			e := newEndpoint(t, f.to, test.adjust)
			a := e.post(test.body)
			a.wants(t, test.kind)
			f.wants(a, test.want)
		})
	}
	t.Run("what is no decision", func(t *testing.T) {
		f := newAuditFile(t, nil)
		e := newEndpoint(t, f.to)
		e.do(e.newRequest(http.MethodGet, "/openapi.yaml", nil))
		e.do(e.newRequest(http.MethodOptions, path, nil))
		e.do(e.newRequest(http.MethodGet, path, nil))
		if got := f.records(); len(got) > 0 {
			t.Errorf("%v", got)
		}
	})
}

// refusing is access control that refuses when it identifies, or later.
type refusing struct{ identify, open error }

func (r refusing) Ready() error { return nil }

func (r refusing) Identify(*http.Request) (access.Caller, error) {
	if r.identify != nil {
		return nil, r.identify
	}
	return r, nil
}

func (refusing) Subject() string { return "" }

func (r refusing) MayOpen(context.Context, string, access.Operation) error { return r.open }

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("no randomness") }

// spent is a limit that somebody has reached already.
func spent(t *testing.T, who string) *ratelimit.Limiter {
	t.Helper()
	limit, err := ratelimit.Parse("1/h")
	if err != nil {
		t.Fatal(err)
	}
	limiter := ratelimit.New(limit, 10, func() time.Time { return noon })
	limiter.Allow(who)
	return limiter
}

// brokenAudit is an audit log that cannot write: a file whose end of life has come.
func brokenAudit(t *testing.T, m *httpapi.Metrics) *audit.Log {
	t.Helper()
	log := newAuditFile(t, m).log
	log.Close()
	return log
}

func TestWithoutItsRecordNoKeyLeaves(t *testing.T) {
	var log buffer
	m := httpapi.NewMetrics(time.Now)
	entry := newEntry(t, 1)
	ring := withRing(newKeyring(t, entry))
	hint := newEndpoint(t, ring).issue("doc-1").KeyHint
	broken := brokenAudit(t, m)
	e := newEndpoint(t, ring, withMetrics(m), withLog(&log, slog.LevelInfo), func(c *httpapi.Config) { c.Audit = broken })
	before := scraped(t, m)
	e.ask("doc-1", nil).wants(t, unavailable)
	wantRefusal(t, m, before, "audit-unwritten")
	for range 10 {
		e.ask("doc-1", hint).wants(t, unavailable)
	}
	// What gives nothing away goes out all the same.
	e.ask("doc-2", hint).wants(t, hintMismatch)
	e.post("{").wants(t, malformedRequest)
	e.do(e.newRequest(http.MethodGet, "/openapi.yaml", nil))
	m.Report(httpapi.InForce{Usage: httpapi.NewUsage(newKeyring(t, entry), nil), Audit: broken})
	after := scraped(t, m)
	if writable, there := after["keyhint_audit_writable"]; !there || writable != 0 {
		t.Errorf("writable: %v", writable)
	}
	if failed := after["keyhint_audit_failures_total"]; failed != 11*2+2 || after["keyhint_audit_records_total"] != 0 {
		t.Errorf("%v failures, %v records", failed, after["keyhint_audit_records_total"])
	}
	if n := after["keyhint_audit_write_duration_seconds_count"]; n != 11*2+2 {
		t.Errorf("%v durations", n)
	}
	alarms := 0
	for _, r := range log.records(t) {
		if r["msg"] == "nobody gets a key until audit records can be written again" && r["level"] == "ERROR" {
			alarms++
		}
	}
	if alarms != 1 {
		t.Errorf("%d alarms: %s", alarms, &log)
	}
}

// Whatever refuses or fails, what is in the audit log is no secret.
func TestAuditLogNeverHoldsSecrets(t *testing.T) {
	f := newAuditFile(t, nil)
	entry := newEntry(t, 1)
	e := newEndpoint(t, f.to, withRing(newKeyring(t, entry)))
	var sessions []session
	for n := range 20 {
		s := e.issue(fmt.Sprint("doc-", n))
		sessions = append(sessions, s)
		e.resolve(fmt.Sprint("doc-", n), s.KeyHint)
		e.ask("another", s.KeyHint).wants(t, hintMismatch)
		e.ask(fmt.Sprint("doc-", n), s.Key).wants(t, hintMismatch) // a client that confuses the two
		e.post(`{"documentId":"doc-1","keyHint":"`+s.Key).wants(t, malformedRequest)
		request := e.newRequest(http.MethodPost, path+"?"+s.Key, strings.NewReader("{}"))
		request.Header.Set("Authorization", "Bearer "+s.Key)
		request.Header.Set("Cookie", "key="+s.Key)
		e.do(request).wants(t, malformedRequest)
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(text), "\n"); got != 20*6 {
		t.Errorf("%d records", got)
	}
	for _, secret := range secretsOf(entry, sessions...) {
		if strings.Contains(string(text), secret) {
			t.Errorf("the audit log holds the secret %q", secret)
		}
	}
}

// Answers come from many at once, and each has its record in the file by the time
// it is there.
func TestRecordIsThereBeforeTheAnswer(t *testing.T) {
	f := newAuditFile(t, nil)
	e := newEndpoint(t, f.to)
	var done sync.WaitGroup
	for range 8 {
		done.Go(func() {
			for n := range 50 {
				body := fmt.Sprintf(`{"documentId":"doc-%d","keyHint":null}`, n)
				response, err := e.Client().Post(e.URL+path, "application/json", strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				response.Body.Close()
				text, err := os.ReadFile(f.path)
				if id := response.Header.Get("X-Request-Id"); err != nil || strings.Count(string(text), id) != 1 {
					t.Errorf("no record of %s, %v", id, err)
				}
			}
		})
	}
	done.Wait()
	if got := len(f.records()); got != 400 {
		t.Errorf("%d records", got)
	}
}
