package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// process is a running program with what it has printed.
type process struct {
	cmd    *exec.Cmd
	exited chan struct{}

	mutex   sync.Mutex
	printed bytes.Buffer
	more    chan struct{} // closed when there is more
}

// start runs a command until the test ends.
func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{cmd: cmd, exited: make(chan struct{}), more: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p, p
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		cmd.Wait()
		close(p.exited)
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-p.exited
		if t.Failed() {
			t.Logf("%s printed:\n%s", cmd, &p.printed)
		}
	})
	return p
}

func (p *process) Write(b []byte) (int, error) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	close(p.more)
	p.more = make(chan struct{})
	return p.printed.Write(b)
}

// await waits until the program has printed what matches, and returns the groups.
func (p *process) await(t *testing.T, pattern string) []string {
	t.Helper()
	want := regexp.MustCompile(pattern)
	for timeout := time.After(patience); ; {
		p.mutex.Lock()
		found, more := want.FindStringSubmatch(p.printed.String()), p.more
		p.mutex.Unlock()
		if found != nil {
			return found
		}
		select {
		case <-more:
		case <-p.exited:
			t.Fatalf("%s ended: %v", p.cmd, p.cmd.ProcessState)
		case <-timeout:
			t.Fatalf("%s does not print %q", p.cmd, pattern)
		}
	}
}

// startServe runs "keyhint serve" on a free port with a configuration to which
// a key ring is added, and returns the endpoint's URL.
func startServe(t *testing.T, config string) (url string, p *process) {
	t.Helper()
	entry, err := exec.Command("keyhint", "keyring", "new").Output()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keyhint.yaml")
	config += "\nadmin: {address: \"\"}\nkeyring:\n  keys:\n" + string(entry)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("keyhint", "serve", "--config", file)
	cmd.Env = append(os.Environ(), "KEYHINT_SERVER_ADDRESS=127.0.0.1:0")
	p = start(t, cmd)
	return "http://" + p.await(t, `"msg":"serving","address":"(.+?)"`)[1] + "/v1/key", p
}

// nodeScript writes modules to a folder from which README's packages can be
// imported, and returns the command that runs the last one.
func nodeScript(t *testing.T, modules ...string) *exec.Cmd {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		skipUnlessRequired(t, "node is not installed")
	}
	packages, err := filepath.Abs("testdata/node/node_modules")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(packages); err != nil {
		skipUnlessRequired(t, "the packages of README's examples are not installed: npm ci --prefix testdata/node")
	}
	dir := t.TempDir()
	if err := os.Symlink(packages, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	var cmd *exec.Cmd
	for i, text := range modules {
		name := fmt.Sprintf("module%d.mjs", i)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd = exec.Command(node, name)
	}
	cmd.Dir = dir
	return cmd
}

// readmeBlock is the one block of README in a language that holds a text.
func readmeBlock(t *testing.T, language, holds string) string {
	t.Helper()
	var found []string
	for _, block := range readmeBlocks(t, language) {
		if strings.Contains(block, holds) {
			found = append(found, block)
		}
	}
	if len(found) != 1 {
		t.Fatalf("README has %d blocks of %s with %q", len(found), language, holds)
	}
	return found[0]
}

// replace replaces what must be there once.
func replace(t *testing.T, text, old, new string) string {
	t.Helper()
	if n := strings.Count(text, old); n != 1 {
		t.Fatalf("%q stands %d times in\n%s", old, n, text)
	}
	return strings.Replace(text, old, new, 1)
}

// askWith asks for a key with one header besides, and returns the outcome:
// the status, and the type of a problem.
func askWith(t *testing.T, url, header, value, documentID string, keyHint any) (outcome, key, hint string) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"documentId": documentID, "keyHint": keyHint})
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if value != "" {
		request.Header.Set(header, value)
	}
	response, err := newClient().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct{ Key, KeyHint, Type string }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(fmt.Sprintf("%d %s", response.StatusCode, strings.TrimPrefix(answer.Type, "urn:keyhint:"))), answer.Key, answer.KeyHint
}

