package bench_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"keyhint/httpapi/bench"
)

func TestLoadOnAnEndpointIsAnsweredAndVerified(t *testing.T) {
	o := newOptions(t, newHandler(t))
	lines := 0
	o.Interval, o.Progress = 20*time.Millisecond, func(string) { lines++ }
	r, err := bench.Run(t.Context(), o)
	if err != nil || r.Err() != nil {
		t.Fatal(err, r)
	}
	if n := r.Both.Count() + uint64(r.Unsent); n != 300 {
		t.Errorf("%d requests, want 300", n)
	}
	if n := r.Issue.Count(); n+1 != uint64(r.Issued) || n > 91 || n < 80 && r.Unsent == 0 {
		t.Errorf("%d of 300 issue, want 90", n)
	}
	if r.Verified != r.Issued || r.Unverified != 0 {
		t.Errorf("%d of %d verified, %d not", r.Verified, r.Issued, r.Unverified)
	}
	if lines == 0 {
		t.Error("no progress is told")
	}
}

func TestSessionsAreOnTheGivenDocument(t *testing.T) {
	var other atomic.Int32
	handler := newHandler(t)
	o := newOptions(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !bytes.HasPrefix(body, []byte(`{"documentId":"my \"document\"",`)) {
			other.Add(1)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		handler.ServeHTTP(w, r)
	}))
	o.Document = `my "document"`
	if r, err := bench.Run(t.Context(), o); err != nil || r.Err() != nil || other.Load() > 0 {
		t.Error(err, r, other.Load())
	}
}

var issues = regexp.MustCompile(`"keyHint": ?null`)

// tamper changes some answers of an endpoint: those to requests that issue or
// resolve, after the first 20 requests.
func tamper(handler http.Handler, issue bool, change func(w *httptest.ResponseRecorder)) http.Handler {
	var requests atomic.Int32
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, r)
		if requests.Add(1) > 20 && issues.Match(body) == issue {
			change(answer)
		}
		w.Header().Set("Content-Type", answer.Header().Get("Content-Type"))
		w.WriteHeader(answer.Code)
		w.Write(answer.Body.Bytes())
	})
}

// replace changes the body of an answer.
func replace(pattern, with string) func(*httptest.ResponseRecorder) {
	return func(w *httptest.ResponseRecorder) {
		w.Body = bytes.NewBuffer(regexp.MustCompile(pattern).ReplaceAll(w.Body.Bytes(), []byte(with)))
	}
}

func problem(status int, urn string) func(*httptest.ResponseRecorder) {
	return func(w *httptest.ResponseRecorder) {
		w.Code, w.Body = status, bytes.NewBufferString(`{"type":"`+urn+`"}`)
		w.Header().Set("Content-Type", "application/problem+json")
	}
}

func TestEveryWrongAnswerIsFound(t *testing.T) {
	const otherKey = `"key":"J5vN6XaGoiIVBJY2GTmvNDwdHvBvMXbBjHEeTMpXsyY"`
	for name, c := range map[string]struct {
		issue  bool
		change func(*httptest.ResponseRecorder)
		says   string
	}{
		"another key":          {false, replace(`"key":"[^"]*"`, otherKey), "ANOTHER KEY"},
		"another hint":         {false, replace(`"keyHint":"[^"]*"`, `"keyHint":"kh1.1-2b1f9d63.019ab1d2-7c40-7d5e-9a51-3f0c6a2e8b17.X2Xk0fGk1hTn7cVd0rJ8vw"`), "another hint"},
		"refused hint":         {false, problem(403, "urn:keyhint:hint-mismatch"), "is refused"},
		"a key of 42":          {true, replace(`"key":"(.{42}).`, `"key":"$1`), "43 characters"},
		"a padded key":         {true, replace(`"key":"([^"]*)"`, `"key":"$1="`), "43 characters"},
		"a key with +":         {true, replace(`"key":"..`, `"key":"++`), "43 characters"},
		"a key with bits left": {true, replace(`"key":"(.{42}).`, `"key":"${1}B`), "43 characters"},
		"no key":               {true, replace(`"key":"[^"]*",`, ``), "43 characters"},
		"a key twice":          {false, replace(`\{`, `{`+otherKey+`,`), "not application/json"},
		"an upper-case hint":   {true, replace(`kh1\.1-`, `KH1.1-`), "is none"},
		"a padded hint":        {true, replace(`"\}`, `="}`), "is none"},
		"no hint":              {true, replace(`,"keyHint":"[^"]*"`, ``), "is none"},
		"a page":               {false, func(w *httptest.ResponseRecorder) { w.Header().Set("Content-Type", "text/html") }, "not application/json"},
		"nothing":              {false, func(w *httptest.ResponseRecorder) { w.Body.Reset() }, "not application/json"},
	} {
		t.Run(name, func(t *testing.T) {
			var told []string
			o := newOptions(t, tamper(newHandler(t), c.issue, c.change))
			o.Mismatch = func(text string) { told = append(told, text) }
			r, err := bench.Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Err(); err == nil || !strings.Contains(err.Error(), "WRONG") {
				t.Errorf("error %v", err)
			}
			if len(told) != 10 {
				t.Errorf("%d are told, want 10", len(told))
			}
			for _, text := range append(told, r.String()) {
				if regexp.MustCompile(`(^|[^\w.-])[\w+-]{42,43}($|[^\w.-])`).MatchString(text) {
					t.Errorf("a key is shown: %s", text)
				}
			}
			if !strings.Contains(told[0], c.says) {
				t.Errorf("%q does not say %q", told[0], c.says)
			}
		})
	}
}

