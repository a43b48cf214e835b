package derive_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	jsonv1 "encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"go.yaml.in/yaml/v3"

	"keyhint/derive"
)

// holder carries secrets where fmt cannot call their methods.
type holder struct {
	Public  derive.Secret
	private derive.Secret
	key     derive.Key
	nested  struct{ secrets []derive.Secret }
}

func TestSecretsPrintRedacted(t *testing.T) {
	entry := newEntry(t, 1)
	ring := newKeyring(t, entry)
	key, _ := issue(t, ring, doc, noon)
	held := holder{Public: entry.MasterKey, private: entry.MasterKey, key: key}
	held.nested.secrets = []derive.Secret{entry.SaltKey}

	raw := func(text string, encoding *base64.Encoding) []byte {
		b, err := encoding.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var forms []string
	for _, b := range [][]byte{
		raw(entry.MasterKey.Reveal(), base64.StdEncoding),
		raw(entry.SaltKey.Reveal(), base64.StdEncoding),
		raw(key.Reveal(), base64.RawURLEncoding),
	} {
		forms = append(forms, string(b[:8]), hex.EncodeToString(b[:8]), strings.ToUpper(hex.EncodeToString(b[:8])),
			base64.StdEncoding.EncodeToString(b)[:10], base64.URLEncoding.EncodeToString(b)[:10],
			strings.Trim(fmt.Sprint(b[:6]), "[]"), strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", b[:6]), "[]byte{"), "}"))
	}
	check := func(how, printed string) {
		t.Helper()
		for _, form := range forms {
			if strings.Contains(printed, form) {
				t.Errorf("%s prints a secret: %q", how, printed)
			}
		}
	}
	for _, value := range []any{entry.MasterKey, &entry.MasterKey, key, &key, entry, &entry, held, &held, ring, *ring,
		[]derive.Secret{entry.SaltKey}, map[string]derive.Key{"k": key}, []any{key}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%X", "%q", "%d", "%o", "%b", "%t", "%c", "%U", "%08v", "% x", "%#x"} {
			check(fmt.Sprintf("%s of %T", verb, value), fmt.Sprintf(verb, value))
		}
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "value", value)
		slog.New(slog.NewTextHandler(&log, nil)).Info("m", "value", value)
		check(fmt.Sprintf("slog of %T", value), log.String())
		if out, err := jsonv1.Marshal(value); err == nil {
			check(fmt.Sprintf("JSON of %T", value), string(out))
		}
		if out, err := json.Marshal(value); err == nil {
			check(fmt.Sprintf("JSON v2 of %T", value), string(out))
		}
		if out, err := yaml.Marshal(value); err == nil {
			check(fmt.Sprintf("YAML of %T", value), string(out))
		}
	}
	for _, value := range []any{entry.MasterKey, key} {
		if got := fmt.Sprintf("%v %+v %#v %s %x %q", value, value, value, value, value, value); strings.Count(got, "[redacted]") != 6 {
			t.Errorf("%T prints %q", value, got)
		}
		for name, marshal := range map[string]func(any) ([]byte, error){
			"JSON": jsonv1.Marshal, "JSON v2": func(v any) ([]byte, error) { return json.Marshal(v) }, "YAML": yaml.Marshal,
		} {
			if out, err := marshal(value); err != nil || !strings.Contains(string(out), "[redacted]") {
				t.Errorf("%s of %T is %q, %v", name, value, out, err)
			}
		}
	}
}

func TestParseSecret(t *testing.T) {
	good := newSecret(t).Reveal()
	if s, err := derive.ParseSecret(good); err != nil || s.Reveal() != good {
		t.Fatalf("a good secret: %v", err)
	}
	b, err := base64.StdEncoding.DecodeString(good)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.StdEncoding.EncodeToString
	for name, text := range map[string]string{
		"empty":                 "",
		"hex":                   hex.EncodeToString(b),
		"unpadded":              good[:43],
		"31 bytes":              encode(b[:31]),
		"33 bytes":              encode(append(b[:32:32], 7)),
		"leading space":         " " + good,
		"trailing newline":      good + "\n",
		"newline inside":        good[:20] + "\n" + good[21:],
		"base64url":             strings.Repeat("-_", 21) + "A=",
		"trailing bits":         good[:42] + "B=",
		"two pads":              good[:42] + "==",
		"zeros":                 encode(make([]byte, 32)),
		"constant":              encode(bytes.Repeat([]byte{0xa5}, 32)),
		"counting":              encode([]byte("\x80\x81\x82\x83\x84\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\x97\x98\x99\x9a\x9b\x9c\x9d\x9e\x9f")),
		"counting down by two":  encode([]byte("\xff\xfd\xfb\xf9\xf7\xf5\xf3\xf1\xef\xed\xeb\xe9\xe7\xe5\xe3\xe1\xdf\xdd\xdb\xd9\xd7\xd5\xd3\xd1\xcf\xcd\xcb\xc9\xc7\xc5\xc3\xc1")),
		"a short pattern":       encode(bytes.Repeat([]byte{0xde, 0xad, 0xbe, 0xef}, 8)),
		"a passphrase":          encode([]byte("change me, change me, change me!")),
		"hex digits, 32 of 'em": encode([]byte(hex.EncodeToString(b[:16]))),
	} {
		t.Run(name, func(t *testing.T) {
			s, err := derive.ParseSecret(text)
			if err == nil || !s.IsZero() {
				t.Fatalf("not refused")
			}
			if len(text) > 8 && strings.Contains(err.Error(), text[:8]) {
				t.Errorf("the error repeats the text: %v", err)
			}
		})
	}
}

func TestSecretEqual(t *testing.T) {
	a, b := newSecret(t), newSecret(t)
	again, err := derive.ParseSecret(a.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if !a.Equal(again) || a.Equal(b) || a.Equal(derive.Secret{}) || (derive.Secret{}).Equal(a) || !(derive.Secret{}).Equal(derive.Secret{}) {
		t.Error("Equal is wrong")
	}
}
