package httpapi

import (
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/labstack/echo/v4"

	"keyhint/httpapi/access"
	"keyhint/httpapi/loopback"
)

var errForeignHost = errors.New("not for this machine")

// requireLoopback refuses a request that came over anything but the loopback, and
// a Host that DNS could have bound to it.
func requireLoopback(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr); !loopback.IsAddr(local) {
			return fmt.Errorf("%w: %w: the connection is not over the loopback", access.ErrDenied, errForeignHost)
		}
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if !loopback.IsHost(host) {
			return fmt.Errorf("%w: %w: the Host header is not localhost or a loopback address", access.ErrDenied, errForeignHost)
		}
		return next(c)
	}
}
