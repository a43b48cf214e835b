package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
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

// load fetches and decodes the secret. An empty source is an absent secret. The
// error names files and variables that exist; a name of nothing may be a secret
// that slipped behind a scheme.
func (s secretSource) load() (derive.Secret, error) {
	switch source := string(s); {
	case source == "":
		return derive.Secret{}, nil
	case strings.HasPrefix(source, fileScheme):
		path := strings.TrimPrefix(source, fileScheme)
		if !strings.HasPrefix(path, "/") {
			return derive.Secret{}, errors.New("names a file without an absolute path: write file:///absolute/path, with three slashes")
		}
		if err := checkSecretFile(path); err != nil {
			return derive.Secret{}, err
		}
		return fetch(source, path)
	case strings.HasPrefix(source, envScheme):
		name := strings.TrimPrefix(source, envScheme)
		if _, set := os.LookupEnv(name); !set {
			return derive.Secret{}, errors.New("names an environment variable that is not set: set it for keyhint, or correct its name after env://")
		}
		return fetch(source, "environment variable "+name)
	case strings.Contains(source, ":"):
		return derive.Secret{}, errors.New("has a scheme that is not known: write file:///absolute/path, env://NAME, or the secret itself in base64")
	case strings.HasPrefix(source, placeholder):
		return derive.Secret{}, errors.New(`is a placeholder: run "keyhint keyring new" and paste what it prints`)
	default:
		return derive.ParseSecret(source)
	}
}

// fetch reads the secret behind a URL; name says in errors where it came from.
func fetch(source, name string) (derive.Secret, error) {
	text, err := parseutil.MustParsePath(source, parseutil.WithErrorOnMissingEnv(true))
	var reading *fs.PathError
	switch {
	case errors.As(err, &reading):
		return derive.Secret{}, fmt.Errorf("comes from %s, which cannot be read: %w", name, reading.Err)
	case err != nil:
		return derive.Secret{}, fmt.Errorf("comes from %s, which cannot be read: its name is not valid in a URL", name)
	}
	secret, err := derive.ParseSecret(text)
	if err != nil {
		return derive.Secret{}, fmt.Errorf("comes from %s, whose content %w", name, err)
	}
	return secret, nil
}

func checkSecretFile(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return fmt.Errorf("names a file that cannot be read: %w", errors.Unwrap(err))
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
