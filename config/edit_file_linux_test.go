package config_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"keyhint/config"
	"keyhint/derive"
)

func TestEditKeepsModeAndOwner(t *testing.T) {
	for _, mode := range []os.FileMode{0o600, 0o640, 0o660, 0o600 | os.ModeSetgid} {
		write(t, ring(newEntry(t, 1)))
		if os.Geteuid() == 0 {
			if err := os.Chown("keyhint.yaml", 1234, 5678); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod("keyhint.yaml", mode); err != nil {
			t.Fatal(err)
		}
		before, _ := os.Stat("keyhint.yaml")
		options := freshOptions()
		options.SecretsDir = "."
		added := mustAdd(t, "keyhint.yaml", options)
		if after, _ := os.Stat("keyhint.yaml"); os.SameFile(before, after) {
			t.Error("written in place")
		}
		mustSet(t, "keyhint.yaml", "1", derive.ResolveOnly, config.StatusOptions{Now: noon})
		for _, file := range append(added.SecretFiles, "keyhint.yaml") {
			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			is, was := info.Sys().(*syscall.Stat_t), before.Sys().(*syscall.Stat_t)
			if is.Uid != was.Uid || is.Gid != was.Gid {
				t.Errorf("%s belongs to %d:%d", file, is.Uid, is.Gid)
			}
			if want := mode; file != "keyhint.yaml" && info.Mode() != 0o600 || file == "keyhint.yaml" && info.Mode() != want {
				t.Errorf("%s has mode %v", file, info.Mode())
			}
		}
	}
}

// accessControl is an access control list: the owner, the user 1234 and the mask
// may read, the owner may write, nobody else may anything.
func accessControl(user uint32) []byte {
	list := binary.LittleEndian.AppendUint32(nil, 2)
	const nobody = 1<<32 - 1
	for _, e := range []struct {
		tag, rights uint16
		id          uint32
	}{{0x01, 6, nobody}, {0x02, 4, user}, {0x04, 0, nobody}, {0x10, 4, nobody}, {0x20, 0, nobody}} {
		list = binary.LittleEndian.AppendUint16(list, e.tag)
		list = binary.LittleEndian.AppendUint16(list, e.rights)
		list = binary.LittleEndian.AppendUint32(list, e.id)
	}
	return list
}

func TestEditKeepsAccessControlLists(t *testing.T) {
	const access, inherited = "system.posix_acl_access", "system.posix_acl_default"
	set := func(path, name string, value []byte) {
		t.Helper()
		if err := syscall.Setxattr(path, name, value, 0); errors.Is(err, syscall.ENOTSUP) {
			skipUnlessRequired(t, "this file system has no access control lists")
		} else if err != nil {
			t.Fatal(err)
		}
	}
	get := func(path, name string) string {
		t.Helper()
		value := make([]byte, 1000)
		n, err := syscall.Getxattr(path, name, value)
		if err != nil {
			return err.Error()
		}
		return string(value[:n])
	}
	write(t, ring(newEntry(t, 1)))
	set("keyhint.yaml", access, accessControl(1234))
	set("keyhint.yaml", "user.note", bytes.Repeat([]byte("x"), 700))
	mustAdd(t, "keyhint.yaml", freshOptions())
	if get("keyhint.yaml", access) != string(accessControl(1234)) || get("keyhint.yaml", "user.note") != strings.Repeat("x", 700) {
		t.Error("lost")
	}
	if info, _ := os.Stat("keyhint.yaml"); info.Mode() != 0o640 {
		t.Error(info.Mode())
	}

	// What the folder gives to new files must not open this one to others.
	writeFile(t, "keyhint.yaml", ring(newEntry(t, 1)), 0o640)
	syscall.Removexattr("keyhint.yaml", access)
	os.Chmod("keyhint.yaml", 0o640)
	set(".", inherited, accessControl(4321))
	mustAdd(t, "keyhint.yaml", freshOptions())
	if got := get("keyhint.yaml", access); got != syscall.ENODATA.Error() {
		t.Errorf("%q", got)
	}
}

func TestEditKeepsSymbolicLinks(t *testing.T) {
	text := ring(newEntry(t, 1))
	write(t, "")
	os.Remove("keyhint.yaml")
	if err := os.MkdirAll("data/v1", 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, "data/v1/ring.yaml", text, 0o600)
	for link, target := range map[string]string{"keyhint.yaml": "data/current/ring.yaml", "data/current": "v1"} {
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
	}
	mustAdd(t, "keyhint.yaml", freshOptions())
	mustSet(t, "keyhint.yaml", "1", derive.ResolveOnly, config.StatusOptions{Now: noon})
	if target, err := os.Readlink("keyhint.yaml"); err != nil || target != "data/current/ring.yaml" {
		t.Error(target, err)
	}
	if info, err := os.Lstat("data/v1/ring.yaml"); err != nil || info.Mode() != 0o600 || read(t, "data/v1/ring.yaml") == text {
		t.Error(info, err)
	}
	if all := names(t, ".") + " " + names(t, "data") + " " + names(t, "data/v1"); all != "data keyhint.yaml current v1 ring.yaml" {
		t.Error(all)
	}
}

func TestEditRefusesWhatIsNoFileToReplace(t *testing.T) {
	text := ring(newEntry(t, 1))
	for name, c := range map[string]struct {
		prepare func() error
		says    string
	}{
		"missing": {func() error { return os.Remove("keyhint.yaml") }, "opening the configuration to edit it: lstat keyhint.yaml: no such file or directory"},
		"folder": {func() error { os.Remove("keyhint.yaml"); return os.Mkdir("keyhint.yaml", 0o700) },
			"opening the configuration to edit it: open keyhint.yaml: is a directory"},
		"pipe": {func() error { os.Remove("keyhint.yaml"); return syscall.Mkfifo("keyhint.yaml", 0o600) },
			"opening the configuration to edit it: keyhint.yaml is not a regular file"},
		"hard link": {func() error { return os.Link("keyhint.yaml", "second") },
			"opening the configuration to edit it: keyhint.yaml has 2 names (hard links), and an edit would part them: keep one, and make the others symbolic links"},
		"huge": {func() error { return os.Truncate("keyhint.yaml", 17<<20) }, "opening the configuration to edit it: keyhint.yaml is larger than 16 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			write(t, text)
			if err := c.prepare(); err != nil {
				t.Fatal(err)
			}
			if _, err := config.AddEntry("keyhint.yaml", freshOptions()); err == nil || err.Error() != c.says {
				t.Error(err)
			}
		})
	}
}

