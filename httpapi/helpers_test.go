package httpapi_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"keyhint/derive"
	"keyhint/httpapi"
	"keyhint/httpapi/access"
	"keyhint/httpapi/clientaddr"
	"keyhint/httpapi/cors"
	"keyhint/httpapi/leaktest"
)

// noon is the time of tests that do not care which time it is.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

const path = "/v1/key"

// newConfig is the configuration of every endpoint under test: a ring of one
// version, no log, and whatever the adjustments make of it.
func newConfig(t testing.TB, adjust ...func(*httpapi.Config)) httpapi.Config {
	t.Helper()
	policy, err := cors.New(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	c := httpapi.Config{
		Path:      path,
		Keyring:   newKeyring(t, newEntry(t, 1)),
		Namespace: "tenant",
		Now:       func() time.Time { return noon },
		Random:    rand.Reader,
		Log:       slog.New(slog.DiscardHandler),
		Access:    access.Everyone{},
		CORS:      policy,
		Clients:   clientaddr.New(nil),
		Metrics:   httpapi.NewMetrics(time.Now),
	}
	for _, a := range adjust {
		a(&c)
	}
	if _, measured := t.(*testing.B); !measured {
		c.Log = searched(t, c.Log)
	}
	return c
}

// known are the secrets of all these tests, and the keys that were answered.
var known = leaktest.Search{Stride: 8}

// searched is a log that is searched for them when the test has ended, on
// every level.
func searched(t testing.TB, log *slog.Logger) *slog.Logger {
	var all buffer
	t.Cleanup(func() {
		for _, found := range known.In("the log", []byte(all.String())) {
			t.Error(found)
		}
	})
	return slog.New(slog.NewMultiHandler(log.Handler(), slog.NewJSONHandler(&all, &slog.HandlerOptions{Level: slog.LevelDebug})))
}

// know notes a secret that is written in base64 of an encoding.
func know(name string, encoding *base64.Encoding, text string) {
	if b, err := encoding.DecodeString(text); err == nil {
		known.Secret(name, b)
	}
}

func withRing(ring *derive.Keyring) func(*httpapi.Config) {
	return func(c *httpapi.Config) { c.Keyring = ring }
}

func withLog(w io.Writer, level slog.Level) func(*httpapi.Config) {
	return func(c *httpapi.Config) {
		c.Log = slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))
	}
}

func withLoopbackHost(c *httpapi.Config) { c.LoopbackOnly = true }

func newEntry(t testing.TB, version uint32) derive.Entry {
	t.Helper()
	e := derive.Entry{Version: version, MasterKey: newSecret(t), SaltKey: newSecret(t)}
	e.Check = derive.NewCheckValue(version, e.MasterKey, e.SaltKey)
	return e
}

func newSecret(t testing.TB) derive.Secret {
	t.Helper()
	s, err := derive.GenerateSecret(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	know("a secret", base64.StdEncoding, s.Reveal())
	return s
}

func newKeyring(t testing.TB, entries ...derive.Entry) *derive.Keyring {
	t.Helper()
	ring, err := derive.NewKeyring(entries)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func with(e derive.Entry, status derive.Status) derive.Entry {
	e.Status = status
	if status == derive.Destroyed {
		e.MasterKey, e.SaltKey = derive.Secret{}, derive.Secret{}
	}
	return e
}

// endpoint is a running server and a client of it.
type endpoint struct {
	testing.TB
	*httptest.Server
}

func newEndpoint(t testing.TB, adjust ...func(*httpapi.Config)) endpoint {
	t.Helper()
	server := httptest.NewServer(httpapi.New(newConfig(t, adjust...)))
	t.Cleanup(server.Close)
	return endpoint{t, server}
}

// in is the endpoint within a subtest.
func (e endpoint) in(t testing.TB) endpoint { return endpoint{t, e.Server} }

// answer is what a client gets.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func readAnswer(t testing.TB, r *http.Response) answer {
	t.Helper()
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	if r.StatusCode != http.StatusOK {
		for _, found := range known.In("a refusal", body) {
			t.Error(found)
		}
	}
	return answer{r.StatusCode, r.Header, body}
}

var requestIDForm = regexp.MustCompile(`^[A-Z2-7]{26}$`)

// do sends a request and checks what holds for every answer.
func (e endpoint) do(request *http.Request) answer {
	e.Helper()
	response, err := e.Client().Do(request)
	if err != nil {
		e.Fatal(err)
	}
	a := readAnswer(e, response)
	a.checkHeaders(e)
	return a
}

func (a answer) checkHeaders(t testing.TB) {
	t.Helper()
	for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"} {
		if got := a.header.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("status %d has %s %q", a.status, name, got)
		}
	}
	if got := a.header.Values("X-Request-Id"); len(got) != 1 || !requestIDForm.MatchString(got[0]) {
		t.Errorf("status %d has X-Request-Id %q", a.status, got)
	}
}

