package config_test

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"keyhint/config"
	"keyhint/derive"
)

var leakSeed = flag.Uint64("leak-seed", 0, "seed of TestNoErrorShowsPartOfASecret; 0 is a fresh one")

// TestNoErrorShowsPartOfASecret breaks configurations in ways that hands,
// editors and templates do, and looks for what the errors repeat of the secrets.
func TestNoErrorShowsPartOfASecret(t *testing.T) {
	seed := *leakSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("to repeat: go test ./config -run %s -leak-seed %d", t.Name(), seed)
	b := newBreaker(t, seed)
	const rounds = 600
	refusals := 0
	for range rounds {
		text, flags := b.broken()
		c, err := config.Load("keyhint.yaml", flags)
		if err == nil {
			checkShowsNoSecret(t, fmt.Sprintf("%+v", c.Keyring.Ring), b.secrets)
			continue
		}
		refusals++
		checkShowsNoSecret(t, err.Error(), b.secrets)
		var refusal *config.Error
		if errors.As(err, &refusal) {
			for _, p := range refusal.Problems {
				checkShowsNoSecret(t, p.String(), b.secrets)
			}
		}
		if t.Failed() {
			t.Fatalf("the file was\n%s\nthe flags %v", text, flags)
		}
	}
	if refusals < rounds/2 {
		t.Errorf("only %d of %d files were refused", refusals, rounds)
	}
}

func checkShowsNoSecret(t *testing.T, message string, secrets []string) {
	t.Helper()
	const part = 8
	for _, secret := range secrets {
		for i := range len(secret) - part + 1 {
			if strings.Contains(message, secret[i:i+part]) {
				t.Errorf("shows %q of %q: %s", secret[i:i+part], secret, message)
				return
			}
		}
	}
}

// breaker makes broken configurations of a ring whose secrets are inline,
// behind files and behind variables.
type breaker struct {
	*rand.Rand
	t         *testing.T
	secrets   []string
	texts     []string // whole configurations
	variables []string // that may hold something wrong
}

func newBreaker(t *testing.T, seed uint64) *breaker {
	t.Chdir(t.TempDir())
	dir, _ := os.Getwd()
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	source := rand.NewChaCha8(key)
	b := &breaker{Rand: rand.New(source), t: t}
	entries := make([]entry, 4)
	for i := range entries {
		var material [2]string
		for j := range material {
			s, err := derive.GenerateSecret(source)
			if err != nil {
				t.Fatal(err)
			}
			material[j] = s.Reveal()
		}
		b.secrets = append(b.secrets, material[:]...)
		entries[i] = entry{
			{"version", fmt.Sprint(i + 1)}, {"master_key", material[0]}, {"salt_key", material[1]}, {"check", ""},
			{"activate_at", `"2026-01-31T12:00:00Z"`}, {"status", "enabled"},
		}.rechecked(t)
	}
	entries[1] = entries[1].with("master_key", "file://"+dir+"/master").with("salt_key", "file://"+dir+"/salt")
	entries[2] = entries[2].with("master_key", "env://MASTER").with("salt_key", "env://SALT")
	for _, mode := range []string{noneMode, jwtMode, forwardMode} {
		text := strings.Replace(ring(entries...), noneMode, mode, 1) + restOfFile
		b.texts = append(b.texts, strings.NewReplacer("$DIR", dir, "$DOCUMENT_KEY", documentKeys[0]).Replace(text))
	}
	b.secrets = append(b.secrets, documentKeys[0])
	writeCertificate(t, "server")
	for _, path := range knownSettings(t) {
		b.variables = append(b.variables, variable(path))
	}
	b.variables = append(b.variables, "MASTER", "SALT")
	for _, name := range b.variables {
		t.Setenv(name, "") // to have it restored
	}
	t.Chdir(dir)
	b.repair()
	for _, text := range b.texts {
		mustLoadHere(t, text)
	}
	return b
}

// restOfFile, with one of the modes, gives every setting a line that can be broken.
const restOfFile = `  namespace: tenant
  max_age: 720h
  ledger_file: /var/lib/keyhint/ledger.json
  reload_interval: 30s
server:
  address: 127.0.0.1:8080
  path: /v1/key
  trusted_proxies: [10.0.0.0/8]
  cors:
    origins:
      - https://app.example
    credentials: true
  tls:
    cert_file: $DIR/server.crt
    key_file: $DIR/server.key
    min_version: "1.2"
    client_ca_file: $DIR/server.crt
    client_names: []
  limits:
    per_address: 20/s
    per_subject: ""
admin:
  address: 127.0.0.1:9090
log:
  level: info
  format: json
audit:
  sink: /var/log/keyhint/audit.log
  fsync: true
  document_key: $DOCUMENT_KEY
memory:
  lock: try
`

