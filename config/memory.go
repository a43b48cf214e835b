package config

type memorySection struct {
	Lock string `mapstructure:"lock"`
}

// Memory says how the process keeps what it remembers.
type Memory struct {
	Lock MemoryLock
}

// MemoryLock says whether memory is kept out of the swap space.
type MemoryLock string

const (
	LockRequire MemoryLock = "require" // or do not start
	LockTry     MemoryLock = "try"     // and log it if that cannot be
	LockOff     MemoryLock = "off"
)

func (v *validation) memory(m memorySection) Memory {
	lock := MemoryLock(m.Lock)
	if lock != LockRequire && lock != LockTry && lock != LockOff {
		v.refuse("memory.lock", "is not a way to lock memory: write require, try or off")
	}
	return Memory{Lock: lock}
}
