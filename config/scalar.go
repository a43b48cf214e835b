package config

import (
	"errors"
	"reflect"
	"regexp"
	"strconv"
	"time"

	"keyhint/derive"
)

// parseScalar reads a setting of the given type from its text, as it stands in
// the environment or, with the type already checked, in the file. The error
// tells what to write and does not repeat the text.
func parseScalar(t reflect.Type, text string) (any, error) {
	switch reflect.Zero(t).Interface().(type) {
	case time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return nil, errors.New("is not a duration: write a number with a unit (ms, s, m or h), such as 30s or 720h")
		}
		return d, nil
	case time.Time:
		var at time.Time
		if err := at.UnmarshalText([]byte(text)); err != nil || at.IsZero() || !inCalendar(at) || !rfc3339.MatchString(text) {
			return nil, errors.New(`is not a time: write RFC 3339 with an offset, in quotes, such as "2026-01-31T12:00:00Z"`)
		}
		return at, nil
	case derive.CheckValue:
		return derive.ParseCheckValue(text)
	case derive.Status:
		return derive.ParseStatus(text)
	}
	switch t.Kind() {
	case reflect.String:
		return text, nil
	case reflect.Bool:
		if text != "true" && text != "false" {
			return nil, errors.New("is not a truth value: write true or false")
		}
		return text == "true", nil
	case reflect.Uint32:
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil || !decimal.MatchString(text) {
			return nil, errors.New("is not a whole number: write plain decimal digits without quotes, such as 1")
		}
		return uint32(n), nil
	}
	panic("config: a setting of type " + t.String())
}

var (
	decimal = regexp.MustCompile(`^(0|[1-9][0-9]*)$`)
	// rfc3339 is the form; package time also takes T9:00:00 for 09:00 and more.
	rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)
)

// inCalendar tells whether a time can be written in RFC 3339, in UTC.
func inCalendar(t time.Time) bool {
	year := t.UTC().Year()
	return 0 <= year && year <= 9999
}

// isScalar tells the types that parseScalar reads from sections and lists.
func isScalar(t reflect.Type) bool {
	switch t {
	case reflect.TypeFor[time.Time](), reflect.TypeFor[derive.CheckValue]():
		return true
	}
	return t.Kind() != reflect.Struct && t.Kind() != reflect.Slice
}

// yamlTag is the YAML type that a setting of type t must be written in.
func yamlTag(t reflect.Type) string {
	switch {
	case t.Kind() == reflect.Bool:
		return "!!bool"
	case t.Kind() == reflect.Uint32:
		return "!!int"
	}
	return "!!str"
}
