package config

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"keyhint/derive"
)

// validation turns a document into a Config and notes all that is wrong.
type validation struct {
	root      *yaml.Node
	elsewhere origins
	problems  []*Problem
	faulty    map[string]bool // the paths of the problems, and all paths above them

	documentKey derive.Secret // of the audit log

	secrets [][]byte  // those that stood in the file itself, see seal
	sources []string  // the files that the document names
	inputs  hash.Hash // of what they hold, but for secrets, which check values stand for
}

func newValidation(root *yaml.Node, elsewhere origins, problems []*Problem) *validation {
	v := &validation{root: root, elsewhere: elsewhere, faulty: make(map[string]bool), inputs: sha256.New()}
	for _, p := range problems {
		v.note(p)
	}
	return v
}

func (v *validation) note(p *Problem) {
	v.problems = append(v.problems, p)
	for path := p.Path; path != ""; path = path[:max(0, strings.LastIndexAny(path, ".["))] {
		v.faulty[path] = true
	}
}

// refuse notes a problem of a setting, unless one is noted there already: its
// value was replaced then, and what is wrong with that is nobody's doing.
func (v *validation) refuse(path, format string, args ...any) {
	if v.refused(path) {
		return
	}
	p := &Problem{Path: path, Text: fmt.Sprintf(format, args...)}
	if env, outside := v.elsewhere[path]; outside {
		p.Env = env
	} else {
		p.Line = lineOf(v.root, path)
	}
	v.note(p)
}

// refused tells whether a problem at the path, or below it, is noted already.
func (v *validation) refused(path string) bool { return v.faulty[path] }

// sorted is the list of problems in the order of the file.
func (v *validation) sorted() []*Problem {
	slices.SortStableFunc(v.problems, func(a, b *Problem) int { return cmp.Compare(a.Line, b.Line) })
	return v.problems
}

func (v *validation) config(doc document) *Config {
	audit := v.audit(doc.Audit)
	v.documentKey = audit.DocumentKey
	return &Config{
		Server:  v.server(doc.Server),
		Admin:   v.admin(doc.Admin, doc.Server),
		Auth:    v.auth(doc.Auth, doc.Server),
		Keyring: v.keyring(doc.Keyring),
		Log:     v.log(doc.Log),
		Audit:   audit,
		Memory:  v.memory(doc.Memory),
	}
}

// maxNamedFile bounds a file that the configuration names, in bytes.
const maxNamedFile = 1 << 20

// file reads a file that a setting names, and returns nil if it is refused.
func (v *validation) file(setting, path string) []byte {
	data, _ := v.open(setting, path)
	return data
}

// secretFile reads a file that only keyhint should be able to read.
func (v *validation) secretFile(setting, path string) []byte {
	data, info := v.open(setting, path)
	if data == nil {
		return nil
	}
	if err := checkNotWorldReadable(path, info); err != nil {
		v.refuse(setting, "names a file that %v", err)
		return nil
	}
	return data
}

func (v *validation) open(setting, path string) ([]byte, fs.FileInfo) {
	if !strings.HasPrefix(path, "/") {
		v.refuse(setting, "is not an absolute path: begin it with /")
		return nil, nil
	}
	v.sources = append(v.sources, path)
	data, info, err := readFile(path, maxNamedFile)
	if err != nil {
		var opening *fs.PathError
		if errors.As(err, &opening) {
			err = opening.Err // without the path, which may be a secret in the wrong place
		}
		v.refuse(setting, "cannot be read: %v", err)
		return nil, nil
	}
	v.inputs.Write(data)
	return data, info
}
