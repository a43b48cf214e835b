// Package strictjson reads JSON objects where two readers must never disagree.
// It refuses duplicate names (after unescaping), invalid UTF-8, unpaired
// surrogates, a byte order mark and trailing data, and compares names exactly.
package strictjson

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// The refusals of [Object]. They repeat nothing of the input.
var (
	ErrSyntax    = errors.New("not one JSON value in UTF-8, without byte order mark and unpaired surrogates")
	ErrNotObject = errors.New("not a JSON object")
	ErrDuplicate = errors.New("two members with one name")
	ErrLookAlike = errors.New("a member whose name differs from an expected one in letter case alone")
)

// Object reads data as one JSON object and returns the members with the given
// names as they stand in data. Others are skipped, except one whose name is
// equal to a given one under Unicode case folding: that is [ErrLookAlike].
func Object(data []byte, names ...string) (map[string]jsontext.Value, error) {
	d := jsontext.NewDecoder(bytes.NewReader(data))
	if kind := d.PeekKind(); kind != '{' {
		if _, err := d.ReadValue(); err != nil {
			return nil, ErrSyntax
		}
		return nil, ErrNotObject
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, syntax(err)
	}
	members := make(map[string]jsontext.Value, len(names))
	lookAlike := false
	for d.PeekKind() == '"' {
		token, err := d.ReadToken()
		if err != nil {
			return nil, syntax(err)
		}
		name := token.String()
		value, err := d.ReadValue()
		if err != nil {
			return nil, syntax(err)
		}
		for _, wanted := range names {
			if name == wanted {
				members[name] = value.Clone()
			} else if strings.EqualFold(name, wanted) {
				lookAlike = true
			}
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, syntax(err)
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, ErrSyntax
	}
	if lookAlike {
		return nil, ErrLookAlike
	}
	return members, nil
}

func syntax(err error) error {
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return ErrDuplicate
	}
	return ErrSyntax
}

// String is the text of a JSON string that [Object] returned, unescaped.
// ok is false for a value of another type, and for an absent one.
func String(value jsontext.Value) (text string, ok bool) {
	if value.Kind() != '"' {
		return "", false
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
