package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"keyhint/derive"
	"keyhint/httpapi/leaktest"
)

// TestNothingPrintedIsSecret runs keyhint in each mode of access control, with
// requests that are answered and refused, reloads that are and are not, and every
// command on good files and on files with secrets in wrong places. Then it
// searches all that was printed, logged, audited and answered, but for the keys
// in answers, for every secret and every key.
func TestNothingPrintedIsSecret(t *testing.T) {
	l := &leaks{T: t, folder: t.TempDir()}
	var running sync.WaitGroup
	for _, run := range []func(){l.serveEveryone, l.serveDev, l.serveTokens, l.serveForward, l.runCommands, l.runOnBrokenFiles} {
		running.Go(run)
	}
	running.Wait()
	for _, found := range l.search.Found() {
		t.Error(found)
	}
	t.Logf("searched %d kB for %d secrets, of which %d are keys", l.search.Size>>10, l.search.Secrets, len(l.keys))
	if l.search.Size < 200<<10 || len(l.keys) < 100 {
		t.Error("that is too little to search")
	}
}

type leaks struct {
	*testing.T
	folder string
	search leaktest.Search

	mutex sync.Mutex
	keys  map[string]bool // that were answered
}

// check fails the test and ends the goroutine.
func (l *leaks) check(errs ...error) {
	for _, err := range errs {
		if err != nil {
			l.Error(err)
			panic(http.ErrAbortHandler)
		}
	}
}

// secret makes a secret, in the form that files have.
func (l *leaks) secret(name string) string {
	s, err := derive.GenerateSecret(rand.Reader)
	l.check(err)
	b, err := base64.StdEncoding.DecodeString(s.Reveal())
	l.check(err)
	l.search.Secret(name, b)
	return s.Reveal()
}

// entry is a line of the ring whose secrets come from a source of a kind.
func (l *leaks) entry(version uint32, kind string, env *[]string) string {
	master, salt := l.secret("a master key"), l.secret("a salt key")
	m, err := derive.ParseSecret(master)
	l.check(err)
	s, err := derive.ParseSecret(salt)
	l.check(err)
	check := derive.NewCheckValue(version, m, s)
	for name, secret := range map[string]*string{"master": &master, "salt": &salt} {
		switch kind {
		case "file":
			path := filepath.Join(l.folder, fmt.Sprintf("%s-%s", name, check))
			l.write(path, *secret)
			*secret = "file://" + path
		case "env":
			*env = append(*env, fmt.Sprintf("%s_%d=%s", name, version, *secret))
			*secret = fmt.Sprintf("env://%s_%d", name, version)
		}
	}
	return fmt.Sprintf("    - {version: %d, master_key: %s, salt_key: %s, check: %s}\n", version, master, salt, check)
}

func (l *leaks) write(path, text string) { l.check(os.WriteFile(path, []byte(text), 0o600)) }

// server is a running keyhint whose every word is searched.
type server struct {
	*leaks
	*served
	name    string
	file    string
	admin   string
	client  *http.Client
	text    string // of the configuration, before the ring
	entries []string
	stdout  bytes.Buffer // audit records; to be read when it has ended
}

// serve starts a server with a ring of three entries.
func (l *leaks) serve(name, settings string) *server {
	s := &server{leaks: l, name: name, file: filepath.Join(l.folder, name+".yaml"), client: newClient()}
	s.admin = freeAddress(l.T)
	s.text = fmt.Sprintf("admin: {address: '%s'}\n%s\nkeyring:\n  reload_interval: 1h\n  keys:\n", s.admin, settings)
	var env []string
	for i, kind := range []string{"inline", "file", "env"} {
		s.entries = append(s.entries, l.entry(uint32(i+1), kind, &env))
	}
	s.save("")
	command := exec.Command("keyhint", "serve", "--config", s.file)
	command.Stdout, command.Env = &s.stdout, append(env, "GOTRACEBACK=all")
	var err error
	s.served, err = launchCommand(l.T, command)
	l.check(err)
	_, err = s.listens()
	l.check(err)
	return s
}

// save writes the configuration, with more behind its ring.
func (s *server) save(more string) { s.write(s.file, s.text+strings.Join(s.entries, "")+more) }

