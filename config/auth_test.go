package config_test

import (
	"os"
	"slices"
	"testing"
	"time"

	"keyhint/config"
)

func TestLoadReadsTokenKeys(t *testing.T) {
	t.Chdir(t.TempDir())
	dir, _ := os.Getwd()
	writeFile(t, "keys.pem", "not looked into here", 0o644)
	c := mustLoadHere(t, jwtSettings.with("auth.jwt.keys", []string{"https://app.example/jwks.json", "file://" + dir + "/keys.pem"}).file(t))
	j := c.Auth.JWT
	if !slices.Equal(j.KeySets, []string{"https://app.example/jwks.json"}) {
		t.Error(j.KeySets)
	}
	if len(j.KeyFiles) != 1 || j.KeyFiles[0].Setting != "auth.jwt.keys[1]" || j.KeyFiles[0].Path != dir+"/keys.pem" || string(j.KeyFiles[0].Data) != "not looked into here" {
		t.Errorf("%+v", j.KeyFiles)
	}
	if !slices.Equal(j.Audience, []string{"keyhint"}) || !slices.Equal(j.IssueRoles, []string{"editor", "viewer"}) {
		t.Errorf("%+v", j)
	}
}

func TestLoadReadsForward(t *testing.T) {
	t.Chdir(t.TempDir())
	dir, _ := os.Getwd()
	writeCertificate(t, "ca")
	f := mustLoadHere(t, forwardSettings.with("auth.forward.ca_file", dir+"/ca.crt").file(t)).Auth.Forward
	if f.CAs == nil || f.URL != "https://app.example/may-open" || f.Timeout != 3*time.Second || f.MaxConcurrent != 100 {
		t.Errorf("%+v", f)
	}
}

// An empty list is not a missing one: nobody may begin a session.
func TestLoadKeepsAnEmptyListOfRoles(t *testing.T) {
	if c := mustLoad(t, jwtSettings.with("auth.jwt.issue_roles", []string{}).file(t)); len(c.Auth.JWT.IssueRoles) != 0 {
		t.Error(c.Auth.JWT.IssueRoles)
	}
}

func TestLoadPassesOverSettingsOfOtherModes(t *testing.T) {
	c := mustLoad(t, settings{"auth.jwt.keys": []string{"nonsense"}, "auth.forward.timeout": "0s"}.file(t))
	if c.Auth.Mode != config.AuthNone {
		t.Error(c.Auth.Mode)
	}
}

func TestLoadRefusesAuth(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, c := range []settingRefusal{
		{"no keys", jwtSettings, "auth.jwt.keys", []string{},
			"auth.jwt.keys is missing: name the public keys that tokens are verified with, as file:///absolute/path or as the https:// URL of a JWKS"},
		{"no audience", jwtSettings, "auth.jwt.audience", nil,
			"auth.jwt.audience is missing: name this endpoint, for example by its URL, and mint tokens for it with that name as aud; it keeps tokens for the RTC server from opening anything here"},
		{"an empty audience", jwtSettings, "auth.jwt.audience", []string{"keyhint", ""}, "auth.jwt.audience[1] is empty"},
		{"a path without scheme", jwtSettings, "auth.jwt.keys", []string{"/etc/keys.pem"},
			"auth.jwt.keys[0] is neither a file nor a URL: write file:///absolute/path of PEM or a JWKS, or the https:// URL of a JWKS"},
		{"a key in its place", jwtSettings, "auth.jwt.keys", []string{"-----BEGIN PUBLIC KEY-----"},
			"auth.jwt.keys[0] is neither a file nor a URL: write file:///absolute/path of PEM or a JWKS, or the https:// URL of a JWKS"},
		{"a relative path", jwtSettings, "auth.jwt.keys", []string{"file://keys.pem"}, "auth.jwt.keys[0] is not an absolute path: begin it with /"},
		{"a missing file", jwtSettings, "auth.jwt.keys", []string{"file://$DIR/keys.pem"}, "auth.jwt.keys[0] cannot be read: no such file or directory"},
		{"a long leeway", jwtSettings, "auth.jwt.leeway", "5m0.001s", "auth.jwt.leeway is over 5m0s: it is for clocks that differ a little"},
		{"no document claim", jwtSettings, "auth.jwt.document_claim", "", "auth.jwt.document_claim is empty: name a claim"},
		{"a claim with another meaning", jwtSettings, "auth.jwt.role_claim", "aud", "auth.jwt.role_claim is a claim with a meaning of its own: name another"},
		{"one claim for both", jwtSettings, "auth.jwt.role_claim", "https://claims.tiny.cloud/rtc/document", "auth.jwt.role_claim is document_claim as well: name another"},
		{"a symmetric algorithm", jwtSettings, "auth.jwt.algorithms", []string{"RS256", "HS256"},
			"auth.jwt.algorithms[1] is not known: write one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA"},
		{"no algorithm", jwtSettings, "auth.jwt.algorithms", []string{"none"},
			"auth.jwt.algorithms[0] is not known: write one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA"},
		{"an unknown role", jwtSettings, "auth.jwt.issue_roles", []string{"author"}, "auth.jwt.issue_roles[0] is not known: write one of editor, viewer"},
		{"no URL", forwardSettings, "auth.forward.url", "",
			"auth.forward.url is missing: write the URL of your application that decides, such as https://app.example.com/may-open"},
		{"no time", forwardSettings, "auth.forward.timeout", "0s", "auth.forward.timeout is not a time that an editor would wait: write one up to 10s, such as 3s"},
		{"a long time", forwardSettings, "auth.forward.timeout", "61s", "auth.forward.timeout is not a time that an editor would wait: write one up to 10s, such as 3s"},
		{"none at once", forwardSettings, "auth.forward.max_concurrent", 0, "auth.forward.max_concurrent must be from 1 to 10000"},
		{"many at once", forwardSettings, "auth.forward.max_concurrent", 10_001, "auth.forward.max_concurrent must be from 1 to 10000"},
		{"a relative path of certificates", forwardSettings, "auth.forward.ca_file", "ca.pem", "auth.forward.ca_file is not an absolute path: begin it with /"},
	} {
		c.check(t)
	}
}
