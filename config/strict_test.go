package config_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"keyhint/config"
)

func TestLoadRefusesUnknownNames(t *testing.T) {
	one := newEntry(t, 1)
	base := ring(one)
	for _, c := range []refused{
		{"at the top", base + "serve:\n  address: 127.0.0.1:80\n",
			`keyhint.yaml: line 9: has a setting "serve" that is not known: remove it, or write one of server, …`},
		{"in server", base + "server:\n  adress: 127.0.0.1:80\n",
			`keyhint.yaml: line 10: server has a setting "adress" that is not known: remove it, or write one of address, path…`},
		{"in auth", strings.Replace(base, "  mode: none\n", "  mode: none\n  methods: none\n", 1),
			`keyhint.yaml: line 3: auth has a setting "methods" that is not known: remove it, or write one of mode…`},
		{"in keyring", base + "  entries: []\n",
			`keyhint.yaml: line 9: keyring has a setting "entries" that is not known: remove it, or write one of namespace, max_age, …`},
		{"in an entry", ring(one.with("expires", "never")),
			`keyhint.yaml: line 9: keyring.keys[0] has a setting "expires" that is not known: remove it, or write one of version, master_key, salt_key, check, activate_at, issue_until, status`},
		{"in log", base + "log:\n  colour: true\n",
			`keyhint.yaml: line 10: log has a setting "colour" that is not known: remove it, or write one of level, format`},
		{"capitals", ring(entry{{"Version", "1"}, one[1], one[2], one[3]}),
			"keyhint.yaml: line 5: keyring.keys[0] has a name that is not known here: write version"},
		{"a dash for an underscore", ring(entry{one[0], {"master-key", one.get("master_key")}, one[2], one[3]}),
			"keyhint.yaml: line 6: keyring.keys[0] has a name that is not known here: write master_key"},
		{"a name too long to be one", base + strings.Repeat("name", 7) + ": 1\n",
			"keyhint.yaml: line 9: has a name that is not known here: remove it, or write one of server, …"},
		{"a path for a section", base + "log.level: debug\n",
			"keyhint.yaml: line 9: has a name that is not known here: remove it, or write one of server, …"},
		{"a secret for a name", ring(entry{one[0], {one.get("master_key"), "master_key"}, one[2], one[3]}),
			"keyhint.yaml: line 6: keyring.keys[0] has a name that is not known here: remove it, or write one of version, …"},
		{"a number", base + "1: 2\n",
			"keyhint.yaml: line 9: has a name that is not known here: remove it, or write one of server, …"},
		{"a list for a name", base + "? [log]\n: {level: info}\n",
			"keyhint.yaml: line 9: has a name that is not known here: remove it, or write one of server, …"},
		{"a merge key", base + "log:\n  <<: {level: debug}\n",
			"keyhint.yaml: line 10: log has a name that is not known here: remove it, or write one of level, format"},
	} {
		c.check(t)
	}
}

func TestLoadRefusesRepeatedNames(t *testing.T) {
	one := newEntry(t, 1)
	base := ring(one)
	for _, c := range []refused{
		{"a section", base + "auth:\n  mode: none\n",
			"keyhint.yaml: line 9: auth stands twice, first on line 1: keep one"},
		{"a setting", base + "log:\n  level: info\n  \"level\": info\n",
			"keyhint.yaml: line 11: log.level stands twice, first on line 10: keep one"},
		{"a list", base + "  keys: []\n",
			"keyhint.yaml: line 9: keyring.keys stands twice, first on line 4: keep one"},
		{"in an entry", ring(append(one, one[1])),
			"keyhint.yaml: line 9: keyring.keys[0].master_key stands twice, first on line 6: keep one"},
	} {
		c.check(t)
	}
}

