package clientaddr_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"keyhint/httpapi/clientaddr"
)

// The addresses that requests come from: all are this machine's.
const (
	proxy  = "127.0.0.1"
	client = "127.0.0.66"
)

var trusted = []netip.Prefix{
	netip.MustParsePrefix(proxy + "/32"),
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("::ffff:192.168.0.0/112"),
	netip.MustParsePrefix("2001:db8:1::/48"),
}

// seen is what a handler finds out about a request.
type seen struct {
	address    string
	trustsPeer bool
	requestID  string
	stable     bool // the request id was the same when asked for again
}

// over sends a real request from an address to the listener, which it closes,
// and tells what arrived.
func over(t *testing.T, listener net.Listener, from string, r *clientaddr.Resolver, header http.Header) seen {
	t.Helper()
	var got seen
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		got = seen{address: r.Address(req).String(), trustsPeer: r.TrustsPeer(req), requestID: r.RequestID(req)}
		got.stable = r.RequestID(req) == got.requestID
	}))
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	defer server.Close()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		to, dialer := listener.Addr(), net.Dialer{}
		if to.Network() == "tcp" {
			dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
		}
		return dialer.DialContext(ctx, to.Network(), to.String())
	}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://localhost/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	answer, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return got
}

func overTCP(t *testing.T, from string, r *clientaddr.Resolver, header http.Header) seen {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if header == nil {
		header = make(http.Header)
	}
	return over(t, listener, from, r, header)
}

func legacy(lines ...string) http.Header   { return http.Header{"X-Forwarded-For": lines} }
func standard(lines ...string) http.Header { return http.Header{"Forwarded": lines} }
func both(l, s string) http.Header {
	return http.Header{"X-Forwarded-For": {l}, "Forwarded": {s}}
}

