package main

import (
	"fmt"

	"keyhint/config"
	"keyhint/memory"
)

const lockHint = "give it the capability CAP_IPC_LOCK, or no limit: LimitMEMLOCK=infinity for systemd, --ulimit memlock=-1 for containers, ulimit -l unlimited in a shell; or see to it that there is no swap space, and set memory.lock to off"

// loadLocked loads a configuration for a server, after memory is locked as it
// says. If that failed and was only to be tried, unlocked is why.
func loadLocked(path string, flags config.Flags) (c *config.Config, unlocked, err error) {
	opened, err := config.Open(path, flags)
	if err != nil {
		return nil, nil, refusal(err)
	}
	lock := opened.MemoryLock()
	if lock != config.LockOff {
		unlocked = memory.Lock()
	}
	if lock == config.LockRequire && unlocked != nil {
		return nil, nil, &failure{exitFailed, fmt.Errorf("memory cannot be locked, which memory.lock requires: %w", unlocked), lockHint}
	}
	if c, err = opened.Load(); err != nil {
		return nil, nil, refusal(err)
	}
	return c, unlocked, nil
}