func TestLoadRefusesWrongTypes(t *testing.T) {
	one := newEntry(t, 1)
	base := ring(one)
	const (
		digits   = "is not a whole number: write plain decimal digits without quotes, such as 1"
		notText  = "is not text to YAML: put the value in quotes"
		unquoted = `is not in quotes: write the time as "2026-01-31T12:00:00Z"`
		duration = "is not a duration: write a number with a unit (ms, s, m or h), such as 30s or 720h"
		moment   = `is not a time: write RFC 3339 with an offset, in quotes, such as "2026-01-31T12:00:00Z"`
		truth    = "is not a truth value: write true or false, without quotes"
		lower    = "is not a truth value: write true or false"
		missing  = `is empty: remove its line, or write a value ("" for an empty text)`
		nothing  = "is empty: remove its line, or write what belongs below it, indented"
		single   = "must be a single value, not a section or list"
		section  = "must be a section: lines of the form name: value, indented below it"
		list     = "must be a list: lines that start with a dash, or [] for none"
	)
	for says, values := range map[string][]string{
		digits: {`"1"`, "'1'", "4.9", "1.0", "1e0", "one", "true", "+1x", "2026-01-31", "99999999999999999999", ".inf", `""`,
			"010", "0o10", "0x1", "0b1", "1_000", "+1", "-1", "4294967296"},
		missing: {"", "~", "null"},
		single:  {"[1]", "{a: 1}", "[]", "{}"},
	} {
		for _, value := range values {
			refused{"version: " + value, ring(one.with("version", value)), "keyhint.yaml: line 5: keyring.keys[0].version " + says}.check(t)
		}
	}
	for says, values := range map[string][]string{
		duration: {"30", "0", "1.5", "true", "2026-01-31", "0x1e", `"30"`, "30 s", "1d", "-1s", "1h-1m", "s", "30seconds", "1e3s", "99999999h", `""`, `" 30s"`, "0:30", "∞", "yes"},
		missing:  {"", "~", "null"},
		single:   {"[30s]", "{s: 30}"},
	} {
		for _, value := range values {
			refused{"max_age: " + value, base + "  max_age: " + value + "\n", "keyhint.yaml: line 9: keyring.max_age " + says}.check(t)
		}
	}
	for says, values := range map[string][]string{
		unquoted: {"2026-01-31T12:00:00Z", "2026-01-31", "1769860800"},
		moment: {`"2026-01-31T12:00:00"`, `"2026-01-31"`, `"2026-01-31 12:00:00Z"`, `"2026-01-31T12:00Z"`, `"2026-02-30T12:00:00Z"`,
			`"2026-01-31T24:00:00Z"`, `"2026-01-31t12:00:00z"`, `"2026-01-31T12:00:00+0100"`, `"2026-01-31T12:00:00+24:00"`,
			`"2026-01-31T12:00:00,5Z"`, `"2026-01-31T9:00:00Z"`, `"tomorrow"`, `""`, `"0001-01-01T00:00:00Z"`,
			`"9999-12-31T23:59:59-00:01"`, `"0000-01-01T00:00:00+00:01"`},
		missing: {"", "~"},
	} {
		for _, value := range values {
			refused{"activate_at: " + value, ring(one.with("activate_at", value)), "keyhint.yaml: line 9: keyring.keys[0].activate_at " + says}.check(t)
		}
	}
	for says, values := range map[string][]string{
		truth:   {"yes", "no", "on", "off", `"true"`, "1", "0", `""`, "y"},
		lower:   {"True", "FALSE"},
		missing: {"", "~"},
		single:  {"[true]"},
	} {
		for _, value := range values {
			refused{"credentials: " + value, base + "server:\n  cors:\n    credentials: " + value + "\n",
				"keyhint.yaml: line 11: server.cors.credentials " + says}.check(t)
		}
	}
	for _, c := range []refused{
		{"a number for text", base + "log:\n  level: 1\n", "keyhint.yaml: line 10: log.level " + notText},
		{"a truth value for text", base + "log:\n  level: true\n", "keyhint.yaml: line 10: log.level " + notText},
		{"yes", base + "log:\n  level: yes\n", "keyhint.yaml: line 10: log.level is not a level: write debug, info, warn or error"},
		{"on", strings.Replace(base, "none", "on", 1), "keyhint.yaml: line 2: auth.mode is not a mode of access control: write jwt, forward or none"},
		{"a number for a mode", strings.Replace(base, "none", "0", 1), "keyhint.yaml: line 2: auth.mode " + notText},
		{"null for a mode", strings.Replace(base, "none", "", 1), "keyhint.yaml: line 2: auth.mode " + missing},
		{"a level in capitals", base + "log:\n  level: INFO\n", "keyhint.yaml: line 10: log.level is not a level: write debug, info, warn or error"},
		{"null for a section", base + "log:\n", "keyhint.yaml: line 9: log " + nothing},
		{"null for auth", strings.Replace(base, "  mode: none\n", "", 1), "keyhint.yaml: line 1: auth " + nothing},
		{"a list for a section", base + "log:\n  - level: info\n", "keyhint.yaml: line 10: log " + section},
		{"a list for auth", strings.Replace(base, "mode:", "-", 1), "keyhint.yaml: line 2: auth " + section},
		{"text for a section", base + "log: info\n", "keyhint.yaml: line 9: log " + section},
		{"null for a list", head, "keyhint.yaml: line 4: keyring.keys " + nothing},
		{"a section for a list", head + "    version: 1\n", "keyhint.yaml: line 5: keyring.keys " + list},
		{"text for a list", strings.Replace(head, "keys:", "keys: none", 1), "keyhint.yaml: line 4: keyring.keys " + list},
		{"a list for the ring", strings.Replace(head, "keys:", "- version: 1", 1), "keyhint.yaml: line 4: keyring " + section},
		{"null for an entry", head + "    -\n", "keyhint.yaml: line 5: keyring.keys[0] " + nothing},
		{"text for an entry", head + "    - version\n", "keyhint.yaml: line 5: keyring.keys[0] " + section},
		{"a list for an entry", head + "    - - version: 1\n", "keyhint.yaml: line 5: keyring.keys[0] " + section},
		{"a list for a secret", ring(one.with("master_key", "["+one.get("master_key")+"]")), "keyhint.yaml: line 6: keyring.keys[0].master_key " + single},
		{"text for a list of texts", base + "server:\n  trusted_proxies: 10.0.0.0/8\n", "keyhint.yaml: line 10: server.trusted_proxies " + list},
		{"null in a list of texts", base + "server:\n  trusted_proxies:\n    -\n", "keyhint.yaml: line 11: server.trusted_proxies[0] " + missing},
		{"a number in a list of texts", base + "server:\n  cors:\n    origins: [https://a.example, 1]\n", "keyhint.yaml: line 11: server.cors.origins[1] " + notText},
		{"a section in a list of texts", base + "server:\n  cors:\n    origins:\n    - https://a.example\n    - https: b.example\n", "keyhint.yaml: line 13: server.cors.origins[1] " + single},
		{"a number for a secret", ring(one.with("master_key", "1")), "keyhint.yaml: line 6: keyring.keys[0].master_key " + notText},
	} {
		c.check(t)
	}
}

