package strictjson_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"keyhint/httpapi/strictjson"
)

func TestObject(t *testing.T) {
	for _, test := range []struct {
		name, data string
		want       map[string]string // the members a and keyHint as they stand in data
		err        error
	}{
		{"both members", `{"a":1,"keyHint":null}`, map[string]string{"a": "1", "keyHint": "null"}, nil},
		{"values as they stand", `{ "a" : [ 1 , "\u0061" ] }`, map[string]string{"a": `[ 1 , "\u0061" ]`}, nil},
		{"escaped name", `{"\u0061":1}`, map[string]string{"a": "1"}, nil},
		{"none", `{}`, map[string]string{}, nil},
		{"others are skipped", `{"b":{"a":1},"keyHin":2,"keyHintt":3}`, map[string]string{}, nil},
		{"space around", "\t{\n}\r ", map[string]string{}, nil},
		{"paired surrogates", `{"a":"\ud83d\ude00"}`, map[string]string{"a": `"\ud83d\ude00"`}, nil},

		{"array", `[{}]`, nil, strictjson.ErrNotObject},
		{"string", `"a"`, nil, strictjson.ErrNotObject},
		{"number", `-1e9`, nil, strictjson.ErrNotObject},
		{"null", `null`, nil, strictjson.ErrNotObject},

		{"duplicate", `{"a":1,"a":1}`, nil, strictjson.ErrDuplicate},
		{"duplicate after unescaping", `{"a":1,"\u0061":1}`, nil, strictjson.ErrDuplicate},
		{"duplicate of an unknown name", `{"b":1,"b":1}`, nil, strictjson.ErrDuplicate},
		{"duplicate within a value", `{"a":{"b":1,"b":1}}`, nil, strictjson.ErrDuplicate},
		{"duplicate within an unknown value", `{"b":[{"c":1,"c":1}]}`, nil, strictjson.ErrDuplicate},

		{"upper case", `{"KEYHINT":1}`, nil, strictjson.ErrLookAlike},
		{"upper case beside the name", `{"keyHint":1,"keyhint":1}`, nil, strictjson.ErrLookAlike},
		{"Kelvin sign", "{\"\u212aeyHint\":1}", nil, strictjson.ErrLookAlike},
		{"Kelvin sign escaped", `{"\u212AeyHint":1}`, nil, strictjson.ErrLookAlike},
		{"one letter", `{"A":1}`, nil, strictjson.ErrLookAlike},

		{"empty", ``, nil, strictjson.ErrSyntax},
		{"space", ` `, nil, strictjson.ErrSyntax},
		{"byte order mark", "\ufeff{}", nil, strictjson.ErrSyntax},
		{"trailing value", `{}{}`, nil, strictjson.ErrSyntax},
		{"trailing garbage", `{}x`, nil, strictjson.ErrSyntax},
		{"trailing U+0000", "{}\x00", nil, strictjson.ErrSyntax},
		{"look-alike and trailing garbage", `{"A":1}x`, nil, strictjson.ErrSyntax},
		{"cut after the brace", `{`, nil, strictjson.ErrSyntax},
		{"cut after a name", `{"a"`, nil, strictjson.ErrSyntax},
		{"cut after a colon", `{"a":`, nil, strictjson.ErrSyntax},
		{"cut after a value", `{"a":1`, nil, strictjson.ErrSyntax},
		{"cut after a comma", `{"a":1,`, nil, strictjson.ErrSyntax},
		{"trailing comma", `{"a":1,}`, nil, strictjson.ErrSyntax},
		{"wrong bracket", `{"a":1]`, nil, strictjson.ErrSyntax},
		{"invalid UTF-8 in a value", "{\"a\":\"\xff\"}", nil, strictjson.ErrSyntax},
		{"invalid UTF-8 in a name", "{\"\xff\":1}", nil, strictjson.ErrSyntax},
		{"lone surrogate in a value", `{"b":"\udead"}`, nil, strictjson.ErrSyntax},
		{"lone surrogate in a name", `{"\udead":1}`, nil, strictjson.ErrSyntax},
		{"raw control character", "{\"a\":\"\x01\"}", nil, strictjson.ErrSyntax},
		{"too deep", `{"a":` + strings.Repeat("[", 100000) + strings.Repeat("]", 100000) + `}`, nil, strictjson.ErrSyntax},
		{"not JSON at the start", `x`, nil, strictjson.ErrSyntax},
		{"array cut short", `[`, nil, strictjson.ErrSyntax},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := strictjson.Object([]byte(test.data), "a", "keyHint")
			if !errors.Is(err, test.err) || (err == nil) != (test.err == nil) {
				t.Fatalf("error %v, want %v", err, test.err)
			}
			if len(got) != len(test.want) {
				t.Errorf("%d members, want %d", len(got), len(test.want))
			}
			for name, want := range test.want {
				if string(got.Get(name)) != want {
					t.Errorf("%s is %s, want %s", name, got.Get(name), want)
				}
			}
		})
	}
}

