package config_test

import (
	"crypto/rand"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"keyhint/config"
)

func readExample(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("../config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// fillIn puts a fresh entry into the placeholders, as its reader would.
func fillIn(t *testing.T, example string) string {
	t.Helper()
	text, err := config.NewEntry(1, noon, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var fresh []map[string]string
	if err := yaml.Unmarshal([]byte(text), &fresh); err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{"master_key", "salt_key", "check"} {
		placeholder := "REPLACE-with-the-" + field + "-of-keyhint-keyring-new"
		if strings.Count(example, placeholder) != 1 {
			t.Fatalf("no placeholder for %s", field)
		}
		example = strings.Replace(example, placeholder, fresh[0][field], 1)
	}
	return example
}

func TestExampleIsRefusedAsItStands(t *testing.T) {
	example := readExample(t)
	write(t, example)
	_, err := config.Load("keyhint.yaml", nil)
	var refusal *config.Error
	if !errors.As(err, &refusal) {
		t.Fatal(err)
	}
	want := []string{
		`keyring.keys[0].master_key (version 1) is a placeholder: run "keyhint keyring new" and paste what it prints`,
		`keyring.keys[0].salt_key (version 1) is a placeholder: run "keyhint keyring new" and paste what it prints`,
		"keyring.keys[0].check is not a check value: the version, '-' and 16 lower-case hex digits, such as 3-9f86d081884c7d65",
	}
	lines := strings.Split(example, "\n")
	var got []string
	for _, p := range refusal.Problems {
		got = append(got, p.Path+" "+p.Text)
		if line := lines[p.Line-1]; !strings.Contains(line, ": REPLACE-") {
			t.Errorf("line %d is %q", p.Line, line)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestExampleLoadsWithSecretsFilledIn(t *testing.T) {
	text := fillIn(t, readExample(t))
	mustLoad(t, text)
	mustLoad(t, uncomment(text))
	writeFile(t, "keyhint.yaml", text, 0o644)
	checkRefusal(t, "keyhint.yaml", nil, "keyhint.yaml: holds secrets and can be read by everyone on this machine: run chmod o= keyhint.yaml")
}

// uncomment switches on the settings that the example only mentions.
func uncomment(example string) string {
	return regexp.MustCompile(`(?m)^( +)# ([a-z_]+: \S.*)$`).ReplaceAllString(example, "$1$2")
}

func TestExampleShowsEverySetting(t *testing.T) {
	var shown []string
	eachSetting(parseExample(t, uncomment(readExample(t))), "", func(path string, _, _ *yaml.Node, _ func()) {
		shown = append(shown, path)
	})
	checkSameNames(t, shown, knownSettings(t))
}

func checkSameNames(t *testing.T, got, want []string) {
	t.Helper()
	for _, name := range got {
		if !slices.Contains(want, name) {
			t.Errorf("there is no setting %s", name)
		}
	}
	for _, name := range want {
		if !slices.Contains(got, name) {
			t.Errorf("%s is missing", name)
		}
	}
}

// required are the settings without a default.
var required = []string{"auth.mode", "keyring.keys[0].check", "keyring.keys[0].master_key", "keyring.keys[0].salt_key", "keyring.keys[0].version"}

// A setting with a default stands in the example with that default, and its
// comment gives it.
func TestExampleGivesTheDefaults(t *testing.T) {
	text := fillIn(t, readExample(t))
	want := mustLoad(t, text)
	root := parseExample(t, text)
	comment := ""
	eachSetting(root, "", func(path string, name, value *yaml.Node, remove func()) {
		if name.HeadComment != "" { // else the one above is for both
			comment = strings.ReplaceAll(name.HeadComment, "\n# ", "\n")
		}
		t.Run(path, func(t *testing.T) {
			remove()
			writeFile(t, "keyhint.yaml", toYAML(t, root), 0o600)
			c, err := config.Load("keyhint.yaml", nil)
			if slices.Contains(required, path) {
				if err == nil {
					t.Error("is not required")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			checkEqual(t, c, want)
			shown := strings.TrimSpace(toYAML(t, value))
			if documented := documentedDefault(comment); documented != shown && !slices.Contains(inWords[shown], documented) {
				t.Errorf("is %s, and its comment gives the default %q", shown, documented)
			}
		})
	})
}

// documentedDefault is the word after Default, or Required if that is there.
func documentedDefault(comment string) string {
	if m := regexp.MustCompile(`\bDefault\s+(".*?"|\S+?)[.,:]?(\s|$)`).FindStringSubmatch(comment); m != nil {
		return m[1]
	}
	return regexp.MustCompile(`\bRequired\b`).FindString(comment)
}

// inWords is what a comment may say for a default in place of the value. What
// is required in some modes only is empty by default.
var inWords = map[string][]string{
	`""`:               {"none", "Required"},
	"[]":               {"none", "all", "Required"},
	"[editor, viewer]": {"both"},
}

func toYAML(t *testing.T, node *yaml.Node) string {
	t.Helper()
	text, err := yaml.Marshal(node)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func parseExample(t *testing.T, text string) *yaml.Node {
	t.Helper()
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	return document.Content[0]
}

// eachSetting visits what is not a section, nor a list of sections. The setting
// is back after the visit if remove was called.
func eachSetting(section *yaml.Node, path string, visit func(path string, name, value *yaml.Node, remove func())) {
	for i := 0; i < len(section.Content); i += 2 {
		name, value := section.Content[i], section.Content[i+1]
		here := strings.TrimPrefix(path+"."+name.Value, ".")
		switch {
		case value.Kind == yaml.MappingNode:
			eachSetting(value, here, visit)
		case value.Kind == yaml.SequenceNode && len(value.Content) > 0 && value.Content[0].Kind == yaml.MappingNode:
			eachSetting(value.Content[0], here+"[0]", visit)
		default:
			all := section.Content
			visit(here, name, value, func() { section.Content = slices.Concat(all[:i], all[i+2:]) })
			section.Content = all
		}
	}
}

// knownSettings asks the package for the name of every setting.
func knownSettings(t *testing.T) []string {
	t.Helper()
	t.Chdir(t.TempDir())
	return settingsBelow(t, "", func(value string) string { return value })
}

func settingsBelow(t *testing.T, path string, within func(value string) string) []string {
	t.Helper()
	writeFile(t, "keyhint.yaml", within("{nonsense: 1}"), 0o600)
	_, err := config.Load("keyhint.yaml", nil)
	var refusal *config.Error
	if !errors.As(err, &refusal) {
		t.Fatal(err)
	}
	at := slices.IndexFunc(refusal.Problems, func(p *config.Problem) bool { return p.Path == path && p.Line == 1 })
	if at < 0 {
		t.Fatalf("%q: %v", path, err)
	}
	text := refusal.Problems[at].Text
	if _, names, is := strings.Cut(text, "write one of "); is {
		var settings []string
		for _, name := range strings.Split(names, ", ") {
			settings = append(settings, settingsBelow(t, strings.TrimPrefix(path+"."+name, "."), func(value string) string {
				return within("{" + name + ": " + value + "}")
			})...)
		}
		return settings
	}
	if strings.HasPrefix(text, "must be a list") {
		return settingsBelow(t, path+"[0]", func(value string) string { return within("[" + value + "]") })
	}
	return []string{strings.TrimSuffix(path, "[0]")}
}
