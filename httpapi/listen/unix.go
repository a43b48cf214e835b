//go:build unix && !aix && !solaris

package listen

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const (
	// probeTimeout bounds the wait for a server that may be behind a socket.
	probeTimeout = time.Second
	// lockTimeout bounds the wait for another server that is being started.
	lockTimeout = 5 * time.Second
	// lockInterval is the time between two tries to get the lock.
	lockInterval = 10 * time.Millisecond
	// othersMayNot masks what others may do with a socket, and that it is no program.
	othersMayNot = 0o117
)

// Unix listens on a Unix socket. Its file's owner and group may connect, and
// nobody else (mode 0660, whatever the umask). The group is that of the process,
// or that of the folder if the folder has the setgid bit.
//
// A socket that a server left behind when it was killed is replaced. One that a
// server listens on is not, and neither is any other file: the error wraps
// EADDRINUSE or tells what is there. Closing the listener removes the file,
// unless another has taken its place.
func Unix(ctx context.Context, path string) (net.Listener, error) {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", path, err)
	}
	defer folder.Close() // ends the lock
	// Between the look at an abandoned socket and its removal, another server that
	// is being started could have replaced it.
	if err := lock(ctx, folder); err != nil {
		return nil, err
	}
	if err := removeAbandoned(path); err != nil {
		return nil, err
	}
	umask := syscall.Umask(othersMayNot) // of the whole process, for a moment
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	syscall.Umask(umask)
	if err != nil {
		return nil, err
	}
	l := &unixListener{UnixListener: listener.(*net.UnixListener), path: path}
	l.SetUnlinkOnClose(false) // it would not look what is there
	if l.file, err = os.Lstat(path); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// lock waits until no other server is being started in the folder.
func lock(ctx context.Context, folder *os.File) error {
	ctx, cancel := context.WithTimeoutCause(ctx, lockTimeout,
		fmt.Errorf("%s is locked, and was for %s: another program that uses the folder has to let go of it", folder.Name(), lockTimeout))
	defer cancel()
	for {
		err := syscall.Flock(int(folder.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("locking %s: %w", folder.Name(), err)
		}
		select {
		case <-time.After(lockInterval):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// removeAbandoned makes room for a socket, if nothing is lost by it.
func removeAbandoned(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there, and is not a socket: remove it, or choose another path", path)
	}
	conn, err := net.DialTimeout("unix", path, probeTimeout)
	switch {
	case err == nil:
		conn.Close()
		return fmt.Errorf("another server listens on %s: %w", path, syscall.EADDRINUSE)
	case errors.Is(err, syscall.ECONNREFUSED): // nobody listens
		return os.Remove(path)
	}
	return fmt.Errorf("whether a server listens on %s cannot be told, so it stays: %w", path, err)
}

// unixListener is a listener with the file that was made for it.
type unixListener struct {
	*net.UnixListener
	path string
	file fs.FileInfo // nil if it is not known
	once sync.Once
}

// Close removes the file and closes the listener. Requests that were accepted
// go on.
func (l *unixListener) Close() error {
	l.once.Do(func() {
		// While the listener is open, no other file can have the number of its own.
		if now, err := os.Lstat(l.path); err == nil && l.file != nil && os.SameFile(now, l.file) {
			os.Remove(l.path)
		}
	})
	return l.UnixListener.Close()
}

// accepts tells whether a socket is a listening one.
func accepts(socket *os.File) bool {
	value, err := syscall.GetsockoptInt(int(socket.Fd()), syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN)
	return err == nil && value != 0
}