// behindProxy are headers that come from a trusted proxy, and the address that
// follows from them.
var behindProxy = []struct {
	name   string
	header http.Header
	want   string
}{
	{"no header", nil, proxy},
	{"one address", legacy("203.0.113.7"), "203.0.113.7"},
	{"the rightmost of many", legacy("6.6.6.6, 7.7.7.7, 203.0.113.7"), "203.0.113.7"},
	{"without spaces", legacy("6.6.6.6,203.0.113.7"), "203.0.113.7"},
	{"with tabs", legacy("6.6.6.6,\t203.0.113.7\t "), "203.0.113.7"},
	{"trusted hops are skipped", legacy("6.6.6.6, 203.0.113.7, 10.1.2.3, 2001:db8:1::5"), "203.0.113.7"},
	{"a mapped address of a trusted hop", legacy("6.6.6.6, 203.0.113.7, ::ffff:10.1.2.3"), "203.0.113.7"},
	{"a hop trusted by a mapped prefix", legacy("6.6.6.6, 203.0.113.7, 192.168.0.9"), "203.0.113.7"},
	{"just outside that prefix", legacy("6.6.6.6, 203.0.113.7, 192.169.0.9"), "192.169.0.9"},
	{"all trusted", legacy("10.0.0.3, 10.0.0.2, 10.0.0.1"), "10.0.0.3"},
	{"lines in order", legacy("6.6.6.6", "203.0.113.7", "10.0.0.1"), "203.0.113.7"},
	{"lines in order, the last untrusted", legacy("203.0.113.7", "6.6.6.6"), "6.6.6.6"},
	{"IPv4-mapped is IPv4", legacy("::ffff:203.0.113.7"), "203.0.113.7"},
	{"IPv6", legacy("2001:DB8:0::7"), "2001:db8::7"},
	{"IPv6 without a zone", legacy("fe80::7%eth0"), "fe80::7"},
	{"IPv6 in brackets", legacy("[2001:db8::7]"), "2001:db8::7"},
	{"IPv6 in brackets with a port", legacy("[2001:db8::7]:443"), "2001:db8::7"},
	{"IPv4 with a port", legacy("203.0.113.7:65535"), "203.0.113.7"},
	{"a trusted hop with a port", legacy("203.0.113.7, 10.0.0.1:1234"), "203.0.113.7"},
	{"garbage to the left is not reached", legacy("<script>, ,,\", 203.0.113.7"), "203.0.113.7"},

	{"garbage", legacy("6.6.6.6, evil"), proxy},
	{"garbage behind a trusted hop", legacy("6.6.6.6, evil, 10.0.0.1"), "10.0.0.1"},
	{"an empty header", legacy(""), proxy},
	{"an empty element", legacy("6.6.6.6,"), proxy},
	{"an empty line", legacy("6.6.6.6", ""), proxy},
	{"unknown", legacy("6.6.6.6, unknown"), proxy},
	{"what nginx writes for a Unix socket", legacy("6.6.6.6, unix:"), proxy},
	{"two addresses without a comma", legacy("6.6.6.6 203.0.113.7"), proxy},
	{"a quoted address", legacy(`"203.0.113.7"`), proxy},
	{"IPv4 in brackets", legacy("[203.0.113.7]"), proxy},
	{"IPv4 with a leading zero", legacy("203.0.113.07"), proxy},
	{"IPv4 in short", legacy("203.7"), proxy},
	{"a prefix", legacy("203.0.113.0/24"), proxy},
	{"an empty port", legacy("203.0.113.7:"), proxy},
	{"a port of six digits", legacy("203.0.113.7:123456"), proxy},
	{"a port of letters", legacy("203.0.113.7:http"), proxy},
	{"an open bracket", legacy("[2001:db8::7"), proxy},
	{"text behind a bracket", legacy("[2001:db8::7]443"), proxy},
	{"a host name", legacy("localhost"), proxy},

	{"Forwarded", standard("for=203.0.113.7"), "203.0.113.7"},
	{"Forwarded, the rightmost", standard("for=6.6.6.6, for=203.0.113.7"), "203.0.113.7"},
	{"Forwarded, every parameter", standard(`by=10.0.0.1;For="203.0.113.7:80";host="a,b;for=6.6.6.6";proto=https`), "203.0.113.7"},
	{"Forwarded, escaped quotes", standard(`for=203.0.113.7;host="a\",for=6.6.6.6;\\\"b\\"`), "203.0.113.7"},
	{"Forwarded, an escaped quote first", standard(`for=203.0.113.7;host="\", for=6.6.6.6"`), "203.0.113.7"},
	{"Forwarded, an escaped address", standard(`for="20\3.0.113.7"`), "203.0.113.7"},
	{"Forwarded, spaces around parameters", standard(`proto=https; for=203.0.113.7 ;host=a`), "203.0.113.7"},
	{"Forwarded, IPv6 with a port", standard(`for=6.6.6.6, for="[2001:db8::7]:4711"`), "2001:db8::7"},
	{"Forwarded, an obfuscated port", standard(`for="203.0.113.7:_p.1-x"`), "203.0.113.7"},
	{"Forwarded, trusted hops and lines", standard(`for=6.6.6.6`, `for="203.0.113.7", for=10.0.0.1`, `for="[2001:db8:1::1]"`), "203.0.113.7"},
	{"Forwarded, a quote left open on the left", standard(`for="6.6.6.6, for=203.0.113.7`), "203.0.113.7"},
	{"Forwarded, a quote left open against a quoted one", standard(`for="6.6.6.6, for="[2001:db8::7]:1"`), "2001:db8::7"},
	{"Forwarded, a quote left open in another line", standard(`for="6.6.6.6`, `for=203.0.113.7`), "203.0.113.7"},

	{"Forwarded, hidden", standard("for=6.6.6.6, for=_hidden"), proxy},
	{"Forwarded, unknown", standard("for=6.6.6.6, for=unknown"), proxy},
	{"Forwarded, hidden behind a trusted hop", standard("for=6.6.6.6, for=_SEVKISEK, for=10.0.0.1"), "10.0.0.1"},
	{"Forwarded without for", standard("for=6.6.6.6, proto=https"), proxy},
	{"Forwarded with for twice", standard("for=6.6.6.6;for=203.0.113.7"), proxy},
	{"Forwarded with for twice, one quoted", standard(`for="6.6.6.6";FOR=203.0.113.7`), proxy},
	{"Forwarded, an empty address", standard("for="), proxy},
	{"Forwarded, an empty quoted address", standard(`for=""`), proxy},
	{"Forwarded, empty", standard(""), proxy},
	{"Forwarded, a quote that never opened", standard(`for=203.0.113.7"`), proxy},
	{"Forwarded, a quote that never closes", standard(`for="203.0.113.7`), proxy},
	{"Forwarded, text behind a quote", standard(`for="203.0.113.7"x`), proxy},
	{"Forwarded, an escaped end", standard(`for="203.0.113.7\"`), proxy},
	{"Forwarded, an empty obfuscated port", standard(`for="203.0.113.7:_"`), proxy},
	{"Forwarded, a bad obfuscated port", standard(`for="203.0.113.7:_ "`), proxy},
	{"Forwarded in the manner of X-Forwarded-For", standard("203.0.113.7"), proxy},

	{"both agree", both("203.0.113.7, 10.0.0.1", `for="203.0.113.7:99"`), "203.0.113.7"},
	{"both disagree", both("203.0.113.7", "for=6.6.6.6"), proxy},
	{"both disagree behind a trusted hop", both("203.0.113.7, 10.0.0.1", "for=6.6.6.6, for=10.0.0.1"), proxy},
	{"one of both is garbage", both("203.0.113.7", "for=_hidden"), proxy},
	{"one of both is empty", both("", "for=6.6.6.6"), proxy},
}

