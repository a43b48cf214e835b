package config

import (
	"net"
	"net/netip"
	"path"
	"strconv"
	"strings"
)

// Forms of an address besides host:port.
const (
	// Systemd is the address of a socket that systemd passes.
	Systemd = "systemd"
	// unixPrefix begins the address of a Unix socket.
	unixPrefix = "unix:"
	// maxUnixPath is how long a Unix socket's path can be on Linux, in bytes (unix(7)).
	maxUnixPath = 107
)

// UnixPath returns the path in an address of the form unix:/path, and whether
// it has this form.
func UnixPath(address string) (path string, is bool) { return strings.CutPrefix(address, unixPrefix) }

func (v *validation) address(setting, address, example string) {
	if path, is := UnixPath(address); is {
		v.unixPath(setting, path)
		return
	}
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil && address != Systemd {
		v.refuse(setting, "is not an address: write host:port, such as %s, or unix:/absolute/path, or systemd", example)
	}
}

// unixPath refuses what is not the one spelling of a path that a socket can have.
func (v *validation) unixPath(setting, file string) {
	switch {
	case !strings.HasPrefix(file, "/") || file != path.Clean(file) || file == "/" || strings.Contains(file, "\x00"):
		v.refuse(setting, "has no path that a socket can have: write an absolute one without . and .., such as unix:/run/keyhint/keyhint.sock")
	case len(file) > maxUnixPath:
		v.refuse(setting, "has a path of %d bytes: the operating system allows %d for a Unix socket; choose a shorter one", len(file), maxUnixPath)
	}
}

// isLoopback tells whether an address can be reached from this machine only.
// Names other than localhost are not looked up: what they mean can change.
//
// A Unix socket is none, and neither is what systemd passes. Proxies stand in
// front of Unix sockets, and many of them put "localhost" in the Host header of
// whatever they pass on, so that it would prove nothing there.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
