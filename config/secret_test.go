package config_test

import (
	"os"
	"strings"
	"testing"

	"keyhint/config"
)

func TestLoadRefusesInlineSecret(t *testing.T) {
	const scheme = "keyhint.yaml: line 6: keyring.keys[0].master_key (version 1) has a scheme that is not known: write file:///absolute/path, env://NAME, or the secret itself in base64"
	one := newEntry(t, 1)
	secret := one.get("master_key")
	for _, c := range []refused{
		{"hex", ring(one.with("master_key", strings.Repeat("9f86d081884c7d65", 4))),
			"keyhint.yaml: line 6: keyring.keys[0].master_key (version 1) is 64 characters long; a secret is 32 bytes in standard base64 with padding, exactly 44"},
		{"no padding", ring(one.with("master_key", strings.TrimRight(secret, "="))),
			"keyhint.yaml: line 6: keyring.keys[0].master_key (version 1) is 43 characters long; a secret is 32 bytes in standard base64 with padding, exactly 44"},
		{"base64url", ring(one.with("master_key", "_-"+secret[2:])),
			"keyhint.yaml: line 6: keyring.keys[0].master_key (version 1) is not 32 bytes in standard base64 with padding (letters, digits, + and /, ending in =)"},
		{"a space before it", ring(one.with("master_key", `" `+secret+`"`)),
			"keyhint.yaml: line 6: keyring.keys[0].master_key (version 1) is 45 characters long; a secret is 32 bytes in standard base64 with padding, exactly 44"},
		{"folded over lines", ring(one.with("master_key", secret[:20]+"\n        "+secret[20:])),
			"keyhint.yaml: line 6: keyring.keys[0].master_key (version 1) is 45 characters long; a secret is 32 bytes in standard base64 with padding, exactly 44"},
		{"fiel:///", ring(one.with("master_key", "fiel:///run/secrets/master")), scheme},
		{"file:/", ring(one.with("master_key", "file:/run/secrets/master")), scheme},
		{"FILE:///", ring(one.with("master_key", "FILE:///run/secrets/master")), scheme},
		{"env:", ring(one.with("master_key", "env:MASTER")), scheme},
		{"string://", ring(one.with("master_key", "string://"+secret)), scheme},
		{"http://", ring(one.with("master_key", "http://vault/master")), scheme},
		{"a space before file:///", ring(one.with("master_key", `" file:///run/secrets/master"`)), scheme},
	} {
		c.check(t)
	}
}

