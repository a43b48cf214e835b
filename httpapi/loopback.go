package httpapi

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/labstack/echo/v4"

	"keyhint/httpapi/access"
)

// requireLoopbackHost refuses a Host that DNS could have bound to the loopback.
func requireLoopbackHost(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if !isLoopbackHost(c.Request().Host) {
			return fmt.Errorf("%w: the Host header does not name this machine's loopback", access.ErrDenied)
		}
		return next(c)
	}
}

func isLoopbackHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
}
