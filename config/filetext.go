package config

import (
	"bytes"
	"fmt"
	"slices"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// fileText is a configuration file as it is written, with the places of the
// ring's entries. Edits change the text at these places and nowhere else.
type fileText struct {
	data  []byte
	lines []int      // where each line begins
	keys  *yaml.Node // the list keyring.keys
}

// fieldText is one setting of an entry in the text, from name to value. Where
// it cannot be told with certainty, the entry is not edited.
type fieldText struct {
	name       string
	start      int    // of the name
	value, end int    // of the value, with its quotes
	quote      string // around the name: none, ' or "
}

// newFileText finds the places in the text of a file that loads.
func newFileText(data []byte) (*fileText, error) {
	root, problem := parseYAML(data)
	if problem != nil {
		return nil, fmt.Errorf("%s", problem)
	}
	t := &fileText{data: data, keys: child(child(root, "keyring"), "keys")}
	if t.keys == nil || t.keys.Kind != yaml.SequenceNode || len(t.keys.Content) == 0 {
		return nil, fmt.Errorf("keyring.keys is missing or empty")
	}
	t.lines = append(t.lines, len(data)-len(bytes.TrimPrefix(data, []byte("\ufeff"))))
	for at := t.lines[0]; at < len(data); {
		n := breakAt(data[at:])
		if n > 0 {
			t.lines = append(t.lines, at+n)
		}
		at += max(n, 1)
	}
	return t, nil
}

func child(section *yaml.Node, name string) *yaml.Node {
	if section == nil || section.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i < len(section.Content); i += 2 {
		if section.Content[i].Value == name {
			return section.Content[i+1]
		}
	}
	return nil
}

// breakAt is the length of the line break that a text begins with, or 0. YAML's
// parser counts lines by these breaks.
func breakAt(text []byte) int {
	for _, b := range []string{"\r\n", "\n", "\r", "\u0085", "\u2028", "\u2029"} {
		if bytes.HasPrefix(text, []byte(b)) {
			return len(b)
		}
	}
	return 0
}

// at is the offset of a line and column as the parser counts them, from 1 and
// in characters; -1 if there is no such place.
func (t *fileText) at(line, column int) int {
	if line < 1 || line > len(t.lines) {
		return -1
	}
	offset := t.lines[line-1]
	for range column - 1 {
		if offset == len(t.data) || breakAt(t.data[offset:]) > 0 {
			return -1
		}
		_, n := utf8.DecodeRune(t.data[offset:])
		offset += n
	}
	return offset
}

// line is the number of the line, from 1, that an offset is in.
func (t *fileText) line(offset int) int {
	i, exact := slices.BinarySearch(t.lines, offset)
	if exact {
		i++
	}
	return i
}

// bounds are where a line begins, where its text ends, and where the next begins.
func (t *fileText) bounds(line int) (start, end, next int) {
	start, next = t.lines[line-1], len(t.data)
	if line < len(t.lines) {
		next = t.lines[line]
	}
	for end = start; end < next && breakAt(t.data[end:]) == 0; {
		end++
	}
	return start, end, next
}

// lineBreak is the one that ends a line or, for the last one, the line above.
func (t *fileText) lineBreak(line int) string {
	for ; line >= 1; line-- {
		if _, end, next := t.bounds(line); end < next {
			return string(t.data[end:next])
		}
	}
	return "\n"
}

// blankOrComment tells whether a part of one line, not at the end of a word,
// says nothing to YAML.
func blankOrComment(part []byte) bool {
	part = bytes.TrimLeft(part, " \t")
	return len(part) == 0 || part[0] == '#'
}

// nothingAfter tells whether no more than a comment follows an offset in its line.
func (t *fileText) nothingAfter(offset int) bool {
	_, end, _ := t.bounds(t.line(offset))
	rest := t.data[offset:end]
	return len(rest) == 0 || rest[0] != '#' && blankOrComment(rest)
}

// scalarEnd finds the end of a value that is written plainly on one line, or in
// quotes. It returns -1 for any other.
func (t *fileText) scalarEnd(n *yaml.Node) int {
	start := t.at(n.Line, n.Column)
	if start < 0 || n.Kind != yaml.ScalarNode {
		return -1
	}
	text := t.data[start:]
	switch {
	case n.Style == 0 && n.Value != "" && bytes.HasPrefix(text, []byte(n.Value)):
		return start + len(n.Value)
	case n.Style == yaml.DoubleQuotedStyle && text[0] == '"':
		for i := 1; i < len(text); i++ {
			switch text[i] {
			case '\\':
				i++
			case '"':
				return start + i + 1
			}
		}
	case n.Style == yaml.SingleQuotedStyle && text[0] == '\'':
		for i := 1; i < len(text); i++ {
			if text[i] != '\'' {
				continue
			}
			if i+1 == len(text) || text[i+1] != '\'' {
				return start + i + 1
			}
			i++
		}
	}
	return -1
}

// fields are the settings of the entry with this index, in the order of the text.
func (t *fileText) fields(i int) ([]fieldText, error) {
	entry := t.keys.Content[i]
	var fields []fieldText
	for j := 0; j < len(entry.Content); j += 2 {
		name, value := entry.Content[j], entry.Content[j+1]
		f := fieldText{name: name.Value, start: t.at(name.Line, name.Column), value: t.at(value.Line, value.Column), end: t.scalarEnd(value)}
		nameEnd := t.scalarEnd(name)
		if nameEnd < 0 || f.end < 0 || isBlock(entry) && name.Column != entry.Column {
			return nil, unfit(name.Line, join(entryPath(i), name.Value), "is not written on one line, as name: value")
		}
		if first := string(t.data[f.start]); first == `"` || first == "'" {
			f.quote = first
		}
		fields = append(fields, f)
	}
	return fields, nil
}

// isBlock tells a list or section of lines from one in brackets.
func isBlock(n *yaml.Node) bool { return n.Style&yaml.FlowStyle == 0 }

// unfit is the refusal of a form that the editing commands do not know.
func unfit(line int, path, problem string) error {
	return fmt.Errorf("line %d: %s %s: this command does not edit that form; write it so, or edit the file by hand", line, path, problem)
}

// splice is the text with a part of it replaced.
func (t *fileText) splice(from, to int, with string) []byte {
	return slices.Concat(t.data[:from], []byte(with), t.data[to:])
}
