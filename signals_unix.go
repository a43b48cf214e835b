//go:build unix

package main

import (
	"os/signal"
	"syscall"
)

// surviveFailedWrites keeps the program alive when whoever reads its stdout or
// stderr goes away, or a file reaches the limit of its size. Writing fails then,
// and what depends on it is refused.
func surviveFailedWrites() { signal.Ignore(syscall.SIGPIPE, syscall.SIGXFSZ) }
