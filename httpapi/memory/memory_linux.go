package memory

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// lock demands that no limit applies: either there is none, or the process has
// CAP_IPC_LOCK. What counts against RLIMIT_MEMLOCK is not the memory in use but
// every address that the Go runtime has reserved, over 1 GB from the start. A
// limit that has room for it now would end the process later, in the middle of
// its work, when the runtime needs more and cannot have it.
func lock() error {
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &was); err != nil {
		return fmt.Errorf("reading RLIMIT_MEMLOCK: %w", err)
	}
	// Without any room the kernel asks for the capability. It knows better than
	// /proc/self/status whether that counts: in a user namespace it does not.
	limit := unix.Rlimit{Cur: 0, Max: was.Max}
	if was.Max == unix.RLIM_INFINITY {
		limit.Cur = unix.RLIM_INFINITY
	}
	if limit != was {
		if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil {
			return fmt.Errorf("changing RLIMIT_MEMLOCK: %w", err)
		}
	}
	// On fault: what nobody has touched holds nothing. Without it the kernel
	// fills all that is mapped, four to six times what keyhint uses.
	err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT)
	if limit.Cur == unix.RLIM_INFINITY {
		return err
	}
	unix.Setrlimit(unix.RLIMIT_MEMLOCK, &was)
	if err != nil {
		return fmt.Errorf("RLIMIT_MEMLOCK is limited, to %d bytes, and there is no CAP_IPC_LOCK: %w", was.Max, err)
	}
	return nil
}

func conceal() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("setting RLIMIT_CORE to 0: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("setting PR_SET_DUMPABLE to 0: %w", err)
	}
	return nil
}
