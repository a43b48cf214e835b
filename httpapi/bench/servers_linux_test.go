package bench_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"keyhint/config"
	"keyhint/httpapi/bench"
)

// profiles is the folder for a profile of the last keyhint that a benchmark ran.
// If it is empty there are none.
var profiles = os.Getenv("KEYHINT_BENCH_PROFILES")

// programs are what is measured.
type programs struct {
	keyhint, bare string // files
	core          int    // that they run on
	loadCore      int    // that all else runs on
}

// build builds both programs and binds this one to a core.
func build(b *testing.B) programs {
	b.Helper()
	dir := b.TempDir()
	p := programs{keyhint: filepath.Join(dir, "keyhint"), bare: filepath.Join(dir, "bare")}
	p.core, p.loadCore = twoCores(b)
	for name, file := range map[string]string{"keyhint": p.keyhint, "keyhint/httpapi/bench/testdata/bare": p.bare} {
		if output, err := exec.Command("go", "build", "-o", file, name).CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, output)
		}
	}
	pin(b, os.Getpid(), p.loadCore)
	return p
}

const configuration = `
server: {address: "127.0.0.1:0"}
admin: {address: %q}
%s
keyring:
  keys:
`

// startKeyhint starts keyhint with a ring of one version and these settings, and
// unless they say otherwise without an audit log.
func (p programs) startKeyhint(b *testing.B, settings string) *process {
	b.Helper()
	entry, err := config.NewEntry(1, time.Now(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	if !strings.Contains(settings, "\naudit:") {
		settings += "\naudit: {sink: none}"
	}
	admin := freeAddress(b)
	file := filepath.Join(b.TempDir(), "keyhint.yaml")
	if err := os.WriteFile(file, []byte(fmt.Sprintf(configuration, admin, settings)+entry), 0o600); err != nil {
		b.Fatal(err)
	}
	args := []string{"serve", "--config", file}
	if profiles != "" {
		profile := filepath.Join(profiles, strings.ReplaceAll(b.Name(), "/", "-")+".pprof")
		os.Remove(profile) // keyhint writes over nothing
		args = append(args, "--cpuprofile", profile)
	}
	started, address := spawn(b, p.core, regexp.MustCompile(`"msg":"serving","address":"([^"]+)"`), p.keyhint, args...)
	started.target, started.metrics = bench.Target{URL: parse(b, "http://"+address+"/v1/key")}, "http://"+admin+"/metrics"
	return started
}

// startBare starts the counterpart. It is also the application that keyhint asks
// in mode forward; then it runs beside the load.
func (p programs) startBare(b *testing.B, core int) *process {
	b.Helper()
	started, address := spawn(b, core, regexp.MustCompile(`^(127\.0\.0\.1:\d+)$`), p.bare)
	started.target, started.metrics = bench.Target{URL: parse(b, "http://"+address+"/v1/key")}, "http://"+address+"/metrics"
	return started
}

func freeAddress(b *testing.B) string {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// post makes a request that must be answered with a key, and returns the hint.
func post(b *testing.B, p *process, token, body string) (hint string) {
	b.Helper()
	conn := bench.NewConn(b.Context(), &p.target)
	defer conn.Close()
	conn.SetToken(token)
	answer, err := conn.Post([]byte(body))
	if err != nil || answer.Status != http.StatusOK {
		b.Fatalf("%v, %d: %s", err, answer.Status, answer.Body)
	}
	var session struct {
		KeyHint string `json:"keyHint"`
	}
	if err := json.Unmarshal(answer.Body, &session); err != nil {
		b.Fatal(err)
	}
	return session.KeyHint
}

// minter signs tokens for one document.
type minter struct {
	method  jwt.SigningMethod
	private crypto.Signer
	file    string // with the public key
}

func newMinter(b *testing.B, algorithm string) minter {
	b.Helper()
	m := minter{method: jwt.GetSigningMethod(algorithm), file: filepath.Join(b.TempDir(), "minter.pem")}
	var err error
	switch algorithm {
	case "RS256":
		m.private, err = rsa.GenerateKey(rand.Reader, 2048)
	case "ES256":
		m.private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "EdDSA":
		_, m.private, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		b.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(m.private.Public())
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(m.file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o600); err != nil {
		b.Fatal(err)
	}
	return m
}

// settings are those of keyhint for this minter's tokens.
func (m minter) settings() string {
	return fmt.Sprintf("auth: {mode: jwt, jwt: {keys: [%q], audience: [keyhint]}}", "file://"+m.file)
}

// mint returns n different tokens.
func (m minter) mint(b *testing.B, n int) (tokens []string) {
	b.Helper()
	for i := range n {
		token, err := jwt.NewWithClaims(m.method, jwt.MapClaims{
			"sub": fmt.Sprint("user-", i), "aud": "keyhint", "exp": time.Now().Add(time.Hour).Unix(),
			"https://claims.tiny.cloud/rtc/document": "doc-1", "https://claims.tiny.cloud/rtc/role": "editor",
		}).SignedString(m.private)
		if err != nil {
			b.Fatal(err)
		}
		tokens = append(tokens, token)
	}
	return tokens
}
