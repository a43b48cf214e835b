package cors_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"keyhint/httpapi/cors"
)

const (
	listed  = "https://app.example.com"
	another = "http://localhost:3000"
)

var errRefused = errors.New("refused")

// serve runs an endpoint like keyhint's: the policy stands outside of all that
// refuses.
func serve(t *testing.T, credentials bool, origins ...string) *httptest.Server {
	t.Helper()
	policy, err := cors.New(origins, credentials)
	if err != nil {
		t.Fatal(err)
	}
	e := echo.New()
	e.HTTPErrorHandler = func(err error, c echo.Context) {
		status := http.StatusInternalServerError
		var routing *echo.HTTPError
		switch {
		case errors.Is(err, errRefused):
			status = http.StatusForbidden
		case errors.As(err, &routing):
			status = routing.Code
		}
		c.Response().Header().Set("Content-Type", "application/problem+json")
		c.Response().Header().Set("Retry-After", "5")
		c.Response().WriteHeader(status)
	}
	e.Use(policy.Middleware())
	e.Use(middleware.RecoverWithConfig(middleware.RecoverConfig{LogErrorFunc: func(_ echo.Context, err error, _ []byte) error { return err }}))
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if err := policy.Protect(c.Request()); err != nil {
				return errors.Join(errRefused, err)
			}
			if c.Request().Header.Get("Authorization") == "" && c.Request().Header.Get("Cookie") == "" {
				return echo.ErrUnauthorized
			}
			return next(c)
		}
	})
	e.POST("/v1/key", func(c echo.Context) error { return c.String(http.StatusOK, "key") })
	e.POST("/panic", func(echo.Context) error { panic("a fault") })
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	return server
}

// headers are pairs of names and values; those of one name are separate lines.
func do(t *testing.T, server *httptest.Server, method, path string, headers ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	for pair := range slices.Chunk(headers, 2) {
		req.Header.Add(pair[0], pair[1])
	}
	answer, err := server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
	return answer
}

// corsHeaders are the answer's headers that say something about origins, but Vary.
func corsHeaders(answer *http.Response) map[string]string {
	found := make(map[string]string)
	for name, values := range answer.Header {
		if rest, ok := strings.CutPrefix(name, "Access-Control-"); ok {
			found[rest] = strings.Join(values, "|")
		}
	}
	return found
}

// Texts that some software takes for the listed origin.
var lookAlikes = []string{
	"null", "", "*", "https://evil.example", "http://app.example.com", "https://app.example.com:8443", "https://app.example.com:443",
	"https://app.example.com/", "https://APP.example.com", "HTTPS://app.example.com", "https://app.example.com.", "https://appxexample.com",
	"https://app.example.com.evil.example", "https://evil.example/https://app.example.com", "https://xapp.example.com", "https://a.app.example.com",
	"https://example.com", "https://app.example.com@evil.example", "https://app.example.com https://evil.example", "https://app.example.com,https://evil.example",
	"https://app.example.com\t.evil.example", "app.example.com", "//app.example.com", "file://", "https://app.example.co", "https://app.example.comm",
}

// requests are of every kind, with the status that a listed origin gets.
var requests = []struct {
	name, method, path string
	headers            []string
	status             int
}{
	{"a key", "POST", "/v1/key", []string{"Authorization", "Bearer a"}, 200},
	{"no credentials", "POST", "/v1/key", nil, 401},
	{"a panic", "POST", "/panic", []string{"Authorization", "Bearer a"}, 500},
	{"an unknown path", "POST", "/nothing", []string{"Authorization", "Bearer a"}, 404},
	{"a method that is not served", "GET", "/v1/key", []string{"Authorization", "Bearer a"}, 405},
	{"a preflight", "OPTIONS", "/v1/key", []string{"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization"}, 204},
	{"a preflight of another method", "OPTIONS", "/v1/key", []string{"Access-Control-Request-Method", "DELETE"}, 204},
	{"a preflight of an unknown path", "OPTIONS", "/nothing", []string{"Access-Control-Request-Method", "POST"}, 204},
	{"OPTIONS that is no preflight", "OPTIONS", "/v1/key", nil, 204},
}

