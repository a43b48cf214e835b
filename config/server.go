package config

import (
	"net/netip"
	"path"
	"regexp"
	"strings"
	"time"
)

type serverSection struct {
	Address        string        `mapstructure:"address"`
	Path           string        `mapstructure:"path"`
	TrustedProxies []string      `mapstructure:"trusted_proxies"`
	CORS           corsSection   `mapstructure:"cors"`
	TLS            tlsSection    `mapstructure:"tls"`
	Limits         limitsSection `mapstructure:"limits"`
	ShutdownDelay  time.Duration `mapstructure:"shutdown_delay"`
}

type corsSection struct {
	Origins     []string `mapstructure:"origins"`
	Credentials bool     `mapstructure:"credentials"`
}

type limitsSection struct {
	PerAddress string `mapstructure:"per_address"`
	PerSubject string `mapstructure:"per_subject"`
}

type adminSection struct {
	Address string `mapstructure:"address"`
}

// Server says where and how the key endpoint is served.
type Server struct {
	Address        string         // host:port, unix:/path or systemd
	Path           string         // of the endpoint, such as /v1/key
	TrustedProxies []netip.Prefix // whose word on a client's address is taken
	CORS           CORS
	TLS            *TLS // nil is plain HTTP
	Limits         Limits
	ShutdownDelay  time.Duration // how long the endpoint goes on after the signal to stop
}

// CORS names the origins whose pages may read answers. Package cors says which
// spellings are good.
type CORS struct {
	Origins     []string
	Credentials bool
}

// Limits bound the rate of requests, as package ratelimit reads them; empty is
// no limit.
type Limits struct {
	PerAddress, PerSubject string
}

// Admin says where the private listener is.
type Admin struct {
	Address string // host:port, unix:/path or systemd; empty is none
}

// maxShutdownDelay bounds how long a stop takes. Balancers notice in seconds.
const maxShutdownDelay = 5 * time.Minute

// routable are the paths that have one spelling and no meaning to a router.
var routable = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)

func (v *validation) server(s serverSection) Server {
	v.address("server.address", s.Address, "127.0.0.1:8080")
	if s.ShutdownDelay > maxShutdownDelay {
		v.refuse("server.shutdown_delay", "is over %s: it is the time in which a balancer notices that keyhint is stopping", maxShutdownDelay)
	}
	if !routable.MatchString(s.Path) || path.Clean(s.Path) != s.Path {
		v.refuse("server.path", "is not a path that can be served: write one such as /v1/key, of letters, digits and . _ ~ -")
	} else if s.Path == "/openapi.yaml" {
		v.refuse("server.path", "is where the description of the API is served: write another, such as /v1/key")
	}
	return Server{
		Address: s.Address, Path: s.Path,
		TrustedProxies: v.prefixes("server.trusted_proxies", s.TrustedProxies),
		CORS:           CORS(s.CORS),
		TLS:            v.tls(s.TLS),
		Limits:         Limits(s.Limits),
		ShutdownDelay:  s.ShutdownDelay,
	}
}

func (v *validation) admin(a adminSection, s serverSection) Admin {
	if a.Address == "" {
		return Admin{}
	}
	v.address("admin.address", a.Address, "127.0.0.1:9090")
	if a.Address == s.Address && a.Address != Systemd && !strings.HasSuffix(a.Address, ":0") {
		v.refuse("admin.address", "is server.address as well: what the private listener serves must not be public")
	}
	return Admin(a)
}

func (v *validation) prefixes(setting string, list []string) []netip.Prefix {
	var prefixes []netip.Prefix
	for i, text := range list {
		prefix, err := netip.ParsePrefix(text)
		if err != nil || prefix != prefix.Masked() {
			v.refuse(item(setting, i), "is not a range of addresses: write one such as 10.0.0.0/8, or 192.0.2.7/32 for a single address")
			continue
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes
}
