//go:build !linux

package memory

import (
	"errors"

	"github.com/hashicorp/go-secure-stdlib/mlock"
)

func lock() error {
	if !mlock.Supported() {
		return errors.New("this operating system has no way to lock it")
	}
	return mlock.LockMemory()
}

func conceal() error { return nil }
