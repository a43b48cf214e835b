package service_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"keyhint/config"
	"keyhint/httpapi/service"
)

// running is a service in this process with the file that it follows.
type running struct {
	*testing.T
	path, url string
	stop      func() error
}

const head = `server:
  address: 127.0.0.1:0
admin:
  address: ""
auth:
  mode: %s
keyring:
  reload_interval: 1s
  ledger_file: %q
  keys:
`

func newEntry(t *testing.T, version uint32) string {
	t.Helper()
	entry, err := config.NewEntry(version, time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return entry
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func start(t *testing.T, text string, adjust ...func(*service.Options)) *running {
	t.Helper()
	r := &running{T: t, path: filepath.Join(t.TempDir(), "keyhint.yaml")}
	writeFile(t, r.path, text)
	ctx, cancel := context.WithCancel(context.Background())
	listening, ended := make(chan net.Addr, 1), make(chan error, 1)
	go func() { ended <- run(ctx, r.path, func(a net.Addr) { listening <- a }, adjust...) }()
	r.stop = func() error {
		cancel()
		err := <-ended
		ended <- err
		return err
	}
	t.Cleanup(func() { r.stop() })
	select {
	case address := <-listening:
		r.url = "http://" + address.String() + "/v1/key"
	case err := <-ended:
		ended <- err // for stop
		t.Fatal(err)
	}
	return r
}

func run(ctx context.Context, path string, listening func(net.Addr), adjust ...func(*service.Options)) error {
	c, err := config.Load(path, nil)
	if err != nil {
		return err
	}
	o := service.Options{
		Config: c, Log: slog.New(slog.DiscardHandler), Level: new(slog.LevelVar), Listening: listening, Now: time.Now,
	}
	for _, a := range adjust {
		a(&o)
	}
	return service.Run(ctx, o)
}

// ask returns the status and, with 200, the key and the hint.
func (r *running) ask(keyHint any) (status int, key, hint string) {
	r.Helper()
	body, err := json.Marshal(map[string]any{"documentId": "doc-1", "keyHint": keyHint})
	if err != nil {
		r.Fatal(err)
	}
	request, err := http.NewRequest(http.MethodPost, r.url, strings.NewReader(string(body)))
	if err != nil {
		r.Fatal(err)
	}
	request.Header.Set("Cookie", "session=1")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		r.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		r.Fatal(err)
	}
	var fields struct{ Key, KeyHint string }
	if err := json.Unmarshal(answer, &fields); err != nil {
		r.Fatal(err)
	}
	return response.StatusCode, fields.Key, fields.KeyHint
}

func (r *running) eventually(what string, condition func() bool) {
	r.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			r.Fatalf("not within 20 s: %s", what)
		}
	}
}

func TestLedgerTroubleStopsIssuingAndNotResolving(t *testing.T) {
	ledger := filepath.Join(t.TempDir(), "ledger.json")
	one := newEntry(t, 1)
	text := fmt.Sprintf(head, "none", ledger) + one
	r := start(t, text)
	_, key, hint := r.ask(nil)
	if key == "" {
		t.Fatal("no key")
	}
	good, err := os.ReadFile(ledger)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}

	for name, bad := range map[string]string{
		"corrupt":         "{",
		"other namespace": strings.Replace(string(good), `"namespace": ""`, `"namespace": "other"`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			writeFile(t, ledger, bad)
			r := start(t, text)
			if status, _, _ := r.ask(nil); status != http.StatusServiceUnavailable {
				t.Errorf("issuing gives %d", status)
			}
			if status, again, _ := r.ask(hint); status != http.StatusOK || again != key {
				t.Errorf("resolving gives %d", status)
			}
			writeFile(t, ledger, string(good))
			r.eventually("issuing again", func() bool { status, _, _ := r.ask(nil); return status == http.StatusOK })
		})
	}

	t.Run("unwritable when a version is added", func(t *testing.T) {
		folder := t.TempDir()
		ledger := filepath.Join(folder, "below", "ledger.json")
		if err := os.Mkdir(filepath.Dir(ledger), 0o700); err != nil {
			t.Fatal(err)
		}
		r := start(t, fmt.Sprintf(head, "none", ledger)+one)
		_, key, hint := r.ask(nil)
		if err := os.Rename(filepath.Dir(ledger), filepath.Join(folder, "away")); err != nil {
			t.Fatal(err)
		}
		writeFile(t, r.path, fmt.Sprintf(head, "none", ledger)+one+newEntry(t, 2))
		r.eventually("issuing stopped", func() bool { status, _, _ := r.ask(nil); return status == http.StatusServiceUnavailable })
		if status, again, _ := r.ask(hint); status != http.StatusOK || again != key {
			t.Errorf("resolving gives %d", status)
		}
		if err := os.Rename(filepath.Join(folder, "away"), filepath.Dir(ledger)); err != nil {
			t.Fatal(err)
		}
		r.eventually("issuing version 2", func() bool {
			_, _, hint := r.ask(nil)
			return strings.HasPrefix(hint, "kh1.2-")
		})
	})
}

