package main

import (
	"bufio"
	"bytes"
	"crypto/fips140"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"keyhint/derive"
)

// What a running server remembers is looked at from outside, as root can.

// image is the memory of a process at one moment, but for what is zero.
type image []mapping

type mapping struct {
	region string // as /proc/PID/maps calls it
	data   []byte
}

// imageOf copies the memory of a process, which stands still meanwhile.
func imageOf(t *testing.T, process *os.Process) image {
	t.Helper()
	if err := process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer process.Signal(syscall.SIGCONT)
	folder := fmt.Sprintf("/proc/%d/", process.Pid)
	for {
		stat, err := os.ReadFile(folder + "stat")
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(stat, []byte(") T ")) {
			break
		}
	}
	maps, err := os.ReadFile(folder + "maps")
	if err != nil {
		t.Fatal(err)
	}
	memory, err := os.Open(folder + "mem")
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	var all image
	page := make([]byte, os.Getpagesize())
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		var permissions string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &permissions); err != nil {
			t.Fatal(err)
		}
		region := strings.TrimSpace(line[strings.LastIndex(line, " "):])
		if permissions[0] != 'r' || region == "[vvar]" || region == "[vsyscall]" {
			continue
		}
		reading := bufio.NewReaderSize(io.NewSectionReader(memory, int64(from), int64(to-from)), 1<<20)
		joined := false
		for {
			if _, err := io.ReadFull(reading, page); err != nil {
				break
			}
			if len(bytes.TrimLeft(page, "\x00")) == 0 {
				joined = false
				continue
			}
			if !joined {
				all = append(all, mapping{region: region})
				joined = true
			}
			last := &all[len(all)-1]
			last.data = append(last.data, page...)
		}
	}
	return all
}

func (all image) size() (bytes int) {
	for _, m := range all {
		bytes += len(m.data)
	}
	return bytes
}

// remains counts where a secret stands, or half of it: "2 bytes, 2 base64 in
// [stack]" are the two halves of one copy each.
func (all image) remains(secret []byte) string {
	found := make(map[string]int)
	for _, m := range all {
		for form, halves := range halvesOf(secret) {
			if m.region == "[stack]" {
				form += " in [stack]"
			}
			for _, half := range halves {
				if n := bytes.Count(m.data, half); n > 0 {
					found[form] += n
				}
			}
		}
	}
	var list []string
	for _, form := range slices.Sorted(maps.Keys(found)) {
		list = append(list, fmt.Sprint(found[form], " ", form))
	}
	return strings.Join(list, ", ")
}

// halvesOf are the halves of a secret in the forms in which it may stand
// somewhere, and in those that HMAC makes of a key.
func halvesOf(secret []byte) map[string][][]byte {
	padded := func(pad byte) []byte {
		b := bytes.Clone(secret)
		for i := range b {
			b[i] ^= pad
		}
		return b
	}
	forms := make(map[string][][]byte)
	for form, b := range map[string][]byte{
		"bytes": secret, "bytes in an inner pad": padded(0x36), "bytes in an outer pad": padded(0x5c),
		"hex":       []byte(hex.EncodeToString(secret)),
		"base64":    []byte(base64.RawStdEncoding.EncodeToString(secret)),
		"base64url": []byte(base64.RawURLEncoding.EncodeToString(secret)),
	} {
		for _, half := range [][]byte{b[:len(b)/2], b[len(b)/2:]} {
			if form != "base64url" || bytes.ContainsAny(half, "-_") { // else it is base64
				forms[form] = append(forms[form], half)
			}
		}
	}
	return forms
}

// ringFile is a configuration whose secrets come from everywhere.
type ringFile struct {
	t       *testing.T
	folder  string
	env     []string
	entries []derive.Entry
	lines   []string          // of the entries
	secrets map[string][]byte // by what becomes of them
}

