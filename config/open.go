package config

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"

	"go.yaml.in/yaml/v3"
)

// Opened is a configuration file that has been read, with the environment and
// the flags laid over it. What it names has not been read yet, and no more of it
// than its shape is known to be valid.
type Opened struct {
	path      string
	data      []byte
	info      fs.FileInfo
	root      *yaml.Node
	document  document
	elsewhere origins
	problems  []*Problem
	secrets   [][]byte          // those in data
	digest    [sha256.Size]byte // of the rest
}

// Open is the first half of [Load], with its errors. [Opened.Load] is the other.
func Open(path string, flags Flags) (*Opened, error) {
	data, info, err := readFile(path, maxFileSize)
	if err != nil {
		clear(data)
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return open(path, data, info, flags)
}

// open is [Open] of a file's content. It clears data, here or in Load.
func open(path string, data []byte, info fs.FileInfo, flags Flags) (*Opened, error) {
	text, secrets := seal(data)
	root, problem := parseYAML(text)
	if problem != nil {
		clear(data)
		return nil, &Error{path, []*Problem{problem}}
	}
	o := &Opened{path: path, data: data, info: info, root: root, secrets: secrets, digest: sha256.Sum256(text)}
	o.document, o.elsewhere, o.problems = decode(root, flags)
	return o, nil
}

// MemoryLock is memory.lock, for whoever locks memory before secrets come from
// their files. [Opened.Load] tells whether it is valid.
func (o *Opened) MemoryLock() MemoryLock { return MemoryLock(o.document.Memory.Lock) }

// Load reads what the file names, and validates it all. It can be called once.
func (o *Opened) Load() (*Config, error) {
	defer clear(o.data)
	v := newValidation(o.root, o.elsewhere, o.problems)
	v.secrets = o.secrets
	c := v.config(o.document)
	v.inputs.Write(o.digest[:])
	c.File, c.Sources, c.digest = o.path, append(v.sources, o.path), [sha256.Size]byte(v.inputs.Sum(nil))
	v.checkSink(c)
	if o.document.hasInlineSecrets() {
		if err := checkNotWorldReadable(o.path, o.info); err != nil {
			v.note(&Problem{Text: err.Error()})
		}
	}
	if len(v.problems) > 0 {
		c.Wipe()
		return nil, &Error{o.path, v.sorted()}
	}
	return c, nil
}

// parse is [Load] of a file's content, which it leaves as it is.
func parse(path string, data []byte, info fs.FileInfo, flags Flags) (*Config, error) {
	opened, err := open(path, bytes.Clone(data), info, flags)
	if err != nil {
		return nil, err
	}
	return opened.Load()
}