func TestOneKeyForAllSessionsIsFound(t *testing.T) {
	var told string
	o := newOptions(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"key":"J5vN6XaGoiIVBJY2GTmvNDwdHvBvMXbBjHEeTMpXsyY","keyHint":"kh1.1-2b1f9d63.019ab1d2-7c40-7d5e-9a51-3f0c6a2e8b17.X2Xk0fGk1hTn7cVd0rJ8vw"}`)
	}))
	o.Mismatch = func(text string) { told = text }
	r, err := bench.Run(t.Context(), o)
	if err != nil || r.Err() == nil || !strings.Contains(told, "THE KEY OF ANOTHER session") {
		t.Errorf("%v, %q:\n%s", err, told, r)
	}
}

func TestWrongFirstSessionIsAnError(t *testing.T) {
	wrong := tamper(newHandler(t), false, replace(`"key":"..`, `"key":"xx`))
	for range 20 {
		wrong.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/v1/key", strings.NewReader(`{}`)))
	}
	if _, err := bench.Run(t.Context(), newOptions(t, wrong)); err == nil || !strings.Contains(err.Error(), "ANOTHER KEY") {
		t.Error(err)
	}
}

// Refusals under load are counted, and what they kept from being verified is
// verified later.
func TestRefusalsAreCountedAndNoMismatch(t *testing.T) {
	kinds := []func(*httptest.ResponseRecorder){
		problem(429, "urn:keyhint:rate-limited"), problem(503, "urn:keyhint:unavailable"), problem(409, "urn:keyhint:version-unknown"),
		problem(502, "\x1b[31m"), func(*httptest.ResponseRecorder) {}, func(*httptest.ResponseRecorder) {},
	}
	var n atomic.Int32
	o := newOptions(t, tamper(newHandler(t), false, func(w *httptest.ResponseRecorder) { kinds[int(n.Add(1))%len(kinds)](w) }))
	r, err := bench.Run(t.Context(), o)
	if err != nil || r.Err() != nil || r.Verified != r.Issued {
		t.Fatal(err, r)
	}
	for _, want := range []string{"status 429, urn:keyhint:rate-limited\n", "status 503, urn:keyhint:unavailable\n", "status 409, urn:keyhint:version-unknown\n", "status 502\n", "wrong      0\n"} {
		if !strings.Contains(r.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, r)
		}
	}
}

func TestKindsOfRefusalsAreBounded(t *testing.T) {
	var n atomic.Int32
	o := newOptions(t, tamper(newHandler(t), true, func(w *httptest.ResponseRecorder) { problem(400+int(n.Add(1)), "urn:x")(w) }))
	r, err := bench.Run(t.Context(), o)
	if err != nil || strings.Count(r.String(), "\nrefused ") != 31 {
		t.Errorf("%v:\n%s", err, r)
	}
}

func TestServerThatGoesAwayLeavesHintsUnverified(t *testing.T) {
	var requests atomic.Int32
	handler := newHandler(t)
	o := newOptions(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if requests.Add(1) > 20 && !issues.Match(body) {
			panic(http.ErrAbortHandler)
		}
		handler.ServeHTTP(w, r)
	}))
	ctx, cancel := context.WithCancel(t.Context())
	o.Interval, o.Progress = o.Duration/2, func(string) { cancel() } // else it would try for 10 s
	r, err := bench.Run(ctx, o)
	if err != nil || r.Err() == nil || r.Unverified == 0 || r.Verified+r.Unverified != r.Issued {
		t.Errorf("%v, %v:\n%s", err, r.Err(), r)
	}
	if !strings.Contains(r.String(), "connection ended") {
		t.Errorf("the report does not tell of ended connections:\n%s", r)
	}
}

// What cannot be verified is tried at the rate of the load, not faster.
func TestTheRateHoldsForVerifying(t *testing.T) {
	var requests atomic.Int32
	handler := tamper(newHandler(t), false, problem(429, "urn:keyhint:rate-limited"))
	o := newOptions(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		handler.ServeHTTP(w, r)
	}))
	o.Rate, o.IssueShare = 100, 0.1
	ctx, cancel := context.WithCancel(t.Context())
	o.Interval, o.Progress = time.Second, func(string) { cancel() }
	start := time.Now()
	r, err := bench.Run(ctx, o)
	if err != nil || r.Unverified == 0 {
		t.Fatal(err, r)
	}
	if n, most := int(requests.Load()), int(time.Since(start).Seconds()*float64(o.Rate))+2; n > most {
		t.Errorf("%d requests in %s, want at most %d", n, time.Since(start), most)
	}
}

func TestItEndsWithItsContext(t *testing.T) {
	o := newOptions(t, newHandler(t))
	o.Duration = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	o.Interval, o.Progress = 50*time.Millisecond, func(string) { cancel() }
	r, err := bench.Run(ctx, o)
	if err != nil || r.Err() != nil || r.Took > time.Minute || r.Both.Count() == 0 {
		t.Error(err, r)
	}
}

// A server that never answers again does not keep it from ending.
func TestItEndsWithItsContextAlthoughNobodyAnswers(t *testing.T) {
	var requests atomic.Int32
	handler, hang := newHandler(t), make(chan struct{})
	o := newOptions(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) > 20 {
			<-hang
		}
		handler.ServeHTTP(w, r)
	}))
	defer close(hang)
	o.Duration = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	o.Interval, o.Progress = 50*time.Millisecond, func(string) { cancel() }
	r, err := bench.Run(ctx, o)
	if err != nil || r.Took > time.Minute || r.Unsent == 0 {
		t.Error(err, r)
	}
}

func TestOptionsAreBounded(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*bench.Options)
		says   string
	}{
		"no scheme":       {func(o *bench.Options) { o.Target.URL = parse(t, "127.0.0.1/v1/key") }, "http://"},
		"another scheme":  {func(o *bench.Options) { o.Target.URL = parse(t, "ftp://127.0.0.1/v1/key") }, "http://"},
		"no host":         {func(o *bench.Options) { o.Target.URL = parse(t, "http:///v1/key") }, "host"},
		"no path":         {func(o *bench.Options) { o.Target.URL = parse(t, "http://127.0.0.1:8080") }, "/v1/key"},
		"a password":      {func(o *bench.Options) { o.Target.URL = parse(t, "http://me:secret@127.0.0.1/v1/key") }, "user name"},
		"a fragment":      {func(o *bench.Options) { o.Target.URL = parse(t, "http://127.0.0.1/v1/key#secret") }, "fragment"},
		"another machine": {func(o *bench.Options) { o.Target.URL = parse(t, "https://keys.example.com/v1/key") }, "loopback"},
		"a name like it":  {func(o *bench.Options) { o.Target.URL = parse(t, "http://localhost.example.com/v1/key") }, "loopback"},
		"a token in the open": {func(o *bench.Options) {
			o.Target = bench.Target{URL: parse(t, "http://192.0.2.1/v1/key"), AnyHost: true, Token: "secret"}
		}, "https"},
		"a token of lines": {func(o *bench.Options) { o.Target.Token = "secret\r\nX: y" }, "token"},
		"a long document":  {func(o *bench.Options) { o.Document = strings.Repeat("x", 1025) }, "1024"},
		"rate 0":           {func(o *bench.Options) { o.Rate = 0 }, "100000"},
		"a high rate":      {func(o *bench.Options) { o.Rate = 100_001 }, "100000"},
		"no connection":    {func(o *bench.Options) { o.Connections = 0 }, "1000"},
		"many connections": {func(o *bench.Options) { o.Connections = 1001 }, "1000"},
		"no time":          {func(o *bench.Options) { o.Duration = 0 }, "1h"},
		"a long time":      {func(o *bench.Options) { o.Duration = time.Hour + 1 }, "1h"},
		"no time for one":  {func(o *bench.Options) { o.Rate, o.Duration = 1, time.Second/2 }, "too short"},
		"a negative share": {func(o *bench.Options) { o.IssueShare = -0.1 }, "0.5"},
		"a high share":     {func(o *bench.Options) { o.IssueShare = 0.51 }, "0.5"},
	} {
		o := newOptions(t, http.NotFoundHandler())
		c.change(&o)
		_, err := bench.Run(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: error %v, which should tell of %s", name, err, c.says)
		}
	}
}

func TestTLSIsVerified(t *testing.T) {
	server := httptest.NewTLSServer(newHandler(t))
	t.Cleanup(server.Close)
	o := newOptions(t, http.NotFoundHandler())
	o.Target.URL = parse(t, server.URL+"/v1/key")
	if _, err := bench.Run(t.Context(), o); !errors.As(err, new(x509.UnknownAuthorityError)) {
		t.Errorf("a certificate of nobody: %v", err)
	}
	o.Target.RootCAs = x509.NewCertPool()
	o.Target.RootCAs.AddCert(server.Certificate())
	if r, err := bench.Run(t.Context(), o); err != nil || r.Err() != nil {
		t.Error(err, r)
	}
}
