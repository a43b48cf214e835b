package config

import (
	"slices"
	"strings"

	"keyhint/derive"
)

// withStatus is the text with the status of one entry set. The rest of its line
// stays, as do quotes; an entry without status gets one after its last setting.
func withStatus(data []byte, entry int, status derive.Status) ([]byte, error) {
	t, err := newFileText(data)
	if err != nil {
		return nil, err
	}
	fields, err := t.fields(entry)
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(fields, func(f fieldText) bool { return f.name == "status" }); i >= 0 {
		f := fields[i]
		quote := ""
		if first := string(data[f.value]); first == `"` || first == "'" {
			quote = first
		}
		return t.splice(f.value, f.end, quote+status.String()+quote), nil
	}
	last := fields[len(fields)-1]
	if !isBlock(t.keys.Content[entry]) {
		return t.splice(last.end, last.end, ", "+flowField("status", status.String(), last.quote)), nil
	}
	if !t.nothingAfter(last.end) {
		return nil, unfit(t.line(last.end), join(entryPath(entry), last.name), "has more behind it than a comment")
	}
	line := t.line(last.end)
	text := spaces(t.keys.Content[entry].Column-1) + "status: " + status.String()
	return t.insertLines(line, text), nil
}

// insertLines is the text with lines below a line. If that is the last one and
// no line break ends it, none will end the new last one.
func (t *fileText) insertLines(line int, lines ...string) []byte {
	lineBreak := t.lineBreak(line)
	_, end, next := t.bounds(line)
	text := strings.Join(lines, lineBreak)
	if end == next {
		return t.splice(next, next, lineBreak+text)
	}
	return t.splice(next, next, text+lineBreak)
}

// withoutField is the text without one setting of an entry, if it has it. What
// follows it on its line, a comment, goes with it.
func withoutField(data []byte, entry int, name string) ([]byte, error) {
	t, err := newFileText(data)
	if err != nil {
		return nil, err
	}
	fields, err := t.fields(entry)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(fields, func(f fieldText) bool { return f.name == name })
	switch {
	case i < 0:
		return data, nil
	case !isBlock(t.keys.Content[entry]):
		return t.withoutFlowField(fields[i]), nil
	}
	f := fields[i]
	first, last := t.line(f.start), t.line(f.end)
	start, _, _ := t.bounds(first)
	_, end, next := t.bounds(last)
	before := strings.TrimRight(string(data[start:f.start]), " \t")
	switch {
	case !t.nothingAfter(f.end) || strings.TrimLeft(before, " ") != "" && strings.TrimLeft(before, " ") != "-":
		return nil, unfit(first, join(entryPath(entry), name), "does not stand alone on its line")
	case before == "" && end == next && first > 1: // the last line, which no line break ends
		// It goes with the line break before it, and with empty lines between.
		for line := first - 1; line >= 1; line-- {
			var from int
			if from, start, _ = t.bounds(line); strings.TrimSpace(string(t.data[from:start])) != "" {
				break
			}
		}
		return t.splice(start, end, ""), nil
	case before == "":
		return t.splice(start, next, ""), nil
	}
	return t.splice(start+len(before), end, ""), nil // the dash stays
}

// withoutFlowField removes a setting between braces, with one of the commas
// beside it.
func (t *fileText) withoutFlowField(f fieldText) []byte {
	const space = " \t\r\n"
	after := strings.TrimLeft(string(t.data[f.end:]), space)
	if rest, comma := strings.CutPrefix(after, ","); comma {
		rest = strings.TrimLeft(rest, " \t")
		return t.splice(f.start, len(t.data)-len(rest), "")
	}
	before := strings.TrimRight(string(t.data[:f.start]), space)
	if rest, comma := strings.CutSuffix(before, ","); comma {
		return t.splice(len(rest), f.end, "")
	}
	return t.splice(f.start, f.end, "")
}

// flowField is a setting between braces, in quotes if those beside it are.
func flowField(name, value, quote string) string {
	return quote + name + quote + ": " + quote + value + quote
}

func spaces(n int) string { return strings.Repeat(" ", n) }