// await waits for a line of the log.
func (s *server) awaitAfter(n int, message string) {
	_, err := s.await(n, func(line logLine) bool { return line.Msg == message })
	s.check(err)
}

// send sends a request and gathers the answer, or the key in it and the rest.
func (s *server) send(method, url string, header http.Header, body string) (key, hint string) {
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	s.check(err)
	request.Header = header.Clone()
	response, err := s.client.Do(request)
	s.check(err)
	defer response.Body.Close()
	head, err := httputil.DumpResponse(response, false)
	s.check(err)
	s.search.Printed(s.name+": the head of an answer", head)
	answered, err := io.ReadAll(response.Body)
	s.check(err)
	var a struct{ Key, KeyHint string }
	if json.Unmarshal(answered, &a) == nil && a.Key != "" {
		s.gotKey(a.Key)
		answered = bytes.Replace(answered, []byte(a.Key), nil, 1)
	}
	s.search.Printed(s.name+": an answer of "+url, answered)
	return a.Key, a.KeyHint
}

func (l *leaks) gotKey(key string) {
	b, err := base64.RawURLEncoding.DecodeString(key)
	l.check(err)
	l.mutex.Lock()
	defer l.mutex.Unlock()
	if l.keys == nil {
		l.keys = make(map[string]bool)
	}
	if !l.keys[key] {
		l.search.Secret("a key", b)
	}
	l.keys[key] = true
}

// use sends requests of every kind. good is what gets keys, bad what does not.
func (s *server) use(good http.Header, bad ...http.Header) {
	ask := func(document string, hint any) string {
		text, err := json.Marshal(map[string]any{"documentId": document, "keyHint": hint})
		s.check(err)
		return string(text)
	}
	for range 25 {
		key, hint := s.send("POST", s.url, good, ask("doc-1", nil))
		again, _ := s.send("POST", s.url, good, ask("doc-1", hint))
		if key == "" || key != again {
			s.check(fmt.Errorf("%s: no key, or another one", s.name))
		}
		s.send("POST", s.url, good, ask("doc-2", hint))
		s.send("POST", s.url, good, ask("doc-1", key)) // by a client that confuses the two
		s.send("POST", s.url, good, strings.Replace(ask("doc-1", hint), "kh1.", "kh1.9", 1))
		s.send("POST", s.url, good, `{"documentId":"doc-1","keyHint":"`+key)
		s.send("POST", s.url, good, `{"documentId":"doc-1"}`)
		s.send("POST", s.url, good, `{"documentId":"doc-1","keyHint":null,"key":"`+key+`","KEYHINT":"`+key+`"}`)
		s.send("POST", s.url, good, strings.Repeat(key, 500))
		s.send("POST", s.url+"?key="+key, good, "")
		s.send("GET", s.url+"/"+key, good, "")
		s.send("PUT", s.url, good, key)
		odd := good.Clone()
		odd.Set("Content-Type", "text/"+key)
		odd.Set("Origin", "https://"+key+".example")
		odd.Set("X-Request-Id", key)
		odd.Set("X-Forwarded-For", key)
		s.send("POST", s.url, odd, ask("doc-1", nil))
		s.send("OPTIONS", s.url, odd, "")
		for _, header := range bad {
			s.send("POST", s.url, header, ask("doc-1", hint))
			s.send("POST", s.url, header, ask("doc-1", nil))
		}
	}
	s.send("GET", strings.Replace(s.url, "/v1/key", "/openapi.yaml", 1), good, "")
	if s.admin == "" {
		return
	}
	for _, path := range []string{"/livez", "/readyz", "/readyz?verbose", "/metrics", "/keyring", "/"} {
		s.send("GET", "http://"+s.admin+path, nil, "")
	}
}

