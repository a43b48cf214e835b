package config

import (
	"bytes"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// newField is a setting of an entry that is added.
type newField struct {
	name, value string
	number      bool // never in quotes
}

// withEntry is the text with one more entry below the last one, written as that
// one is: its indentation, its dash or its braces, its quotes.
func withEntry(data []byte, comment string, fields []newField) ([]byte, error) {
	t, err := newFileText(data)
	if err != nil {
		return nil, err
	}
	index := len(t.keys.Content) - 1
	entry := t.keys.Content[index]
	last, err := t.fields(index)
	if err != nil {
		return nil, err
	}
	end := last[len(last)-1].end
	if !isBlock(entry) {
		if end = t.closing(end); end < 0 {
			return nil, unfit(entry.Line, entryPath(index), "has more between its braces than settings and comments")
		}
	}
	if !isBlock(t.keys) {
		return t.insertFlowEntry(entry, end, comment, flowEntry(fields, last[0].quote)), nil
	}
	if !t.nothingAfter(end) {
		return nil, unfit(t.line(end), entryPath(index), "has more behind it than a comment")
	}
	dashAlone, ok := t.dash(entry)
	if !ok {
		return nil, unfit(entry.Line, entryPath(index), "has more before its first setting than a dash and comments")
	}
	indent := spaces(t.keys.Column - 1)
	dash := indent + "-" + spaces(max(1, entry.Column-t.keys.Column-1))
	lines := []string{indent + comment}
	switch {
	case !isBlock(entry):
		lines = append(lines, dash+flowEntry(fields, last[0].quote))
	case dashAlone:
		lines = append(lines, indent+"-")
		lines = append(lines, blockEntry(fields, spaces(entry.Column-1), spaces(entry.Column-1))...)
	default:
		lines = append(lines, blockEntry(fields, dash, spaces(entry.Column-1))...)
	}
	return t.insertLines(t.lastLineOf(end), lines...), nil
}

// blockEntry writes each field on a line, with its indentation.
func blockEntry(fields []newField, first, indent string) []string {
	var lines []string
	for _, f := range fields {
		lines = append(lines, first+f.name+": "+plainOrQuoted(f.value))
		first = indent
	}
	return lines
}

// flowEntry writes the fields between braces, with quotes around names and
// texts if the entries before have them.
func flowEntry(fields []newField, quote string) string {
	var settings []string
	for _, f := range fields {
		value := plainOrQuoted(f.value)
		if quote != "" && !f.number {
			value = quoted(f.value, quote)
		}
		settings = append(settings, quote+f.name+quote+": "+value)
	}
	return "{" + strings.Join(settings, ", ") + "}"
}

// dash tells whether an entry's dash stands on a line above its settings, with
// nothing behind it or where nothing else fits behind it.
func (t *fileText) dash(entry *yaml.Node) (alone, ok bool) {
	for line := entry.Line; line >= t.keys.Line; line-- {
		start, end, _ := t.bounds(line)
		at := t.at(line, t.keys.Column)
		if at >= 0 && at < end && t.data[at] == '-' && blankOrComment(t.data[start:at]) {
			if line == entry.Line {
				return false, true
			}
			behind := bytes.TrimSpace(t.data[at+1 : end])
			return len(behind) == 0 || entry.Column == t.keys.Column+1, blankOrComment(behind)
		}
		if line < entry.Line && !blankOrComment(t.data[start:end]) {
			break
		}
	}
	return false, false
}

// lastLineOf is the last line of the entry that ends at an offset: comments
// below it that are indented deeper than the dash belong to it.
func (t *fileText) lastLineOf(end int) int {
	last := t.line(end)
	for line := last + 1; line <= len(t.lines); line++ {
		start, end, _ := t.bounds(line)
		text := bytes.TrimLeft(t.data[start:end], " \t")
		if !blankOrComment(text) {
			break
		}
		if indent := end - start - len(text); len(text) > 0 && indent >= t.keys.Column {
			last = line
		}
	}
	return last
}

// closing is where an entry in braces ends whose last value ends at an offset,
// or -1.
func (t *fileText) closing(end int) int {
	at := t.skip(end)
	if at < len(t.data) && t.data[at] == ',' {
		at = t.skip(at + 1)
	}
	if at < len(t.data) && t.data[at] == '}' {
		return at + 1
	}
	return -1
}

// skip passes over space, line breaks and comments.
func (t *fileText) skip(at int) int {
	for at < len(t.data) {
		switch n := breakAt(t.data[at:]); {
		case n > 0:
			at += n
		case t.data[at] == ' ' || t.data[at] == '\t':
			at++
		case t.data[at] == '#':
			_, at, _ = t.bounds(t.line(at))
		default:
			return at
		}
	}
	return at
}

// insertFlowEntry puts an entry into a list in brackets, behind the entry that
// ends at an offset: on a line of its own if that one begins its line.
func (t *fileText) insertFlowEntry(before *yaml.Node, end int, comment, text string) []byte {
	begin := t.at(before.Line, before.Column)
	start, _, _ := t.bounds(before.Line)
	lead := " "
	ownLine := blankOrComment(t.data[start:begin])
	if ownLine {
		lead = t.lineBreak(before.Line) + string(t.data[start:begin])
		if !strings.HasPrefix(text, `{"`) { // which is JSON, and has no comments
			lead += comment + lead
		}
	}
	text = lead + text
	from, comma := end, t.skip(end)
	if comma < len(t.data) && t.data[comma] == ',' { // with nothing behind it, as the entry is the last
		from, text = comma+1, text+","
	}
	to := from
	if ownLine && t.nothingAfter(from) { // the comment behind the entry stays there
		_, to, _ = t.bounds(t.line(from))
	}
	text = string(t.data[from:to]) + text
	if from == end {
		text = "," + text
	}
	return t.splice(from, to, text)
}

// plain is what may stand in YAML without quotes, between braces too.
var plain = regexp.MustCompile(`^[A-Za-z0-9/+][A-Za-z0-9/+=._:@-]*$`)

func plainOrQuoted(value string) string {
	if plain.MatchString(value) && !rfc3339.MatchString(value) {
		return value
	}
	return quoted(value, `"`)
}

// quoted writes a text of printable characters between quotes.
func quoted(value, quote string) string {
	if quote == "'" {
		return "'" + strings.ReplaceAll(value, "'", "''") + "'"
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}
