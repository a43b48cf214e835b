package httpapi_test

import (
	"fmt"
	"net/http"
	"testing"

	"keyhint/httpapi"
)

func TestLoopbackHost(t *testing.T) {
	body := `{"documentId":"a","keyHint":null}`
	with := func(version, host string) string {
		return fmt.Sprintf("POST %s HTTP/%s\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", path, version, host, len(body), body)
	}
	accepted := []string{
		"localhost", "LOCALHOST", "LocalHost:8080", "localhost:1", "127.0.0.1", "127.0.0.1:8080", "127.9.9.9", "127.255.255.255:80",
		"[::1]", "[::1]:8080", "[0:0:0:0:0:0:0:1]:8080", "[::ffff:127.0.0.1]:8080",
	}
	refused := []string{
		"evil.com", "evil.com:8080", "localhost.evil.com", "evil.com.localhost", "sub.localhost", "notlocalhost", "localhost-evil.com", "127.0.0.1.nip.io", "127.0.0.1.evil.com:8080",
		"0.0.0.0", "0.0.0.0:8080", "[::]", "[::]:8080", "10.0.0.1", "192.168.0.1:8080", "128.0.0.1", "126.255.255.255", "[::2]", "[fe80::1]", "[::ffff:10.0.0.1]",
		"127.1", "2130706433", "0x7f.0.0.1", "0177.0.0.1", "127.0.0.1.", "127.0.0.01", "[localhost]", "localhost:80:80", "localhost,evil.com", "evil.com,localhost", ":8080", "",
	}
	address := serve(t, httpapi.New(newConfig(t, withLoopbackHost)))
	for _, host := range accepted {
		for _, version := range []string{"1.0", "1.1"} {
			if a := raw(t, address, with(version, host)); a.status != http.StatusOK {
				t.Errorf("HTTP/%s with Host %q has status %d: %s", version, host, a.status, a.body)
			}
		}
	}
	for _, host := range refused {
		for _, version := range []string{"1.0", "1.1"} {
			a := raw(t, address, with(version, host))
			a.checkHeaders(t)
			if a.status != http.StatusForbidden {
				t.Errorf("HTTP/%s with Host %q has status %d: %s", version, host, a.status, a.body)
			} else {
				a.wants(t, accessDenied)
			}
		}
	}
	t.Run("no Host at all", func(t *testing.T) {
		raw(t, address, fmt.Sprintf("POST %s HTTP/1.0\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)).wants(t, accessDenied)
	})
	t.Run("host in the request line wins", func(t *testing.T) {
		request := "POST http://%s" + path + " HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s"
		raw(t, address, fmt.Sprintf(request, "evil.com", "localhost", len(body), body)).wants(t, accessDenied)
		raw(t, address, fmt.Sprintf(request, "localhost", "evil.com", len(body), body)).session(t)
	})
	t.Run("forwarded host counts for nothing", func(t *testing.T) {
		raw(t, address, "GET / HTTP/1.1\r\nHost: evil.com\r\nX-Forwarded-Host: localhost\r\nForwarded: host=localhost\r\n\r\n").wants(t, accessDenied)
	})
	t.Run("two Hosts", func(t *testing.T) {
		if a := raw(t, address, with("1.1", "localhost\r\nHost: evil.com")); a.status != http.StatusBadRequest {
			t.Errorf("status %d", a.status)
		}
	})
	t.Run("other paths and methods are refused alike", func(t *testing.T) {
		for _, line := range []string{"GET /", "GET " + path, "DELETE /x"} {
			raw(t, address, line+" HTTP/1.1\r\nHost: evil.com\r\n\r\n").wants(t, accessDenied)
		}
	})
}

func TestAnyHostIsServedWithoutLoopbackHost(t *testing.T) {
	e := newEndpoint(t)
	r := e.newRequest(http.MethodGet, "/", nil)
	r.Host = "keys.example.com"
	e.do(r).wants(t, notFound)
}
