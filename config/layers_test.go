package config_test

import (
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"keyhint/config"
)

// layer is what a test of layers puts into one of them, and what comes of it.
type layer struct{ text, want any }

// layered is every setting that the environment and flags can give.
var layered = map[string]struct {
	beside          settings // without which the setting has no effect
	of              func(*config.Config) any
	byDefault       any // nil if there is none
	file, env, flag layer
}{
	"server.address": {nil, func(c *config.Config) any { return c.Server.Address }, "127.0.0.1:8080",
		layer{"127.0.0.1:1", "127.0.0.1:1"}, layer{"127.0.0.1:2", "127.0.0.1:2"}, layer{"127.0.0.1:3", "127.0.0.1:3"}},
	"server.shutdown_delay": {nil, func(c *config.Config) any { return c.Server.ShutdownDelay }, time.Duration(0),
		layer{"1s", time.Second}, layer{"500ms", time.Second / 2}, layer{"5m", 5 * time.Minute}},
	"server.path": {nil, func(c *config.Config) any { return c.Server.Path }, "/v1/key",
		layer{"/file", "/file"}, layer{"/env", "/env"}, layer{"/flag", "/flag"}},
	"server.cors.credentials": {settings{"server.cors.origins": []string{"https://app.example"}}, func(c *config.Config) any { return c.Server.CORS.Credentials }, false,
		layer{true, true}, layer{"false", false}, layer{"true", true}},
	"server.limits.per_address": {nil, func(c *config.Config) any { return c.Server.Limits.PerAddress }, "",
		layer{"1/s", "1/s"}, layer{"2/s", "2/s"}, layer{"3/s", "3/s"}},
	"server.limits.per_subject": {nil, func(c *config.Config) any { return c.Server.Limits.PerSubject }, "",
		layer{"1/s", "1/s"}, layer{"2/s", "2/s"}, layer{"3/s", "3/s"}},
	"admin.address": {nil, func(c *config.Config) any { return c.Admin.Address }, "127.0.0.1:9090",
		layer{"", ""}, layer{"systemd", "systemd"}, layer{"unix:/run/admin.sock", "unix:/run/admin.sock"}},
	"auth.mode": {jwtSettings, func(c *config.Config) any { return c.Auth.Mode }, nil,
		layer{"none", config.AuthNone}, layer{"jwt", config.AuthJWT}, layer{"none", config.AuthNone}},
	"auth.jwt.issuer": {jwtSettings, func(c *config.Config) any { return c.Auth.JWT.Issuer }, "",
		layer{"file", "file"}, layer{"env", "env"}, layer{"flag", "flag"}},
	"auth.jwt.leeway": {jwtSettings, func(c *config.Config) any { return c.Auth.JWT.Leeway }, 30 * time.Second,
		layer{"1s", time.Second}, layer{"1m", time.Minute}, layer{"2m30s", 150 * time.Second}},
	"auth.jwt.cookie": {jwtSettings, func(c *config.Config) any { return c.Auth.JWT.Cookie }, "",
		layer{"file", "file"}, layer{"env", "env"}, layer{"flag", "flag"}},
	"auth.jwt.document_claim": {jwtSettings, func(c *config.Config) any { return c.Auth.JWT.DocumentClaim }, "https://claims.tiny.cloud/rtc/document",
		layer{"file", "file"}, layer{"env", "env"}, layer{"flag", "flag"}},
	"auth.jwt.allow_any_document": {jwtSettings, func(c *config.Config) any { return c.Auth.JWT.AllowAnyDocument }, false,
		layer{true, true}, layer{"false", false}, layer{"true", true}},
	"auth.jwt.role_claim": {jwtSettings, func(c *config.Config) any { return c.Auth.JWT.RoleClaim }, "https://claims.tiny.cloud/rtc/role",
		layer{"file", "file"}, layer{"env", "env"}, layer{"flag", "flag"}},
	"auth.forward.url": {settings{"auth.mode": "forward"}, func(c *config.Config) any { return c.Auth.Forward.URL }, nil,
		layer{"https://file.example", "https://file.example"}, layer{"https://env.example", "https://env.example"}, layer{"https://flag.example", "https://flag.example"}},
	"auth.forward.timeout": {forwardSettings, func(c *config.Config) any { return c.Auth.Forward.Timeout }, 3 * time.Second,
		layer{"1s", time.Second}, layer{"500ms", time.Second / 2}, layer{"9s", 9 * time.Second}},
	"auth.forward.max_concurrent": {forwardSettings, func(c *config.Config) any { return c.Auth.Forward.MaxConcurrent }, 100,
		layer{1, 1}, layer{"2", 2}, layer{"3", 3}},
	"keyring.namespace": {nil, func(c *config.Config) any { return c.Keyring.Namespace }, "",
		layer{"file", "file"}, layer{"42", "42"}, layer{"true", "true"}},
	"keyring.max_age": {nil, func(c *config.Config) any { return c.Keyring.MaxAge }, time.Duration(0),
		layer{"1h30m", 90 * time.Minute}, layer{"2s", 2 * time.Second}, layer{"720h", 720 * time.Hour}},
	"keyring.ledger_file": {nil, func(c *config.Config) any { return c.Keyring.LedgerFile }, "",
		layer{"/file", "/file"}, layer{"/env", "/env"}, layer{"/flag", "/flag"}},
	"keyring.reload_interval": {nil, func(c *config.Config) any { return c.Keyring.ReloadInterval }, 30 * time.Second,
		layer{"1s", time.Second}, layer{"1h", time.Hour}, layer{"1m", time.Minute}},
	"log.level": {nil, func(c *config.Config) any { return c.Log.Level }, slog.LevelInfo,
		layer{"error", slog.LevelError}, layer{"warn", slog.LevelWarn}, layer{"debug", slog.LevelDebug}},
	"log.format": {nil, func(c *config.Config) any { return c.Log.Format }, "json",
		layer{"text", "text"}, layer{"json", "json"}, layer{"text", "text"}},
	"audit.sink": {nil, func(c *config.Config) any { return c.Audit.Sink }, "stdout",
		layer{"none", "none"}, layer{"/env", "/env"}, layer{"stdout", "stdout"}},
	"audit.fsync": {settings{"audit.sink": "/var/log/audit.log"}, func(c *config.Config) any { return c.Audit.Fsync }, false,
		layer{true, true}, layer{"false", false}, layer{"true", true}},
	"audit.document_key": {nil, func(c *config.Config) any { return c.Audit.DocumentKey.Reveal() }, "",
		layer{documentKeys[0], documentKeys[0]}, layer{documentKeys[1], documentKeys[1]}, layer{documentKeys[2], documentKeys[2]}},
	"memory.lock": {nil, func(c *config.Config) any { return c.Memory.Lock }, config.LockTry,
		layer{"off", config.LockOff}, layer{"require", config.LockRequire}, layer{"try", config.LockTry}},
}