// add appends an entry to the ring, with secrets from a kind of source.
func (r *ringFile) add(kind, name string) {
	r.t.Helper()
	v := uint32(len(r.entries) + 1)
	master, salt := r.fresh(fmt.Sprintf("%s: %s, master_key", name, kind)), r.fresh(fmt.Sprintf("%s: %s, salt_key", name, kind))
	entry := derive.Entry{Version: v, MasterKey: master, SaltKey: salt, Check: derive.NewCheckValue(v, master, salt)}
	sources := map[string]string{"master_key": master.Reveal(), "salt_key": salt.Reveal()}
	for field, secret := range sources {
		switch kind {
		case "file":
			path := filepath.Join(r.folder, fmt.Sprint(field, v))
			r.write(path, secret)
			sources[field] = "file://" + path
		case "env":
			variable := fmt.Sprint(strings.ToUpper(field), v)
			r.env = append(r.env, variable+"="+secret)
			sources[field] = "env://" + variable
		case "quoted":
			sources[field] = `"` + secret + `"`
		case "in a block":
			sources[field] = "|-\n          " + secret
		case "on a line of its own":
			sources[field] = "\n          '" + secret + "'"
		}
	}
	r.entries = append(r.entries, entry)
	r.lines = append(r.lines, fmt.Sprintf("    - version: %d\n      master_key: %s\n      salt_key: %s\n      check: %s\n", v, sources["master_key"], sources["salt_key"], entry.Check))
}

// fresh makes a secret to look for.
func (r *ringFile) fresh(name string) derive.Secret {
	s, err := derive.GenerateSecret(rand.Reader)
	if err != nil {
		r.t.Fatal(err)
	}
	r.secrets[name], _ = base64.StdEncoding.DecodeString(s.Reveal())
	return s
}

func (r *ringFile) destroy(version uint32) {
	r.lines[version-1] = fmt.Sprintf("    - {version: %d, check: %s, status: destroyed}\n", version, r.entries[version-1].Check)
}

func (r *ringFile) path() string { return filepath.Join(r.folder, "keyhint.yaml") }

// save writes the configuration, with more at its end.
func (r *ringFile) save(more string) {
	r.write(r.path(), "server: {address: 127.0.0.1:0}\nadmin: {address: ''}\nauth: {mode: none}\nkeyring:\n  reload_interval: 1h\n  keys:\n"+
		strings.Join(r.lines, "")+more)
}

