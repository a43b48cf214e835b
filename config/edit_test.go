package config_test

import (
	"strings"
	"testing"

	"keyhint/config"
	"keyhint/derive"
)

// start is the part of a file above keyring.keys in these tests.
const start = "auth: {mode: none}\nkeyring:\n"

func TestAddEntryWritesAsTheEntryBefore(t *testing.T) {
	for _, c := range []struct{ name, before, after string }{
		{"2 spaces", `  keys:
    - version: 1
      master_key: <M1>
      salt_key: <S1>
      check: <C1>
`, `  keys:
    - version: 1
      master_key: <M1>
      salt_key: <S1>
      check: <C1>
    # version 2, check value <CN>, made 2026-11-23
    - version: 2
      master_key: <MN>
      salt_key: <SN>
      check: <CN>
`},
		{"4 spaces, more settings below", `    keys:
        -   version: 1
            check: <C1> # recorded
            salt_key: "<S1>"
            master_key: '<M1>'
    namespace: tenant
`, `    keys:
        -   version: 1
            check: <C1> # recorded
            salt_key: "<S1>"
            master_key: '<M1>'
        # version 2, check value <CN>, made 2026-11-23
        -   version: 2
            master_key: <MN>
            salt_key: <SN>
            check: <CN>
    namespace: tenant
`},
		{"a list that is not indented", `  keys:
  - version: 1
    master_key: <M1>
    salt_key: <S1>
    check: <C1>
`, `  keys:
  - version: 1
    master_key: <M1>
    salt_key: <S1>
    check: <C1>
  # version 2, check value <CN>, made 2026-11-23
  - version: 2
    master_key: <MN>
    salt_key: <SN>
    check: <CN>
`},
		{"dashes on lines of their own", `  keys:
   -
    version: 1
    master_key: <M1>
    salt_key: <S1>
    check: <C1>
`, `  keys:
   -
    version: 1
    master_key: <M1>
    salt_key: <S1>
    check: <C1>
   # version 2, check value <CN>, made 2026-11-23
   -
    version: 2
    master_key: <MN>
    salt_key: <SN>
    check: <CN>
`},
		{"dashes on lines of their own, more room", `  keys:
    -
      version: 1
      master_key: <M1>
      salt_key: <S1>
      check: <C1>
`, `  keys:
    -
      version: 1
      master_key: <M1>
      salt_key: <S1>
      check: <C1>
    # version 2, check value <CN>, made 2026-11-23
    -
      version: 2
      master_key: <MN>
      salt_key: <SN>
      check: <CN>
`},
		{"a comment behind the dash and no room", `  keys:
    - # the first
     version: 1
     master_key: <M1>
     salt_key: <S1>
     check: <C1>
`, `  keys:
    - # the first
     version: 1
     master_key: <M1>
     salt_key: <S1>
     check: <C1>
    # version 2, check value <CN>, made 2026-11-23
    -
     version: 2
     master_key: <MN>
     salt_key: <SN>
     check: <CN>
`},
		{"a comment behind the dash", `  keys:
    - # the first

      version: 1
      # its secrets
      master_key: <M1>
      salt_key: <S1>
      check: <C1>
`, `  keys:
    - # the first

      version: 1
      # its secrets
      master_key: <M1>
      salt_key: <S1>
      check: <C1>
    # version 2, check value <CN>, made 2026-11-23
    - version: 2
      master_key: <MN>
      salt_key: <SN>
      check: <CN>
`},
		{"no line break at the end", `  keys:
    - version: 1
      master_key: <M1>
      salt_key: <S1>
      check: <C1>`, `  keys:
    - version: 1
      master_key: <M1>
      salt_key: <S1>
      check: <C1>
    # version 2, check value <CN>, made 2026-11-23
    - version: 2
      master_key: <MN>
      salt_key: <SN>
      check: <CN>`},
		{"comments below", `  keys:
    - version: 1
      master_key: <M1>
      salt_key: <S1>
      check: <C1> # recorded

      # issue_until: "2027-01-31T12:00:00Z"

    # Entries go above this line.

# The log.
log: {level: info}
`, `  keys:
    - version: 1
      master_key: <M1>
      salt_key: <S1>
      check: <C1> # recorded

      # issue_until: "2027-01-31T12:00:00Z"
    # version 2, check value <CN>, made 2026-11-23
    - version: 2
      master_key: <MN>
      salt_key: <SN>
      check: <CN>

    # Entries go above this line.

# The log.
log: {level: info}
`},
		{"an end marker", `  keys:
    - version: 1
      master_key: <M1>
      salt_key: <S1>
      check: <C1>
...
`, `  keys:
    - version: 1
      master_key: <M1>
      salt_key: <S1>
      check: <C1>
    # version 2, check value <CN>, made 2026-11-23
    - version: 2
      master_key: <MN>
      salt_key: <SN>
      check: <CN>
...
`},
		{"braces in lines", `  keys:
    - {version: 1, master_key: <M1>, salt_key: <S1>, check: <C1>} # the first
`, `  keys:
    - {version: 1, master_key: <M1>, salt_key: <S1>, check: <C1>} # the first
    # version 2, check value <CN>, made 2026-11-23
    - {version: 2, master_key: <MN>, salt_key: <SN>, check: <CN>}
`},
		{"braces over several lines", `  keys:
    - {version: 1,
       master_key: <M1>, salt_key: <S1>,
       check: <C1>, # recorded
      }
`, `  keys:
    - {version: 1,
       master_key: <M1>, salt_key: <S1>,
       check: <C1>, # recorded
      }
    # version 2, check value <CN>, made 2026-11-23
    - {version: 2, master_key: <MN>, salt_key: <SN>, check: <CN>}
`},
		{"brackets", `  keys: [{version: 1, master_key: <M1>, salt_key: <S1>, check: <C1>}] # ring
`, `  keys: [{version: 1, master_key: <M1>, salt_key: <S1>, check: <C1>}, {version: 2, master_key: <MN>, salt_key: <SN>, check: <CN>}] # ring
`},
		{"brackets and a comma", `  keys: [ {version: 1, master_key: <M1>, salt_key: <S1>, check: <C1>}, ]
`, `  keys: [ {version: 1, master_key: <M1>, salt_key: <S1>, check: <C1>}, {version: 2, master_key: <MN>, salt_key: <SN>, check: <CN>}, ]
`},
		{"brackets over lines", `  keys: [
    {version: 1, master_key: <M1>, salt_key: <S1>, check: <C1>} # the first
  ]
`, `  keys: [
    {version: 1, master_key: <M1>, salt_key: <S1>, check: <C1>}, # the first
    # version 2, check value <CN>, made 2026-11-23
    {version: 2, master_key: <MN>, salt_key: <SN>, check: <CN>}
  ]
`},
		{"brackets over lines and a comma", `  keys: [
    {version: 1, master_key: <M1>, salt_key: <S1>, check: <C1>}, # the first
  ]
`, `  keys: [
    {version: 1, master_key: <M1>, salt_key: <S1>, check: <C1>}, # the first
    # version 2, check value <CN>, made 2026-11-23
    {version: 2, master_key: <MN>, salt_key: <SN>, check: <CN>},
  ]
`},
		{"quoted names", `  keys:
    - "version": 1
      'master_key': "<M1>"
      "salt_key": '<S1>'
      "check":   "<C1>"
`, `  keys:
    - "version": 1
      'master_key': "<M1>"
      "salt_key": '<S1>'
      "check":   "<C1>"
    # version 2, check value <CN>, made 2026-11-23
    - version: 2
      master_key: <MN>
      salt_key: <SN>
      check: <CN>
`},
	} {
		for form, as := range forms {
			t.Run(c.name+", "+form, func(t *testing.T) {
				m := newMaterial(t, 1)
				write(t, m.fill(as(start+c.before)))
				added := mustAdd(t, "keyhint.yaml", addOptions())
				checkText(t, m, "keyhint.yaml", as(start+c.after))
				if added.Check.String() != m["CN"] || added.Config.Keyring.Ring.Versions() != 2 || added.SecretFiles != nil {
					t.Errorf("%+v", added)
				}
			})
		}
	}
}

