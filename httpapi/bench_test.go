//go:build unix

package httpapi_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"keyhint/httpapi"
)

// BenchmarkKey is the endpoint without a server around it: what -cpuprofile shows
// here is keyhint's own.
func BenchmarkKey(b *testing.B) {
	handler := httpapi.New(newConfig(b, withLoopbackHost, func(c *httpapi.Config) { c.Now = time.Now }))
	const issue = `{"documentId":"doc-1","keyHint":null}`
	hint := readAnswer(b, post(b, handler, issue)).session(b).KeyHint
	b.Run("issue", func(b *testing.B) { benchmark(b, handler, issue) })
	b.Run("resolve", func(b *testing.B) { benchmark(b, handler, fmt.Sprintf(`{"documentId":"doc-1","keyHint":%q}`, hint)) })
}

func newRequest(b *testing.B, body *strings.Reader) *http.Request {
	local := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}
	ctx := context.WithValue(b.Context(), http.LocalAddrContextKey, net.Addr(local))
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1:8080"+path, body)
	if err != nil {
		b.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.RemoteAddr = "127.0.0.1:40000"
	return request
}

func post(b *testing.B, handler http.Handler, body string) *http.Response {
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, newRequest(b, strings.NewReader(body)))
	return w.Result()
}

// benchmark sends one request over and over. Besides the time that passes, it
// reports that of processors, which other programs on the machine change less.
func benchmark(b *testing.B, handler http.Handler, body string) {
	reader := strings.NewReader(body)
	request, w := newRequest(b, reader), &discard{header: make(http.Header)}
	b.ReportAllocs()
	before := cpu(b)
	for b.Loop() {
		reader.Reset(body)
		clear(w.header)
		handler.ServeHTTP(w, request)
		if w.status != http.StatusOK {
			b.Fatal(w.status)
		}
	}
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op")
}

func cpu(b *testing.B) time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// discard is an answer that goes nowhere.
type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
