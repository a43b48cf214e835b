package kubernetes

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// keyhint runs as the manifests say, with the Secrets that README's commands
// make: every probe succeeds, Prometheus finds metrics, and the Service answers
// tokens with keys. A rotation as README shows it comes into force in place, and
// deleting the pod ends it in order.
func TestPodRuns(t *testing.T) {
	program := inNamespaces(t)
	if program == "" {
		return
	}
	application := newApplication(t, "app.example.com:443")
	secrets := map[string]secret{"keyhint-tls": application.certificate(t, "keys.example.com")}
	operator := newOperator(t, program, secrets)
	install, rotate := readmeCommands(t)
	operator.run(t, install)
	c := build(t, filepath.Join(operator.folder, "deploy/kubernetes/production"))
	spec := c.deployments[0].Spec.Template.Spec
	container := &spec.Containers[0]
	p := newPod(t, spec, application.files(t, program), secrets)
	setShutdownDelay(t, container, time.Second)
	p.start(t, entrypoint(t))

	p.await(t, "the startup probe's success", func() bool { return p.probe(container.StartupProbe) == nil })
	p.await(t, "the readiness probe's success", func() bool { return p.probe(container.ReadinessProbe) == nil })
	if err := p.probe(container.LivenessProbe); err != nil {
		t.Errorf("the liveness probe fails: %v", err)
	}
	metrics := func() string {
		e := c.monitors[0].Spec.Endpoints[0]
		status, text, err := p.get(containerPort(container, servicePort(service(t, c, "keyhint-admin"), e.Port).TargetPort), e.Path)
		if err != nil || status != 200 {
			t.Fatalf("Prometheus gets %d, %v", status, err)
		}
		return text
	}
	if text := metrics(); !strings.Contains(text, "\nkeyhint_keyring_versions 1\n") {
		t.Errorf("Prometheus gets %s", text)
	}
	public := containerPort(container, servicePort(service(t, c, "keyhint"), "https").TargetPort)
	issued := application.ask(t, public, "null")
	if again := application.ask(t, public, `"`+issued.KeyHint+`"`); again.Key != issued.Key || issued.Key == "" {
		t.Error("the key is not the same again")
	}
	p.await(t, "a record of each key in the container's output", func() bool { return strings.Count(p.log.String(), `{"audit":"request"`) == 2 })
	if records := p.log.String(); !strings.Contains(records, issued.KeyHint) || strings.Contains(records, issued.Key) {
		t.Error("the container's output does not have the hint, or has the key")
	}
	hasOnlyWhatItNeeds(t, p)

	operator.run(t, rotate)
	p.volumes["config"].sync(t, secrets)
	p.await(t, "the new ring", func() bool { return strings.Contains(metrics(), "\nkeyhint_keyring_versions 2\n") })
	if text := metrics(); !strings.Contains(text, "\nkeyhint_primary_version 1\n") {
		t.Error("the new version issues before its time")
	}
	if again := application.ask(t, public, `"`+issued.KeyHint+`"`); again.Key != issued.Key {
		t.Error("the key is not the same after the rotation")
	}

	p.Process.Signal(syscall.SIGTERM)
	p.await(t, "the readiness probe's failure", func() bool { return p.probe(container.ReadinessProbe) != nil })
	if code := p.end(t); code != 0 {
		t.Errorf("it ends with %d", code)
	}
}

// Without the mode and the group that the manifests give the files, keyhint does
// not start: what protects the secrets is not there for show.
func TestPodRefusesOtherModes(t *testing.T) {
	program := inNamespaces(t)
	if program == "" {
		return
	}
	application := newApplication(t, "app.example.com:443")
	secrets := map[string]secret{"keyhint-tls": application.certificate(t, "keys.example.com")}
	operator := newOperator(t, program, secrets)
	install, _ := readmeCommands(t)
	operator.run(t, install)
	for name, wrong := range map[string]struct {
		change func(*corev1.PodSpec)
		says   string
	}{
		"the default mode":              {func(s *corev1.PodSpec) { s.Volumes[0].Projected.DefaultMode = nil }, "can be read by everyone"},
		"the default mode for the cert": {func(s *corev1.PodSpec) { s.Volumes[1].Secret.DefaultMode = nil }, "can be read by everyone"},
		"no group":                      {func(s *corev1.PodSpec) { s.SecurityContext.FSGroup = nil }, "permission denied"},
	} {
		t.Run(name, func(t *testing.T) {
			spec := build(t, "example").deployments[0].Spec.Template.Spec
			wrong.change(&spec)
			p := newPod(t, spec, application.files(t, program), secrets)
			p.start(t, entrypoint(t))
			if code := p.end(t); code != 3 || !strings.Contains(p.log.String(), wrong.says) {
				t.Errorf("it ends with %d and %s", code, p.log)
			}
		})
	}
}

// setShutdownDelay shortens a wait that nothing depends on here.
func setShutdownDelay(t *testing.T, c *corev1.Container, delay time.Duration) {
	t.Helper()
	for i := range c.Env {
		if c.Env[i].Name == "KEYHINT_SERVER_SHUTDOWN_DELAY" {
			c.Env[i].Value = delay.String()
			return
		}
	}
	t.Fatal("there is no delay to shorten")
}

// hasOnlyWhatItNeeds looks at the running process as the kernel sees it.
func hasOnlyWhatItNeeds(t *testing.T, p *pod) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`Uid:(\t65532){4}`, `Gid:(\t65532){4}`, `Groups:\t65532 ?`, `CapPrm:\t0+`, `CapEff:\t0+`, `NoNewPrivs:\t1`} {
		if !regexp.MustCompile(`(?m)^` + want + `$`).Match(status) {
			t.Errorf("it does not run with %s: %s", want, status)
		}
	}
	for _, path := range []string{"/", "/etc/keyhint", "/etc/keyhint-tls"} {
		var system syscall.Statfs_t
		if err := syscall.Statfs(fmt.Sprintf("/proc/%d/root%s", p.Process.Pid, path), &system); err != nil || system.Flags&syscall.MS_RDONLY == 0 {
			t.Errorf("%s can be written: %x, %v", path, system.Flags, err)
		}
	}
}