// reload puts files with secrets in wrong places in the place of the good one,
// and then one with another entry.
func (s *server) reload() {
	good := s.entries
	for _, spoil := range []func(line, secret string) string{
		func(line, secret string) string { return line + "    - " + secret + "\n" },
		func(line, secret string) string { return strings.Replace(line, "check: ", "check: "+secret, 1) },
		func(line, secret string) string { return strings.Replace(line, "master_key:", secret+":", 1) },
		func(line, secret string) string {
			return strings.Replace(line, "salt_key: ", "salt_key: file:///"+secret, 1)
		},
		func(line, secret string) string { return strings.Replace(line, "version: ", "version: "+secret, 1) },
		func(line, secret string) string { return line + "  namespace: " + secret + "\n" }, // refused, as it changes
		func(line, secret string) string { return line + "log: {level: " + secret + "}\n" },
	} {
		s.entries = append(append([]string(nil), good[:2]...), spoil(good[2], s.secret("a secret in a wrong place")))
		n := len(s.lines())
		s.save("")
		s.awaitAfter(n, loggedRefused)
		s.send("GET", "http://"+s.admin+"/readyz?verbose", nil, "")
	}
	s.entries = append(good, s.entry(uint32(len(good)+1), "inline", nil))
	n := len(s.lines())
	s.save("")
	s.awaitAfter(n, loggedInForce)
}

// end lets the server print what every goroutine does, and gathers all that it said.
func (s *server) end() {
	s.dying.Store(true)
	s.check(s.Process.Signal(syscall.SIGQUIT))
	<-s.exited
	goroutines := false
	for _, line := range s.lines() {
		s.search.Printed(s.name+": the log", []byte(line.text))
		goroutines = goroutines || strings.HasPrefix(line.text, "goroutine ")
	}
	if !goroutines {
		s.Errorf("%s: it has not told of its goroutines", s.name)
	}
	s.search.Printed(s.name+": the audit log", s.stdout.Bytes())
}

func (l *leaks) serveEveryone() {
	defer l.aborted()
	audit := filepath.Join(l.folder, "audit.log")
	s := l.serve("none", "server: {address: 127.0.0.1:0, limits: {per_address: 1000000/h}}\nlog: {level: debug}\nauth: {mode: none}\naudit: {sink: '"+audit+"'}\n")
	s.use(http.Header{})
	s.end()
	records, err := os.ReadFile(audit)
	l.check(err)
	l.search.Printed("none: the audit file", records)
}

// serveDev runs "keyhint dev", whose log is text.
func (l *leaks) serveDev() {
	defer l.aborted()
	s := &server{leaks: l, name: "dev", file: filepath.Join(l.folder, "dev.yaml"), client: newClient()}
	command := exec.Command("keyhint", "dev", "--address", "127.0.0.1:0", "--config", s.file)
	command.Stdout, command.Env = &s.stdout, []string{"KEYHINT_LOG_LEVEL=debug", "GOTRACEBACK=all"}
	var err error
	s.served, err = launchCommand(l.T, command)
	l.check(err)
	serving := regexp.MustCompile(`msg=serving address=(\S+)`)
	line, err := s.await(0, func(line logLine) bool { return serving.MatchString(line.text) })
	l.check(err)
	s.url = "http://" + serving.FindStringSubmatch(line.text)[1] + "/v1/key"
	file, err := os.ReadFile(s.file)
	l.check(err)
	l.secretsIn(string(file))
	s.use(http.Header{})
	s.end()
}

// secretsIn takes the secrets from a text.
func (l *leaks) secretsIn(text string) {
	found := 0
	for _, field := range strings.Fields(text) {
		if b, err := base64.StdEncoding.DecodeString(field); err == nil && len(b) == derive.SecretSize {
			l.search.Secret("a secret that keyhint made", b)
			found++
		}
	}
	if found != 2 {
		l.check(fmt.Errorf("%d secrets in a new entry", found))
	}
}

