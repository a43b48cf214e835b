package config

import (
	"os"
	"reflect"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"
)

// origins are the settings that do not come from the file: the environment
// variable that gave each, or "" for a flag.
type origins map[string]string

// decode lays the flags over the environment over the file over the defaults.
// What it cannot use it leaves out and reports.
func decode(root *yaml.Node, flags Flags) (document, origins, []*Problem) {
	s := strict{shapes: make(map[reflect.Type]shape)}
	settings, _ := s.value(root, reflect.TypeFor[document](), "").(map[string]any)
	problems := s.problems
	elsewhere := make(origins)

	layers := viper.New()
	eachSetting(reflect.ValueOf(defaults()), "", func(path string, value reflect.Value) {
		layers.SetDefault(path, value.Interface())
		if !isScalar(value.Type()) {
			if env := envName(path); os.Getenv(env) != "" {
				problems = append(problems, &Problem{Path: path, Env: env, Text: "is a list and cannot come from the environment: write it in the file"})
			}
			return
		}
		given := func(text, env string) bool {
			if text == "" {
				return false
			}
			if _, err := parseScalar(value.Type(), text); err != nil {
				problems = append(problems, &Problem{Path: path, Env: env, Text: err.Error()})
				return false
			}
			elsewhere[path] = env
			return true
		}
		if env := envName(path); given(os.Getenv(env), env) {
			layers.MustBindEnv(path, env)
		}
		if given(flags[path], "") {
			layers.Set(path, flags[path])
		}
	})
	layers.MergeConfigMap(settings)

	var doc document
	err := layers.UnmarshalExact(&doc, func(c *mapstructure.DecoderConfig) {
		c.WeaklyTypedInput = false
		c.DecodeHook = fromText
	})
	if err != nil {
		// Not the library's words, which quote values.
		problems = append(problems, &Problem{Text: "does not fit the shape of a configuration"})
	}
	return doc, elsewhere, problems
}

// fromText reads the texts that viper got from the environment and from flags;
// what came from the file has its type already.
func fromText(from, to reflect.Type, value any) (any, error) {
	if from.Kind() == reflect.String && from != to && isScalar(to) {
		return parseScalar(to, reflect.ValueOf(value).String())
	}
	return value, nil
}

// envName is the environment variable for a path: KEYHINT_ and the path in
// upper case, with underscores for dots.
func envName(path string) string {
	return "KEYHINT_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// eachSetting visits the settings of a document that are not sections.
func eachSetting(section reflect.Value, path string, visit func(path string, value reflect.Value)) {
	for i := range section.NumField() {
		value := section.Field(i)
		name := join(path, section.Type().Field(i).Tag.Get("mapstructure"))
		if value.Kind() == reflect.Struct && !isScalar(value.Type()) {
			eachSetting(value, name, visit)
			continue
		}
		visit(name, value)
	}
}