func TestEveryAnswerVariesByOrigin(t *testing.T) {
	for _, origins := range [][]string{nil, {listed}, {listed, another}} {
		for _, credentials := range []bool{false, true} {
			server := serve(t, credentials, origins...)
			for _, r := range requests {
				for _, origin := range append([]string{"none", listed}, lookAlikes...) {
					headers := r.headers
					if origin != "none" {
						headers = append([]string{"Origin", origin}, headers...)
					}
					answer := do(t, server, r.method, r.path, headers...)
					if !slices.Contains(answer.Header.Values("Vary"), "Origin") {
						t.Errorf("%s from %q to %q: Vary is %q", r.name, origin, origins, answer.Header.Values("Vary"))
					}
					if answer.StatusCode != r.status {
						t.Errorf("%s from %q to %q: status %d, want %d", r.name, origin, origins, answer.StatusCode, r.status)
					}
				}
			}
		}
	}
}

func TestListedOriginsMayReadEveryAnswer(t *testing.T) {
	for _, credentials := range []bool{false, true} {
		server := serve(t, credentials, listed, another)
		for _, origin := range []string{listed, another} {
			for _, r := range requests {
				want := map[string]string{"Allow-Origin": origin, "Expose-Headers": "Retry-After,X-Request-Id"}
				if r.method == http.MethodOptions {
					want = map[string]string{"Allow-Origin": origin, "Allow-Methods": "POST", "Allow-Headers": "content-type,authorization,x-request-id", "Max-Age": "7200"}
				}
				if credentials {
					want["Allow-Credentials"] = "true"
				}
				got := corsHeaders(do(t, server, r.method, r.path, append([]string{"Origin", origin}, r.headers...)...))
				for name := range want {
					if got[name] != want[name] {
						t.Errorf("%s from %s, credentials %t: %s is %q, want %q", r.name, origin, credentials, name, got[name], want[name])
					}
				}
				if len(got) != len(want) {
					t.Errorf("%s from %s, credentials %t: %q", r.name, origin, credentials, got)
				}
			}
		}
	}
}

func TestOtherOriginsAreServedWithoutHeaders(t *testing.T) {
	for _, credentials := range []bool{false, true} {
		server := serve(t, credentials, listed, another)
		none := serve(t, credentials)
		for _, r := range requests {
			for _, origin := range lookAlikes {
				answer := do(t, server, r.method, r.path, append([]string{"Origin", origin}, r.headers...)...)
				if got := corsHeaders(answer); len(got) > 0 || answer.StatusCode != r.status {
					t.Errorf("%s from %q: status %d, %q", r.name, origin, answer.StatusCode, got)
				}
			}
			if got := corsHeaders(do(t, none, r.method, r.path, append([]string{"Origin", listed}, r.headers...)...)); len(got) > 0 {
				t.Errorf("%s with no origins listed: %q", r.name, got)
			}
			if got := corsHeaders(do(t, server, r.method, r.path, r.headers...)); len(got) > 0 {
				t.Errorf("%s without Origin: %q", r.name, got)
			}
		}
	}
}

func TestTwoOriginsNeverGetASecondOnesAnswer(t *testing.T) {
	server := serve(t, true, listed)
	answer := do(t, server, "POST", "/v1/key", "Authorization", "Bearer a", "Origin", "https://evil.example", "Origin", listed)
	if got := corsHeaders(answer); len(got) > 0 {
		t.Errorf("%q", got)
	}
}

