package httpapi_test

import (
	"encoding/base64"
	"encoding/hex"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"keyhint/derive"
	"keyhint/httpapi"
)

// spellings are the encodings that 32 secret bytes could leak in. Alignment
// hides the first and last characters of base64, so those are cut.
func spellings(secret []byte) []string {
	list := []string{string(secret), hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret))}
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		text := encoding.EncodeToString(secret)
		list = append(list, text[:42], text[:20], text[22:42])
	}
	return list
}

// secretsOf spells all that must not be seen of an entry and of sessions.
func secretsOf(e derive.Entry, sessions ...session) []string {
	var list []string
	for _, text := range []string{e.MasterKey.Reveal(), e.SaltKey.Reveal()} {
		bytes, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			panic(err)
		}
		list = append(list, spellings(bytes)...)
	}
	for _, s := range sessions {
		bytes, err := base64.RawURLEncoding.DecodeString(s.Key)
		if err != nil {
			panic(err)
		}
		list = append(list, spellings(bytes)...)
	}
	return list
}

func TestLogNeverHoldsSecrets(t *testing.T) {
	var log buffer
	debug := withLog(&log, slog.LevelDebug)
	entry := newEntry(t, 1)
	ring := withRing(newKeyring(t, entry))
	e := newEndpoint(t, debug, ring)
	var sessions []session
	requests := 0
	for range 20 {
		s := e.issue("doc-1")
		sessions = append(sessions, s, e.resolve("doc-1", s.KeyHint))
		e.ask("doc-2", s.KeyHint).wants(t, hintMismatch)
		e.ask("doc-1", s.Key).wants(t, hintMismatch) // a client that confuses the two
		e.ask(s.Key, nil).session(t)
		e.post(`{"documentId":"doc-1","keyHint":"`+s.Key).wants(t, malformedRequest)
		e.do(e.newRequest(http.MethodPost, path+"?"+s.Key, nil)).wants(t, malformedRequest)
		e.do(e.newRequest(http.MethodPost, "/"+s.Key, nil)).wants(t, notFound)
		withType := e.newRequest(http.MethodPost, path, nil)
		withType.Header.Set("Content-Type", "text/"+s.Key)
		e.do(withType).wants(t, unsupportedMediaType)
		requests += 9
	}
	for _, r := range refusals(t) {
		e := newEndpoint(t, append(r.adjust, debug)...)
		e.do(r.request(e)).wants(t, r.kind)
		requests++
	}
	if got := strings.Count(log.String(), `"msg":"request"`); got != requests {
		t.Errorf("%d lines for %d requests", got, requests)
	}
	for _, secret := range secretsOf(entry, sessions...) {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log holds the secret %q", secret)
		}
	}
	if strings.Contains(log.String(), canary) && !strings.Contains(log.String(), `"cause":"reading randomness: `+canary) {
		t.Error("the log repeats text of a request's choice")
	}
}

func TestDebugLogHasOneLineForEachRequest(t *testing.T) {
	var log buffer
	e := newEndpoint(t, withLog(&log, slog.LevelDebug))
	issued := e.issue("doc-1")
	for _, test := range []struct {
		name string
		ask  func() answer
		want map[string]any
	}{
		{"issue", func() answer { return e.ask("doc-1", nil) }, map[string]any{"operation": "issue", "version": 1., "outcome": "ok", "status": 200.}},
		{"resolve", func() answer { return e.ask("doc-1", issued.KeyHint) }, map[string]any{"operation": "resolve", "version": 1., "outcome": "ok", "status": 200.}},
		{"other document", func() answer { return e.ask("doc-2", issued.KeyHint) },
			map[string]any{"operation": "resolve", "version": 1., "outcome": "hint-mismatch", "status": 403., "cause": derive.ErrTagMismatch.Error()}},
		{"malformed hint", func() answer { return e.ask("doc-1", "kh2") }, map[string]any{"operation": "resolve", "version": 0., "outcome": "hint-mismatch", "status": 403.}},
		{"unknown version", func() answer { return e.ask("doc-1", strings.Replace(issued.KeyHint, "kh1.1", "kh1.77", 1)) },
			map[string]any{"operation": "resolve", "version": 77., "outcome": "version-unknown", "status": 409.}},
		{"malformed body", func() answer { return e.post("{") }, map[string]any{"operation": "", "version": 0., "outcome": "malformed-request", "status": 400.}},
		{"other path", func() answer { return e.do(e.newRequest(http.MethodGet, "/", nil)) }, map[string]any{"operation": "", "version": 0., "outcome": "not-found", "status": 404.}},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := len(log.records(t))
			a := test.ask()
			var lines []map[string]any
			for _, r := range log.records(t)[before:] {
				if r["msg"] == "request" {
					lines = append(lines, r)
				}
			}
			if len(lines) != 1 {
				t.Fatalf("%d lines: %v", len(lines), lines)
			}
			test.want["level"] = "DEBUG"
			test.want["request_id"] = a.header.Get("X-Request-Id")
			for name, want := range test.want {
				if got := lines[0][name]; got != want {
					t.Errorf("%s is %v, want %v", name, got, want)
				}
			}
			if took, ok := lines[0]["duration"].(float64); !ok || took <= 0 || took > 10e9 {
				t.Errorf("duration is %v", lines[0]["duration"])
			}
			if _, refused := test.want["cause"]; refused || a.status == http.StatusOK {
				return
			}
			if cause, _ := lines[0]["cause"].(string); cause == "" {
				t.Error("a refusal without a cause")
			}
		})
	}
}

