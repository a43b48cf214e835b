package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// parseYAML reads the one document of a configuration file.
func parseYAML(data []byte) (*yaml.Node, *Problem) {
	if !utf8.Valid(data) {
		return nil, &Problem{Text: "is not UTF-8 text: save the file in that encoding"}
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var root yaml.Node
	switch err := decoder.Decode(&root); {
	case errors.Is(err, io.EOF), err == nil && root.Content[0].ShortTag() == "!!null":
		return nil, &Problem{Text: "is empty: config.example.yaml shows what to write, and \"keyhint keyring new\" makes a first entry"}
	case err != nil:
		return nil, yamlProblem(err)
	}
	var more yaml.Node
	switch err := decoder.Decode(&more); {
	case err == nil:
		return nil, &Problem{Line: more.Line, Text: "starts a second YAML document: keep one, and remove the line ---"}
	case !errors.Is(err, io.EOF):
		return nil, yamlProblem(err)
	}
	top := root.Content[0]
	if top.Kind != yaml.MappingNode {
		return nil, &Problem{Line: top.Line, Text: "must be a section: lines of the form name: value"}
	}
	return top, nil
}

var (
	yamlLine = regexp.MustCompile(`line (\d+): (.*)`)
	// what the YAML library says in words alone, without a quotation from the file
	yamlWords = regexp.MustCompile(`^[a-zA-Z0-9 ,:'<>{}\[\]-]+$`)
)

// yamlProblem keeps the line and, unless they might quote the file, the words
// of a syntax error.
func yamlProblem(err error) *Problem {
	p := &Problem{Text: "is not valid YAML"}
	words := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatch(words); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
		p.Text += " from here on" // the library's lines are at the fault or above
		words = m[2]
	}
	switch {
	case strings.HasPrefix(words, "unknown anchor"):
		p.Text = "uses a YAML alias: write the value itself, in quotes if it starts with *"
	case yamlWords.MatchString(words):
		p.Text += ": " + words
	}
	return p
}

// strict turns a parsed file into nested maps for viper, and notes whatever
// differs from the shape of a document: unknown and duplicate names, wrong types.
type strict struct {
	problems []*Problem
	shapes   map[reflect.Type]shape
}

// shape is the fields of a section by their names in the file.
type shape map[string]reflect.StructField

// shapeOf is the shape of a section. It is looked up once: a key ring has
// thousands of sections of one shape.
func (s *strict) shapeOf(t reflect.Type) shape {
	fields, known := s.shapes[t]
	if !known {
		fields = make(shape)
		for field := range t.Fields() {
			fields[field.Tag.Get("mapstructure")] = field
		}
		s.shapes[t] = fields
	}
	return fields
}

func (s *strict) refuse(node *yaml.Node, path, format string, args ...any) {
	s.problems = append(s.problems, &Problem{Path: path, Line: node.Line, Text: fmt.Sprintf(format, args...)})
}

// value reads one setting, section or list. Refused values are left out of the result.
func (s *strict) value(node *yaml.Node, t reflect.Type, path string) any {
	switch {
	case !s.plain(node, path):
	case isScalar(t):
		return s.scalar(node, t, path)
	case node.ShortTag() == "!!null":
		s.refuse(node, path, "is empty: remove its line, or write what belongs below it, indented")
	case t.Kind() == reflect.Struct:
		return s.section(node, t, path)
	default:
		return s.list(node, t, path)
	}
	return nil
}

// plain refuses what YAML puts between the reader and the value.
func (s *strict) plain(node *yaml.Node, path string) bool {
	if node.Kind == yaml.AliasNode || node.Anchor != "" || node.Style&yaml.TaggedStyle != 0 {
		s.refuse(node, path, "uses a YAML anchor, alias or tag: write the value itself")
		return false
	}
	return true
}

func (s *strict) section(node *yaml.Node, t reflect.Type, path string) any {
	if node.Kind != yaml.MappingNode {
		s.refuse(node, path, "must be a section: lines of the form name: value, indented below it")
		return nil
	}
	fields, section, lines := s.shapeOf(t), make(map[string]any), make(map[string]int)
	for i := 0; i < len(node.Content); i += 2 {
		name, value := node.Content[i], node.Content[i+1]
		if !s.plain(name, path) {
			continue
		}
		field, known := fields[name.Value]
		if !known || name.Kind != yaml.ScalarNode {
			s.refuse(name, path, "%s", unknownName(t, name))
			continue
		}
		if first, twice := lines[name.Value]; twice {
			s.refuse(name, join(path, name.Value), "stands twice, first on line %d: keep one", first)
			continue
		}
		lines[name.Value] = name.Line
		if v := s.value(value, field.Type, join(path, name.Value)); v != nil {
			section[name.Value] = v
		}
	}
	return section
}