func (l *leaks) serveTokens() {
	defer l.aborted()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	l.check(err)
	der, err := x509.MarshalPKIXPublicKey(public)
	l.check(err)
	l.write(filepath.Join(l.folder, "minter.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	bearer := func(claims jwt.MapClaims) http.Header {
		token, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, claims).SignedString(private)
		l.check(err)
		signature := token[strings.LastIndex(token, ".")+1:]
		l.search.Text("a token", signature)
		return http.Header{"Authorization": {"Bearer " + token}}
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	l.check(err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	l.check(err)
	l.search.Secret("the key of TLS", private.Seed())
	l.write(filepath.Join(l.folder, "tls.crt"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})))
	l.write(filepath.Join(l.folder, "tls.key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))

	claims := func(changes jwt.MapClaims) jwt.MapClaims {
		c := jwt.MapClaims{"sub": "alice", "aud": "keyhint", "exp": time.Now().Add(time.Hour).Unix(), "https://claims.tiny.cloud/rtc/document": []string{"doc-1", "doc-2"}}
		for name, value := range changes {
			c[name] = value
		}
		return c
	}
	s := l.serve("jwt", fmt.Sprintf(`server: {address: 127.0.0.1:0}
log: {level: debug}
auth: {mode: jwt, jwt: {keys: ['file://%s/minter.pem'], audience: [keyhint], cookie: token}}
audit: {document_key: %s}
`, l.folder, l.secret("a document key")))
	good := bearer(claims(nil))
	inCookie := bearer(claims(jwt.MapClaims{"sub": "bob"})).Get("Authorization")
	bad := []http.Header{
		{}, bearer(claims(jwt.MapClaims{"aud": "rtc"})), bearer(claims(jwt.MapClaims{"exp": 1})),
		bearer(claims(jwt.MapClaims{"https://claims.tiny.cloud/rtc/document": "doc-3"})),
		{"Authorization": {strings.ToUpper(good.Get("Authorization"))}},
		{"Authorization": {good.Get("Authorization") + "x"}},
		{"Cookie": {"token=" + strings.TrimPrefix(inCookie, "Bearer ")}, "Origin": {"https://evil.example"}},
	}
	s.use(good, bad...)
	s.reload()
	s.use(good, bad...)
	s.end()

	ending := l.serve("tls", fmt.Sprintf(`server: {address: 127.0.0.1:0, tls: {cert_file: '%[1]s/tls.crt', key_file: '%[1]s/tls.key'}}
log: {level: debug}
auth: {mode: none}
`, l.folder))
	conn, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(ending.url, "http://"), "/v1/key"))
	l.check(err)
	io.WriteString(conn, "GET / HTTP/1.1\r\n\r\n") // what it says is logged at debug
	io.ReadAll(conn)
	conn.Close()
	n := len(ending.lines())
	l.write(filepath.Join(l.folder, "tls.crt"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate[:100]})))
	ending.awaitAfter(n, loggedRefused)
	ending.end()
}

func (l *leaks) serveForward() {
	defer l.aborted()
	h := new(host)
	application := httptest.NewServer(h)
	defer application.Close()
	s := l.serve("forward", fmt.Sprintf("server: {address: 127.0.0.1:0}\nlog: {level: debug}\nauth: {mode: forward, forward: {url: '%s', timeout: 200ms}}\n", application.URL))
	credentials := http.Header{"Cookie": {"session=" + l.secret("a cookie")}, "Authorization": {"Basic " + l.secret("a password")}}
	s.use(credentials)
	for i := range hostFailures {
		h.failing.Store(int32(i + 1))
		s.send("POST", s.url, credentials, `{"documentId":"doc-1","keyHint":null}`)
	}
	h.failing.Store(0)
	s.reload()
	s.use(credentials)
	s.end()
}

// aborted is for goroutines that check has ended.
func (l *leaks) aborted() {
	if p := recover(); p != nil && p != http.ErrAbortHandler {
		panic(p)
	}
}