func TestEditRefusesWhereItMayNot(t *testing.T) {
	if os.Geteuid() != 0 {
		skipUnlessRequired(t, "needs files of other users")
	}
	const nobody = 65534
	text := ring(newEntry(t, 1))
	for _, c := range []struct {
		name                   string
		folderOwner, fileOwner int
		mode                   os.FileMode
		says                   string
	}{
		{"read the file", nobody, 0, 0o600, "opening the configuration to edit it: open keyhint.yaml: permission denied"},
		{"write the file", nobody, nobody, 0o400, "opening the configuration to edit it: open keyhint.yaml: permission denied"},
		{"write the folder", 0, nobody, 0o600, "replacing the configuration: no file can be made in the folder ., which an edit needs: permission denied"},
		{"keep the owner", nobody, 0, 0o660, "replacing the configuration: keyhint.yaml: its owner (user 0, group 0) cannot be kept: operation not permitted; run this as that user or as root"},
	} {
		t.Run(c.name, func(t *testing.T) {
			write(t, text)
			dir, _ := os.Getwd()
			os.Chmod(dir+"/..", 0o755)
			if err := errors.Join(os.Chown(".", c.folderOwner, c.folderOwner), os.Chmod(".", 0o755), os.Chown("keyhint.yaml", c.fileOwner, 0), os.Chmod("keyhint.yaml", c.mode)); err != nil {
				t.Fatal(err)
			}
			asAnybody(t)
			_, err := config.AddEntry("keyhint.yaml", freshOptions())
			if err == nil || err.Error() != c.says {
				t.Error(err)
			}
			if all := names(t, "."); all != "keyhint.yaml" {
				t.Errorf("the folder holds %s", all)
			}
		})
	}
}

