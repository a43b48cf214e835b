//go:build !unix || aix || solaris

package listen

import (
	"context"
	"errors"
	"net"
	"os"
)

// Unix is not there on this operating system.
func Unix(context.Context, string) (net.Listener, error) {
	return nil, errors.New("Unix sockets are not served on this operating system: write host:port")
}

func accepts(*os.File) bool { return false }
