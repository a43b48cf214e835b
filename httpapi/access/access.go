// Package access decides who may have which key (DESIGN section 6). It knows
// credentials and documents, not hints and keys.
package access

import (
	"context"
	"errors"
	"net/http"
)

// Control is one way of access control.
type Control interface {
	// Identify returns the caller whose credentials the request carries, without
	// reading its body. The error wraps one of this package's.
	Identify(r *http.Request) (Caller, error)

	// Ready returns nil if requests can be decided now, and otherwise why not.
	Ready() error
}

// Caller is whoever made a request.
type Caller interface {
	// Subject names the caller for limits and records; it may be empty.
	Subject() string

	// MayOpen returns nil if the caller may do the operation on the document.
	// The error wraps one of this package's.
	MayOpen(ctx context.Context, documentID string, operation Operation) error
}

// Operation is what a caller wants a key for.
type Operation string

const (
	Issue   Operation = "issue"   // a key for a new session
	Resolve Operation = "resolve" // the key of an earlier session
)

// The refusals. Compare with errors.Is; the text around them is for the log.
var (
	// ErrUnauthenticated means that there are no credentials or bad ones.
	ErrUnauthenticated = errors.New("unauthenticated")
	// ErrDenied means that this caller may not do this.
	ErrDenied = errors.New("access denied")
	// ErrUnavailable means that nobody can tell now.
	ErrUnavailable = errors.New("access control is unavailable")
)