// The host application that README shows decides with its own sessions.
func TestReadmeHostApplication(t *testing.T) {
	app := nodeScript(t, readmeBlock(t, "js", "'express'"))
	app.Env = append(os.Environ(), "PORT=0", "SESSION_SECRET="+rand.Text())
	host := start(t, app).await(t, `(?m)^(http://127\.0\.0\.1:\d+)$`)[1]
	url, _ := startServe(t, replace(t, readmeBlock(t, "yaml", "mode: forward"), "http://127.0.0.1:3000", host))

	login := func(user string) (cookie string) {
		response, err := newClient().Post(host+"/login/"+user, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if cookies := response.Cookies(); response.StatusCode == http.StatusNoContent && len(cookies) == 1 {
			return cookies[0].Name + "=" + cookies[0].Value
		}
		t.Fatalf("logging in: status %d, cookies %v", response.StatusCode, response.Cookies())
		return ""
	}
	alice, bob := login("alice"), login("bob")
	outcome, key, hint := askWith(t, url, "Cookie", alice, "doc-1", nil)
	if outcome != "200" {
		t.Fatalf("alice asks for a new key: %s", outcome)
	}
	_, _, second := askWith(t, url, "Cookie", alice, "doc-2", nil)
	for _, c := range []struct {
		who, cookie, documentID string
		keyHint                 any
		want                    string
	}{
		{"alice", alice, "doc-1", hint, "200"},
		{"alice", alice, "doc-2", nil, "200"},
		{"alice", alice, "doc-2", second, "200"},
		{"alice", alice, "doc-3", nil, "403 access-denied"},
		{"alice", alice, "constructor", nil, "403 access-denied"},
		{"alice", alice, "__proto__", nil, "403 access-denied"},
		{"bob", bob, "doc-1", hint, "200"},
		{"bob", bob, "doc-1", nil, "200"},
		{"bob", bob, "doc-2", nil, "403 access-denied"},
		{"bob", bob, "doc-2", second, "403 access-denied"},
		{"bob", bob, "doc-1", second, "403 hint-mismatch"},
		{"carol, who has no document", login("carol"), "doc-1", hint, "403 access-denied"},
		{"nobody", "", "doc-1", hint, "401 unauthenticated"},
		{"nobody with a cookie", "theme=dark", "doc-1", nil, "401 unauthenticated"},
		{"nobody with a forged session", alice[:len(alice)-3] + "AAA", "doc-1", nil, "401 unauthenticated"},
	} {
		outcome, got, _ := askWith(t, url, "Cookie", c.cookie, c.documentID, c.keyHint)
		if outcome != c.want {
			t.Errorf("%s asks for %s with hint %v: %s, want %s", c.who, c.documentID, c.keyHint, outcome, c.want)
		}
		if c.keyHint == hint && outcome == "200" && got != key {
			t.Errorf("%s gets another key", c.who)
		}
	}
}

// Of the two tokens that README mints, the one for the RTC server opens nothing
// here, and the log tells the operator why.
func TestReadmeTokens(t *testing.T) {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	privateDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	publicDER, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, block := range map[string]pem.Block{
		"private.pem": {Type: "PRIVATE KEY", Bytes: privateDER}, "public.pem": {Type: "PUBLIC KEY", Bytes: publicDER},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mint := nodeScript(t, readmeBlock(t, "js", "'jsonwebtoken'"), `
		import { rtcToken, keyToken } from './module0.mjs';
		console.log(JSON.stringify({ rtc: rtcToken('alice', 'doc-1'), key: keyToken('alice', 'doc-1') }));`)
	mint.Env = append(os.Environ(), "PRIVATE_KEY_FILE="+filepath.Join(dir, "private.pem"))
	mint.Stderr = t.Output()
	output, err := mint.Output()
	if err != nil {
		t.Fatal(err)
	}
	var tokens struct{ RTC, Key string }
	if err := json.Unmarshal(output, &tokens); err != nil {
		t.Fatal(err)
	}
	url, log := startServe(t, replace(t, readmeBlock(t, "yaml", "mode: jwt"), "file:///etc/keyhint/minter.pem", "file://"+filepath.Join(dir, "public.pem")))

	outcome, key, hint := askWith(t, url, "Authorization", "Bearer "+tokens.Key, "doc-1", nil)
	if outcome != "200" {
		t.Fatalf("the token for keyhint: %s", outcome)
	}
	for _, c := range []struct {
		token, documentID string
		keyHint           any
		want              string
	}{
		{tokens.Key, "doc-1", hint, "200"},
		{tokens.Key, "doc-2", nil, "403 access-denied"},
		{tokens.RTC, "doc-1", nil, "401 unauthenticated"},
		{tokens.RTC, "doc-1", hint, "401 unauthenticated"},
	} {
		outcome, got, _ := askWith(t, url, "Authorization", "Bearer "+c.token, c.documentID, c.keyHint)
		if outcome != c.want || outcome == "200" && got != key {
			t.Errorf("%s with hint %v: %s, want %s", c.documentID, c.keyHint, outcome, c.want)
		}
	}
	line := log.await(t, `\{[^\n]*"level":"WARN"[^\n]*for the RTC server[^\n]*\n`)[0]
	for _, want := range []string{"mint a second token", "auth.jwt.audience", "never send that one to the RTC server"} {
		if !strings.Contains(line, want) {
			t.Errorf("the log does not say %q: %s", want, line)
		}
	}
	if strings.Contains(line, tokens.RTC) {
		t.Errorf("the log holds the token: %s", line)
	}
}

// The provider that README and "keyhint dev" show gives the editor a key, or
// throws; it never gives it anything else.
func TestReadmeProvider(t *testing.T) {
	const readmeURL = "'https://keys.example.com/v1/key'"
	readme := replace(t, readmeBlock(t, "js", "rtc_encryption_provider"), readmeURL, "process.env.ENDPOINT")
	_, guide, _ := strings.Cut(devGuide, "In the editor's configuration:\n")
	guide, _, _ = strings.Cut(guide, "\nStop with")
	for name, snippet := range map[string]string{
		"README":      readme,
		"keyhint dev": "tinymce.init({" + replace(t, guide, "'%[1]s'", "process.env.ENDPOINT") + "});",
	} {
		t.Run(name, func(t *testing.T) { testProvider(t, snippet) })
	}
}

func testProvider(t *testing.T, snippet string) {
	// call runs the provider against an endpoint, once for each request.
	call := func(endpoint string, requests ...map[string]any) (results []map[string]any) {
		t.Helper()
		in, err := json.Marshal(requests)
		if err != nil {
			t.Fatal(err)
		}
		cmd := nodeScript(t, `
			let settings;
			globalThis.tinymce = { init: given => { settings = given; } };
			`+snippet+`
			const results = [];
			for (const request of JSON.parse(process.env.REQUESTS)) {
				try {
					results.push(await settings.rtc_encryption_provider(request));
				} catch (error) {
					results.push({ error: error.message });
				}
			}
			console.log(JSON.stringify(results));`)
		cmd.Env = append(os.Environ(), "ENDPOINT="+endpoint, "REQUESTS="+string(in))
		cmd.Stderr = t.Output()
		output, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(output, &results); err != nil || len(results) != len(requests) {
			t.Fatalf("%v: %s", err, output)
		}
		return results
	}
	request := func(documentID string, hint any) map[string]any {
		return map[string]any{"documentId": documentID, "keyHint": hint}
	}

	url, _ := startServe(t, "auth: {mode: none}")
	issued := call(url, request("doc-1", nil))[0]
	if key, _ := issued["key"].(string); len(key) != 43 {
		t.Fatalf("a new session: %v", issued)
	}
	results := call(url, request("doc-1", issued["keyHint"]), request("doc-2", issued["keyHint"]), request("doc-1", nil), map[string]any{"documentId": "doc-1"})
	if !maps.Equal(results[0], issued) {
		t.Errorf("the hint gives %v, want %v", results[0], issued)
	}
	if key, _ := results[2]["key"].(string); len(key) != 43 || key == issued["key"] {
		t.Errorf("another session: %v", results[2])
	}
	for i, status := range map[int]string{1: "403", 3: "400"} {
		if want := (map[string]any{"error": "no encryption key: status " + status}); !maps.Equal(results[i], want) {
			t.Errorf("a refusal gives %v, want %v", results[i], want)
		}
	}

	answers := []string{`{}`, `{"keyHint":"h"}`, `{"key":"k"}`, `{"key":"","keyHint":"h"}`, `{"key":null,"keyHint":"h"}`, `{"key":"k","keyId":"h"}`}
	next := 0
	broken := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, answers[next])
		next++
	}))
	defer broken.Close()
	for i, result := range call(broken.URL, slices.Repeat([]map[string]any{request("doc-1", nil)}, len(answers))...) {
		if want := (map[string]any{"error": "no encryption key in the answer"}); !maps.Equal(result, want) {
			t.Errorf("the answer %s gives %v, want %v", answers[i], result, want)
		}
	}
}
