package httpapi

import (
	"net/http"
	"sync"
	"sync/atomic"
)

// Switch is a handler that can be replaced while it serves. A request is
// answered from beginning to end by the handler that was in force when it began.
type Switch struct {
	current atomic.Pointer[installed]
}

// installed is a handler with the requests that it is answering, which hold
// the lock for reading.
type installed struct {
	handler http.Handler
	mutex   sync.RWMutex
	retired bool
}

// NewSwitch returns a switch with a first handler.
func NewSwitch(first http.Handler) *Switch {
	s := new(Switch)
	s.current.Store(&installed{handler: first})
	return s
}

// Replace puts another handler in force for all requests that begin from now on.
// finish returns when the former handler has answered its last request. The
// server's timeouts for reading and the access control's for deciding bound how
// long that takes.
func (s *Switch) Replace(next http.Handler) (finish func()) {
	former := s.current.Swap(&installed{handler: next})
	return func() {
		former.mutex.Lock()
		former.retired = true
		former.mutex.Unlock()
	}
}

// ServeHTTP answers with the handler in force.
func (s *Switch) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for {
		i := s.current.Load()
		i.mutex.RLock()
		if !i.retired {
			defer i.mutex.RUnlock()
			i.handler.ServeHTTP(w, r)
			return
		}
		i.mutex.RUnlock() // replaced between the two lines above
	}
}