func TestRingThatContradictsTheLedgerDoesNotStart(t *testing.T) {
	ledger := filepath.Join(t.TempDir(), "ledger.json")
	one, two := newEntry(t, 1), newEntry(t, 2)
	r := start(t, fmt.Sprintf(head, "none", ledger)+one+two)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "keyhint.yaml")
	writeFile(t, path, fmt.Sprintf(head, "none", ledger)+one)
	err := run(context.Background(), path, nil)
	if !errors.Is(err, service.ErrRefused) || !strings.Contains(err.Error(), "was in force here") {
		t.Errorf("%v", err)
	}
}

// free is an address on which nothing listens.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestRefusedReloadIsReportedEverywhere(t *testing.T) {
	admin := free(t)
	one, two := newEntry(t, 1), newEntry(t, 2)
	text := strings.Replace(fmt.Sprintf(head, "none", ""), `""`, admin, 1)
	r := start(t, text+one+two)
	get := func(path string) string {
		t.Helper()
		response, err := http.Get("http://" + admin + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%d %s", response.StatusCode, body)
	}
	fingerprint := regexp.MustCompile(`fingerprint ([0-9a-f]{16}), 2 version\(s\), version 2 issues`).FindStringSubmatch(get("/readyz?verbose"))
	if fingerprint == nil || !strings.Contains(get("/metrics"), `keyhint_keyring_info{fingerprint="`+fingerprint[1]+`"} 1`) {
		t.Errorf("%s", get("/readyz?verbose"))
	}
	writeFile(t, r.path, text+one)
	r.eventually("a metric", func() bool { return strings.Contains(get("/metrics"), "keyhint_config_last_reload_successful 0") })
	readiness := get("/readyz?verbose")
	if !strings.HasPrefix(readiness, "200 ") || !strings.Contains(readiness, "keys[1] (version 2): has vanished") || !regexp.MustCompile(`since 20\d\d-\S+Z the configuration`).MatchString(readiness) {
		t.Errorf("%s", readiness)
	}
	writeFile(t, r.path, text+one+two)
	r.eventually("a metric", func() bool { return strings.Contains(get("/metrics"), "keyhint_config_last_reload_successful 1") })
}

// certify writes a new certificate for 127.0.0.1 and its key, and returns it.
func certify(t *testing.T, folder string) *x509.Certificate {
	t.Helper()
	return certifyUntil(t, folder, time.Now().Add(time.Hour))
}

func certifyUntil(t *testing.T, folder string, notAfter time.Time) *x509.Certificate {
	t.Helper()
	return certifyFor(t, folder, time.Now().Add(-time.Hour), notAfter)
}

