package httpapi_test

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"keyhint/derive"
	"keyhint/httpapi"
)

// canary stands wherever a request has room for text of the client's choice.
const canary = "canary7f3a91"

// refusal is a request that must be answered with a kind of problem.
type refusal struct {
	name    string
	kind    kind
	adjust  []func(*httpapi.Config)
	request func(e endpoint) *http.Request
}

func postBody(body string) func(endpoint) *http.Request {
	return func(e endpoint) *http.Request { return e.newRequest(http.MethodPost, path, strings.NewReader(body)) }
}

func send(method, target string) func(endpoint) *http.Request {
	return func(e endpoint) *http.Request { return e.newRequest(method, target, nil) }
}

// resolving posts a hint for canary's document.
func resolving(hint string) func(endpoint) *http.Request {
	return postBody(`{"documentId":"` + canary + `","keyHint":"` + hint + `"}`)
}

// refusals has at least one request for every row of the table in DESIGN
// section 5 that any caller can bring about.
func refusals(t testing.TB) []refusal {
	entry, stranger := newEntry(t, 1), newEntry(t, 1)
	issued := func(e derive.Entry, documentID string) string {
		_, hint, err := newKeyring(t, e).Issue(derive.Document{Namespace: "tenant", ID: documentID}, noon, newConfig(t).Random)
		if err != nil {
			t.Fatal(err)
		}
		return hint.String()
	}
	hint := issued(entry, canary)
	ring := func(entries ...derive.Entry) []func(*httpapi.Config) {
		return []func(*httpapi.Config){withRing(newKeyring(t, entries...))}
	}
	issuing := postBody(`{"documentId":"` + canary + `","keyHint":null}`)
	return []refusal{
		{"body that is not JSON", malformedRequest, nil, postBody(canary)},
		{"body that is not an object", malformedRequest, nil, postBody(`["` + canary + `"]`)},
		{"no keyHint", malformedRequest, nil, postBody(`{"documentId":"` + canary + `"}`)},
		{"no documentId", malformedRequest, nil, postBody(`{"keyHint":null,"` + canary + `":1}`)},
		{"documentId too long", malformedRequest, nil, postBody(`{"keyHint":null,"documentId":"` + canary + strings.Repeat("x", 1024) + `"}`)},
		{"Host that is not loopback", accessDenied, []func(*httpapi.Config){withLoopbackHost}, func(e endpoint) *http.Request {
			r := issuing(e)
			r.Host = canary + ".example"
			return r
		}},
		{"malformed hint", hintMismatch, nil, resolving(canary)},
		{"hint of another document", hintMismatch, ring(entry), resolving(issued(entry, "another"))},
		{"hint of a disabled entry", keyUnavailable, ring(with(entry, derive.Disabled)), resolving(hint)},
		{"hint of a destroyed entry", keyUnavailable, ring(with(entry, derive.Destroyed)), resolving(hint)},
		{"hint of another fingerprint", keyUnavailable, ring(stranger), resolving(hint)},
		{"expired hint", hintExpired, append(ring(entry), func(c *httpapi.Config) {
			c.MaxAge = time.Hour
			c.Now = func() time.Time { return noon.Add(time.Hour + time.Millisecond) }
		}), resolving(hint)},
		{"hint of an unknown version", versionUnknown, ring(entry), resolving(strings.Replace(hint, "kh1.1-", "kh1.2-", 1))},
		{"body too large", bodyTooLarge, nil, postBody(canary + strings.Repeat(" ", 16<<10))},
		{"content type", unsupportedMediaType, nil, func(e endpoint) *http.Request {
			r := issuing(e)
			r.Header.Set("Content-Type", "text/"+canary)
			return r
		}},
		{"nothing issues", unavailable, ring(with(entry, derive.ResolveOnly)), issuing},
		{"other path", notFound, nil, send(http.MethodPost, "/"+canary)},
		{"other method", methodNotAllowed, nil, send(http.MethodGet, path+"?"+canary)},
		{"no randomness", internalError, []func(*httpapi.Config){func(c *httpapi.Config) {
			c.Random = iotest.ErrReader(errors.New(canary))
		}}, issuing},
	}
}

func TestEveryRefusalIsAProblemWithFixedText(t *testing.T) {
	for _, r := range refusals(t) {
		t.Run(r.name, func(t *testing.T) {
			e := newEndpoint(t, r.adjust...)
			ask := func(target string) answer {
				request := r.request(e)
				request.Header.Set("X-Request-Id", target)
				request.Header.Set("X-Forwarded-For", target)
				return e.do(request)
			}
			first, second := ask(canary), ask(canary+"-again")
			first.wants(t, r.kind)
			second.wants(t, r.kind)
			if string(first.body) != string(second.body) {
				t.Errorf("two answers to one request differ: %s, %s", first.body, second.body)
			}
			if a, b := first.header.Get("X-Request-Id"), second.header.Get("X-Request-Id"); a == b {
				t.Errorf("two requests have the id %s", a)
			}
			var all strings.Builder
			first.header.Write(&all)
			all.Write(first.body)
			if strings.Contains(strings.ToLower(all.String()), canary) {
				t.Errorf("the answer repeats the request:\n%s", &all)
			}
			if got, want := first.header.Values("Allow"), []string{"OPTIONS, POST"}; r.kind == methodNotAllowed && !slices.Equal(got, want) {
				t.Errorf("Allow is %q, want %q", got, want)
			}
			if cookie := first.header.Values("Set-Cookie"); len(cookie) > 0 {
				t.Errorf("the answer sets cookies: %q", cookie)
			}
		})
	}
}

