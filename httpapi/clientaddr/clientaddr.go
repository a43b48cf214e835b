// Package clientaddr tells which address a request came from and which id it
// has, behind any number of reverse proxies.
//
// What a request says of itself is believed only as far as a trusted proxy
// wrote it: a forged header can change nothing for a client that connects
// directly, and nothing but the left end of a list, which is never reached, for
// one that comes through a proxy.
package clientaddr

import (
	"crypto/rand"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Resolver knows which peers are trusted proxies. It does not change and is
// safe for any number of goroutines.
type Resolver struct {
	trusted []netip.Prefix
}

// New returns a resolver that believes the peers in the given prefixes. With
// none, it believes nobody.
//
// A proxy on a Unix socket has no address. Only processes of this machine can
// be there, so it counts as 127.0.0.1: it is trusted if a prefix contains that.
func New(trusted []netip.Prefix) *Resolver {
	r := &Resolver{trusted: make([]netip.Prefix, 0, len(trusted))}
	for _, prefix := range trusted {
		if prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
			prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
		}
		r.trusted = append(r.trusted, prefix)
	}
	return r
}

// Address is the address of the client, never IPv4-mapped and without a zone.
//
// It is the peer's, unless the peer is trusted. Then it is the rightmost
// untrusted address in X-Forwarded-For or Forwarded (RFC 7239), or the leftmost
// if all are trusted. Whatever is no address (unknown, _hidden, nothing at all)
// ends the walk at the proxy that wrote it.
//
// If both headers are there and disagree, the peer's address is used: a proxy
// sets the one that it knows and may pass the other on as the client wrote it,
// and nothing tells which is which.
//
// The zero Addr means that the connection has no address, which no TCP or Unix
// socket causes. The work is linear in the size of the headers, so the server
// bounds it.
func (r *Resolver) Address(req *http.Request) netip.Addr {
	peer, legacy, standard := peerOf(req), req.Header["X-Forwarded-For"], req.Header["Forwarded"]
	switch {
	case standard == nil:
		return r.walk(peer, legacy, parseNode)
	case legacy == nil:
		return r.walk(peer, standard, parseForwarded)
	}
	address := r.walk(peer, legacy, parseNode)
	if r.walk(peer, standard, parseForwarded) != address {
		return peer
	}
	return address
}

// walk follows the hops from the peer to the client, which is from right to left,
// as far as they are trusted.
func (r *Resolver) walk(hop netip.Addr, lines []string, parse func(string) (netip.Addr, bool)) netip.Addr {
	list, element, more := strings.Join(lines, ","), "", len(lines) > 0
	for more && r.trusts(hop) {
		list, element, more = cutLast(list, ',')
		previous, ok := parse(element)
		if !ok {
			break
		}
		hop = previous
	}
	return hop
}

// TrustsPeer tells whether the request came straight from a trusted proxy.
func (r *Resolver) TrustsPeer(req *http.Request) bool { return r.trusts(peerOf(req)) }

func (r *Resolver) trusts(address netip.Addr) bool {
	for _, prefix := range r.trusted {
		if prefix.Contains(address) {
			return true
		}
	}
	return false
}

// RequestID is the X-Request-Id that a trusted proxy sent, if there is one and
// it is fit for logs and headers: 1 to 128 letters, digits and . _ : / + = @ -.
// Otherwise it is a new random one.
func (r *Resolver) RequestID(req *http.Request) string {
	if ids := req.Header["X-Request-Id"]; len(ids) == 1 && isRequestID(ids[0]) && r.TrustsPeer(req) {
		return ids[0]
	}
	return rand.Text()
}

const maxRequestIDSize = 128

func isRequestID(s string) bool {
	return 0 < len(s) && len(s) <= maxRequestIDSize && consistsOf(s, "._:/+=@-")
}

// consistsOf tells whether all of s is ASCII letters, digits and the given others.
func consistsOf(s, others string) bool {
	for _, c := range []byte(s) {
		alphanumeric := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alphanumeric && strings.IndexByte(others, c) < 0 {
			return false
		}
	}
	return true
}

// peerOf is the other end of the connection. The listener tells what a Unix
// socket is: RemoteAddr is "@" there, or empty, or whatever the peer is bound to.
func peerOf(req *http.Request) netip.Addr {
	if local, ok := req.Context().Value(http.LocalAddrContextKey).(*net.UnixAddr); ok && local != nil {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	peer, _ := netip.ParseAddrPort(req.RemoteAddr)
	return plain(peer.Addr())
}

// plain is the one form of an address that is compared, limited and logged.
func plain(address netip.Addr) netip.Addr { return address.Unmap().WithZone("") }
