// Package listen opens listeners that need more care than a port: Unix sockets,
// and sockets that systemd passes.
package listen

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"
)

// Sockets are the listening sockets that systemd passed, by the name that
// FileDescriptorName= gives them in their socket unit.
type Sockets map[string]net.Listener

// Inherited takes over the sockets that systemd passed to this process
// (sd_listen_fds(3)), and removes what tells of them from the environment. Each
// must have a name of its own and be listening for streams.
func Inherited() (Sockets, error) {
	sockets := make(Sockets)
	for _, file := range activation.Files(true) {
		name := file.Name()
		if sockets[name] != nil {
			return nil, fmt.Errorf("systemd passed two sockets named %q: give each socket unit one ListenStream= and a FileDescriptorName= of its own", name)
		}
		if !accepts(file) {
			return nil, fmt.Errorf("systemd passed %q, which is not a listening stream socket: use ListenStream= and Accept=no in its socket unit", name)
		}
		listener, err := net.FileListener(file)
		if err != nil {
			return nil, fmt.Errorf("using the socket %q that systemd passed: %w", name, err)
		}
		file.Close() // the listener has a copy
		sockets[name] = listener
	}
	return sockets, nil
}

// Take returns the socket of a name. It is not among the sockets any more.
func (s Sockets) Take(name string) (net.Listener, error) {
	listener, passed := s[name]
	switch {
	case passed:
		delete(s, name)
		return listener, nil
	case len(s) == 0:
		return nil, fmt.Errorf("systemd passed no socket: start keyhint by its socket unit, which needs FileDescriptorName=%s", name)
	}
	return nil, fmt.Errorf("systemd passed no socket named %s, but %s: write FileDescriptorName=%[1]s in the socket unit", name, s)
}

// String lists the names.
func (s Sockets) String() string {
	return strings.Join(slices.Sorted(maps.Keys(s)), ", ")
}
