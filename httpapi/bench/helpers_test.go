package bench_test

import (
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"keyhint/derive"
	"keyhint/httpapi"
	"keyhint/httpapi/access"
	"keyhint/httpapi/bench"
	"keyhint/httpapi/clientaddr"
	"keyhint/httpapi/cors"
)

// newHandler is a real endpoint at /v1/key, without access control.
func newHandler(t testing.TB) http.Handler {
	t.Helper()
	entry := derive.Entry{Version: 1}
	var err error
	for _, secret := range []*derive.Secret{&entry.MasterKey, &entry.SaltKey} {
		if *secret, err = derive.GenerateSecret(rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	entry.Check = derive.NewCheckValue(1, entry.MasterKey, entry.SaltKey)
	ring, err := derive.NewKeyring([]derive.Entry{entry})
	if err != nil {
		t.Fatal(err)
	}
	policy, err := cors.New(nil, false)
	if err != nil {
		t.Fatal(err)
	}
	return httpapi.New(httpapi.Config{
		Path: "/v1/key", Keyring: ring, Access: access.Everyone{}, CORS: policy, Clients: clientaddr.New(nil),
		Now: time.Now, Random: rand.Reader, Log: slog.New(slog.DiscardHandler), Metrics: httpapi.NewMetrics(time.Now),
	})
}

// newOptions starts a handler and returns options for a short load on it.
func newOptions(t testing.TB, handler http.Handler) bench.Options {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return bench.Options{
		Target: bench.Target{URL: parse(t, server.URL+"/v1/key")}, Rate: 1000, Connections: 4, Duration: 300 * time.Millisecond, IssueShare: 0.3,
	}
}

func parse(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}
