//go:build unix && !aix && !solaris

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// lockFile locks an open file, or returns errLocked at once if another process,
// or another part of this one, has it locked.
func lockFile(f *os.File) error {
	for {
		switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
		case err == nil:
			return nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			return errLocked
		case !errors.Is(err, syscall.EINTR):
			return fmt.Errorf("locking %s: %w", f.Name(), err)
		}
	}
}

// keepOwner gives f the user and group of another file.
func keepOwner(f *os.File, of fs.FileInfo) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	is, want := info.Sys().(*syscall.Stat_t), of.Sys().(*syscall.Stat_t)
	if is.Uid == want.Uid && is.Gid == want.Gid {
		return nil
	}
	if err := syscall.Fchown(int(f.Fd()), int(want.Uid), int(want.Gid)); err != nil {
		return fmt.Errorf("its owner (user %d, group %d) cannot be kept: %w; run this as that user or as root", want.Uid, want.Gid, err)
	}
	return nil
}

// checkOneName refuses a file with hard links: replacing it under one name
// would leave the others with the old content.
func checkOneName(path string, info fs.FileInfo) error {
	if n := info.Sys().(*syscall.Stat_t).Nlink; n > 1 {
		return fmt.Errorf("%s has %d names (hard links), and an edit would part them: keep one, and make the others symbolic links", path, n)
	}
	return nil
}
