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
// In flight is also what a client sends on a connection that has been accepted
// and had no request yet. With a TLS configuration it ends TLS; nil is plain HTTP.
func Serve(ctx context.Context, listener net.Listener, handler http.Handler, ending *tls.Config, log *slog.Logger) error {
	first := newNewcomers()
	server := &http.Server{
		Handler:           closeAfter(ctx, handler),
		ConnState:         first.note,
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
	listener.Close()
	<-failed // because it is closed
	first.wait(draining)
	if err := server.Shutdown(draining); err != nil {
		return errors.Join(fmt.Errorf("finishing requests in flight: %w", err), server.Close())
	}
	return nil
}

// closeAfter has connections end after the next answer, once ctx is done:
// HTTP/1.1 closes them, and for HTTP/2 net/http makes a GOAWAY of the header.
func closeAfter(ctx context.Context, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ctx.Err() != nil {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}