func (e endpoint) newRequest(method, target string, body io.Reader) *http.Request {
	e.Helper()
	request, err := http.NewRequestWithContext(e.Context(), method, e.URL+target, body)
	if err != nil {
		e.Fatal(err)
	}
	return request
}

func (e endpoint) post(body string) answer {
	e.Helper()
	return e.do(e.newRequest(http.MethodPost, path, strings.NewReader(body)))
}

// ask posts a well-formed request; hint nil asks for a new key.
func (e endpoint) ask(documentID string, hint any) answer {
	e.Helper()
	body, err := json.Marshal(map[string]any{"documentId": documentID, "keyHint": hint})
	if err != nil {
		e.Fatal(err)
	}
	return e.post(string(body))
}

// session is the body of a 200 answer.
type session struct {
	Key     string `json:"key"`
	KeyHint string `json:"keyHint"`
}

var (
	keyForm  = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)
	hintForm = regexp.MustCompile(`^kh1\.[1-9][0-9]*-[0-9a-f]{8}\.[0-9a-f-]{36}\.[A-Za-z0-9_-]{22}$`)
)

func (a answer) session(t testing.TB) session {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("status %d, want a key: %s", a.status, a.body)
	}
	if got := a.header.Get("Content-Type"); got != "application/json" {
		t.Errorf("a key comes with Content-Type %q", got)
	}
	var s session
	decodeExactly(t, a.body, &s)
	if !keyForm.MatchString(s.Key) || !hintForm.MatchString(s.KeyHint) {
		t.Fatalf("not a key and a hint: %s", a.body)
	}
	know("a key", base64.RawURLEncoding, s.Key)
	return s
}

func (e endpoint) issue(documentID string) session {
	e.Helper()
	return e.ask(documentID, nil).session(e)
}

func (e endpoint) resolve(documentID, hint string) session {
	e.Helper()
	return e.ask(documentID, hint).session(e)
}

func decodeExactly(t testing.TB, body []byte, into any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if _, err := d.Token(); err != io.EOF {
		t.Fatalf("something follows the document: %s", body)
	}
}

// Statuses and types of problems, as the table in DESIGN section 5 gives them.
var (
	malformedRequest     = kind{400, "urn:keyhint:malformed-request", ""}
	accessDenied         = kind{403, "urn:keyhint:access-denied", ""}
	hintMismatch         = kind{403, "urn:keyhint:hint-mismatch", ""}
	keyUnavailable       = kind{403, "urn:keyhint:key-unavailable", ""}
	hintExpired          = kind{403, "urn:keyhint:hint-expired", ""}
	versionUnknown       = kind{409, "urn:keyhint:version-unknown", "5"}
	bodyTooLarge         = kind{413, "urn:keyhint:body-too-large", ""}
	unsupportedMediaType = kind{415, "urn:keyhint:unsupported-media-type", ""}
	unavailable          = kind{503, "urn:keyhint:unavailable", ""}
	notFound             = kind{404, "about:blank", ""}
	methodNotAllowed     = kind{405, "about:blank", ""}
	internalError        = kind{500, "about:blank", ""}
)

type kind struct {
	status     int
	urn        string
	retryAfter string
}

// problem is an RFC 9457 document.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

// wants checks that the answer is a problem of a kind and nothing more.
func (a answer) wants(t testing.TB, k kind) problem {
	t.Helper()
	if a.status != k.status {
		t.Fatalf("status %d, want %d: %s", a.status, k.status, a.body)
	}
	if got := a.header.Values("Content-Type"); len(got) != 1 || got[0] != "application/problem+json" {
		t.Errorf("Content-Type %q", got)
	}
	if got := a.header.Get("Retry-After"); got != k.retryAfter {
		t.Errorf("Retry-After %q, want %q", got, k.retryAfter)
	}
	var p problem
	decodeExactly(t, a.body, &p)
	if p.Type != k.urn || p.Status != k.status || p.Title == "" {
		t.Errorf("problem is %s, want type %s and a title", a.body, k.urn)
	}
	if strings.HasPrefix(k.urn, "urn:") && p.Detail == "" {
		t.Errorf("%s has no detail", k.urn)
	}
	return p
}

// buffer collects a log that several goroutines write.
type buffer struct {
	mu    sync.Mutex
	bytes bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes.String()
}

// records are the lines of a JSON log.
func (b *buffer) records(t testing.TB) []map[string]any {
	t.Helper()
	var records []map[string]any
	for line := range strings.Lines(b.String()) {
		var r map[string]any
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		records = append(records, r)
	}
	return records
}