func TestMembersOutliveTheirInput(t *testing.T) {
	data := []byte(`{"a":"first"}`)
	got, err := strictjson.Object(data, "a")
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		data[i] = 'x'
	}
	if text, ok := strictjson.String(got.Get("a")); !ok || text != "first" {
		t.Errorf("a is %q after the input was overwritten", got.Get("a"))
	}
}

func TestErrorsRepeatNothingOfTheInput(t *testing.T) {
	const secret = "s3cret"
	for _, data := range []string{secret, `{"` + secret + `":1,"` + secret + `":2}`, `["` + secret + `"]`, `{"A":"` + secret + `"}`, `{"a":` + secret + `}`, `{"` + secret} {
		if _, err := strictjson.Object([]byte(data), "a"); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: error %v", data, err)
		}
	}
}

func TestString(t *testing.T) {
	for _, test := range []struct {
		value, want string
		ok          bool
	}{
		{`"a"`, "a", true}, {`""`, "", true}, {`"\u0000\/\ud83d\ude00é"`, "\x00/😀é", true},
		{`null`, "", false}, {`1`, "", false}, {`true`, "", false}, {`["a"]`, "", false}, {`{"a":"b"}`, "", false}, {``, "", false},
	} {
		if got, ok := strictjson.String([]byte(test.value)); got != test.want || ok != test.ok {
			t.Errorf("%s is %q, %v", test.value, got, ok)
		}
	}
}

func TestStrings(t *testing.T) {
	for _, test := range []struct {
		value string
		want  []string
		ok    bool
	}{
		{`[]`, nil, true}, {`["a"]`, []string{"a"}, true}, {` [ "a" , "\u0062" ] `, []string{"a", "b"}, true}, {`["a","a"]`, []string{"a", "a"}, true}, {`[""]`, []string{""}, true},
		{`["a",1]`, nil, false}, {`[1,"a"]`, nil, false}, {`[null]`, nil, false}, {`["a",["b"]]`, nil, false}, {`[["a"]]`, nil, false}, {`[{}]`, nil, false},
		{`"a"`, nil, false}, {`{}`, nil, false}, {`null`, nil, false}, {``, nil, false},
	} {
		got, ok := strictjson.Strings([]byte(test.value))
		if ok != test.ok || ok && !slices.Equal(got, test.want) {
			t.Errorf("%s is %q, %v", test.value, got, ok)
		}
	}
}

// FuzzObject compares with encoding/json: what Object takes is an object that
// reads the same there, and written out by it reads the same again.
func FuzzObject(f *testing.F) {
	seeds := []string{
		`{"a":"x","keyHint":null}`, `{"\u0061":[1,{"b":"\ud83d\ude00"}]}`, `{"a":1,"a":2}`, `{"A":1}`, `[]`, `{}x`, ``, "{\"a\":\"\xff\"}", `{"a":"\ud800"}`, `{"a":1e400}`,
	}
	if _, err := strictjson.Object([]byte(seeds[0]), "a"); err != nil {
		f.Fatal(err)
	}
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		members, err := strictjson.Object(data, "a", "keyHint")
		if err != nil {
			if members != nil {
				t.Fatalf("%q is refused and has members", data)
			}
			return
		}
		var other map[string]json.RawMessage
		if err := json.Unmarshal(data, &other); err != nil || !utf8.Valid(data) {
			t.Fatalf("%q is accepted: %v", data, err)
		}
		for _, name := range []string{"a", "keyHint"} {
			if string(members.Get(name)) != string(bytes.TrimSpace(other[name])) {
				t.Fatalf("%s of %q is %s and %s", name, data, members.Get(name), other[name])
			}
			text, ok := strictjson.String(members.Get(name))
			var otherText *string
			otherOK := members.Get(name) != nil && json.Unmarshal(other[name], &otherText) == nil && otherText != nil
			if ok != otherOK || ok && text != *otherText {
				t.Fatalf("%s of %q is %q", name, data, text)
			}
		}
		written, err := json.Marshal(other)
		if err != nil {
			t.Fatal(err)
		}
		again, err := strictjson.Object(written, "a", "keyHint")
		if err != nil || len(again) != len(members) {
			t.Fatalf("%q is accepted, and %q is not: %v", data, written, err)
		}
	})
}