func TestRightmostUntrustedAddressWins(t *testing.T) {
	for _, c := range behindProxy {
		t.Run(c.name, func(t *testing.T) {
			got := overTCP(t, proxy, clientaddr.New(trusted), c.header)
			if got.address != c.want || !got.trustsPeer {
				t.Errorf("%q: the address is %s, want %s", c.header, got.address, c.want)
			}
		})
	}
}

func TestForgedHeadersOfAnUntrustedPeerChangeNothing(t *testing.T) {
	for _, c := range behindProxy {
		header := c.header.Clone()
		if header == nil {
			header = make(http.Header)
		}
		header.Set("X-Request-Id", "forged")
		for name, prefixes := range map[string][]netip.Prefix{"some trusted": trusted, "none trusted": nil} {
			got := overTCP(t, client, clientaddr.New(prefixes), header)
			if got.address != client || got.trustsPeer || got.requestID == "forged" {
				t.Errorf("%s, %s: %+v", c.name, name, got)
			}
		}
	}
}

func TestUnixSocketPeerCountsAsLoopback(t *testing.T) {
	header := http.Header{"X-Forwarded-For": {"203.0.113.7"}, "X-Request-Id": {"id"}}
	for _, c := range []struct {
		prefix, want string
		trusts       bool
	}{
		{"127.0.0.1/32", "203.0.113.7", true},
		{"127.0.0.0/8", "203.0.113.7", true},
		{"0.0.0.0/0", "203.0.113.7", true},
		{"10.0.0.0/8", "127.0.0.1", false},
		{"::1/128", "127.0.0.1", false},
	} {
		listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
		if err != nil {
			t.Fatal(err)
		}
		got := over(t, listener, "", clientaddr.New([]netip.Prefix{netip.MustParsePrefix(c.prefix)}), header)
		if got.address != c.want || got.trustsPeer != c.trusts || (got.requestID == "id") != c.trusts {
			t.Errorf("trusting %s: %+v", c.prefix, got)
		}
	}
}

func TestPeerWithoutAnAddressIsTrustedByNoPrefix(t *testing.T) {
	r := clientaddr.New([]netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0"), {}})
	for _, remote := range []string{"", "@", "@/run/s", "pipe", "127.0.0.1", "localhost:80"} {
		req := httptest.NewRequest(http.MethodPost, "/", nil)
		req.RemoteAddr, req.Header = remote, legacy("203.0.113.7")
		if address := r.Address(req); address.IsValid() || r.TrustsPeer(req) {
			t.Errorf("a peer at %q has the address %s", remote, address)
		}
	}
}

func TestPeerIsUnmappedAndWithoutZone(t *testing.T) {
	for remote, want := range map[string]string{
		"[::ffff:203.0.113.7]:80": "203.0.113.7", "[fe80::1%eth0]:80": "fe80::1", "[2001:db8::1]:80": "2001:db8::1",
	} {
		req := httptest.NewRequest(http.MethodPost, "/", nil)
		req.RemoteAddr = remote
		if got := clientaddr.New(trusted).Address(req).String(); got != want {
			t.Errorf("%s is %s, want %s", remote, got, want)
		}
	}
}

func TestRequestIDIsTakenFromATrustedPeerOnly(t *testing.T) {
	long := strings.Repeat("x", 128)
	for _, c := range []struct {
		ids  []string
		from string
		kept bool
	}{
		{[]string{"a"}, proxy, true},
		{[]string{"Root=1-67891233-abcdef012345678912345678"}, proxy, true},
		{[]string{"0198c2f4-6a31-7cc0-9f3e-5d0a7b1c2d3e"}, proxy, true},
		{[]string{"aZ09._:/+=@-"}, proxy, true},
		{[]string{long}, proxy, true},
		{[]string{"a"}, client, false},
		{nil, proxy, false},
		{[]string{""}, proxy, false},
		{[]string{long + "x"}, proxy, false},
		{[]string{"a", "a"}, proxy, false},
		{[]string{"a b"}, proxy, false},
		{[]string{"a,b"}, proxy, false},
		{[]string{"a\tb"}, proxy, false},
		{[]string{`"a"`}, proxy, false},
		{[]string{"<b>"}, proxy, false},
		{[]string{"é"}, proxy, false},
		{[]string{"a;b"}, proxy, false},
		{[]string{"a{b}"}, proxy, false},
	} {
		got := overTCP(t, c.from, clientaddr.New(trusted), http.Header{"X-Request-Id": c.ids})
		if kept := got.stable && got.requestID == strings.Join(c.ids, ""); kept != c.kept {
			t.Errorf("from %s, %q becomes %q", c.from, c.ids, got.requestID)
		}
		if !c.kept && (len(got.requestID) < 26 || got.stable) {
			t.Errorf("%q is not a fresh random id", got.requestID)
		}
	}
}

func TestLongHeadersCostLittle(t *testing.T) {
	r := clientaddr.New(trusted)
	for _, unit := range []string{"10.0.0.1,", `for="\\\"",`, `\`, `"`, `\"`, ",", ";", `for="`, "for=10.0.0.1;", "["} {
		req := httptest.NewRequest(http.MethodPost, "/", nil)
		req.RemoteAddr = proxy + ":1"
		long := strings.Repeat(unit, 1<<20/len(unit)) // 64 times what the server lets in
		req.Header = both(long, long+`"`)
		start := time.Now()
		r.Address(req)
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("1 MiB of %s took %s", unit, took)
		}
	}
}