func TestLoadRefusesValuesOutOfRange(t *testing.T) {
	base := ring(newEntry(t, 1))
	const (
		address = "is not an address: write host:port, such as 127.0.0.1:8080, or unix:/absolute/path, or systemd"
		path    = "is not a path that can be served: write one such as /v1/key, of letters, digits and . _ ~ -"
	)
	for _, value := range []string{"127.0.0.1", ":", "127.0.0.1:http", "127.0.0.1:65536", "::1:8080", "http://127.0.0.1:8080", `""`} {
		refused{"address: " + value, base + "server:\n  address: " + fmt.Sprintf("%q", strings.Trim(value, `"`)) + "\n",
			"keyhint.yaml: line 10: server.address " + address}.check(t)
	}
	for _, value := range []string{"v1/key", "/", "/v1/key/", "/v1//key", "/v1/../key", "/v1/./key", "/v1/:id", "/v1/*", "/v1/key?x", "/v1/%6bey", "/v1/ke y", "/v1/kéy", ""} {
		refused{"path: " + value, base + "server:\n  path: " + fmt.Sprintf("%q", value) + "\n",
			"keyhint.yaml: line 10: server.path " + path}.check(t)
	}
	refused{"path of the description", base + "server:\n  path: /openapi.yaml\n",
		"keyhint.yaml: line 10: server.path is where the description of the API is served: write another, such as /v1/key"}.check(t)
	for _, value := range []string{"0.0.0.0:8080", ":8080", "[::]:8080", "192.0.2.1:8080", "keyhint.example:8080", "localhost.example:8080"} {
		refused{"no access control on " + value, base + "server:\n  address: " + fmt.Sprintf("%q", value) + "\n",
			"keyhint.yaml: line 2: auth.mode is none, which gives every caller every key, and server.address is not a loopback address: set server.address to 127.0.0.1:8080, or server.tls with client_ca_file and client_names, or another mode"}.check(t)
	}
	refused{"no mode", strings.Replace(base, "  mode: none\n", "  {}\n", 1),
		"keyhint.yaml: line 1: auth.mode is missing: who may have a key has no default; write jwt, forward, or none to serve callers on this machine only"}.check(t)
	refused{"no auth", strings.TrimPrefix(base, "auth:\n  mode: none\n"),
		"keyhint.yaml: auth.mode is missing: who may have a key has no default; write jwt, forward, or none to serve callers on this machine only"}.check(t)
	for _, value := range []string{"0s", "999ms", "1h0.001s"} {
		refused{"reload_interval: " + value, base + "  reload_interval: " + value + "\n",
			"keyhint.yaml: line 9: keyring.reload_interval must be from 1s to 1h, such as 30s"}.check(t)
	}
	refused{"a relative ledger", base + "  ledger_file: ledger.json\n",
		"keyhint.yaml: line 9: keyring.ledger_file is not an absolute path: begin it with /"}.check(t)
	refused{"a long delay", base + "server:\n  shutdown_delay: 5m0.001s\n",
		"keyhint.yaml: line 10: server.shutdown_delay is over 5m0s: it is the time in which a balancer notices that keyhint is stopping"}.check(t)
	refused{"a format", base + "log:\n  format: logfmt\n",
		"keyhint.yaml: line 10: log.format is not a format: write json or text"}.check(t)
}