const noneMode = "auth:\n  mode: none\n"

const jwtMode = `auth:
  mode: jwt
  jwt:
    keys:
      - file://$DIR/server.crt
    audience: [https://keys.example]
    issuer: https://app.example
    algorithms: [RS256]
    leeway: 30s
    cookie: token
    document_claim: document
    allow_any_document: false
    role_claim: role
    issue_roles: [editor]
`

const forwardMode = `auth:
  mode: forward
  forward:
    url: https://app.example/may-open
    timeout: 3s
    ca_file: $DIR/server.crt
    max_concurrent: 100
`

// repair sets everything outside the file to what it should be.
func (b *breaker) repair() {
	for _, name := range b.variables {
		os.Setenv(name, "")
	}
	writeFile(b.t, "master", b.secrets[2]+"\n", 0o600)
	writeFile(b.t, "salt", b.secrets[3]+"\n", 0o600)
	os.Setenv("MASTER", b.secrets[4])
	os.Setenv("SALT", b.secrets[5])
}

func (b *breaker) secret() string { return b.secrets[b.IntN(len(b.secrets))] }

// material is a secret, or most of one, behind what people put before secrets.
func (b *breaker) material() string {
	s := b.secret()
	switch b.IntN(4) {
	case 0:
		s = s[:20+b.IntN(24)]
	case 1:
		s = s[b.IntN(24):]
	}
	prefixes := []string{"", "", "", "/", "/", "/run/secrets/", "file:///", "file:///", "file://", "file:///", "file:///run/secrets/", "env://", "fiel:///", "https://", "vault:", "base64:", "/", "*", "&", "!", "%", "@", "`", "'", `"`, "|", "> ", "- ", "? ", "[", "{", "1-", "127.0.0.1:", "!!binary ", "!!int ", "&a ", "# "}
	return prefixes[b.IntN(len(prefixes))] + s
}

// broken writes a configuration with one to four breaks, and may break something outside it.
func (b *breaker) broken() (text string, flags config.Flags) {
	b.repair()
	text = b.texts[b.IntN(len(b.texts))]
	for range 1 + b.IntN(4) {
		text = b.breakOnce(text)
	}
	writeFile(b.t, "keyhint.yaml", text, 0o600)
	switch b.IntN(6) {
	case 0, 1:
		os.Setenv(b.variables[b.IntN(len(b.variables))], b.material())
	case 2:
		writeFile(b.t, "salt", b.material(), 0o600)
	case 3:
		flags = config.Flags{[]string{"server.address", "keyring.max_age", "log.level"}[b.IntN(3)]: b.material()}
	}
	return text, flags
}

func (b *breaker) breakOnce(text string) string {
	lines := strings.SplitAfter(text, "\n")
	i, j := b.IntN(len(lines)), b.IntN(len(lines))
	at := b.IntN(len(text) + 1)
	until := min(len(text), at+1+b.IntN(12))
	switch b.IntN(16) {
	case 0:
		lines = slices.Delete(lines, i, i+1)
	case 1:
		lines = slices.Insert(lines, j, lines[i])
	case 2:
		lines[i], lines[j] = lines[j], lines[i]
	case 3:
		return text[:at]
	case 4:
		return text[:at] + text[until:]
	case 5:
		return text[:until] + text[at:]
	case 6:
		marks := []string{":", ": ", " ", "-", "- ", "{", "}", "[", "]", ",", "*", "&", "!", "|", ">", "'", `"`, "%", "@", "#", " #", "?", "\t", "\n", "\r", "\x00", "\xff", "\u2028", "://", "---\n", "<<: "}
		return text[:at] + marks[b.IntN(len(marks))] + text[at:]
	case 7:
		lines[i] = strings.TrimSuffix(lines[i], "\n")
	case 8:
		lines[i] = strings.Repeat(" ", b.IntN(8)) + strings.TrimLeft(lines[i], " ")
	case 9:
		return text[:at] + b.material() + text[at:]
	case 10: // a secret for a name
		_, value, _ := strings.Cut(lines[i], ":")
		lines[i] = indent(lines[i]) + b.material() + ":" + value
	case 11: // a secret as a line of its own
		lines = slices.Insert(lines, i, indent(lines[i])+b.material()+"\n")
	case 12: // a secret and its name the wrong way round
		name, value, _ := strings.Cut(strings.TrimSpace(lines[i]), ": ")
		lines[i] = indent(lines[i]) + value + ": " + name + "\n"
	default: // a secret as the value of any setting
		name, _, _ := strings.Cut(lines[i], ":")
		lines[i] = name + ": " + b.material() + "\n"
	}
	return strings.Join(lines, "")
}

func indent(line string) string { return line[:len(line)-len(strings.TrimLeft(line, " "))] }