func certifyFor(t *testing.T, folder string, notBefore, notAfter time.Time) *x509.Certificate {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: notBefore, NotAfter: notAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"client.internal"},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(folder, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
	writeFile(t, filepath.Join(folder, "cert.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func TestCertificateFollowsItsFiles(t *testing.T) {
	folder := t.TempDir()
	first := certify(t, folder)
	tlsHead := fmt.Sprintf("server:\n  tls:\n    cert_file: %[1]s/cert.pem\n    key_file: %[1]s/key.pem\n", folder)
	r := start(t, strings.Replace(fmt.Sprintf(head, "none", ""), "server:\n", tlsHead, 1)+newEntry(t, 1))
	address := strings.TrimSuffix(strings.TrimPrefix(r.url, "http://"), "/v1/key")
	served := func() *x509.Certificate {
		t.Helper()
		connection, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		if err != nil {
			t.Fatal(err)
		}
		defer connection.Close()
		state := connection.ConnectionState()
		if state.Version != tls.VersionTLS13 || state.NegotiatedProtocol != "h2" {
			t.Errorf("TLS version %x, protocol %q", state.Version, state.NegotiatedProtocol)
		}
		return state.PeerCertificates[0]
	}
	if !served().Equal(first) {
		t.Fatal("another certificate is served")
	}
	second := certify(t, folder)
	r.eventually("the second certificate", func() bool { return served().Equal(second) })
	writeFile(t, filepath.Join(folder, "cert.pem"), "broken")
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if !served().Equal(second) {
			t.Fatal("a broken certificate has changed what is served")
		}
	}
}

// The listener stays where it is, whatever the file says about addresses.
func TestReloadNeverOpensAPublicListener(t *testing.T) {
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer host.Close()
	one := newEntry(t, 1)
	open := fmt.Sprintf(head, "none", "") + one
	guarded := strings.Replace(open, "mode: none", "mode: forward\n  forward:\n    url: "+host.URL, 1)
	r := start(t, strings.Replace(guarded, "127.0.0.1:0", "0.0.0.0:0", 1))
	_, port, err := net.SplitHostPort(strings.TrimSuffix(strings.TrimPrefix(r.url, "http://"), "/v1/key"))
	if err != nil {
		t.Fatal(err)
	}
	r.url = "http://127.0.0.1:" + port + "/v1/key"
	if status, _, _ := r.ask(nil); status != http.StatusForbidden {
		t.Fatalf("status %d", status)
	}
	writeFile(t, r.path, open)
	for deadline := time.Now().Add(4 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if status, key, _ := r.ask(nil); status != http.StatusForbidden || key != "" {
			t.Fatalf("status %d", status)
		}
	}
}

// A connection can outlive the authorities that were accepted when it was made.
func TestClientCertificateIsVerifiedByTheAuthoritiesInForce(t *testing.T) {
	folder := t.TempDir()
	certify(t, folder)
	other := t.TempDir()
	certify(t, other)
	// The server's certificate stands for its own authority, and for the client's.
	pair, err := tls.LoadX509KeyPair(filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	text := func(ca string) string {
		section := fmt.Sprintf("server:\n  tls:\n    cert_file: %[1]s/cert.pem\n    key_file: %[1]s/key.pem\n    client_ca_file: %[2]s/cert.pem\n    client_names: [client.internal]\n", folder, ca)
		return strings.Replace(fmt.Sprintf(head, "none", ""), "server:\n", section, 1)
	}
	one := newEntry(t, 1)
	r := start(t, text(folder)+one)
	r.url = "https" + strings.TrimPrefix(r.url, "http")
	client := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{
		InsecureSkipVerify: true, Certificates: []tls.Certificate{pair},
	}}}
	ask := func() int {
		t.Helper()
		response, err := client.Post(r.url, "application/json", strings.NewReader(`{"documentId":"doc-1","keyHint":null}`))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		io.Copy(io.Discard, response.Body)
		return response.StatusCode
	}
	if status := ask(); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	writeFile(t, r.path, text(other)+one)
	r.eventually("a refusal on the same connection", func() bool { return ask() == http.StatusUnauthorized })
}

func TestAddressInUseNamesItsSetting(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	text := fmt.Sprintf(head, "none", "") + newEntry(t, 1)
	for setting, text := range map[string]string{
		"server.address": strings.Replace(text, "127.0.0.1:0", taken.Addr().String(), 1),
		"admin.address":  strings.Replace(text, `""`, taken.Addr().String(), 1),
	} {
		path := filepath.Join(t.TempDir(), "keyhint.yaml")
		writeFile(t, path, text)
		var listen *service.ListenError
		if err := run(context.Background(), path, nil); !errors.As(err, &listen) || listen.Setting != setting {
			t.Errorf("%s: %v", setting, err)
		}
	}
}

func TestAccessControlChangesWithTheFile(t *testing.T) {
	var allow atomic.Bool
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"allow":%t}`, allow.Load())
	}))
	defer host.Close()
	one := newEntry(t, 1)
	open := fmt.Sprintf(head, "none", "") + one
	guarded := strings.Replace(open, "mode: none", "mode: forward\n  forward:\n    url: "+host.URL, 1)
	r := start(t, open)
	status, key, hint := r.ask(nil)
	if status != http.StatusOK {
		t.Fatal(status)
	}
	writeFile(t, r.path, guarded)
	r.eventually("a refusal", func() bool { status, _, _ := r.ask(hint); return status == http.StatusForbidden })
	allow.Store(true)
	if status, again, _ := r.ask(hint); status != http.StatusOK || again != key {
		t.Errorf("status %d", status)
	}
}

// What keyhint has in use is so little that without headroom garbage would be
// collected after every thousand requests.
func TestGarbageIsCollectedSeldom(t *testing.T) {
	start(t, fmt.Sprintf(head, "none", "")+newEntry(t, 1))
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if room := m.NextGC - m.HeapAlloc; room < 6<<20 {
		t.Errorf("garbage is collected after every %d bytes", room)
	}
}