// FuzzClientCannotChooseItsAddress appends the client's true address, as a
// proxy does, to whatever the client wrote.
func FuzzClientCannotChooseItsAddress(f *testing.F) {
	seeds := 0
	for _, c := range behindProxy {
		for name, lines := range c.header {
			f.Add(strings.Join(lines, ", "), name == "Forwarded", seeds%2 == 0)
			seeds++
		}
	}
	if seeds < 60 {
		f.Fatalf("only %d seeds", seeds)
	}
	r := clientaddr.New(trusted)
	resolve := func(remote string, header http.Header) string {
		req := httptest.NewRequest(http.MethodPost, "/", nil)
		req.RemoteAddr, req.Header = netip.MustParseAddrPort(remote+":4711").String(), header
		return r.Address(req).String()
	}
	f.Fuzz(func(t *testing.T, forged string, inForwarded, ownLine bool) {
		name, other := "X-Forwarded-For", "Forwarded"
		appended := []string{"203.0.113.7", "203.0.113.7:80", "[::ffff:203.0.113.7]:80", "203.0.113.7, 10.0.0.1"}
		if inForwarded {
			name, other = other, name
			appended = []string{"for=203.0.113.7", `for="203.0.113.7"`, `for="[::ffff:203.0.113.7]:80";host="a\"b"`, `proto=https;for="203.0.113.7", for=10.0.0.1`}
		}
		if got := resolve(client, http.Header{name: {forged}}); got != client {
			t.Errorf("%s: %s makes an untrusted peer %s", name, forged, got)
		}
		for _, own := range appended {
			header := http.Header{name: {forged + ", " + own}}
			if ownLine {
				header = http.Header{name: {forged, own}}
			}
			if got := resolve(proxy, header); got != "203.0.113.7" {
				t.Errorf("%q gives %s", header, got)
			}
			header[other] = []string{forged}
			if got := resolve(proxy, header); got != "203.0.113.7" && got != proxy {
				t.Errorf("%q gives %s", header, got)
			}
		}
	})
}

// FuzzForwardedIsReadLikeFromTheLeft writes proper lists with any texts quoted
// in them and expects the address that stands there.
func FuzzForwardedIsReadLikeFromTheLeft(f *testing.F) {
	for _, text := range []string{"", `"`, `\`, `\"`, `"\`, `, for=6.6.6.6`, `";for=6.6.6.6`, `\\";for="6.6.6.6`, "a;b,c"} {
		f.Add(text, text)
	}
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace
	f.Fuzz(func(t *testing.T, first, second string) {
		req := httptest.NewRequest(http.MethodPost, "/", nil)
		req.RemoteAddr = proxy + ":1"
		req.Header = standard(fmt.Sprintf(`for=6.6.6.6;host="%s", host="%s";for="203.0.113.7";by="%s", for=10.0.0.1;host="%s"`,
			quote(first), quote(second), quote(first), quote(second)))
		if got := clientaddr.New(trusted).Address(req).String(); got != "203.0.113.7" {
			t.Errorf("%s gives %s", req.Header, got)
		}
	})
}