func TestLoadAcceptsLoopbackAddresses(t *testing.T) {
	for _, address := range []string{"127.0.0.1:8080", "127.1.2.3:0", "[::1]:8080", "localhost:65535"} {
		if c := mustLoad(t, ring(newEntry(t, 1))+"server:\n  address: '"+address+"'\n"); c.Server.Address != address {
			t.Errorf("%s became %s", address, c.Server.Address)
		}
	}
}

func TestLoadRefusesYAMLBeyondPlainValues(t *testing.T) {
	const indirect = "uses a YAML anchor, alias or tag: write the value itself"
	one := newEntry(t, 1)
	base := ring(one)
	for _, c := range []refused{
		{"an anchor", base + "log: &log\n  level: info\n", "keyhint.yaml: line 9: log " + indirect},
		{"an anchor on a value", base + "log:\n  level: &level info\n", "keyhint.yaml: line 10: log.level " + indirect},
		{"an anchor on a name", base + "&log log:\n  level: info\n", "keyhint.yaml: line 9: " + indirect},
		{"an anchor on all", "&all\n" + base, "keyhint.yaml has 3 problems:\n  line 1: " + indirect + "…"},
		{"an alias", ring(one.with("activate_at", `&at "2026-01-31T12:00:00Z"`).with("issue_until", "*at")), "keyhint.yaml has 2 problems:\n" +
			"  line 9: keyring.keys[0].activate_at " + indirect + "\n  line 10: keyring.keys[0].issue_until " + indirect},
		{"an alias for a name", ring(one.with("status", "&log enabled")) + "*log : {level: info}\n", "keyhint.yaml has 2 problems:\n" +
			"  line 9: keyring.keys[0].status " + indirect + "\n  line 10: " + indirect},
		{"an alias of nothing", base + "log: *log\n", "keyhint.yaml: uses a YAML alias: write the value itself, in quotes if it starts with *"},
		{"a tag that makes a number", ring(one.with("version", `!!int "1"`)), "keyhint.yaml: line 5: keyring.keys[0].version " + indirect},
		{"a tag that makes text", base + "  namespace: !!str 1\n", "keyhint.yaml: line 9: keyring.namespace " + indirect},
		{"a tag that is not known", base + "log: !log {level: info}\n", "keyhint.yaml: line 9: log " + indirect},
		{"a second document", base + "---\nlog:\n  level: info\n", "keyhint.yaml: line 9: starts a second YAML document: keep one, and remove the line ---"},
		{"a second document, empty", base + "---\n", "keyhint.yaml: line 9: starts a second YAML document: keep one, and remove the line ---"},
		{"a second document, not valid", base + "---\n}\n", "keyhint.yaml: line 9: is not valid YAML from here on: did not find expected node content"},
	} {
		c.check(t)
	}
}

