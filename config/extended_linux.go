package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
)

// keepExtended gives a file the access control list, the security label and the
// user's own attributes of another, no more and no less. Without its access
// control list the service's account may not be able to read the file, and with
// a list that it did not have others may.
func keepExtended(path, of string) error {
	is, err := extended(path)
	if err != nil {
		return err
	}
	want, err := extended(of)
	if err != nil {
		return err
	}
	for name, value := range want {
		if have, there := is[name]; there && bytes.Equal(have, value) {
			continue
		}
		if err := syscall.Setxattr(path, name, value, 0); err != nil {
			return fmt.Errorf("its attribute %s cannot be kept: %w; run this as its owner or as root", name, err)
		}
	}
	for name := range is {
		if _, wanted := want[name]; wanted {
			continue
		}
		if err := syscall.Removexattr(path, name); err != nil {
			return fmt.Errorf("the attribute %s, which new files in its folder get, cannot be removed: %w", name, err)
		}
	}
	return nil
}

// extended reads the attributes that have to be kept.
func extended(path string) (map[string][]byte, error) {
	names, err := growing(func(buffer []byte) (int, error) { return syscall.Listxattr(path, buffer) })
	if errors.Is(err, syscall.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("its extended attributes cannot be read: %w", err)
	}
	attributes := make(map[string][]byte)
	for _, name := range strings.Split(strings.TrimSuffix(string(names), "\x00"), "\x00") {
		if !slices.Contains([]string{"system.posix_acl_access", "security.selinux"}, name) && !strings.HasPrefix(name, "user.") {
			continue
		}
		if attributes[name], err = growing(func(buffer []byte) (int, error) { return syscall.Getxattr(path, name, buffer) }); err != nil {
			return nil, fmt.Errorf("its attribute %s cannot be read: %w", name, err)
		}
	}
	return attributes, nil
}

// growing reads what a system call fills a buffer with.
func growing(read func(buffer []byte) (int, error)) ([]byte, error) {
	for size := 256; ; size *= 2 {
		buffer := make([]byte, size)
		n, err := read(buffer)
		if err == nil {
			return buffer[:n], nil
		}
		if !errors.Is(err, syscall.ERANGE) {
			return nil, err
		}
	}
}