func (r *ringFile) write(path, text string) {
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// After reloads and with load, a server remembers each secret of the ring in
// force once, and no other.
func TestNoSecretStaysInMemoryLongerThanItsRing(t *testing.T) {
	if os.Geteuid() != 0 {
		skipUnlessRequired(t, "only root can look into the process")
	}
	if fips140.Enabled() {
		t.Skip("in FIPS 140-3 mode Go's HMAC leaves its keys to the garbage collector")
	}
	r := &ringFile{t: t, folder: t.TempDir(), secrets: make(map[string][]byte)}
	kinds := []string{"inline", "quoted", "on a line of its own", "in a block", "file", "env"}
	for _, kind := range kinds {
		r.add(kind, "stays")
		r.add(kind, "goes")
	}
	audited := func(name string) string {
		return "log: {level: debug}\naudit: {document_key: " + r.fresh(name+": document key").Reveal() + "}\n"
	}
	rest := audited("goes")
	r.save("    # master_key: " + r.fresh("stands in a comment").Reveal() + "\n" + rest)
	command := exec.Command(buildForTest(t), "serve", "--config", r.path())
	// Else the signals by which the runtime interrupts goroutines save registers,
	// and with bad luck a half of a secret, which is there until the next signal.
	command.Env = append(r.env, "GODEBUG=asyncpreemptoff=1")
	s, err := launchCommand(t, command)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.listens(); err != nil {
		t.Fatal(err)
	}
	keys := r.use(s.url)

	// Reloads that are refused in each way, one that puts another ring in force,
	// and one without a change.
	for _, fault := range []struct{ what, check, more string }{
		{"has a wrong check value", "11-0011223344556677", rest},
		{"has a fault elsewhere", "", "log: {level: loud}\n"},
		{"may not replace what is in force", "", "  namespace: other\n" + rest},
	} {
		n := len(s.lines())
		with := *r
		with.add("inline", fault.what)
		if fault.check != "" {
			last := &with.lines[len(with.lines)-1]
			*last = strings.Replace(*last, with.entries[len(with.entries)-1].Check.String(), fault.check, 1)
		}
		with.save(fault.more)
		if _, err := s.await(n, func(line logLine) bool { return line.Msg == loggedRefused }); err != nil {
			t.Fatal(err)
		}
	}
	r.add("inline", "comes")
	for v := uint32(2); v <= uint32(2*len(kinds)); v += 2 {
		r.destroy(v)
	}
	n := len(s.lines())
	r.save(audited("comes"))
	if _, err := s.await(n, func(line logLine) bool { return line.Msg == loggedInForce }); err != nil {
		t.Fatal(err)
	}
	n = len(s.lines())
	if err := s.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if _, err := s.await(n, func(line logLine) bool { return line.Msg == "read the configuration again on a signal" }); err != nil {
		t.Fatal(err)
	}
	keys = append(keys, r.use(s.url)...)

	const once, environment = "2 bytes", "2 base64, 2 base64 in [stack]" // and the copy that Go's runtime makes of it
	want := func(name string) string {
		fate, source, _ := strings.Cut(name, ": ")
		switch env := strings.HasPrefix(source, "env,"); {
		case fate == "comes" && source == "document key":
			return "4 bytes" // one for the log, one to compare the next one with
		case fate == "stays" && env:
			return environment + ", " + once
		case fate == "goes" && env:
			return environment
		case fate == "stays" || fate == "comes":
			return once
		}
		return ""
	}
	// A file that is being read is in memory: what counts is what stays.
	var all image
	var wrong []string
	for deadline := time.Now().Add(patience); ; {
		all, wrong = imageOf(t, s.Process), nil
		for _, name := range slices.Sorted(maps.Keys(r.secrets)) {
			if got := all.remains(r.secrets[name]); got != want(name) {
				wrong = append(wrong, fmt.Sprintf("a secret that %s: %q, not %q", name, got, want(name)))
			}
		}
		if len(wrong) == 0 || time.Now().After(deadline) {
			break
		}
	}
	for _, text := range wrong {
		t.Error(text)
	}
	found := make(map[string]int)
	for _, key := range keys {
		if where := all.remains(key); where != "" {
			found[where]++
		}
	}
	t.Logf("searched %d kB for %d secrets and %d keys; of the keys there remain, in buffers of connections: %v", all.size()>>10, len(r.secrets), len(keys), found)
}

// use has keys issued, and resolved under each version, and returns them.
func (r *ringFile) use(url string) (keys [][]byte) {
	r.t.Helper()
	for i := range r.entries {
		ring, err := derive.NewKeyring(r.entries[:i+1])
		if err != nil {
			r.t.Fatal(err)
		}
		key, hint, err := ring.Issue(derive.Document{ID: "doc"}, time.Now(), rand.Reader)
		if err != nil {
			r.t.Fatal(err)
		}
		client := newClient()
		outcome, answered, _ := ask(r.t, client, url, "doc", hint.String())
		destroyed := strings.Contains(r.lines[i], "destroyed")
		if (outcome == "200") == destroyed || !destroyed && answered != key.Reveal() {
			r.t.Fatalf("version %d: %s", i+1, outcome)
		}
		_, issued, _ := ask(r.t, client, url, "doc", nil)
		for _, text := range []string{answered, issued} {
			if b, err := base64.RawURLEncoding.DecodeString(text); err == nil && len(b) == derive.SecretSize {
				keys = append(keys, b)
			}
		}
	}
	return keys
}
