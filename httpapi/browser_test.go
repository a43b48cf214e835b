package httpapi_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/golang-jwt/jwt/v5"

	"keyhint/httpapi"
	"keyhint/httpapi/access"
	"keyhint/httpapi/browsertest"
	"keyhint/httpapi/cors"
	"keyhint/httpapi/ratelimit"
)

// Hosts of the tests with a browser, which resolves all of them to this machine.
// It takes *.localhost for secure, as it takes HTTPS, and what stands before
// .localhost for a site: the first three are of one site, so that they share
// cookies, and no two are of one origin.
const (
	listedHost    = "app.example.localhost"
	keysHost      = "keys.example.localhost"
	neighbourHost = "blog.example.localhost"
	strangerHost  = "evil.localhost"
)

// browser is a Chromium with an empty profile and one tab.
type browser struct {
	testing.TB
	tab context.Context
}

func newBrowser(t testing.TB) browser {
	t.Helper()
	return browser{t, browsertest.NewTab(t)}
}

// in is the browser within a subtest.
func (b browser) in(t testing.TB) browser { return browser{t, b.tab} }

func (b browser) visit(page string) {
	b.Helper()
	if err := chromedp.Do(b.tab, chromedp.Navigate(page)); err != nil {
		b.Fatalf("opening %s: %v", page, err)
	}
}

// seen is what a page sees of an answer.
type seen struct {
	Error      string // of fetch; then there is nothing else
	Status     int
	Body       struct{ Key, KeyHint, Type string }
	RetryAfter string
	RequestID  string
	Unexposed  string // a header that pages must not see
}

func (s seen) session(t testing.TB) session {
	t.Helper()
	if s.Status != http.StatusOK || !keyForm.MatchString(s.Body.Key) || !hintForm.MatchString(s.Body.KeyHint) {
		t.Fatalf("the page sees no key: %+v", s)
	}
	return session{s.Body.Key, s.Body.KeyHint}
}

func (s seen) wants(t testing.TB, k kind) {
	t.Helper()
	if s.Error != "" || s.Status != k.status || s.Body.Type != k.urn || s.RetryAfter != k.retryAfter || !requestIDForm.MatchString(s.RequestID) || s.Body.Key != "" {
		t.Errorf("the page sees %+v, want %+v and a request id", s, k)
	}
}

func (s seen) wantsNothing(t testing.TB) {
	t.Helper()
	if s != (seen{Error: "TypeError"}) {
		t.Errorf("the page sees %+v, want nothing", s)
	}
}

// fetchScript evaluates to what a page sees of the answer to a fetch.
const fetchScript = `(async (url, init) => {
	try {
		const response = await fetch(url, init);
		const header = name => response.headers.get(name) ?? '';
		return {
			status: response.status, body: await response.json(),
			retryAfter: header('Retry-After'), requestId: header('X-Request-Id'), unexposed: header('X-Content-Type-Options'),
		};
	} catch (error) {
		return { error: error.name };
	}
})`

// fetch has the page send a request. init is written in JavaScript.
func (b browser) fetch(url, init string) seen {
	b.Helper()
	return evaluate[seen](b, fmt.Sprintf(`%s(%q, %s)`, fetchScript, url, init))
}

func evaluate[T any](b browser, script string) T {
	b.Helper()
	result, err := chromedp.Run(b.tab, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		b.Fatalf("%v, running %s", err, script)
	}
	return result
}

// asTinyMCE is the request as TinyMCE's examples send it: with the page's
// cookies, and without a type.
func asTinyMCE(documentID string, hint any) string {
	body, err := json.Marshal(map[string]any{"documentId": documentID, "keyHint": hint})
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(`{method: 'POST', credentials: 'include', body: %q}`, body)
}

// deployment is an application with a session cookie, whose pages stand on all
// hosts, and an endpoint that asks it.
type deployment struct {
	pages   *httptest.Server
	keysURL string

	mutex    sync.Mutex
	requests []*http.Request // that reached the endpoint
	statuses []int
	changed  chan struct{} // closed when there is another request
	asked    int           // how often the application was asked for a decision
}

func (d *deployment) page(host string) string {
	_, port, _ := strings.Cut(strings.TrimPrefix(d.pages.URL, "http://"), ":")
	return "http://" + host + ":" + port
}

