package monitoring_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"keyhint/config"
	"keyhint/httpapi/service"
)

// served is a metric as running services expose it.
type served struct {
	kind   string   // counter, gauge or histogram
	labels []string // without le, sorted
	values map[string][]string
}

// metrics are those of two running services, which together have every feature
// that has metrics: TLS and tokens with a key set behind a URL in one, a host
// application in the other.
var metrics = sync.OnceValues(func() (map[string]served, error) {
	folder, err := os.MkdirTemp("", "keyhint-monitoring-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	host := httptest.NewTLSServer(http.NotFoundHandler())
	defer host.Close()
	pair := host.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return nil, err
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, "key.pem": {Type: "PRIVATE KEY", Bytes: key},
	} {
		if err := os.WriteFile(filepath.Join(folder, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return nil, err
		}
	}
	all := make(map[string]served)
	for _, section := range []string{
		fmt.Sprintf("server:\n  address: 127.0.0.1:0\n  tls: {cert_file: %[1]s/cert.pem, key_file: %[1]s/key.pem}\n", folder) +
			"auth: {mode: jwt, jwt: {keys: [http://127.0.0.1:9/jwks], audience: [keyhint]}}\n",
		"server:\n  address: 127.0.0.1:0\nauth: {mode: forward, forward: {url: http://127.0.0.1:9/may-open}}\n",
	} {
		if err := expose(filepath.Join(folder, "keyhint.yaml"), section, all); err != nil {
			return nil, err
		}
	}
	return all, nil
})

// expose runs a service and adds what it exposes.
func expose(file, section string, all map[string]served) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	admin := listener.Addr().String()
	listener.Close()
	entry, err := config.NewEntry(1, time.Now(), rand.Reader)
	if err != nil {
		return err
	}
	text := section + "admin: {address: " + admin + "}\nkeyring:\n  keys:\n" + entry
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	c, err := config.Load(file, nil)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	listening, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- service.Run(ctx, service.Options{
			Config: c, Log: slog.New(slog.DiscardHandler), Level: new(slog.LevelVar), Now: time.Now, Listening: func(net.Addr) { close(listening) },
		})
	}()
	defer func() { stop(); <-ended }()
	select {
	case <-listening:
	case err := <-ended:
		ended <- err
		return fmt.Errorf("the service ended: %w", err)
	}
	response, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	exposition, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if problems, err := promlint.New(bytes.NewReader(exposition)).Lint(); err != nil || len(problems) > 0 {
		return fmt.Errorf("promlint: %v, %w", problems, err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(exposition))
	if err != nil {
		return err
	}
	for name, family := range families {
		m := served{kind: strings.ToLower(family.GetType().String()), values: make(map[string][]string)}
		for _, metric := range family.GetMetric() {
			for _, label := range metric.GetLabel() {
				m.values[label.GetName()] = append(m.values[label.GetName()], label.GetValue())
			}
		}
		for label := range m.values {
			m.labels = append(m.labels, label)
		}
		slices.Sort(m.labels)
		all[name] = m
	}
	return nil
}

func servedMetrics(t *testing.T) map[string]served {
	t.Helper()
	all, err := metrics()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// README's table and what is served agree, metric by metric, label by label.
func TestReadmeListsEveryMetric(t *testing.T) {
	readme := read(t, "../../README.md")
	listed := make(map[string]bool)
	quoted := regexp.MustCompile("`([^`]+)`")
	rows := regexp.MustCompile("(?m)^\\| `(keyhint_[a-z_]+)` \\| ([a-z]+) \\| ([^|]*)\\|").FindAllStringSubmatch(readme, -1)
	all := servedMetrics(t)
	for _, row := range rows {
		name, kind := row[1], row[2]
		labels := []string{}
		for _, label := range quoted.FindAllStringSubmatch(row[3], -1) {
			labels = append(labels, label[1])
		}
		slices.Sort(labels)
		m, exists := all[name]
		switch {
		case !exists:
			t.Errorf("README lists %s, which is not served", name)
		case kind != m.kind || strings.Join(labels, " ") != strings.Join(m.labels, " "):
			t.Errorf("README says %s is a %s by %q; it is a %s by %q", name, kind, labels, m.kind, m.labels)
		case listed[name]:
			t.Errorf("README lists %s twice", name)
		}
		listed[name] = true
	}
	for name := range all {
		if strings.HasPrefix(name, "keyhint_") && !listed[name] {
			t.Errorf("README does not list %s", name)
		}
	}

	_, table, _ := strings.Cut(readme, "| `reason` | what was wrong |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var reasons []string
	for line := range strings.Lines(table) {
		first, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " |")
		if strings.HasPrefix(line, "| `") {
			for _, reason := range quoted.FindAllStringSubmatch(first, -1) {
				reasons = append(reasons, reason[1])
			}
		}
	}
	slices.Sort(reasons)
	counted := slices.Sorted(slices.Values(all["keyhint_refusals_total"].values["reason"]))
	if !slices.Equal(reasons, counted) {
		t.Errorf("README lists the reasons\n%q\nand there are\n%q", reasons, counted)
	}
}