// The source of randomness is asked when the file was read and not yet replaced.
func TestEditRefusesAFileThatChangesMeanwhile(t *testing.T) {
	text, other := ring(newEntry(t, 1)), ring(newEntry(t, 1), newEntry(t, 2))
	for name, meddle := range map[string]func(){
		"written": func() { os.WriteFile("keyhint.yaml", []byte(other), 0) },
		"replaced": func() {
			os.WriteFile("new", []byte(other), 0o600)
			os.Rename("new", "keyhint.yaml")
		},
		"replaced by the same": func() {
			os.WriteFile("new", []byte(text), 0o600)
			os.Rename("new", "keyhint.yaml")
		},
		"removed": func() { os.Remove("keyhint.yaml") },
		"linked elsewhere": func() {
			os.WriteFile("new", []byte(text), 0o600)
			os.Remove("keyhint.yaml")
			os.Symlink("new", "keyhint.yaml")
		},
	} {
		t.Run(name, func(t *testing.T) {
			write(t, text)
			random, meddled := fixedRandom(), ""
			options := freshOptions()
			options.Random = readerFunc(func(p []byte) (int, error) {
				if meddled == "" {
					meddle()
					now, err := os.ReadFile("keyhint.yaml")
					meddled = fmt.Sprint(string(now), err != nil)
				}
				return random.Read(p)
			})
			_, err := config.AddEntry("keyhint.yaml", options)
			if err == nil || err.Error() != "replacing the configuration: keyhint.yaml was changed by another program meanwhile: nothing was edited; look at the file and try again" {
				t.Error(err)
			}
			if now, err := os.ReadFile("keyhint.yaml"); fmt.Sprint(string(now), err != nil) != meddled {
				t.Error("the other program's file was changed")
			}
			if all := names(t, "."); strings.Contains(all, ".edit-") {
				t.Errorf("the folder holds %s", all)
			}
		})
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func lock(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestEditWaitsForAnother(t *testing.T) {
	text := ring(newEntry(t, 1))
	write(t, text)
	held := lock(t, "keyhint.yaml")
	options := freshOptions()
	options.Wait = 50 * time.Millisecond
	if _, err := config.AddEntry("keyhint.yaml", options); err == nil || err.Error() != "keyhint.yaml is being edited by another keyhint, and was for 50ms: try again when that is done" {
		t.Error(err)
	}
	time.AfterFunc(50*time.Millisecond, func() { held.Close() })
	options.Wait = 0
	mustAdd(t, "keyhint.yaml", options)

	// Whoever waits for a file that is replaced meanwhile edits the new one.
	lock(t, "keyhint.yaml")
	time.AfterFunc(50*time.Millisecond, func() {
		os.WriteFile("new", []byte(text+"  namespace: new\n"), 0o600)
		os.Rename("new", "keyhint.yaml")
	})
	if added := mustAdd(t, "keyhint.yaml", options); added.Config.Keyring.Namespace != "new" || added.Check.Version != 2 {
		t.Errorf("%+v", added)
	}
}

func TestEditRemovesLeftovers(t *testing.T) {
	write(t, ring(newEntry(t, 1)))
	writeFile(t, ".keyhint.yaml.edit-123", "of a killed run", 0o600)
	for _, other := range []string{"precious", ".keyhint.yaml.new-1", ".other.yaml.edit-1", "keyhint.yaml.edit-1"} {
		writeFile(t, other, "precious", 0o600)
	}
	if err := os.Symlink("precious", ".keyhint.yaml.edit-link"); err != nil {
		t.Fatal(err)
	}
	mustAdd(t, "keyhint.yaml", freshOptions())
	if all := names(t, "."); all != ".keyhint.yaml.edit-link .keyhint.yaml.new-1 .other.yaml.edit-1 keyhint.yaml keyhint.yaml.edit-1 precious" {
		t.Error(all)
	}
}

func TestEditTellsOfAMount(t *testing.T) {
	if os.Geteuid() != 0 {
		skipUnlessRequired(t, "only root can mount")
	}
	text := ring(newEntry(t, 1))
	write(t, text)
	writeFile(t, "inside.yaml", "", 0o600)
	if err := syscall.Mount("keyhint.yaml", "inside.yaml", "", syscall.MS_BIND, ""); err != nil {
		skipUnlessRequired(t, "nothing can be mounted here:", err)
	}
	defer syscall.Unmount("inside.yaml", 0)
	_, err := config.AddEntry("inside.yaml", freshOptions())
	if err == nil || err.Error() != "replacing the configuration: inside.yaml is mounted by itself and cannot be replaced here: edit it where it is mounted from" || read(t, "keyhint.yaml") != text {
		t.Error(err)
	}
}

// A replica reads at any moment, and must never see half a file.
func TestEditShowsWholeFilesAlone(t *testing.T) {
	first := ring(newEntry(t, 1), newEntry(t, 2)) + "  namespace: tenant\n"
	second := strings.Replace(first, "    - version: 2", "      status: resolve_only\n    - version: 2", 1)
	third := strings.Replace(second, "resolve_only", "enabled", 1)
	write(t, first)
	done, odd := make(chan struct{}), make(chan string, 1)
	go func() {
		defer close(odd)
		for {
			select {
			case <-done:
				return
			default:
			}
			if text, err := os.ReadFile("keyhint.yaml"); err != nil || string(text) != first && string(text) != second && string(text) != third {
				odd <- fmt.Sprint(string(text), err)
				return
			}
		}
	}()
	for i := range 200 {
		mustSet(t, "keyhint.yaml", "1", []derive.Status{derive.ResolveOnly, derive.Enabled}[i%2], config.StatusOptions{Now: noon})
	}
	close(done)
	if text, seen := <-odd; seen {
		t.Errorf("a reader saw\n%q", text)
	}
}