// forms are ways to save one text.
var forms = map[string]func(string) string{
	"LF":                func(text string) string { return text },
	"CRLF":              func(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") },
	"CR":                func(text string) string { return strings.ReplaceAll(text, "\n", "\r") },
	"a byte order mark": func(text string) string { return "\ufeff" + text },
	"other characters":  func(text string) string { return "# äöü\u2028# \U0001f511\u0085# ⇥\n" + text },
}

func TestAddEntryToJSON(t *testing.T) {
	m := newMaterial(t, 1)
	for _, c := range []struct{ before, after string }{
		{`{"auth": {"mode": "none"}, "keyring": {"namespace": "ä", "keys": [{"version": 1, "master_key": "<M1>", "salt_key": "<S1>", "check": "<C1>"}]}}`,
			`{"auth": {"mode": "none"}, "keyring": {"namespace": "ä", "keys": [{"version": 1, "master_key": "<M1>", "salt_key": "<S1>", "check": "<C1>"}, {"version": 2, "master_key": "<MN>", "salt_key": "<SN>", "check": "<CN>", "activate_at": "2026-11-23T13:00:00Z"}]}}`},
		{`{
  "auth": {"mode": "none"},
  "keyring": {
    "keys": [
      {
        "version": 1,
        "master_key": "<M1>",
        "salt_key": "<S1>",
        "check": "<C1>"
      }
    ]
  }
}
`, `{
  "auth": {"mode": "none"},
  "keyring": {
    "keys": [
      {
        "version": 1,
        "master_key": "<M1>",
        "salt_key": "<S1>",
        "check": "<C1>"
      },
      {"version": 2, "master_key": "<MN>", "salt_key": "<SN>", "check": "<CN>", "activate_at": "2026-11-23T13:00:00Z"}
    ]
  }
}
`},
	} {
		write(t, m.fill(c.before))
		options := addOptions()
		options.ActivateAt = noon.Add(3600e9)
		mustAdd(t, "keyhint.yaml", options)
		checkText(t, m, "keyhint.yaml", c.after)
	}
}

func TestSetStatusWritesAsTheFile(t *testing.T) {
	const four = "  keys:\n    - version: 1\n      master_key: <M1>\n      salt_key: <S1>\n      check: <C1>\n"
	for _, c := range []struct {
		name, before, after string
		to                  derive.Status
	}{
		{"a new line", four, four + "      status: disabled\n", derive.Disabled},
		{"a value", four + "      status: enabled # for now\n  namespace: x\n", four + "      status: resolve_only # for now\n  namespace: x\n", derive.ResolveOnly},
		{"quotes", four + "      'status' : \"enabled\"\n", four + "      'status' : \"disabled\"\n", derive.Disabled},
		{"single quotes", four + "      status:   'enabled'  \n", four + "      status:   'disabled'  \n", derive.Disabled},
		{"a value on the next line", four + "      status:\n        enabled\n", four + "      status:\n        disabled\n", derive.Disabled},
		{"comments below", four + "      # status: enabled\n\n    # end\n", four + "      status: disabled\n      # status: enabled\n\n    # end\n", derive.Disabled},
		{"no line break at the end", strings.TrimSuffix(four, "\n"), four + "      status: disabled", derive.Disabled},
		{"braces", "  keys: [{version: 1, master_key: <M1>, salt_key: <S1>, check: <C1>}]\n",
			"  keys: [{version: 1, master_key: <M1>, salt_key: <S1>, check: <C1>, status: disabled}]\n", derive.Disabled},
		{"braces and a comma", "  keys: [{version: 1, master_key: <M1>, salt_key: <S1>, check: <C1> , }]\n",
			"  keys: [{version: 1, master_key: <M1>, salt_key: <S1>, check: <C1>, status: disabled , }]\n", derive.Disabled},
		{"braces with a status", "  keys: [{status: enabled, version: 1, master_key: <M1>, salt_key: <S1>, check: <C1>}]\n",
			"  keys: [{status: disabled, version: 1, master_key: <M1>, salt_key: <S1>, check: <C1>}]\n", derive.Disabled},
		{"JSON", `  "keys": [{"version":1,"master_key":"<M1>","salt_key":"<S1>","check":"<C1>"}]` + "\n",
			`  "keys": [{"version":1,"master_key":"<M1>","salt_key":"<S1>","check":"<C1>", "status": "disabled"}]` + "\n", derive.Disabled},

		{"destroyed", four, "  keys:\n    - version: 1\n      check: <C1>\n      status: destroyed\n", derive.Destroyed},
		{"destroyed, comments stay", "  keys:\n    - # first\n      version: 1\n      # secrets\n      master_key: <M1> # HSM\n\n      salt_key: \"<S1>\"\n      # end\n      check: <C1>\n      status: disabled # why\n  # ring\n",
			"  keys:\n    - # first\n      version: 1\n      # secrets\n\n      # end\n      check: <C1>\n      status: destroyed # why\n  # ring\n", derive.Destroyed},
		{"destroyed, secrets first", "  keys:\n    - master_key: <M1> # first\n      # second\n      salt_key: <S1>\n      check: <C1>\n      version: 1\n",
			"  keys:\n    -\n      # second\n      check: <C1>\n      version: 1\n      status: destroyed\n", derive.Destroyed},
		{"destroyed, secrets last", "  keys:\n  - version: 1\n    check: <C1>\n    salt_key: <S1>\n    master_key: <M1>",
			"  keys:\n  - version: 1\n    check: <C1>\n    status: destroyed", derive.Destroyed},
		{"destroyed, secrets last with a status", "  keys:\n  - version: 1\n    check: <C1>\n    status: disabled\n    salt_key: <S1>\n    master_key: <M1>",
			"  keys:\n  - version: 1\n    check: <C1>\n    status: destroyed", derive.Destroyed},
		{"destroyed, values on the next lines", "  keys:\n    - version: 1\n      master_key:\n        <M1>\n      salt_key:\n\n        '<S1>'\n      check: <C1>\n",
			"  keys:\n    - version: 1\n      check: <C1>\n      status: destroyed\n", derive.Destroyed},
		{"destroyed, braces", "  keys: [{version: 1, master_key: <M1>, salt_key: <S1>, check: <C1>}]\n",
			"  keys: [{version: 1, check: <C1>, status: destroyed}]\n", derive.Destroyed},
		{"destroyed, braces, secrets last", "  keys: [{version: 1, check: <C1>, master_key: <M1>, salt_key: <S1>}]\n",
			"  keys: [{version: 1, check: <C1>, status: destroyed}]\n", derive.Destroyed},
		{"destroyed, braces over lines", "  keys:\n    - {master_key: <M1>, # first\n       salt_key: <S1>, # second\n       version: 1, check: <C1>}\n",
			"  keys:\n    - {# first\n       # second\n       version: 1, check: <C1>, status: destroyed}\n", derive.Destroyed},
		{"destroyed, JSON", "  keys: [{\"version\":1,\"master_key\":\"<M1>\",\"salt_key\":\"<S1>\",\"check\":\"<C1>\"}]\n",
			"  keys: [{\"version\":1,\"check\":\"<C1>\", \"status\": \"destroyed\"}]\n", derive.Destroyed},
	} {
		for form, as := range forms {
			t.Run(c.name+", "+form, func(t *testing.T) {
				m := newMaterial(t, 1)
				write(t, m.fill(as(start+c.before)))
				change := mustSet(t, "keyhint.yaml", "1", c.to, config.StatusOptions{Now: noon, Force: true})
				checkText(t, m, "keyhint.yaml", as(start+c.after))
				if e := change.Config.Keyring.Ring.Entries()[0]; e.Status != c.to || e.Check != change.Check || change.To != c.to {
					t.Errorf("%+v", change)
				}
			})
		}
	}
}

// The example has a comment for each setting, and every one has to stay.
func TestEditsOfTheExample(t *testing.T) {
	for form, as := range forms {
		t.Run(form, func(t *testing.T) {
			m := make(material)
			m.set("N", knownEntry(t, 2))
			const last = "      status: enabled\n"
			example := fillIn(t, readExample(t))
			added := strings.Replace(example, last, last+`    # version 2, check value <CN>, made 2026-11-23
    - version: 2
      master_key: <MN>
      salt_key: <SN>
      check: <CN>
`, 1)
			write(t, as(example))
			mustAdd(t, "keyhint.yaml", addOptions())
			checkText(t, m, "keyhint.yaml", as(added))
			mustSet(t, "keyhint.yaml", "1", derive.ResolveOnly, config.StatusOptions{Now: noon})
			checkText(t, m, "keyhint.yaml", as(strings.Replace(added, last, "      status: resolve_only\n", 1)))
		})
	}
}
