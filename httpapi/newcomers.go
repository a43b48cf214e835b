package httpapi

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// newcomers are the connections of a server that have not had their first request
// yet. [http.Server.Shutdown] would drop a request that it has not read by then,
// so they are waited for before. The timeout for headers bounds the wait for
// clients that connect and ask for nothing.
type newcomers struct {
	mutex sync.Mutex
	all   map[net.Conn]struct{}
	count atomic.Int64  // of all, so that a request of a connection that is none takes no lock
	fewer chan struct{} // gets something when there are fewer
}

func newNewcomers() *newcomers {
	return &newcomers{all: make(map[net.Conn]struct{}), fewer: make(chan struct{}, 1)}
}

// note is for [http.Server.ConnState].
func (n *newcomers) note(conn net.Conn, state http.ConnState) {
	if state != http.StateNew && n.count.Load() == 0 {
		return
	}
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if state == http.StateNew {
		n.all[conn] = struct{}{}
	} else {
		delete(n.all, conn)
	}
	n.count.Store(int64(len(n.all)))
	select {
	case n.fewer <- struct{}{}:
	default:
	}
}

// wait returns when there are none, or ctx is done. It is for a server that
// accepts no more.
func (n *newcomers) wait(ctx context.Context) {
	for n.count.Load() > 0 {
		select {
		case <-n.fewer:
		case <-ctx.Done():
			return
		}
	}
}
