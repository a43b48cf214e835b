package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// watch tells systemd's watchdog that the service is alive, as long as it is: as
// long as the public listener takes connections and answers on them. It returns
// when ctx is done, or at once if no watchdog waits.
func (s *service) watch(ctx context.Context, public net.Addr) {
	period, err := daemon.SdWatchdogEnabled(true)
	if err != nil {
		s.Log.Warn("the watchdog's settings cannot be used", "cause", err)
	}
	if period <= 0 {
		return
	}
	for ctx.Err() == nil {
		switch err := probe(ctx, public, period/4); {
		// Out of file descriptors, there is no telling from here; and connections that
		// are there go on, which a restart would end.
		case err == nil, errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
			s.systemd.alive()
		case ctx.Err() == nil:
			s.Log.Error("the service does not answer itself; systemd restarts it if that goes on", "cause", err)
		}
		pause(ctx, period/4)
	}
}

// incomplete is a request that net/http answers by itself: without a host over
// HTTP/1.1, and without TLS where it expects that. It reaches no handler, log,
// limit or metric.
const incomplete = "GET / HTTP/1.1\r\n\r\n"

// probe returns nil if what listens at an address answers within the timeout.
func probe(ctx context.Context, address net.Addr, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, address.Network(), address.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	if _, err := io.WriteString(conn, incomplete); err != nil {
		return err
	}
	answer := make([]byte, len("HTTP/1."))
	if _, err := io.ReadFull(conn, answer); err != nil {
		return err
	}
	if string(answer) != "HTTP/1." {
		return fmt.Errorf("the answer begins with %q", answer)
	}
	return nil
}
