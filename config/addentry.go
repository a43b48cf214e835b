package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"

	"keyhint/derive"
)

// AddOptions say what entry [AddEntry] adds.
type AddOptions struct {
	// ActivateAt is when the version becomes a candidate for primary, rounded up
	// to a second; zero leaves it out, which is always. A time makes it known
	// since when the versions before have not issued, which [SetStatus] needs to
	// destroy them.
	ActivateAt time.Time
	// SecretsDir is an existing folder for the two secrets, as files that their
	// owner alone may read; empty writes them into the configuration file.
	SecretsDir string
	// MaxVersions is how many versions the ring may have then; 0 is any number.
	MaxVersions uint32

	Now    time.Time     // of the comment; ActivateAt may not be earlier
	Random io.Reader     // a CSPRNG
	Wait   time.Duration // for another editor, at most; 0 is 10 s
}

// AddedEntry is what [AddEntry] has added.
type AddedEntry struct {
	Check       derive.CheckValue // with the version
	ActivateAt  time.Time         // zero is always
	SecretFiles []string          // with SecretsDir: absolute paths of the master key and the salt key
	Config      *Config           // as the file is now
}

// ErrTooManyVersions is what keeps [AddEntry] from going past [AddOptions].MaxVersions.
var ErrTooManyVersions = errors.New("the ring has as many versions as it may have")

// AddEntry adds an entry with fresh secrets to the ring in a configuration file,
// under the number after the highest. The rest of the file stays as it is, byte
// for byte. The file is replaced at once and only if it loads before and after;
// with any error it is untouched, and files of secrets that were made are removed.
//
// The one exception is an error that comes with an AddedEntry: the entry stands
// in the file, and the disk does not confirm it.
func AddEntry(path string, options AddOptions) (AddedEntry, error) {
	added := AddedEntry{ActivateAt: roundUp(options.ActivateAt)}
	if !added.ActivateAt.IsZero() && added.ActivateAt.Before(options.Now) {
		return AddedEntry{}, fmt.Errorf("the new version cannot activate at %s, which is past: earlier versions have issued since, and it would look as if they had not",
			added.ActivateAt.Format(time.RFC3339))
	}
	var err error
	added.Config, err = edit(path, options.Wait, func(base *editBase) ([]byte, document, error) {
		return added.write(base, options)
	})
	if added.Config == nil {
		for _, file := range added.SecretFiles {
			os.Remove(file)
		}
		return AddedEntry{}, err
	}
	return added, err
}

// roundUp leaves no fraction of a second and never makes a time earlier.
func roundUp(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(time.Second - 1).Truncate(time.Second).UTC()
}

// write makes the entry, and the files for its secrets if there should be any.
func (a *AddedEntry) write(base *editBase, options AddOptions) ([]byte, document, error) {
	versions := base.config.Keyring.Ring.Versions()
	if options.MaxVersions != 0 && versions >= options.MaxVersions {
		return nil, document{}, ErrTooManyVersions
	}
	comment, entry, err := freshEntry(versions+1, options.Now, options.Random)
	if err != nil {
		return nil, document{}, err
	}
	a.Check, entry.ActivateAt = entry.Check, a.ActivateAt
	if options.SecretsDir != "" {
		if err := a.writeSecrets(&entry, options.SecretsDir, base.info); err != nil {
			return nil, document{}, err
		}
	}
	fields := []newField{
		{"version", strconv.FormatUint(uint64(entry.Version), 10), true},
		{"master_key", string(entry.MasterKey), false},
		{"salt_key", string(entry.SaltKey), false},
		{"check", entry.Check.String(), false},
	}
	if !a.ActivateAt.IsZero() {
		fields = append(fields, newField{"activate_at", a.ActivateAt.Format(time.RFC3339), false})
	}
	text, err := withEntry(base.data, comment, fields)
	return text, base.document.withEntries(func(entries []entrySection) []entrySection { return append(entries, entry) }), err
}

// freshEntry is what [NewEntry] makes, and the comment above it.
func freshEntry(version uint32, now time.Time, random io.Reader) (comment string, entry entrySection, err error) {
	text, err := NewEntry(version, now, random)
	if err != nil {
		return "", entrySection{}, err
	}
	var made []struct {
		MasterKey string `yaml:"master_key"`
		SaltKey   string `yaml:"salt_key"`
		Check     string `yaml:"check"`
	}
	if err := yaml.Unmarshal([]byte(text), &made); err != nil || len(made) != 1 {
		return "", entrySection{}, errors.New("a new entry is not the YAML that it should be")
	}
	check, err := derive.ParseCheckValue(made[0].Check)
	if err != nil {
		return "", entrySection{}, fmt.Errorf("the check value of a new entry %w", err)
	}
	comment, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	return comment, entrySection{
		Version: version, Check: check,
		MasterKey: secretSource(made[0].MasterKey), SaltKey: secretSource(made[0].SaltKey),
	}, nil
}

// writeSecrets moves the secrets of an entry into files of their own. Their
// names carry version and fingerprint, as hints do, so they are new names even
// after a run that was killed between making them and naming them.
func (a *AddedEntry) writeSecrets(entry *entrySection, folder string, like fs.FileInfo) error {
	folder, err := filepath.Abs(folder)
	if err != nil {
		return err
	}
	if strings.ContainsFunc(folder, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return errors.New("the name of the folder for secrets has characters that cannot be shown: use another")
	}
	for _, secret := range []struct {
		name   string
		source *secretSource
	}{{"master_key", &entry.MasterKey}, {"salt_key", &entry.SaltKey}} {
		path := filepath.Join(folder, fmt.Sprintf("%s-%d-%s", secret.name, entry.Version, entry.Check.Fingerprint()))
		made, err := writeSecretFile(path, string(*secret.source), like)
		if made {
			a.SecretFiles = append(a.SecretFiles, path)
		}
		if err != nil {
			return fmt.Errorf("making a file for a secret: %w", err)
		}
		*secret.source = secretSource(fileScheme + path)
	}
	if err := syncFolder(folder); err != nil {
		return fmt.Errorf("making files for secrets: %w", err)
	}
	return nil
}

// writeSecretFile makes a file that its owner alone may read, who is the owner
// of the configuration file. It never overwrites.
func writeSecretFile(path, secret string, like fs.FileInfo) (made bool, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return false, err
	}
	_, err = f.WriteString(secret + "\n")
	if err == nil {
		err = keepOwner(f, like)
	}
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	return true, err
}
