package config

import (
	"fmt"
	"strings"
)

// Problem is one fault of a configuration: where it is, what is wrong and what
// to write instead. It never contains a secret or a part of one.
type Problem struct {
	Path string // of the setting, such as keyring.keys[0].check
	Line int    // in the file, from 1; 0 where there is none
	Env  string // the environment variable that gave the value, if one did
	Text string // the predicate of a sentence about the setting
}

func (p *Problem) String() string {
	var b strings.Builder
	switch {
	case p.Env != "":
		fmt.Fprintf(&b, "environment variable %s: ", p.Env)
	case p.Line > 0:
		fmt.Fprintf(&b, "line %d: ", p.Line)
	}
	if p.Path != "" {
		b.WriteString(p.Path + " ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// Error is a refused configuration with all that is wrong with it.
type Error struct {
	File     string
	Problems []*Problem // at least one, in the order of the file where lines are known
}

// maxReported bounds the length of the message, not of the list.
const maxReported = 20

// Error is one line for a single problem, else a line for each.
func (e *Error) Error() string {
	if len(e.Problems) == 1 {
		return fmt.Sprintf("%s: %s", e.File, e.Problems[0])
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s has %d problems:", e.File, len(e.Problems))
	for i, p := range e.Problems {
		if i == maxReported {
			fmt.Fprintf(&b, "\n  and %d more", len(e.Problems)-i)
			break
		}
		fmt.Fprintf(&b, "\n  %s", p)
	}
	return b.String()
}