// newDeployment serves an application with the documents doc-1 of alice and
// bob, and doc-2 of alice, and an endpoint for it in mode forward unless the
// adjustments say otherwise.
func newDeployment(t testing.TB, adjust ...func(*httpapi.Config)) *deployment {
	t.Helper()
	d := &deployment{changed: make(chan struct{})}
	users := make(map[string]string) // by session
	app := http.NewServeMux()
	app.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		io.WriteString(w, "<!DOCTYPE html><title>page</title>")
	})
	app.HandleFunc("GET /login/{user}", func(w http.ResponseWriter, r *http.Request) {
		id := rand.Text()
		d.mutex.Lock()
		users[id] = r.PathValue("user")
		d.mutex.Unlock()
		// The cookie with which most depends on the endpoint: browsers send it from everywhere.
		http.SetCookie(w, &http.Cookie{Name: "session", Value: id, Domain: "example.localhost", Path: "/", HttpOnly: true, Secure: true, SameSite: http.SameSiteNoneMode})
	})
	app.HandleFunc("POST /may-open", func(w http.ResponseWriter, r *http.Request) {
		user := ""
		d.mutex.Lock()
		d.asked++
		if cookie, err := r.Cookie("session"); err == nil {
			user = users[cookie.Value]
		}
		d.mutex.Unlock()
		if user == "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		var question struct{ DocumentID string }
		if err := json.NewDecoder(r.Body).Decode(&question); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"allow": %t}`, question.DocumentID == "doc-1" || question.DocumentID == "doc-2" && user == "alice")
	})
	d.pages = httptest.NewServer(app)
	t.Cleanup(d.pages.Close)

	forward, err := access.NewForward(access.ForwardConfig{URL: d.pages.URL + "/may-open", Timeout: 10 * time.Second, MaxConcurrent: 4})
	if err != nil {
		t.Fatal(err)
	}
	policy, err := cors.New([]string{d.page(listedHost)}, true)
	if err != nil {
		t.Fatal(err)
	}
	inMode := func(c *httpapi.Config) { c.Access, c.CORS = forward, policy }
	endpoint := httpapi.New(newConfig(t, append([]func(*httpapi.Config){inMode}, adjust...)...))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := &statusWriter{ResponseWriter: w}
		endpoint.ServeHTTP(status, r)
		d.mutex.Lock()
		defer d.mutex.Unlock()
		d.requests, d.statuses = append(d.requests, r), append(d.statuses, status.status)
		close(d.changed)
		d.changed = make(chan struct{})
	}))
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	d.keysURL = "http://" + keysHost + ":" + u.Port() + path
	return d
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// arrived waits until n requests have been answered since the last call, and
// returns them with their statuses. There must be no more.
func (d *deployment) arrived(t testing.TB, n int) (requests []*http.Request, statuses []int) {
	t.Helper()
	for timeout := time.After(browsertest.Timeout); ; {
		d.mutex.Lock()
		if len(d.requests) >= n {
			defer d.mutex.Unlock()
			requests, statuses = d.requests, d.statuses
			d.requests, d.statuses = nil, nil
			if len(requests) > n {
				t.Errorf("%d requests reached the endpoint, want %d", len(requests), n)
			}
			return requests, statuses
		}
		changed := d.changed
		d.mutex.Unlock()
		select {
		case <-changed:
		case <-timeout:
			t.Fatalf("no %d requests reached the endpoint", n)
		}
	}
}

// decisions are how often the application was asked since the last call.
func (d *deployment) decisions() int {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	n := d.asked
	d.asked = 0
	return n
}

func TestBrowserGivesKeysToPagesOfAListedOrigin(t *testing.T) {
	b := newBrowser(t)
	d := newDeployment(t)
	b.visit(d.page(listedHost))
	unauthenticated := kind{401, "urn:keyhint:unauthenticated", ""}
	b.fetch(d.keysURL, asTinyMCE("doc-1", nil)).wants(t, unauthenticated)
	d.arrived(t, 1)

	b.visit(d.page(listedHost) + "/login/alice")
	b.visit(d.page(listedHost))
	issued := b.fetch(d.keysURL, asTinyMCE("doc-2", nil)).session(t)
	requests, _ := d.arrived(t, 1)
	for name, want := range map[string]string{"Content-Type": "text/plain;charset=UTF-8", "Origin": d.page(listedHost), "Sec-Fetch-Site": "same-site"} {
		if got := requests[0].Header.Get(name); requests[0].Method != http.MethodPost || got != want {
			t.Errorf("the browser sends %s with %s %q, want %q", requests[0].Method, name, got, want)
		}
	}
	if again := b.fetch(d.keysURL, asTinyMCE("doc-2", issued.KeyHint)).session(t); again != issued {
		t.Errorf("the hint gives %v, want %v", again, issued)
	}
	// The cookie goes along if the page says so, and not otherwise.
	b.fetch(d.keysURL, strings.Replace(asTinyMCE("doc-2", nil), "'include'", "'omit'", 1)).wants(t, unauthenticated)

	b.visit(d.page(listedHost) + "/login/bob")
	b.visit(d.page(listedHost))
	b.fetch(d.keysURL, asTinyMCE("doc-1", nil)).session(t)
	b.fetch(d.keysURL, asTinyMCE("doc-2", issued.KeyHint)).wants(t, accessDenied)
}

// A page that has no business here has the browser send the user's cookie, in
// every way that needs no preflight. It sees nothing, and it also does nothing:
// the application is not asked.
func TestBrowserGivesNothingToPagesOfOtherOrigins(t *testing.T) {
	b := newBrowser(t)
	d := newDeployment(t)
	b.visit(d.page(listedHost) + "/login/alice")
	b.visit(d.page(listedHost))
	issued := b.fetch(d.keysURL, asTinyMCE("doc-1", nil)).session(t)
	d.arrived(t, 1)
	if d.decisions() != 1 {
		t.Fatal("the cookie opens nothing, so that its absence proves nothing")
	}
	for _, origin := range []string{d.page(neighbourHost), d.page(strangerHost), strings.Replace(d.pages.URL, "127.0.0.1", "localhost", 1)} {
		refused := func(what string) {
			t.Helper()
			requests, statuses := d.arrived(t, 1)
			if requests[0].Method != http.MethodPost || requests[0].Header.Get("Cookie") == "" {
				t.Errorf("%s from %s does not put it to the test: %s %v", what, origin, requests[0].Method, requests[0].Header)
			}
			if statuses[0] != http.StatusForbidden || d.decisions() > 0 {
				t.Errorf("%s from %s has status %d", what, origin, statuses[0])
			}
		}
		b.visit(origin)
		for _, hint := range []any{nil, issued.KeyHint} {
			b.fetch(d.keysURL, asTinyMCE("doc-1", hint)).wantsNothing(t)
			refused("fetch")
		}
		evaluate[string](b, fmt.Sprintf(`fetch(%q, {...%s, mode: 'no-cors'}).then(answer => answer.type)`, d.keysURL, asTinyMCE("doc-1", nil)))
		refused("fetch without CORS")
		evaluate[bool](b, fmt.Sprintf(`navigator.sendBeacon(%q, '{"documentId":"doc-1","keyHint":null}')`, d.keysURL))
		refused("beacon")
		evaluate[bool](b, fmt.Sprintf(`(() => {
			document.body.innerHTML = '<iframe name="answer"></iframe><form method="post" enctype="text/plain" target="answer"><input>';
			const form = document.forms[0];
			form.action = %q;
			form[0].name = '{"documentId":"doc-1","keyHint":null,"x":"';
			form[0].value = '"}';
			form.submit();
			return true;
		})()`, d.keysURL))
		refused("form")
		sandboxed := evaluate[seen](b, fmt.Sprintf(`new Promise(resolve => {
			addEventListener('message', event => resolve(event.data));
			const frame = document.createElement('iframe');
			frame.sandbox = 'allow-scripts';
			frame.srcdoc = '<script>' + %q + '.then(answer => parent.postMessage(answer, "*"))</' + 'script>';
			document.body.append(frame);
		})`, fmt.Sprintf(`%s(%q, %s)`, fetchScript, d.keysURL, asTinyMCE("doc-1", nil))))
		sandboxed.wantsNothing(t)
		refused("fetch in a sandbox")

		// Without the cookie, the request is like anyone's, and the page still sees nothing.
		b.fetch(d.keysURL, strings.Replace(asTinyMCE("doc-1", nil), "'include'", "'omit'", 1)).wantsNothing(t)
		if _, statuses := d.arrived(t, 1); statuses[0] != http.StatusUnauthorized {
			t.Errorf("without credentials, from %s: status %d", origin, statuses[0])
		}
		// With a header that needs a preflight, the request is not even sent.
		b.fetch(d.keysURL, `{method: 'POST', headers: {Authorization: 'Bearer x'}, body: '{}'}`).wantsNothing(t)
		if requests, _ := d.arrived(t, 1); requests[0].Method != http.MethodOptions {
			t.Errorf("%s arrives from %s without a preflight", requests[0].Method, origin)
		}
	}
}

func TestBrowserSendsOnePreflightForManyTokens(t *testing.T) {
	b := newBrowser(t)
	m := newMinter(t)
	tokens, err := access.NewTokens(tokenConfig(t, m))
	if err != nil {
		t.Fatal(err)
	}
	d := newDeployment(t, func(c *httpapi.Config) { c.Access = tokens })
	b.visit(d.page(listedHost))
	ask := func(subject, contentType string, hint any) session {
		t.Helper()
		token := sign(t, jwt.SigningMethodES256, m.p256, `{"alg":"ES256"}`, claimsWith(map[string]any{"sub": subject}))
		init := fmt.Sprintf(`{...%s, headers: {'Authorization': 'Bearer %s', 'Content-Type': '%s'}}`, asTinyMCE("doc-1", hint), token, contentType)
		return b.fetch(d.keysURL, init).session(t)
	}
	issued := ask("alice", "application/json", nil)
	for _, subject := range []string{"alice", "bob"} {
		if again := ask(subject, "text/plain", issued.KeyHint); again != issued {
			t.Errorf("the hint gives %s %v, want %v", subject, again, issued)
		}
	}
	requests, _ := d.arrived(t, 4)
	var methods []string
	for _, r := range requests {
		methods = append(methods, r.Method)
	}
	if !slices.Equal(methods, []string{"OPTIONS", "POST", "POST", "POST"}) {
		t.Errorf("the browser sends %q", methods)
	}
	if requests[0].Header.Get("Authorization") != "" || requests[0].Header.Get("Cookie") != "" {
		t.Error("the preflight has credentials, so that it does not show that it needs none")
	}
}

func TestBrowserLetsPagesReadRefusals(t *testing.T) {
	b := newBrowser(t)
	d := newDeployment(t)
	limited := newDeployment(t, func(c *httpapi.Config) {
		c.PerAddress = ratelimit.New(ratelimit.Limit{Events: 1, Per: time.Hour}, 10, func() time.Time { return noon })
	}, func(c *httpapi.Config) { c.CORS, _ = cors.New([]string{d.page(listedHost)}, true) })
	b.visit(d.page(listedHost) + "/login/alice")
	b.visit(d.page(listedHost))
	issued := b.fetch(d.keysURL, asTinyMCE("doc-1", nil))
	if issued.Unexposed != "" || !requestIDForm.MatchString(issued.RequestID) {
		t.Errorf("the page sees the headers %+v", issued)
	}
	hint := issued.session(t).KeyHint
	unauthenticated, rateLimited := kind{401, "urn:keyhint:unauthenticated", ""}, kind{429, "urn:keyhint:rate-limited", "3600"}
	for _, c := range []struct {
		init string
		kind kind
	}{
		{asTinyMCE("doc-3", nil), accessDenied},
		{asTinyMCE("doc-3", hint), accessDenied},
		{asTinyMCE("doc-2", hint), hintMismatch},
		{asTinyMCE("doc-1", strings.Replace(hint, "kh1.1-", "kh1.2-", 1)), versionUnknown},
		{asTinyMCE("doc-1", otherFingerprint(hint)), keyUnavailable},
		{asTinyMCE("", nil), malformedRequest},
		{`{method: 'POST', credentials: 'include', body: 'keyHint=&documentId=doc-1'}`, malformedRequest},
		{`{method: 'POST', credentials: 'include', body: new URLSearchParams({documentId: 'doc-1'})}`, unsupportedMediaType},
		{`{method: 'POST', credentials: 'include', body: 'x'.repeat(17000)}`, bodyTooLarge},
		{`{method: 'POST', body: '{"documentId":"doc-1","keyHint":null}'}`, unauthenticated},
		{`{credentials: 'include'}`, methodNotAllowed},
	} {
		t.Run(fmt.Sprint(c.kind), func(t *testing.T) { b.in(t).fetch(d.keysURL, c.init).wants(t, c.kind) })
	}
	b.fetch(limited.keysURL, asTinyMCE("doc-1", nil)).wants(t, unauthenticated) // another application's cookie
	b.fetch(limited.keysURL, asTinyMCE("doc-1", nil)).wants(t, rateLimited)
}
