// Package loopback tells what stays on this machine.
package loopback

import (
	"net"
	"net/netip"
	"strings"
)

// IsHost tells whether a host, as it stands in a URL or a Host header without
// its port, is localhost or a loopback address. Other names are not looked up:
// what they mean can change, and can be somebody else's to decide.
func IsHost(host string) bool {
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}

// IsAddr tells whether a socket's own address is a loopback address.
func IsAddr(address net.Addr) bool {
	tcp, ok := address.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