// operator runs the commands of README with a cluster that is no more than the
// Secrets in it.
type operator struct {
	folder  string
	secrets map[string]secret
}

// kubectl knows the commands of README that have to do with the Secret keyhint,
// which is the file "cluster".
const kubectl = `#!/bin/sh
case "$*" in
"create namespace keyhint") ;;
"-n keyhint create secret generic keyhint --from-file=keyhint.yaml") cp keyhint.yaml cluster ;;
"-n keyhint create secret tls keyhint-tls --cert=tls.crt --key=tls.key") ;;
"apply --server-side -k deploy/kubernetes/production") ;;
"-n keyhint get secret keyhint -o go-template="*) cat cluster ;;
"-n keyhint create secret generic keyhint --from-file=keyhint.yaml --dry-run=client -o yaml") cat keyhint.yaml ;;
"-n keyhint replace -f -") cat > cluster ;;
*) echo "unknown: kubectl $*" >&2; exit 1 ;;
esac
`

func newOperator(t *testing.T, program string, secrets map[string]secret) *operator {
	t.Helper()
	o := &operator{folder: t.TempDir(), secrets: secrets}
	tools := t.TempDir()
	if err := os.Symlink(program, filepath.Join(tools, "keyhint")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tools, "kubectl"), []byte(kubectl), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", tools+":"+os.Getenv("PATH"))
	if err := os.CopyFS(filepath.Join(o.folder, "deploy/kubernetes"), os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	return o
}

// readmeCommands are those for an installation and those for a rotation.
func readmeCommands(t *testing.T) (install, rotate string) {
	t.Helper()
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Kubernetes\n")
	section, _, _ = strings.Cut(section, "\n## ")
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(section, -1)
	if len(blocks) != 2 {
		t.Fatalf("README has %d blocks of commands for Kubernetes", len(blocks))
	}
	return blocks[0][1], blocks[1][1]
}

// run runs commands, and brings the Secret up to date.
func (o *operator) run(t *testing.T, commands string) {
	t.Helper()
	shell := exec.Command("sh", "-euxc", commands)
	shell.Dir = o.folder
	output, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	content, err := os.ReadFile(filepath.Join(o.folder, "cluster"))
	if err != nil {
		t.Fatal(err)
	}
	o.secrets["keyhint"] = secret{"keyhint.yaml": content}
}

// application is the host application: it mints tokens and serves the keys that
// they are verified with, under a certificate that only its own authority made.
type application struct {
	key       *rsa.PrivateKey
	authority *x509.Certificate
}

func newApplication(t *testing.T, address string) *application {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	a := &application{key: key}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	made, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if a.authority, err = x509.ParseCertificate(made); err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(address)
	s := a.certificate(t, host)
	pair, err := tls.X509KeyPair(s["tls.crt"], s["tls.key"])
	if err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", net.JoinHostPort("127.0.0.1", port), &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != host || r.URL.Path != "/.well-known/jwks.json" {
			http.NotFound(w, r)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"keys": []any{map[string]string{
			"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "1",
			"n": text(key.N.Bytes()), "e": text(big.NewInt(int64(key.E)).Bytes()),
		}}})
	})}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	return a
}

// certificate is a Secret of type kubernetes.io/tls for a name.
func (a *application) certificate(t *testing.T, name string) secret {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	made, err := x509.CreateCertificate(rand.Reader, template, a.authority, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		t.Fatal(err)
	}
	return secret{
		"tls.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made}),
		"tls.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
	}
}

// files are those of the image, with the application's authority for the usual
// ones, and those that the kubelet adds.
func (a *application) files(t *testing.T, program string) map[string][]byte {
	t.Helper()
	binary, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		entrypoint(t):                        binary,
		"/etc/ssl/certs/ca-certificates.crt": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.authority.Raw}),
		"/etc/hosts":                         []byte("127.0.0.1 app.example.com\n"),
	}
}

// answer is keyhint's.
type answer struct{ Key, KeyHint string }

// ask asks for a key with a token, through TLS for the name of the endpoint.
func (a *application) ask(t *testing.T, port int32, keyHint string) answer {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(a.authority)
	client := http.Client{Timeout: patience, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "keys.example.com"}, DisableKeepAlives: true,
	}}
	request, err := http.NewRequest(http.MethodPost, fmt.Sprintf("https://%s:%d/v1/key", podIP, port),
		strings.NewReader(`{"documentId":"doc-1","keyHint":`+keyHint+`}`))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+a.token(t))
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var body bytes.Buffer
	var got answer
	if _, err := body.ReadFrom(response.Body); err != nil || response.StatusCode != 200 || json.Unmarshal(body.Bytes(), &got) != nil {
		t.Fatalf("keyhint answers %d %s: %v", response.StatusCode, &body, err)
	}
	return got
}

// token opens doc-1, at the audience of example/keyhint.yaml.
func (a *application) token(t *testing.T) string {
	t.Helper()
	claims, err := json.Marshal(map[string]any{
		"sub": "alice", "aud": "https://keys.example.com", "exp": time.Now().Add(time.Minute).Unix(),
		"https://claims.tiny.cloud/rtc/document": "doc-1",
	})
	if err != nil {
		t.Fatal(err)
	}
	signed := text([]byte(`{"alg":"RS256","kid":"1"}`)) + "." + text(claims)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, a.key, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + text(signature)
}

func text(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
