package service

import (
	"context"
	"net"
	"net/http"

	"github.com/coreos/go-systemd/v22/daemon"
)

// watch tells systemd's watchdog that the service is alive, four times a period,
// as long as it answers. It returns when ctx is done, or at once if no watchdog
// waits. If an answer never comes, neither does the next sign of life.
//
// It asks itself within the process. A connection would depend on a free file
// descriptor, which a restart does not bring, and on a network, which the service
// may be kept from.
func (s *service) watch(ctx context.Context) {
	period, err := daemon.SdWatchdogEnabled(true)
	if err != nil {
		s.Log.Warn("the watchdog's settings cannot be used", "cause", err)
	}
	for period > 0 && ctx.Err() == nil {
		s.handler.ServeHTTP(make(discard), selfRequest(ctx))
		s.systemd.alive()
		pause(ctx, period/4)
	}
}

// selfRequest asks for the description of the API, which needs no rights. It
// comes from nobody, and spends no client's limit.
func selfRequest(ctx context.Context) *http.Request {
	ctx = context.WithValue(ctx, http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost/openapi.yaml", http.NoBody)
	if err != nil {
		panic(err) // the URL is a constant
	}
	return r
}

// discard is a ResponseWriter that keeps nothing but the header.
type discard http.Header

func (d discard) Header() http.Header         { return http.Header(d) }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}
