// Package memory keeps what the process remembers from leaving it: through the
// swap space, in core dumps, and by way of debuggers. It does so for the whole
// process and for good. Root can still look.
package memory

// Lock keeps the memory of the process, present and future, out of the swap
// space. With an error nothing is locked, and the process can go on.
func Lock() error { return lock() }

// Conceal keeps the memory of the process out of core dumps, and out of the
// reach of debuggers and of other processes of the same user: on Linux,
// RLIMIT_CORE is 0 and the process is not dumpable, by which its files under
// /proc belong to root. Elsewhere it does nothing.
func Conceal() error { return conceal() }