// run runs a command and gathers what it prints; stdout is returned, and not
// gathered if it is where a secret belongs.
func (l *leaks) run(stdoutIsSecret bool, env []string, args ...string) string {
	command := exec.Command("keyhint", args...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr, command.Dir = &stdout, &stderr, l.folder
	command.Env = append(os.Environ(), env...)
	command.Run() // how it ends is not what this is about
	name := "keyhint " + strings.Join(args[:min(2, len(args))], " ")
	if stdout.Len()+stderr.Len() == 0 {
		l.Errorf("%s prints nothing", name)
	}
	if !stdoutIsSecret {
		l.search.Printed(name+": stdout", stdout.Bytes())
	}
	l.search.Printed(name+": stderr", stderr.Bytes())
	return stdout.String()
}

// runCommands runs each command on a good file.
func (l *leaks) runCommands() {
	defer l.aborted()
	var env []string
	file, other := filepath.Join(l.folder, "commands.yaml"), filepath.Join(l.folder, "other.yaml")
	head := "auth: {mode: none}\naudit: {document_key: " + l.secret("a document key") + "}\nkeyring:\n  max_age: 1h\n  keys:\n"
	l.write(file, head+l.entry(1, "inline", &env)+l.entry(2, "file", &env)+l.entry(3, "env", &env))
	l.write(other, head+l.entry(1, "inline", &env)+l.entry(2, "file", &env))
	l.secretsIn(l.run(true, nil, "keyring", "new"))
	const hint = "kh1.1-58ac616e.0199049c-a9c0-7b40-bf5f-cc44b66f7525.zznFK8giNL5vhEzBm15ARw"
	for _, args := range [][]string{
		{"config", "check", file}, {"config", "check", file, "--against", other}, {"config", "check", other, "--against", file, "--json"},
		{"config", "check", file, "--against", other, "--no-secrets"}, {"keyring", "list", "--config", file}, {"keyring", "list", "--json", "--config", file},
		{"hint", "inspect", hint, "--document-id", "doc", "--config", file}, {"key", "--hint", hint, "--document-id", "doc", "--config", file},
		{"audit", "document-id", "doc", "--config", file}, {"keyring", "add", "--config", file}, {"keyring", "add", "--activate-in", "1h", "--config", file, "--secrets-dir", l.folder},
		{"keyring", "set-status", "1", "disabled", "--config", file}, {"keyring", "set-status", "1", "destroyed", "--yes", "--config", file},
		{"keyring", "set-status", "1", "destroyed", "--yes", "--force", "--config", file}, {"keyring", "list", "--config", file},
		{"serve", "--config", other}, {"version"}, {"serve", "--help"},
	} {
		l.run(false, append(env, "KEYHINT_SERVER_ADDRESS=192.0.2.1:80"), args...) // which serve cannot have
	}
}

// runOnBrokenFiles runs commands on files, and in environments, that have a
// secret where another setting belongs.
func (l *leaks) runOnBrokenFiles() {
	defer l.aborted()
	example, err := os.ReadFile("config.example.yaml")
	l.check(err)
	fill := strings.NewReplacer("REPLACE-with-the-master_key-of-keyhint-keyring-new", l.secret("a master key"),
		"REPLACE-with-the-salt_key-of-keyhint-keyring-new", l.secret("a salt key"))
	lines := strings.SplitAfter(fill.Replace(string(example)), "\n")
	spoils := []func(name, value, secret string) string{
		func(name, _, secret string) string { return name + ": " + secret + "\n" },
		func(name, value, secret string) string { return secret + ":" + value },
		func(name, _, secret string) string { return name + ": file:///" + secret + "\n" },
		func(name, value, secret string) string { return name + ":" + value + secret + "\n" },
		func(name, _, secret string) string { return name + ": [env://" + secret + ", '" + secret + "\n" },
	}
	files, section := 0, ""
	for i, line := range lines {
		name, value, isSetting := strings.Cut(line, ":")
		indent := name[:len(name)-len(strings.TrimLeft(name, " -"))]
		if !isSetting || strings.Contains(name, "#") {
			continue
		}
		if indent == "" {
			section = strings.TrimSpace(name)
		}
		files++
		file := filepath.Join(l.folder, fmt.Sprintf("broken-%d.yaml", files))
		secret := l.secret("a secret for " + strings.TrimSpace(name))
		broken := strings.Join(lines[:i], "") + spoils[files%len(spoils)](name, value, secret) + strings.Join(lines[i+1:], "")
		l.write(file, broken)
		l.run(false, nil, "config", "check", file)
		l.run(false, nil, "config", "check", file, "--json", "--no-secrets")
		variable := "KEYHINT_" + strings.ToUpper(section+"_"+strings.TrimSpace(name)) + "=" + secret
		l.run(false, []string{variable}, "serve", "--config", file)
	}
	if files < 40 {
		l.Errorf("%d settings", files)
	}
}
