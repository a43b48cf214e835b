// Package strictjson reads JSON objects where two readers must never disagree.
// It refuses duplicate names (after unescaping), invalid UTF-8, unpaired
// surrogates, a byte order mark and trailing data, and compares names exactly.
package strictjson

import (
	"bytes"
	"errors"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The refusals of [Object]. They repeat nothing of the input.
var (
	ErrSyntax    = errors.New("not one JSON value in UTF-8, without byte order mark and unpaired surrogates")
	ErrNotObject = errors.New("not a JSON object")
	ErrDuplicate = errors.New("two members with one name")
	ErrLookAlike = errors.New("a member whose name differs from an expected one in letter case alone")
)

// Members are those of an object that were asked for and are there.
type Members []member

type member struct {
	name  string
	value jsontext.Value
}

// Get returns the value with a name as it stands in the object, nil if there is none.
func (m Members) Get(name string) jsontext.Value {
	for _, member := range m {
		if member.name == name {
			return member.value
		}
	}
	return nil
}

// Object reads data as one JSON object and returns the members with the given
// names. Others are skipped, except one whose name is equal to a given one under
// Unicode case folding: that is [ErrLookAlike].
func Object(data []byte, names ...string) (Members, error) {
	o := object{names: names, members: make(Members, 0, len(names))}
	switch err := json.Unmarshal(data, &o); {
	case errors.Is(err, ErrNotObject):
		return nil, ErrNotObject
	case errors.Is(err, jsontext.ErrDuplicateName):
		return nil, ErrDuplicate
	case err != nil:
		return nil, ErrSyntax
	case o.lookAlike:
		return nil, ErrLookAlike
	}
	return o.members, nil
}

// object is what [Object] makes of its data.
type object struct {
	names     []string
	members   Members
	lookAlike bool
}

// UnmarshalJSONFrom reads with a decoder that [json.Unmarshal] uses again and
// again; a new one for each request would cost more than all the rest here.
func (o *object) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() != '{' {
		if err := d.SkipValue(); err != nil {
			return err
		}
		return ErrNotObject
	}
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() == '"' {
		token, err := d.ReadToken()
		if err != nil {
			return err
		}
		name := token.String()
		value, err := d.ReadValue()
		if err != nil {
			return err
		}
		for _, wanted := range o.names {
			if name == wanted {
				o.members = append(o.members, member{name, value.Clone()})
			} else if strings.EqualFold(name, wanted) {
				o.lookAlike = true
			}
		}
	}
	_, err := d.ReadToken()
	return err
}

// String is the text of a JSON string that [Object] returned, unescaped.
// ok is false for a value of another type, and for an absent one.
func String(value jsontext.Value) (text string, ok bool) {
	if value.Kind() != '"' {
		return "", false
	}
	if bytes.IndexByte(value, '\\') < 0 {
		return string(value[1 : len(value)-1]), true
	}
	unquoted, err := jsontext.AppendUnquote(nil, value)
	return string(unquoted), err == nil
}

// Strings is the list of texts of a JSON array of strings that [Object]
// returned. ok is false for anything else, and if an element is not a string.
func Strings(value jsontext.Value) (texts []string, ok bool) {
	if value.Kind() != '[' {
		return nil, false
	}
	d := jsontext.NewDecoder(bytes.NewReader(value))
	if _, err := d.ReadToken(); err != nil {
		return nil, false
	}
	for d.PeekKind() == '"' {
		token, err := d.ReadToken()
		if err != nil {
			return nil, false
		}
		texts = append(texts, token.String())
	}
	return texts, d.PeekKind() == ']'
}