func TestInfoLogHasNothingPerRequest(t *testing.T) {
	var log buffer
	e := newEndpoint(t, withLog(&log, slog.LevelInfo))
	for range 10 {
		s := e.issue("doc-1")
		e.resolve("doc-1", s.KeyHint)
		e.ask("doc-2", s.KeyHint)
		e.post("{")
		e.do(e.newRequest(http.MethodGet, "/", nil))
	}
	if got := log.String(); got != "" {
		t.Errorf("the log at info:\n%s", got)
	}
}

func TestAlarmsAreLoggedOnceAMinute(t *testing.T) {
	entry := newEntry(t, 1)
	hint := func(e derive.Entry) string {
		_, h, err := newKeyring(t, e).Issue(derive.Document{Namespace: "tenant", ID: "doc-1"}, noon, newConfig(t).Random)
		if err != nil {
			t.Fatal(err)
		}
		return `"` + h.String() + `"`
	}
	for _, test := range []struct {
		name    string
		adjust  []func(*httpapi.Config)
		keyHint string
		level   string
	}{
		{"nothing issues", []func(*httpapi.Config){withRing(newKeyring(t, with(entry, derive.Disabled)))}, "null", "ERROR"},
		{"ring conflict", []func(*httpapi.Config){withRing(newKeyring(t, entry))}, hint(newEntry(t, 1)), "WARN"},
		{"unknown version", []func(*httpapi.Config){withRing(newKeyring(t, entry))}, strings.Replace(hint(entry), "kh1.1", "kh1.2", 1), "WARN"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log buffer
				handler := httpapi.New(newConfig(t, append(test.adjust, withLog(&log, slog.LevelInfo))...))
				burst := func() {
					for range 100 {
						handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, path,
							strings.NewReader(`{"documentId":"doc-1","keyHint":`+test.keyHint+`}`)))
					}
				}
				lines := func(want int) {
					t.Helper()
					records := log.records(t)
					if len(records) != want {
						t.Fatalf("%d lines, want %d: %v", len(records), want, records)
					}
					for _, r := range records {
						_, named := r["version"]
						if r["level"] != test.level || r["request_id"] == "" || named != (test.keyHint != "null") {
							t.Errorf("the alarm is %v", r)
						}
					}
				}
				burst()
				lines(1)
				time.Sleep(time.Minute - time.Second)
				burst()
				lines(1)
				time.Sleep(time.Second)
				burst()
				lines(2)
			})
		})
	}
}

func TestAlarmsDoNotSilenceEachOther(t *testing.T) {
	var log buffer
	entry := newEntry(t, 1)
	issued := newEndpoint(t, withRing(newKeyring(t, entry))).issue("doc-1").KeyHint
	e := newEndpoint(t, withLog(&log, slog.LevelInfo), withRing(newKeyring(t, with(entry, derive.ResolveOnly))))
	for range 3 {
		e.ask("doc-1", nil).wants(t, unavailable)
		e.ask("doc-1", strings.Replace(issued, "kh1.1", "kh1.2", 1)).wants(t, versionUnknown)
		e.ask("doc-1", otherFingerprint(issued)).wants(t, keyUnavailable)
	}
	var messages []string
	for _, r := range log.records(t) {
		messages = append(messages, r["msg"].(string))
	}
	if slices.Sort(messages); len(slices.Compact(messages)) != 3 {
		t.Errorf("alarms are %q", messages)
	}
}

// otherFingerprint changes the first digit of a hint's fingerprint.
func otherFingerprint(hint string) string {
	b := []byte(hint)
	i := strings.IndexByte(hint, '-') + 1
	if b[i]++; b[i] == '9'+1 || b[i] == 'f'+1 {
		b[i] = '0'
	}
	return string(b)
}