func (s *strict) list(node *yaml.Node, t reflect.Type, path string) any {
	if node.Kind != yaml.SequenceNode {
		s.refuse(node, path, "must be a list: lines that start with a dash, or [] for none")
		return nil
	}
	list := reflect.MakeSlice(t, len(node.Content), len(node.Content))
	for i, item := range node.Content {
		// What is refused stays zero and keeps the positions of the others.
		switch v := s.value(item, t.Elem(), fmt.Sprintf("%s[%d]", path, i)).(type) {
		case nil:
		case map[string]any:
			fill(list.Index(i), v, s.shapeOf(t.Elem()))
		default:
			list.Index(i).Set(reflect.ValueOf(v).Convert(t.Elem()))
		}
	}
	return list.Interface()
}

// fill sets the fields of a struct that a section has values for. Viper would as
// well, but takes longer for ten thousand ring entries than reading the file.
func fill(section reflect.Value, values map[string]any, fields shape) {
	for name, v := range values {
		field := section.FieldByIndex(fields[name].Index)
		field.Set(reflect.ValueOf(v).Convert(field.Type()))
	}
}

func (s *strict) scalar(node *yaml.Node, t reflect.Type, path string) any {
	tag := node.ShortTag()
	switch want := yamlTag(t); {
	case node.Kind != yaml.ScalarNode:
		s.refuse(node, path, "must be a single value, not a section or list")
		return nil
	case tag == "!!null":
		s.refuse(node, path, `is empty: remove its line, or write a value ("" for an empty text)`)
		return nil
	case tag != want && want == "!!str":
		s.refuse(node, path, "%s", quoting(t))
		return nil
	case tag != want && want == "!!int":
		s.refuse(node, path, "is not a whole number: write plain decimal digits without quotes, such as 1")
		return nil
	case tag != want:
		s.refuse(node, path, "is not a truth value: write true or false, without quotes")
		return nil
	}
	v, err := parseScalar(t, node.Value)
	if err != nil {
		s.refuse(node, path, "%v", err)
		return nil
	}
	return v
}

// quoting says how to write a value that YAML did not take for text.
func quoting(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[time.Duration]():
		return "is not a duration: write a number with a unit (ms, s, m or h), such as 30s or 720h"
	case reflect.TypeFor[time.Time]():
		return `is not in quotes: write the time as "2026-01-31T12:00:00Z"`
	}
	return "is not text to YAML: put the value in quotes"
}

// ordinaryName is what an unknown name must look like to be repeated in a
// message: a secret that slipped to the left of a colon does not.
var ordinaryName = regexp.MustCompile(`^[a-z]+(_[a-z]+){0,3}$`)

func unknownName(t reflect.Type, name *yaml.Node) string {
	var known []string
	for i := range t.NumField() {
		known = append(known, t.Field(i).Tag.Get("mapstructure"))
	}
	what := "has a name that is not known here"
	if ordinaryName.MatchString(name.Value) && len(name.Value) <= 24 {
		what = fmt.Sprintf("has a setting %q that is not known", name.Value)
	}
	if lower := strings.ToLower(strings.ReplaceAll(name.Value, "-", "_")); slices.Contains(known, lower) {
		return fmt.Sprintf("%s: write %s", what, lower)
	}
	return fmt.Sprintf("%s: remove it, or write one of %s", what, strings.Join(known, ", "))
}

// lineOf is where a path stands in the file, or the nearest part of it that does.
func lineOf(root *yaml.Node, path string) int {
	line := 0
	node := root
	for _, step := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		var next *yaml.Node
		switch node.Kind {
		case yaml.MappingNode:
			for i := 0; i < len(node.Content); i += 2 {
				if node.Content[i].Value == step {
					next = node.Content[i+1]
					line = node.Content[i].Line
				}
			}
		case yaml.SequenceNode:
			if i, err := strconv.Atoi(step); err == nil && i < len(node.Content) {
				next = node.Content[i]
				line = next.Line
			}
		}
		if next == nil {
			break
		}
		node = next
	}
	return line
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