// TestCookiesOfOtherOriginsAreRefused sends what browsers send: Sec-Fetch-Site
// over HTTPS, only Origin over plain HTTP.
func TestCookiesOfOtherOriginsAreRefused(t *testing.T) {
	for _, c := range []struct {
		name    string
		headers []string
		refused bool // if there is a cookie
	}{
		{"no browser", nil, false},
		{"the same origin", []string{"Sec-Fetch-Site", "same-origin", "Origin", "https://keys.example.com"}, false},
		{"the address bar", []string{"Sec-Fetch-Site", "none"}, false},
		{"a listed origin", []string{"Sec-Fetch-Site", "cross-site", "Origin", listed}, false},
		{"a listed origin of the same site", []string{"Sec-Fetch-Site", "same-site", "Origin", listed}, false},
		{"another listed origin", []string{"Sec-Fetch-Site", "cross-site", "Origin", another}, false},
		{"a listed origin, plain HTTP", []string{"Origin", listed}, false},
		{"another origin", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, true},
		{"another origin of the same site", []string{"Sec-Fetch-Site", "same-site", "Origin", "https://evil.example.com"}, true},
		{"another origin, plain HTTP", []string{"Origin", "https://evil.example"}, true},
		{"a sandboxed frame", []string{"Sec-Fetch-Site", "cross-site", "Origin", "null"}, true},
		{"a sandboxed frame, plain HTTP", []string{"Origin", "null"}, true},
		{"a page that hides its origin", []string{"Sec-Fetch-Site", "cross-site"}, true},
		{"an unknown value", []string{"Sec-Fetch-Site", "Same-Origin", "Origin", "https://evil.example"}, true},
		{"a listed origin in other case", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://APP.example.com"}, true},
		{"a listed origin with a slash", []string{"Sec-Fetch-Site", "cross-site", "Origin", listed + "/"}, true},
	} {
		for _, credentials := range []bool{false, true} {
			server := serve(t, credentials, listed, another)
			for cookie, refused := range map[string]bool{"session=1": c.refused, "": c.refused, "none": false} {
				headers := append([]string{"Authorization", "Bearer a"}, c.headers...)
				if cookie != "none" {
					headers = append(headers, "Cookie", cookie)
				}
				want := http.StatusOK
				if refused {
					want = http.StatusForbidden
				}
				if answer := do(t, server, "POST", "/v1/key", headers...); answer.StatusCode != want {
					t.Errorf("%s, cookie %q: status %d, want %d", c.name, cookie, answer.StatusCode, want)
				}
			}
		}
	}
}

func TestPageOfTheServersOwnHostKeepsItsCookies(t *testing.T) {
	server := serve(t, false)
	for _, c := range []struct {
		origin string
		status int
	}{{server.URL, 200}, {strings.Replace(server.URL, "http:", "https:", 1), 200}, {"http://127.0.0.1:1", 403}} {
		if answer := do(t, server, "POST", "/v1/key", "Cookie", "session=1", "Origin", c.origin); answer.StatusCode != c.status {
			t.Errorf("from %s: status %d, want %d", c.origin, answer.StatusCode, c.status)
		}
	}
}

func TestRefusedCookieTellsTheCauseAndListedPagesMayReadRefusals(t *testing.T) {
	policy, err := cors.New([]string{listed}, true)
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequest(http.MethodPost, "/v1/key", nil)
	req.Header.Set("Cookie", "session=1")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	if err := policy.Protect(req); err == nil || !strings.Contains(err.Error(), "cross-origin") {
		t.Errorf("the cause is %v", err)
	}
	answer := do(t, serve(t, true, listed), "POST", "/v1/key", "Origin", listed)
	if answer.StatusCode != http.StatusUnauthorized || answer.Header.Get("Access-Control-Allow-Origin") != listed ||
		!strings.Contains(answer.Header.Get("Access-Control-Expose-Headers"), "Retry-After") || answer.Header.Get("Retry-After") != "5" {
		t.Errorf("status %d, %q", answer.StatusCode, answer.Header)
	}
}