// TestServedSurface asks with every method for the endpoint and for paths close to it.
func TestServedSurface(t *testing.T) {
	e := newEndpoint(t)
	methods := []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "post", "KEY"}
	endpoint := []string{path, path + "?documentId=a", path + "?"}
	others := []string{
		"/", "", path + "/", "/v1//key", "//v1/key", "/v1/./key", "/v1/../v1/key", "/v1/%6bey", "/v1%2fkey", "/V1/KEY", "/v1", "/v1/", "/v1/keys", "/v1/key;a=b",
		"/v2/key", "/key", "/livez", "/readyz", "/metrics", "/debug/pprof/", "/favicon.ico", "/*", "/:path",
	}
	for _, target := range slices.Concat(endpoint, others) {
		for _, method := range methods {
			want, allow := 404, ""
			if slices.Contains(endpoint, target) {
				want, allow = 405, "OPTIONS, POST"
			}
			switch {
			case method == "OPTIONS":
				want = 204 // a preflight, whatever for
			case method == "POST" && want == 405:
				want, allow = 200, ""
			}
			a := e.do(e.newRequest(method, target, strings.NewReader(`{"documentId":"a","keyHint":null}`)))
			if a.status != want {
				t.Errorf("%s %s has status %d, want %d", method, target, a.status, want)
			}
			if got := a.header.Get("Allow"); got != allow {
				t.Errorf("%s %s has Allow %q, want %q", method, target, got, allow)
			}
		}
	}
}

func TestEndpointIsServedUnderItsConfiguredPath(t *testing.T) {
	e := newEndpoint(t, func(c *httpapi.Config) { c.Path = "/rtc/encryption-key" })
	body := `{"documentId":"a","keyHint":null}`
	e.do(e.newRequest(http.MethodPost, "/rtc/encryption-key", strings.NewReader(body))).session(t)
	e.do(e.newRequest(http.MethodPost, path, strings.NewReader(body))).wants(t, notFound)
}

// TestOptionsOfTheWholeServerIsOurs guards against net/http, which would answer
// "OPTIONS *" by itself and without our headers.
func TestOptionsOfTheWholeServerIsOurs(t *testing.T) {
	address := serve(t, httpapi.New(newConfig(t)))
	a := raw(t, address, "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n")
	a.checkHeaders(t)
	if a.status != http.StatusNoContent || a.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("status %d, header %v", a.status, a.header)
	}
}

func TestHeadHasNoBody(t *testing.T) {
	e := newEndpoint(t)
	a := e.do(e.newRequest(http.MethodHead, path, nil))
	if a.status != http.StatusMethodNotAllowed || len(a.body) > 0 || a.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("status %d, header %v, body %q", a.status, a.header, a.body)
	}
}

// panicReader fails like a broken source of randomness.
type panicReader struct{ io.Reader }

func (panicReader) Read([]byte) (int, error) { panic("out of entropy " + canary) }

func TestPanicIsAnInternalErrorAndTheServerGoesOn(t *testing.T) {
	var log buffer
	entry := newEntry(t, 1)
	config := newConfig(t, withRing(newKeyring(t, entry)))
	hint := newEndpoint(t, withRing(config.Keyring)).issue(canary)
	e := newEndpoint(t, withRing(config.Keyring), withLog(&log, 0), func(c *httpapi.Config) { c.Random = panicReader{} })
	a := e.ask(canary, nil)
	a.wants(t, internalError)
	if strings.Contains(string(a.body), canary) {
		t.Errorf("the answer tells the cause: %s", a.body)
	}
	if again := e.resolve(canary, hint.KeyHint); again != hint {
		t.Error("another key after the panic")
	}
	records := log.records(t)
	if len(records) != 1 || records[0]["level"] != "ERROR" || records[0]["request_id"] != a.header.Get("X-Request-Id") {
		t.Fatalf("the log of one panic: %v", records)
	}
	if stack, _ := records[0]["stack"].(string); !strings.Contains(stack, "panicReader") {
		t.Errorf("the stack does not lead to the panic: %s", stack)
	}
	for _, secret := range secretsOf(entry, hint) {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log of a panic holds the secret %s", secret)
		}
	}
}