func TestLoadRefusesFilesThatAreNoConfiguration(t *testing.T) {
	const empty = `keyhint.yaml: is empty: config.example.yaml shows what to write, and "keyhint keyring new" makes a first entry`
	base := ring(newEntry(t, 1))
	for _, c := range []refused{
		{"no byte", "", empty},
		{"line ends", "\n\n", empty},
		{"a comment", "# server:\n", empty},
		{"a document marker", "---\n", empty},
		{"null", "null\n", empty},
		{"text", "hello\n", "keyhint.yaml: line 1: must be a section: lines of the form name: value"},
		{"a list", "# ring\n- version: 1\n", "keyhint.yaml: line 2: must be a section: lines of the form name: value"},
		{"a name without colon", base + "log\n", "keyhint.yaml: line 9: is not valid YAML from here on: could not find expected ':'"},
		{"two colons", base + "log: level: info\n", "keyhint.yaml: line 9: is not valid YAML from here on: mapping values are not allowed in this context"},
		{"an open quote", base + "log: {level: \"info\n", "keyhint.yaml: line 9: is not valid YAML from here on: found unexpected end of stream"},
		// The library gives the line above the fault here.
		{"an open brace", base + "log: {level: info\n", "keyhint.yaml: line 8: is not valid YAML from here on: did not find expected ',' or '}'"},
		{"wrong indentation", "log:\n  level: info\n format: json\n", "keyhint.yaml: line 2: is not valid YAML from here on: did not find expected key"},
		{"a tab", "log:\n\tlevel: info\n", "keyhint.yaml: line 2: is not valid YAML from here on: found character that cannot start any token"},
		{"a control character", base + "# \x00\n", "keyhint.yaml: is not valid YAML: control characters are not allowed"},
		{"another YAML version", "%YAML 1.2\n---\n" + base, "keyhint.yaml: is not valid YAML: found incompatible YAML document"},
		{"not UTF-8", base + "# \xff\n", "keyhint.yaml: is not UTF-8 text: save the file in that encoding"},
		{"Latin-1", base + "# Schl\xfcssel\n", "keyhint.yaml: is not UTF-8 text: save the file in that encoding"},
		{"UTF-16", inUTF16("\ufeff" + base), "keyhint.yaml: is not UTF-8 text: save the file in that encoding"},
		{"UTF-16 without byte order mark", inUTF16(base), "keyhint.yaml: is not valid YAML: control characters are not allowed"},
		{"a binary", "\x7fELF\x02\x01\x01\x00", "keyhint.yaml: is not valid YAML: control characters are not allowed"},
	} {
		c.check(t)
	}
	t.Run("a missing file", func(t *testing.T) {
		t.Chdir(t.TempDir())
		checkRefusal(t, "keyhint.yaml", nil, "reading the configuration: open keyhint.yaml: no such file or directory")
	})
	t.Run("a folder", func(t *testing.T) {
		t.Chdir(t.TempDir())
		checkRefusal(t, ".", nil, "reading the configuration: . is not a regular file")
	})
}

func inUTF16(text string) string {
	var b []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		b = append(b, byte(unit), byte(unit>>8))
	}
	return string(b)
}