func TestLoadRefusesSecretFile(t *testing.T) {
	t.Chdir(t.TempDir())
	dir, _ := os.Getwd()
	one := newEntry(t, 1)
	secret := one.get("master_key")
	for _, name := range []string{"folder", "with space"} {
		if err := os.Mkdir(name, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("loop", "loop"); err != nil {
		t.Fatal(err)
	}
	writeFile(t, "good", secret, 0o600)
	writeFile(t, "empty", "", 0o600)
	writeFile(t, "hex", strings.Repeat("9f86d081884c7d65", 4)+"\n", 0o600)
	writeFile(t, "two", secret+"\n"+secret+"\n", 0o600)
	writeFile(t, "large", strings.Repeat("\n", 4053)+secret, 0o600)
	writeFile(t, "public", secret, 0o604)
	writeFile(t, "with space/public", secret, 0o644)
	writeFile(t, "a%zz", secret, 0o600)
	const path = "keyhint.yaml: line 6: keyring.keys[0].master_key (version 1) "
	for name, c := range map[string]struct{ source, says string }{
		"relative":           {"file://good", "names a file without an absolute path: write file:///absolute/path, with three slashes"},
		"no path":            {"file://", "names a file without an absolute path: write file:///absolute/path, with three slashes"},
		"missing":            {"file://$DIR/missing", "names a file that cannot be read: no such file or directory"},
		"below a file":       {"file://$DIR/good/master", "names a file that cannot be read: not a directory"},
		"unreachable":        {"file://$DIR/loop", "names a file that cannot be read: too many levels of symbolic links"},
		"a folder":           {"file://$DIR/folder", "comes from $DIR/folder, which is not a regular file"},
		"a device":           {"file:///dev/null", "comes from /dev/null, which is not a regular file"},
		"empty":              {"file://$DIR/empty", "comes from $DIR/empty, whose content is 0 characters long; a secret is 32 bytes in standard base64 with padding, exactly 44"},
		"hex":                {"file://$DIR/hex", "comes from $DIR/hex, whose content is 64 characters long; a secret is 32 bytes in standard base64 with padding, exactly 44"},
		"two secrets":        {"file://$DIR/two", "comes from $DIR/two, whose content is 89 characters long; a secret is 32 bytes in standard base64 with padding, exactly 44"},
		"too large":          {"file://$DIR/large", "comes from $DIR/large, which is 4097 bytes long: the file must hold the secret alone, 44 characters"},
		"world readable":     {"file://$DIR/public", "comes from $DIR/public, which holds secrets and can be read by everyone on this machine: run chmod o= $DIR/public"},
		"its path in quotes": {"file://$DIR/with space/public", "comes from $DIR/with space/public, which holds secrets and can be read by everyone on this machine: run chmod o= '$DIR/with space/public'"},
		"not a URL":          {"file://$DIR/a%zz", "comes from $DIR/a%zz, which cannot be read: its name is not valid in a URL"},
	} {
		t.Run(name, func(t *testing.T) {
			writeFile(t, "keyhint.yaml", ring(one.with("master_key", strings.ReplaceAll(c.source, "$DIR", dir))), 0o600)
			checkRefusal(t, "keyhint.yaml", nil, path+c.says)
		})
	}
}

func TestLoadRefusesSecretVariable(t *testing.T) {
	one := newEntry(t, 1)
	t.Setenv("EMPTY", "")
	t.Setenv("HEX", strings.Repeat("9f86d081884c7d65", 4))
	t.Setenv("SALT", one.get("salt_key"))
	const (
		place = "keyhint.yaml: line 6: keyring.keys[0].master_key (version 1) "
		unset = place + "names an environment variable that is not set: set it for keyhint, or correct its name after env://"
	)
	sameTwice := one.with("master_key", one.get("salt_key")).rechecked(t)
	for _, c := range []refused{
		{"not set", ring(one.with("master_key", "env://NO_SUCH_VARIABLE")), unset},
		{"no name", ring(one.with("master_key", "env://")), unset},
		{"a name as in a shell", ring(one.with("master_key", "env://${HEX}")), unset},
		{"the secret for a name", ring(one.with("master_key", "env://"+one.get("master_key"))), unset},
		{"empty", ring(one.with("master_key", "env://EMPTY")),
			place + "comes from environment variable EMPTY, whose content is 0 characters long; a secret is 32 bytes in standard base64 with padding, exactly 44"},
		{"hex", ring(one.with("master_key", "env://HEX")),
			place + "comes from environment variable HEX, whose content is 64 characters long; a secret is 32 bytes in standard base64 with padding, exactly 44"},
		{"the same secret", ring(sameTwice.with("master_key", "env://SALT")),
			"keyhint.yaml: line 7: keyring.keys[0].salt_key (version 1) is the same secret as master_key of keys[0] (version 1): every secret stands once; make a new entry with fresh ones"},
	} {
		c.check(t)
	}
}

func TestLoadReadsSecretsBehindFilesAndVariables(t *testing.T) {
	one, two := newEntry(t, 1), newEntry(t, 2)
	want := mustLoad(t, ring(one, two))
	dir, _ := os.Getwd()
	writeFile(t, "master", one.get("master_key")+"\r\n", 0o640)
	writeFile(t, "salt", " "+one.get("salt_key"), 0o400)
	if err := os.Symlink("salt", "link to salt"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("MASTER", two.get("master_key")+"\n")
	t.Setenv("SALT", two.get("salt_key"))
	one = one.with("master_key", "file://"+dir+"/master").with("salt_key", "file://"+dir+"/link to salt")
	two = two.with("master_key", "env://MASTER").with("salt_key", "env://SALT")

	// There is no secret in this configuration itself.
	writeFile(t, "keyhint.yaml", ring(one, two), 0o644)
	c, err := config.Load("keyhint.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	checkEqual(t, c, want)
}

func TestLoadRefusesWorldReadableConfigurationWithSecrets(t *testing.T) {
	one := newEntry(t, 1)
	t.Setenv("MASTER", one.get("master_key"))
	halfInline := ring(one.with("master_key", "env://MASTER"))
	for _, c := range []struct {
		name, file, text string
		mode             os.FileMode
		says             string // nothing if it loads
	}{
		{"owner", "keyhint.yaml", ring(one), 0o600, ""},
		{"group", "keyhint.yaml", ring(one), 0o660, ""},
		{"everyone", "keyhint.yaml", ring(one), 0o644,
			"keyhint.yaml: holds secrets and can be read by everyone on this machine: run chmod o= keyhint.yaml"},
		{"others alone", "keyhint.yaml", ring(one), 0o604,
			"keyhint.yaml: holds secrets and can be read by everyone on this machine: run chmod o= keyhint.yaml"},
		{"one secret inline", "keyhint.yaml", halfInline, 0o644,
			"keyhint.yaml: holds secrets and can be read by everyone on this machine: run chmod o= keyhint.yaml"},
		{"a name for quotes", "it's mine.yaml", ring(one), 0o644,
			`it's mine.yaml: holds secrets and can be read by everyone on this machine: run chmod o= 'it'\''s mine.yaml'`},
		{"and another fault", "keyhint.yaml", ring(one.without("check")), 0o644, `keyhint.yaml has 2 problems:
  holds secrets and can be read by everyone on this machine: run chmod o= keyhint.yaml
  line 5: keyring.keys[0].check (version 1) is missing: write the check value that was recorded when the entry was made`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			writeFile(t, c.file, c.text, c.mode)
			if c.says != "" {
				checkRefusal(t, c.file, nil, c.says)
			} else if _, err := config.Load(c.file, nil); err != nil {
				t.Error(err)
			}
		})
	}
}
