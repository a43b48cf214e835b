// Package config reads keyhint's configuration: defaults, then a YAML file, then
// KEYHINT_ environment variables for single values. What it returns is valid as
// a whole; what it refuses, it refuses with every fault, its place and its mend.
package config

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Config is a valid configuration. It is not changed after [Load], but for [Config.Wipe].
type Config struct {
	File    string   // path it was read from
	Sources []string // paths of all files it was read from: File, secrets, keys, certificates
	Server  Server
	Admin   Admin
	Auth    Auth
	Keyring Keyring
	Log     Log
	Audit   Audit
	Memory  Memory

	digest [sha256.Size]byte // of what the sources held
}

// maxFileSize bounds the configuration file, in bytes. 10,000 ring entries
// with inline secrets take 2.5 MB.
const maxFileSize = 16 << 20

// Places where [Find] looks.
const (
	fileEnv    = "KEYHINT_CONFIG"
	localFile  = "keyhint.yaml"
	systemFile = "/etc/keyhint/keyhint.yaml"
)

// Find names the configuration file: flag if it is not empty, else the
// environment's KEYHINT_CONFIG, else ./keyhint.yaml, else
// /etc/keyhint/keyhint.yaml. The error wraps fs.ErrNotExist if there is none.
func Find(flag string) (string, error) {
	if flag != "" {
		return flag, nil
	}
	if path := os.Getenv(fileEnv); path != "" {
		return path, nil
	}
	for _, path := range []string{localFile, systemFile} {
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return path, nil
		}
	}
	return "", fmt.Errorf("no configuration: neither ./%s nor %s: %w", localFile, systemFile, fs.ErrNotExist)
}

// Flags are single settings from the command line, by their path, such as
// server.address. They win over the environment and the file.
type Flags map[string]string

// Load reads and validates a configuration file together with the environment,
// the flags and the secrets that it names. The error is an [*Error], or tells
// that the file cannot be read.
func Load(path string, flags Flags) (*Config, error) {
	opened, err := Open(path, flags)
	if err != nil {
		return nil, err
	}
	return opened.Load()
}

// Wipe zeroes the secrets of a configuration that is not in force, or not any
// more. No key can be made with it from then on.
func (c *Config) Wipe() {
	if c.Keyring.Ring != nil {
		c.Keyring.Ring.Wipe()
	}
	c.Audit.DocumentKey.Wipe()
}

// Refuse returns the error for settings of a configuration that others have
// found at fault. It looks up where they stand in the file.
func (c *Config) Refuse(problems []*Problem) error {
	data, _, err := readFile(c.File, maxFileSize)
	defer clear(data)
	if err == nil {
		text, _ := seal(data)
		if root, problem := parseYAML(text); problem == nil {
			for _, p := range problems {
				p.Line = lineOf(root, p.Path)
			}
		}
	}
	return &Error{c.File, problems}
}

// readFile reads a regular file. The caller clears what it returns, with an
// error too.
func readFile(path string, maxSize int) ([]byte, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a named pipe would block
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, info, fmt.Errorf("%s is not a regular file", path)
	}
	data, err := readAll(io.LimitReader(f, int64(maxSize)+1), int(min(info.Size(), int64(maxSize))))
	if err == nil && len(data) > maxSize {
		err = fmt.Errorf("%s is larger than %d MiB", path, maxSize>>20)
	}
	return data, info, err
}

// readAll is [io.ReadAll], but for what it outgrows: that is cleared. size is
// what it expects to read, in bytes.
func readAll(r io.Reader, size int) ([]byte, error) {
	data := make([]byte, 0, size+1) // and one for the end to be seen
	for {
		n, err := r.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case err == io.EOF:
			return data, nil
		case err != nil:
			return data, err
		case len(data) == cap(data):
			grown := make([]byte, len(data), 2*cap(data))
			copy(grown, data)
			clear(data)
			data = grown
		}
	}
}