// documentKeys are secrets that are in no ring.
var documentKeys = []string{
	"s3wBTVvLTWbCjBxT4X6g0tGv9qcZ8kq4mYcIuVQ5o2E=", "T1cQm4nY2w0b0L8mC4t1dJ5kqv9wXz3fS6u7y8A1bC0=", "0fKp2Zr7m1XoVd9Qw3sGh5TjL8yBnE6uCiA4xMkRvJ4=",
}

// settings are values by their path.
type settings map[string]any

var (
	jwtSettings     = settings{"auth.mode": "jwt", "auth.jwt.keys": []string{"https://app.example/jwks.json"}, "auth.jwt.audience": []string{"keyhint"}}
	forwardSettings = settings{"auth.mode": "forward", "auth.forward.url": "https://app.example/may-open"}
)

// with has another setting, unless value is nil: then it is without it.
func (s settings) with(path string, value any) settings {
	s = maps.Clone(s)
	if s == nil {
		s = make(settings)
	}
	s[path] = value
	if value == nil {
		delete(s, path)
	}
	return s
}

// file is a configuration with these settings and a ring of one entry.
func (s settings) file(t *testing.T) string {
	t.Helper()
	root := map[string]any{}
	put := func(path string, value any) {
		section := root
		names := strings.Split(path, ".")
		for _, name := range names[:len(names)-1] {
			if section[name] == nil {
				section[name] = map[string]any{}
			}
			section = section[name].(map[string]any)
		}
		section[names[len(names)-1]] = value
	}
	one := newEntry(t, 1)
	put("keyring.keys", []any{map[string]any{
		"version": 1, "master_key": one.get("master_key"), "salt_key": one.get("salt_key"), "check": one.get("check"),
	}})
	put("auth.mode", "none")
	for path, value := range s {
		put(path, value)
	}
	text, err := yaml.Marshal(root)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// variable is the environment variable of a setting.
func variable(path string) string {
	return "KEYHINT_" + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

func TestLaterLayersWin(t *testing.T) {
	for path, l := range layered {
		t.Run(path, func(t *testing.T) {
			without, with := l.beside.with(path, nil), l.beside.with(path, l.file.text)
			for _, c := range []struct {
				name      string
				file      settings
				env, flag any
				want      any
			}{
				{"default", without, "", "", l.byDefault},
				{"file", with, "", "", l.file.want},
				{"environment over default", without, l.env.text, "", l.env.want},
				{"environment over file", with, l.env.text, "", l.env.want},
				{"flag over default", without, "", l.flag.text, l.flag.want},
				{"flag over all", with, l.env.text, l.flag.text, l.flag.want},
			} {
				if c.want == nil {
					continue
				}
				t.Run(c.name, func(t *testing.T) {
					write(t, c.file.file(t))
					t.Setenv(variable(path), c.env.(string))
					loaded, err := config.Load("keyhint.yaml", config.Flags{path: c.flag.(string)})
					if err != nil {
						t.Fatal(err)
					}
					if got := l.of(loaded); got != c.want {
						t.Errorf("%v, not %v", got, c.want)
					}
				})
			}
		})
	}
}

// unlayered are lists, and names of files, which are text like any other.
var unlayered = []string{
	"auth.forward.ca_file", "auth.jwt.algorithms", "auth.jwt.audience", "auth.jwt.issue_roles", "auth.jwt.keys",
	"server.cors.origins", "server.tls.cert_file", "server.tls.client_ca_file", "server.tls.client_names",
	"server.tls.key_file", "server.tls.min_version", "server.trusted_proxies",
}

func TestEverySettingIsLayeredOrNot(t *testing.T) {
	known := slices.DeleteFunc(knownSettings(t), func(path string) bool { return strings.HasPrefix(path, "keyring.keys") })
	checkSameNames(t, slices.AppendSeq(slices.Clone(unlayered), maps.Keys(layered)), known)
}

func TestLoadNamesWhereABadValueCameFrom(t *testing.T) {
	write(t, ring(newEntry(t, 1))+"  max_age: 1h\nserver:\n  address: 127.0.0.1:80\n  path: /key\nlog:\n  level: info\n")
	for _, c := range []struct {
		name, env, value string
		flags            config.Flags
		says             string
	}{
		{"a duration without unit", "KEYHINT_KEYRING_MAX_AGE", "30", nil,
			"environment variable KEYHINT_KEYRING_MAX_AGE: keyring.max_age is not a duration: write a number with a unit (ms, s, m or h), such as 30s or 720h"},
		{"an address", "KEYHINT_SERVER_ADDRESS", "8080", nil,
			"environment variable KEYHINT_SERVER_ADDRESS: server.address is not an address: write host:port, such as 127.0.0.1:8080, or unix:/absolute/path, or systemd"},
		{"a path", "KEYHINT_SERVER_PATH", "key", nil,
			"environment variable KEYHINT_SERVER_PATH: server.path is not a path that can be served: write one such as /v1/key, of letters, digits and . _ ~ -"},
		{"a mode", "KEYHINT_AUTH_MODE", "all", nil,
			"environment variable KEYHINT_AUTH_MODE: auth.mode is not a mode of access control: write jwt, forward or none"},
		{"a level", "KEYHINT_LOG_LEVEL", "loud", nil,
			"environment variable KEYHINT_LOG_LEVEL: log.level is not a level: write debug, info, warn or error"},
		{"a format", "KEYHINT_LOG_FORMAT", "xml", nil,
			"environment variable KEYHINT_LOG_FORMAT: log.format is not a format: write json or text"},
		{"a lock", "KEYHINT_MEMORY_LOCK", "true", nil,
			"environment variable KEYHINT_MEMORY_LOCK: memory.lock is not a way to lock memory: write require, try or off"},
		{"a namespace that is too long", "KEYHINT_KEYRING_NAMESPACE", strings.Repeat("x", 129), nil,
			"environment variable KEYHINT_KEYRING_NAMESPACE: keyring.namespace is 129 bytes long: the maximum is 128"},
		{"a namespace that is not text", "KEYHINT_KEYRING_NAMESPACE", "\xff", nil,
			"environment variable KEYHINT_KEYRING_NAMESPACE: keyring.namespace is not UTF-8 text"},
		{"a flag", "KEYHINT_SERVER_ADDRESS", "127.0.0.1:81", config.Flags{"server.address": "8080"},
			"server.address is not an address: write host:port, such as 127.0.0.1:8080, or unix:/absolute/path, or systemd"},
		{"a flag of another type", "KEYHINT_KEYRING_MAX_AGE", "1s", config.Flags{"keyring.max_age": "30"},
			"keyring.max_age is not a duration: write a number with a unit (ms, s, m or h), such as 30s or 720h"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(c.env, c.value)
			checkRefusal(t, "keyhint.yaml", c.flags, "keyhint.yaml: "+c.says)
		})
	}
}

func TestLoadIgnoresEmptyVariables(t *testing.T) {
	want := mustLoad(t, ring(newEntry(t, 1))+"  namespace: tenant\n")
	for path := range layered {
		t.Setenv(variable(path), "")
	}
	c, err := config.Load("keyhint.yaml", config.Flags{"server.address": ""})
	if err != nil {
		t.Fatal(err)
	}
	checkEqual(t, c, want)
}

func TestListInTheEnvironmentIsRefused(t *testing.T) {
	write(t, ring(newEntry(t, 1)))
	for variable, path := range map[string]string{"KEYHINT_KEYRING_KEYS": "keyring.keys", "KEYHINT_AUTH_JWT_ISSUE_ROLES": "auth.jwt.issue_roles", "KEYHINT_SERVER_TRUSTED_PROXIES": "server.trusted_proxies"} {
		t.Run(variable, func(t *testing.T) {
			t.Setenv(variable, "x")
			checkRefusal(t, "keyhint.yaml", nil, "keyhint.yaml: environment variable "+variable+": "+path+" is a list and cannot come from the environment: write it in the file")
		})
	}
}

func TestLoadTakesOnlySingleValuesFromTheEnvironment(t *testing.T) {
	want := mustLoad(t, ring(newEntry(t, 1)))
	for _, name := range []string{
		"KEYHINT_KEYRING", "KEYHINT_KEYRING_KEYS_0_VERSION", "KEYHINT_KEYRING_KEYS_0_STATUS",
		"KEYHINT_SERVER", "SERVER_ADDRESS", "KEYHINT_SERVER.ADDRESS", "keyhint_log_level",
	} {
		t.Setenv(name, "disabled")
	}
	c, err := config.Load("keyhint.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	checkEqual(t, c, want)
}

func TestLoadReadsTheFileAnew(t *testing.T) {
	one, two := newEntry(t, 1), newEntry(t, 2)
	first := mustLoad(t, ring(one)+"log:\n  level: debug\n")
	writeFile(t, "keyhint.yaml", ring(one, two), 0o600)
	second, err := config.Load("keyhint.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	if first.Log.Level != slog.LevelDebug || first.Keyring.Ring.Versions() != 1 {
		t.Error("the first configuration changed")
	}
	if second.Log.Level != slog.LevelInfo || second.Keyring.Ring.Versions() != 2 {
		t.Error("the second configuration kept something of the first")
	}
}
