package config_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"keyhint/config"
)

// However a secret is written, the ring has it.
func TestLoadReadsSecretsInAnySpelling(t *testing.T) {
	one, two := newEntry(t, 1), newEntry(t, 2)
	want := mustLoad(t, ring(one, two))
	spelled := func(entry entry, spell func(field, secret string) string) entry {
		return entry.with("master_key", spell("master_key", entry.get("master_key"))).with("salt_key", spell("salt_key", entry.get("salt_key")))
	}
	inJSON := func(entry entry) string {
		version, _ := json.Number(entry.get("version")).Int64()
		text, err := json.Marshal(map[string]any{"version": version, "master_key": entry.get("master_key"), "salt_key": entry.get("salt_key"), "check": entry.get("check")})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for name, text := range map[string]string{
		"in double quotes":       ring(spelled(one, func(_, s string) string { return `"` + s + `"` }), two),
		"in single quotes":       ring(one, spelled(two, func(_, s string) string { return "'" + s + "'" })),
		"with an escape":         ring(spelled(one, func(_, s string) string { return fmt.Sprintf(`"\x%02x%s"`, s[0], s[1:]) }), two),
		"folded":                 ring(spelled(one, func(_, s string) string { return ">-\n          " + s }), two),
		"on the next line":       ring(spelled(one, func(_, s string) string { return "\n\n          " + s }), two),
		"after tabs and a break": strings.ReplaceAll(ring(one, two), "_key: ", "_key: \t\r\n          "),
		"with a comment behind":  ring(spelled(one, func(_, s string) string { return s + " # " + s }), two),
		"below itself":           ring(spelled(one, func(field, s string) string { return s + "\n      # " + field + ": " + s }), two),
		"below a former one":     ring(spelled(one, func(field, s string) string { return s + "\n      # " + field + ": " + two.get(field) }), two),
		"with Windows' breaks":   strings.ReplaceAll(ring(one, two), "\n", "\r\n"),
		"in JSON":                `{"auth": {"mode": "none"}, "keyring": {"keys": [` + inJSON(one) + `,` + inJSON(two) + `]}}`,
		"at the end of the file": "auth: {mode: none}\nkeyring: {keys: [" + inJSON(one) + ", " + strings.Replace(inJSON(two), `{"`, `{ "`, 1) + "]}",
		"without a name before":  ring(one, two) + "  namespace: ''\n#" + one.get("master_key") + "=" + one.get("salt_key"),
	} {
		t.Run(name, func(t *testing.T) { checkEqual(t, mustLoad(t, text), want) })
	}
}

// What only looks like a secret stays what it is.
func TestLoadKeepsTextInTheFormOfASecret(t *testing.T) {
	one := newEntry(t, 1)
	text := newEntry(t, 1).get("master_key")
	c := mustLoad(t, ring(one)+"  namespace: "+text+"\n")
	if c.Keyring.Namespace != text {
		t.Error("the namespace is another")
	}
}

// What stands for a secret inside is nothing that a file can say.
func TestLoadRefusesTheMarkOfASecret(t *testing.T) {
	one := newEntry(t, 1)
	for _, number := range []string{"0", "1", "2", "-1", "x", "18446744073709551616"} {
		mark := "\ue000" + strings.Repeat("0", 41-len(number)) + number
		write(t, ring(one.with("salt_key", `"`+mark+`"`)))
		if _, err := config.Load("keyhint.yaml", nil); err == nil {
			t.Errorf("a mark with %s loads", number)
		}
	}
}
