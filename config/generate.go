package config

import (
	"fmt"
	"io"
	"os"
	"time"

	"keyhint/derive"
)

// NewEntry writes a complete ring entry with fresh secrets from random, ready
// to be pasted below keyring.keys. It contains the secrets in the clear.
func NewEntry(version uint32, now time.Time, random io.Reader) (string, error) {
	master, err := derive.GenerateSecret(random)
	if err != nil {
		return "", err
	}
	salt, err := derive.GenerateSecret(random)
	if err != nil {
		return "", err
	}
	check := derive.NewCheckValue(version, master, salt)
	return fmt.Sprintf(`    # version %d, check value %s, made %s
    - version: %[1]d
      master_key: %[4]s
      salt_key: %[5]s
      check: %[2]s
`, version, check, now.Format(time.DateOnly), master.Reveal(), salt.Reveal()), nil
}

const devFile = `# Made by "keyhint dev" for development on this machine. The keys below are
# real: whoever reads this file reads every document. Keep it out of version
# control, and keep it: without it, what was encrypted is lost.
server:
  address: 127.0.0.1:8080
  cors:
    origins: [] # of pages that may read keys, such as http://localhost:3000
admin:
  address: "" # no private listener
auth:
  mode: none # every caller on this machine gets every key
log:
  format: text
audit:
  sink: none # it would fill the terminal
memory:
  lock: "off" # what an ordinary user may not do needs no mention at each start
keyring:
  keys:
`

// CreateDevFile makes the configuration of "keyhint dev" with a fresh ring of
// one version, readable by its owner alone. It never overwrites: if the file
// exists the error wraps fs.ErrExist.
func CreateDevFile(path string, now time.Time, random io.Reader) error {
	entry, err := NewEntry(1, now, random)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(devFile + entry)
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if err != nil {
		os.Remove(path) // half a ring is of no use
	}
	return err
}
