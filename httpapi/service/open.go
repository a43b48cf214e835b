package service

import (
	"context"
	"fmt"
	"net"

	"keyhint/config"
	"keyhint/httpapi/listen"
)

// Names that sockets from systemd must have (FileDescriptorName=).
const (
	publicSocket  = "keyhint"
	privateSocket = "keyhint-admin"
)

// ListenError says that a listener's address cannot be had.
type ListenError struct {
	Setting string // server.address or admin.address
	Err     error
}

func (e *ListenError) Error() string { return e.Setting + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *ListenError) Unwrap() error { return e.Err }

// openListeners opens the public listener and the private one, which is nil if
// there is none. The error is a [ListenError].
func openListeners(ctx context.Context, c *config.Config, passed listen.Sockets) (public, private net.Listener, err error) {
	if public, err = open(ctx, c.Server.Address, passed, publicSocket); err != nil {
		return nil, nil, &ListenError{"server.address", err}
	}
	if address := c.Admin.Address; address != "" {
		if private, err = open(ctx, address, passed, privateSocket); err != nil {
			public.Close()
			return nil, nil, &ListenError{"admin.address", err}
		}
	}
	if len(passed) == 0 {
		return public, private, nil
	}
	// Whoever connects there would wait for ever.
	public.Close()
	if private != nil {
		private.Close()
	}
	return nil, nil, &ListenError{"server.address", fmt.Errorf(
		"systemd passed a socket that no setting uses, %s: set server.address to systemd for the one named %s, and admin.address for the one named %s",
		passed, publicSocket, privateSocket)}
}

func open(ctx context.Context, address string, passed listen.Sockets, name string) (net.Listener, error) {
	if path, is := config.UnixPath(address); is {
		return listen.Unix(ctx, path)
	}
	if address == config.Systemd {
		return passed.Take(name)
	}
	return new(net.ListenConfig).Listen(ctx, "tcp", address)
}