// Expanded, the first of these has 9^9 entries.
func TestLoadRefusesHugeFilesInTime(t *testing.T) {
	bomb := "a0: &a0 [x,x,x,x,x,x,x,x,x]\n"
	for i := range 9 {
		bomb += fmt.Sprintf("a%d: &a%d [%s*a%d]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*a%d,", i), 8), i)
	}
	start := time.Now()
	for _, c := range []refused{
		{"aliases of aliases", bomb + "keyring:\n  keys: *a9\n", "keyhint.yaml has 12 problems:\n  auth.mode is missing…"},
		{"deep lists", strings.Repeat("[", 1<<20), "keyhint.yaml: is not valid YAML: exceeded max depth of 10000"},
		{"deep sections", strings.Repeat("{a: ", 1<<18), "keyhint.yaml: is not valid YAML: exceeded max depth of 10000"},
		{"deep indentation", "auth:\n" + strings.Repeat("- ", 1<<18), "keyhint.yaml: line 2: is not valid YAML from here on: exceeded max depth of 10000"},
		{"just not too deep", "auth: " + strings.Repeat("[", 9000) + strings.Repeat("]", 9000),
			"keyhint.yaml has 2 problems:\n  keyring.keys is missing…"},
		{"17 MiB", strings.Repeat("# comment\n", 17<<20/10), "reading the configuration: keyhint.yaml is larger than 16 MiB"},
		{"a fault in each of many entries", head + strings.Repeat("    - x\n", 50_000),
			"keyhint.yaml has 50000 problems:\n  line 5: keyring.keys[0] must be a section: …"},
	} {
		c.check(t)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestLoadReportsAllFaultsInTheOrderOfTheFile(t *testing.T) {
	one, two, three := newEntry(t, 1), newEntry(t, 2), newEntry(t, 3)
	t.Setenv("KEYHINT_KEYRING_MAX_AGE", "30")
	refused{"faults of every kind", "log:\n  level: loud\n  color: true\n" +
		ring(one.with("master_key", "hex"), two.with("activate_at", "tomorrow"), three.without("salt_key"), newEntry(t, 5)) +
		"server:\n  address: 8080\n  path: key\n", `keyhint.yaml has 9 problems:
  environment variable KEYHINT_KEYRING_MAX_AGE: keyring.max_age is not a duration: write a number with a unit (ms, s, m or h), such as 30s or 720h
  line 2: log.level is not a level: write debug, info, warn or error
  line 3: log has a setting "color" that is not known: remove it, or write one of level, format
  line 9: keyring.keys[0].master_key (version 1) is 3 characters long; a secret is 32 bytes in standard base64 with padding, exactly 44
  line 16: keyring.keys[1].activate_at is not a time: write RFC 3339 with an offset, in quotes, such as "2026-01-31T12:00:00Z"
  line 17: keyring.keys[2].salt_key (version 3) is missing: restore it, or, if it is lost for good, set status to destroyed
  line 20: keyring.keys[3].version (version 5) leaves a gap: version 4 is not in the ring; restore it, or bury it with its check value and status destroyed
  line 25: server.address is not text to YAML: put the value in quotes
  line 26: server.path is not a path that can be served: write one such as /v1/key, of letters, digits and . _ ~ -`}.check(t)
}

func TestErrorIsBoundedAndKeepsEveryProblem(t *testing.T) {
	var entries []entry
	for i := range 21 {
		entries = append(entries, newEntry(t, uint32(i+1)).with("status", "retired"))
	}
	says := "keyhint.yaml has 21 problems:"
	for i := range 20 {
		says += fmt.Sprintf("\n  line %d: keyring.keys[%d].status is not a status: write enabled, resolve_only, disabled or destroyed", 9+5*i, i)
	}
	refused{"21 problems", ring(entries...), says + "\n  and 1 more"}.check(t)
	refused{"20 problems", ring(entries[:20]...), strings.Replace(says, "21", "20", 1)}.check(t)

	write(t, ring(entries...))
	_, err := config.Load("keyhint.yaml", nil)
	var refusal *config.Error
	if !errors.As(err, &refusal) || refusal.File != "keyhint.yaml" || len(refusal.Problems) != 21 {
		t.Errorf("%+v", refusal)
	}
}
