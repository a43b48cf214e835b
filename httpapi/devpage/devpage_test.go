package devpage_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"keyhint/config"
	"keyhint/httpapi/devpage"
	"keyhint/httpapi/service"
)

// scratch is a folder for what all tests share.
var scratch string

// TestMain keeps the caller's settings out of the tests.
func TestMain(m *testing.M) {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "KEYHINT_") && name != requireAll && name != screenshots {
			os.Unsetenv(name)
		}
	}
	var err error
	if scratch, err = os.MkdirTemp("", "keyhint-devpage"); err != nil {
		panic(err)
	}
	code := m.Run()
	os.RemoveAll(scratch)
	os.Exit(code)
}

// patience bounds every wait.
const patience = 20 * time.Second

// inProcess is a service in this process, with the page, as "keyhint dev" runs it.
type inProcess struct {
	*testing.T
	file, url string
	log       *logBuffer
}

type logBuffer struct {
	mutex sync.Mutex
	text  strings.Builder
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	return b.text.String()
}

// serve runs the service with a file that "keyhint dev" has made, changed by
// replacing pairs of texts.
func serve(t *testing.T, replace ...string) *inProcess {
	t.Helper()
	s := &inProcess{T: t, file: filepath.Join(t.TempDir(), "keyhint.dev.yaml"), log: new(logBuffer)}
	if err := config.CreateDevFile(s.file, time.Now(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	s.edit(append([]string{"127.0.0.1:8080", "127.0.0.1:0"}, replace...)...)
	c, err := config.Load(s.file, nil)
	if err != nil {
		t.Fatal(err)
	}
	page, err := devpage.New(devpage.Options{Client: os.DirFS("../.."), Now: time.Now, Random: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	listening, ended := make(chan net.Addr, 1), make(chan error, 1)
	go func() {
		ended <- service.Run(ctx, service.Options{
			Config: c, Page: page, Now: time.Now, Level: new(slog.LevelVar), Log: slog.New(slog.NewTextHandler(s.log, nil)),
			Listening: func(address net.Addr) { listening <- address },
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case address := <-listening:
		s.url = "http://" + address.String()
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	return s
}

func (s *inProcess) edit(replace ...string) {
	s.Helper()
	text, err := os.ReadFile(s.file)
	if err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(s.file, []byte(strings.NewReplacer(replace...).Replace(string(text))), 0o600); err != nil {
		s.Fatal(err)
	}
}

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   string
}

// send sends a request with headers as pairs; that of Host goes where it belongs.
func (s *inProcess) send(method, path, body string, headers ...string) answer {
	s.Helper()
	request, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	for pair := range slices.Chunk(headers, 2) {
		request.Header.Set(pair[0], pair[1])
		if pair[0] == "Host" {
			request.Host = pair[1]
		}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(text)}
}

// ring is the ring in force, as the page gets it.
func (s *inProcess) ring() config.KeyringDescription {
	s.Helper()
	var description struct{ Ring config.KeyringDescription }
	a := s.send("GET", "/@dev/ring", "")
	if err := json.Unmarshal([]byte(a.body), &description); err != nil || a.status != http.StatusOK {
		s.Fatalf("the ring: %d %s: %v", a.status, a.body, err)
	}
	return description.Ring
}

// until waits for something to come true.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after %v", what, patience)
		}
	}
}

const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self'; " +
	"frame-ancestors 'self'; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

func TestEveryFileIsServedAndKeptToThePage(t *testing.T) {
	s := serve(t)
	assets, err := filepath.Glob("assets/*")
	if err != nil || len(assets) < 15 {
		t.Fatal(assets, err)
	}
	wants := map[string]string{"/@dev/client/keyhint.js": "../../client/keyhint.js", "/@dev/client/aes.js": "../../client/aes.js"}
	for _, file := range assets {
		wants["/@dev/"+filepath.Base(file)] = file
	}
	wants["/"] = wants["/@dev/page.html"]
	delete(wants, "/@dev/page.html")
	types := map[string]string{".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	for path, file := range wants {
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		a := s.send("GET", path, "")
		if a.status != http.StatusOK || a.body != string(want) {
			t.Errorf("%s: %d with %d bytes, want %d", path, a.status, len(a.body), len(want))
		}
		for name, want := range map[string]string{
			"Content-Type":                 types[filepath.Ext(file)],
			"Content-Security-Policy":      policy,
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Referrer-Policy":              "no-referrer",
			"X-Content-Type-Options":       "nosniff",
			"Cache-Control":                "no-store",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
}

// What the policy forbids is not there to begin with, and nothing comes from elsewhere.
func TestNothingIsInlineOrExternal(t *testing.T) {
	files, err := filepath.Glob("assets/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(data), "http://www.w3.org/2000/svg", "")
		for _, forbidden := range []string{"http:", "https:", "<style", " style=", "onclick=\"", "javascript:", "innerHTML", "eval(", "@import", "url("} {
			if strings.Contains(text, forbidden) {
				t.Errorf("%s has %q", file, forbidden)
			}
		}
	}
}

func TestTheEndpointIsAsWithoutThePage(t *testing.T) {
	s := serve(t, "cors:", "path: /keys/new\n  cors:")
	issued := s.send("POST", "/keys/new", `{"documentId":"d","keyHint":null}`)
	if issued.status != http.StatusOK || issued.header.Get("Content-Security-Policy") != "" {
		t.Errorf("%+v", issued)
	}
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/keys/new", 405}, {"POST", "/v1/key", 404}, {"POST", "/", 405}, {"GET", "/nowhere", 404}, {"GET", "/@dev", 404},
		{"GET", "/@dev/", 404}, {"GET", "/@dev/page.html", 404}, {"GET", "/@dev/../main.go", 404}, {"GET", "/@dev/client/package.json", 404},
		{"GET", "/@dev/versions", 405}, {"GET", "/@dev/status", 405}, {"POST", "/@dev/ring", 405},
	} {
		a := s.send(c.method, c.path, "")
		if a.status != c.status || a.header.Get("Content-Type") != "application/problem+json" || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s %s: %d %v %s, want %d", c.method, c.path, a.status, a.header, a.body, c.status)
		}
	}
	if a := s.send("GET", "/@dev/ring", ""); !strings.Contains(a.body, `"endpoint":"/keys/new"`) {
		t.Errorf("the page does not learn where the endpoint is: %s", a.body)
	}
}

// A page elsewhere that DNS has bound to this machine gets nothing.
func TestOnlyLoopbackHostsAreServed(t *testing.T) {
	s := serve(t)
	for _, host := range []string{"evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1"} {
		for _, path := range []string{"/", "/@dev/page.js", "/@dev/ring"} {
			if a := s.send("GET", path, "", "Host", host); a.status != http.StatusForbidden || !strings.Contains(a.body, "urn:keyhint:access-denied") {
				t.Errorf("%s for %s: %d", path, host, a.status)
			}
		}
		for _, path := range []string{"/@dev/versions", "/@dev/status"} {
			if a := s.send("POST", path, "{}", "Host", host, "Content-Type", "application/json"); a.status != http.StatusForbidden {
				t.Errorf("%s for %s: %d", path, host, a.status)
			}
		}
	}
	if got := s.ring(); len(got.Entries) != 1 {
		t.Errorf("the ring has changed: %+v", got)
	}
	for _, host := range []string{"localhost", "[::1]:1", "127.1.2.3"} {
		if a := s.send("GET", "/", "", "Host", host); a.status != http.StatusOK {
			t.Errorf("%s: %d", host, a.status)
		}
	}
}

// Whatever another page makes a browser send changes nothing, even that of an
// origin which may read keys.
func TestOtherPagesChangeNothing(t *testing.T) {
	s := serve(t, "origins: []", "origins: [http://localhost:3000]")
	before, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	check := s.ring().Entries[0].Check
	for _, c := range []struct {
		what    string
		status  int
		headers []string
	}{
		{"another site", 403, []string{"Content-Type", "application/json", "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}},
		{"a listed origin", 403, []string{"Content-Type", "application/json", "Sec-Fetch-Site", "same-site", "Origin", "http://localhost:3000"}},
		{"an old browser", 403, []string{"Content-Type", "application/json", "Origin", "http://localhost:3000"}},
		{"a sandbox", 403, []string{"Content-Type", "application/json", "Origin", "null"}},
		{"a form", 415, []string{"Content-Type", "application/x-www-form-urlencoded"}},
		{"a form of text", 415, []string{"Content-Type", "text/plain"}},
		{"no type", 415, nil},
		{"two types", 415, []string{"Content-Type", "application/json, text/plain"}},
	} {
		for path, body := range map[string]string{"/@dev/versions": "{}", "/@dev/status": `{"check":"` + check + `","status":"disabled"}`} {
			if a := s.send("POST", path, body, c.headers...); a.status != c.status || a.header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s to %s: %d %s, want %d", c.what, path, a.status, a.body, c.status)
			}
		}
	}
	preflight := s.send("OPTIONS", "/@dev/versions", "", "Origin", "https://evil.example", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type")
	if got := preflight.header.Get("Access-Control-Allow-Origin"); got != "" {
		t.Errorf("a preflight allows %q", got)
	}
	if after, err := os.ReadFile(s.file); err != nil || string(after) != string(before) {
		t.Errorf("the file has changed: %v", err)
	}
}

const asJSON = "application/json"

func TestChangesComeIntoForceThroughTheFile(t *testing.T) {
	s := serve(t)
	if a := s.send("POST", "/@dev/versions", "{}", "Content-Type", asJSON, "Sec-Fetch-Site", "same-origin"); a.status != http.StatusAccepted {
		t.Fatalf("%d %s", a.status, a.body)
	}
	until(t, "version 2 issues", func() bool { return s.ring().Primary == 2 })
	first := s.ring().Entries[0].Check
	for _, status := range []string{"disabled", "disabled", "enabled"} {
		if a := s.send("POST", "/@dev/status", `{"check":"`+first+`","status":"`+status+`"}`, "Content-Type", asJSON); a.status != http.StatusAccepted {
			t.Fatalf("%s: %d %s", status, a.status, a.body)
		}
		until(t, "version 1 is "+status, func() bool { return s.ring().Entries[0].Status == status })
	}
	c, err := config.Load(s.file, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := config.Describe(c, time.Now()).Fingerprint, s.ring().Fingerprint; got != want {
		t.Errorf("the file has ring %s, and %s is in force", got, want)
	}
	file, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	secrets := 0
	for line := range strings.Lines(string(file)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if name != "master_key" && name != "salt_key" {
			continue
		}
		secrets++
		if a := s.send("GET", "/@dev/ring", ""); strings.Contains(a.body, value) || strings.Contains(s.log.String(), value) {
			t.Errorf("%s is shown", name)
		}
	}
	if secrets != 4 {
		t.Errorf("the file has %d secrets", secrets)
	}
}

func TestChangesThatAreRefused(t *testing.T) {
	s := serve(t)
	check := s.ring().Entries[0].Check
	for _, c := range []struct {
		body   string
		status int
	}{
		{`{"check":"` + check + `","status":"destroyed"}`, 400},
		{`{"check":"` + check + `","status":"resolve_only"}`, 400},
		{`{"check":"` + check + `","status":""}`, 400},
		{`{"check":"` + check + `"}`, 400},
		{`{"check":1,"status":"disabled"}`, 400},
		{`[]`, 400},
		{`{`, 400},
		{``, 400},
		{`{"check":"1","status":"disabled"}`, 404},
		{`{"check":"2-0123456789abcdef","status":"disabled"}`, 404},
		{`{"check":"` + strings.Repeat("x", 1024) + `","status":"disabled"}`, 413},
	} {
		a := s.send("POST", "/@dev/status", c.body, "Content-Type", asJSON)
		if a.status != c.status || a.header.Get("Content-Type") != "application/problem+json" || !strings.Contains(a.body, `"detail"`) {
			t.Errorf("%.60s: %d %s, want %d", c.body, a.status, a.body, c.status)
		}
	}
	s.edit("auth:", "outh:")
	for path, body := range map[string]string{"/@dev/versions": "{}", "/@dev/status": `{"check":"` + check + `","status":"disabled"}`} {
		if a := s.send("POST", path, body, "Content-Type", asJSON); a.status != http.StatusInternalServerError || strings.Contains(a.body, "outh") {
			t.Errorf("%s with a broken file: %d %s", path, a.status, a.body)
		}
	}
	if !strings.Contains(s.log.String(), "the page could not change the key ring") {
		t.Error("the log does not say why")
	}
	if got := s.ring(); len(got.Entries) != 1 || got.Primary != 1 {
		t.Errorf("the ring has changed: %+v", got)
	}
}

func TestThePageAddsNoEndOfVersions(t *testing.T) {
	var entries strings.Builder
	for version := uint32(2); version <= 97; version++ {
		entry, err := config.NewEntry(version, time.Now(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		entries.WriteString(entry)
	}
	s := serve(t)
	text, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.file, append(text, entries.String()...), 0o600); err != nil {
		t.Fatal(err)
	}
	until(t, "version 97 issues", func() bool { return s.ring().Primary == 97 })
	var added, refused atomic.Int32
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			switch a := s.send("POST", "/@dev/versions", "{}", "Content-Type", asJSON); a.status {
			case http.StatusAccepted:
				added.Add(1)
			case http.StatusConflict:
				refused.Add(1)
			default:
				t.Errorf("%d %s", a.status, a.body)
			}
		})
	}
	all.Wait()
	if added.Load() != 3 || refused.Load() != 17 {
		t.Errorf("%d added, %d refused", added.Load(), refused.Load())
	}
	until(t, "version 100 issues", func() bool { return s.ring().Primary == 100 })
}

// As soon as somebody decides who may have a key, the page is gone.
func TestNoPageBesideAccessControl(t *testing.T) {
	s := serve(t)
	if a := s.send("GET", "/", ""); a.status != http.StatusOK {
		t.Fatal(a.status)
	}
	s.edit("mode: none", "mode: forward\n  forward: {url: http://127.0.0.1:1/may-open}")
	until(t, "the page is gone", func() bool { return s.send("GET", "/", "").status == http.StatusNotFound })
	for _, path := range []string{"/@dev/page.js", "/@dev/ring"} {
		if a := s.send("GET", path, ""); a.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	if a := s.send("POST", "/@dev/versions", "{}", "Content-Type", asJSON); a.status != http.StatusNotFound {
		t.Errorf("a version is added: %d", a.status)
	}
}
