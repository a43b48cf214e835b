package httpapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Bounds of a connection. A request is small, so a client that needs longer is
// broken or hostile.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second // header and body
	writeTimeout      = 30 * time.Second // from the end of the header: body, access control and answer
	idleTimeout       = 2 * time.Minute
	maxHeaderSize     = 16 << 10 // bytes
	drainTimeout      = 25 * time.Second
)

// Serve answers connections of the listener until ctx is done. Then it accepts
// no more, finishes what is in flight, for 25 seconds at most, and returns nil.
// With a TLS configuration it ends TLS; nil is plain HTTP.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler, ending *tls.Config, log *slog.Logger) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderSize,
		TLSConfig:         ending,
		// Else net/http answers "OPTIONS *" by itself, without our headers and checks.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() {
		if ending != nil {
			failed <- server.ServeTLS(listener, "", "")
		} else {
			failed <- server.Serve(listener)
		}
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("serving: %w", err)
	case <-ctx.Done():
	}
	draining, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := server.Shutdown(draining); err != nil {
		return errors.Join(fmt.Errorf("finishing requests in flight: %w", err), server.Close())
	}
	return nil
}
