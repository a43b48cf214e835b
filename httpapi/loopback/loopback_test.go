package loopback_test

import (
	"net"
	"testing"

	"keyhint/httpapi/loopback"
)

func TestIsHost(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LOCALHOST": true, "127.0.0.1": true, "127.9.9.9": true, "::1": true, "[::1]": true, "::ffff:127.0.0.1": true,
		"": false, "localhost.": false, "localhost.example": false, "127.0.0.1.example": false, "0.0.0.0": false, "::": false, "10.0.0.1": false, "2130706433": false,
	} {
		if got := loopback.IsHost(host); got != want {
			t.Errorf("%q: %t", host, got)
		}
	}
}

func TestIsAddr(t *testing.T) {
	for _, c := range []struct {
		address net.Addr
		want    bool
	}{
		{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, true}, {&net.TCPAddr{IP: net.IPv6loopback}, true},
		{&net.TCPAddr{IP: net.IPv4zero}, false}, {&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}, false}, {&net.TCPAddr{}, false}, {nil, false},
	} {
		if got := loopback.IsAddr(c.address); got != c.want {
			t.Errorf("%v: %t", c.address, got)
		}
	}
}
