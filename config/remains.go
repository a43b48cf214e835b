package config

import (
	"bytes"
	"fmt"
	"strings"
)

// Remainder is a place where secrets of a destroyed entry may still be, and what
// is to be done there. Nothing in it is secret.
type Remainder struct {
	Kind string `json:"kind"`           // file, environment, comment or copies
	Name string `json:"name,omitempty"` // of the file or variable
	Todo string `json:"todo"`           // a sentence
}

// String is the sentence.
func (r Remainder) String() string { return r.Todo }

// remainders lists where the secrets of an entry may be after they were removed
// from a file, whose new text is given.
func remainders(secrets []secretSource, file string, text []byte) []Remainder {
	var list []Remainder
	inline := false
	for _, s := range secrets {
		source := string(s)
		path, isFile := strings.CutPrefix(source, fileScheme)
		name, isVariable := strings.CutPrefix(source, envScheme)
		switch {
		case isFile:
			list = append(list, Remainder{"file", path, fmt.Sprintf("The secret is still in the file %s: run shred -u %[2]s where it is kept, on every replica.", path, shellQuote(path))})
		case isVariable:
			list = append(list, Remainder{"environment", name, fmt.Sprintf("The secret is still in the environment variable %s: remove it from wherever that is set, on every replica.", name)})
		default:
			inline = true
			if at := bytes.Index(text, []byte(source)); at >= 0 {
				list = append(list, Remainder{"comment", file, fmt.Sprintf("The secret is still in %s, in a comment on line %d: remove it.", file, 1+bytes.Count(text[:at], []byte("\n")))})
			}
		}
	}
	if inline {
		list = append(list, Remainder{"copies", file, fmt.Sprintf("Earlier versions of %s hold the secrets: shred copies that editors and deployments left, and let version control and snapshots of the disk forget them.", file)})
	}
	return append(list, Remainder{"copies", "", "Backups and secret stores may hold the secrets: destroy their copies, and check that none can be restored."})
}
