package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"strings"

	"github.com/hashicorp/go-secure-stdlib/parseutil"

	"keyhint/derive"
)

// secretSource is what stands for a secret in the configuration file: the
// secret itself, file:///absolute/path, or env://NAME. It prints redacted,
// because it may be the secret itself.
type secretSource string

// Format prints "[redacted]" for every verb.
func (secretSource) Format(state fmt.State, _ rune) { io.WriteString(state, "[redacted]") }

const (
	fileScheme = "file://"
	envScheme  = "env://"
	// placeholder begins the values that the example wants replaced.
	placeholder = "REPLACE"
	// maxSecretFile bounds a secret's file, in bytes; the secret takes 44.
	maxSecretFile = 4096
)

func (s secretSource) inline() bool {
	return s != "" && !strings.HasPrefix(string(s), fileScheme) && !strings.HasPrefix(string(s), envScheme)
}

// load fetches and decodes the secret; sealed are those that stood in the
// configuration file. An empty source is an absent secret. The error names files
// and variables that exist; a name of nothing may be a secret that slipped
// behind a scheme.
func (s secretSource) load(sealed [][]byte) (derive.Secret, error) {
	source := string(s)
	if secret := unseal(source, sealed); secret != nil {
		return derive.ParseSecret(secret)
	}
	switch {
	case source == "":
		return derive.Secret{}, nil
	case strings.HasPrefix(source, fileScheme):
		return loadSecretFile(source)
	case strings.HasPrefix(source, envScheme):
		return loadSecretVariable(source)
	case strings.Contains(source, ":"):
		return derive.Secret{}, errors.New("has a scheme that is not known: write file:///absolute/path, env://NAME, or the secret itself in base64")
	case strings.HasPrefix(source, placeholder):
		return derive.Secret{}, errors.New(`is a placeholder: run "keyhint keyring new" and paste what it prints`)
	default:
		return derive.ParseSecret(source)
	}
}

const notInURL = "comes from %s, which cannot be read: its name is not valid in a URL"

// loadSecretFile reads the secret in a file. It clears what it read, which
// parseutil, whose result is a string, could not.
func loadSecretFile(source string) (derive.Secret, error) {
	path := strings.TrimPrefix(source, fileScheme)
	if !strings.HasPrefix(path, "/") {
		return derive.Secret{}, errors.New("names a file without an absolute path: write file:///absolute/path, with three slashes")
	}
	data, info, err := readFile(path, maxSecretFile)
	defer clear(data)
	if info != nil {
		if err := checkSecretFile(path, info); err != nil {
			return derive.Secret{}, err
		}
	}
	if err != nil {
		what := "names a file that cannot be read"
		if _, err := os.Stat(path); err == nil {
			what = "comes from " + path + ", which cannot be read"
		}
		return derive.Secret{}, fmt.Errorf("%s: %w", what, errors.Unwrap(err))
	}
	if _, err := url.Parse(source); err != nil {
		return derive.Secret{}, fmt.Errorf(notInURL, path)
	}
	return parseFrom(path, bytes.TrimSpace(data))
}

// loadSecretVariable reads the secret in an environment variable. This copies
// nothing; the secret stays in the environment.
func loadSecretVariable(source string) (derive.Secret, error) {
	name := strings.TrimPrefix(source, envScheme)
	if _, set := os.LookupEnv(name); !set {
		return derive.Secret{}, errors.New("names an environment variable that is not set: set it for keyhint, or correct its name after env://")
	}
	name = "environment variable " + name
	text, err := parseutil.MustParsePath(source, parseutil.WithErrorOnMissingEnv(true))
	if err != nil {
		return derive.Secret{}, fmt.Errorf(notInURL, name)
	}
	return parseFrom(name, text)
}

// parseFrom decodes a secret; name says in errors where it came from.
func parseFrom[Text string | []byte](name string, text Text) (derive.Secret, error) {
	secret, err := derive.ParseSecret(text)
	if err != nil {
		return derive.Secret{}, fmt.Errorf("comes from %s, whose content %w", name, err)
	}
	return secret, nil
}

func checkSecretFile(path string, info fs.FileInfo) error {
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("comes from %s, which is not a regular file", path)
	case info.Size() > maxSecretFile:
		return fmt.Errorf("comes from %s, which is %d bytes long: the file must hold the secret alone, 44 characters", path, info.Size())
	}
	if err := checkNotWorldReadable(path, info); err != nil {
		return fmt.Errorf("comes from %s, which %w", path, err)
	}
	return nil
}

// checkNotWorldReadable refuses a file with secrets that everyone may read or write.
func checkNotWorldReadable(path string, info fs.FileInfo) error {
	done := ""
	switch mode := info.Mode().Perm(); {
	case mode&0o004 != 0:
		done = "read"
	case mode&0o002 != 0:
		done = "written"
	default:
		return nil
	}
	return fmt.Errorf("holds secrets and can be %s by everyone on this machine: run chmod o= %s", done, shellQuote(path))
}

func shellQuote(path string) string {
	if strings.ContainsFunc(path, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+@", r))
	}) {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}
