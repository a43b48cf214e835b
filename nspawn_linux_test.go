package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"keyhint/config"
)

// TestUnitsRun boots a system of this machine's programs, with systemd as its
// first process, and runs the units in it as they stand: with every part of the
// sandbox in force.
func TestUnitsRun(t *testing.T) {
	if testing.Short() {
		t.Skip("it boots a system")
	}
	needSystemd(t, "systemd-nspawn", "curl")
	if os.Geteuid() != 0 {
		skipUnlessRequired(t, "systems are booted as root here")
	}
	root := t.TempDir()
	makeSystem(t, root)
	output := boot(t, root)
	expected, err := os.ReadFile("testdata/systemd/expected")
	if err != nil {
		t.Fatal(err)
	}
	if output != string(expected) {
		t.Errorf("the system says\n%s\nand should say\n%s", output, expected)
	}
}

// makeSystem fills the root of a system, but for /usr.
func makeSystem(t *testing.T, root string) {
	t.Helper()
	const system = "etc/systemd/system/"
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"usr", "var", "tmp", "run", "proc", "sys", "dev", "root"} {
		if err := os.Mkdir(filepath.Join(root, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+name, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	write("etc/os-release", "ID=test\n", 0o644)
	write("etc/machine-id", strings.Repeat("0123456789abcdef", 2)+"\n", 0o444)
	write("etc/passwd", "root:x:0:0::/root:/bin/sh\n", 0o644)
	write("etc/group", "root:x:0:\n", 0o644)

	// What runs the script, and no more than it starts.
	write(system+"try.target", "[Unit]\nRequires=try.service\nAllowIsolate=yes\n", 0o644)
	write(system+"try.service", "[Unit]\nDefaultDependencies=no\nAfter=try.target\n[Service]\nType=oneshot\nExecStart=/bin/bash /try/script\n"+
		"StandardOutput=file:/try/output\nStandardError=file:/try/complaints\nExecStopPost=/bin/systemctl --no-block poweroff -f\n", 0o644)
	for name, from := range map[string]string{
		"try/script":                    "testdata/systemd/script",
		"try/no-network.conf":           units + "no-network.conf",
		system + "keyhint.service":      units + "keyhint.service",
		system + "keyhint.socket":       units + "keyhint.socket",
		system + "keyhint-admin.socket": units + "keyhint-admin.socket",
	} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(name, string(text), 0o644)
	}

	command := exec.Command("go", "build", "-o", filepath.Join(root, "try/upper/local/bin/keyhint"), ".")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}

	text, err := config.NewEntry(1, time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	fields := make(map[string]string)
	for _, field := range strings.Split(text, "\n") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), ": ")
		fields[name] = value
	}
	write("etc/keyhint/secrets/master_key-1", fields["master_key"]+"\n", 0o600)
	write("etc/keyhint/secrets/salt_key-1", fields["salt_key"]+"\n", 0o600)
	if err := os.Chmod(filepath.Join(root, "etc/keyhint/secrets"), 0o700); err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile(units + "keyhint.yaml")
	if err != nil {
		t.Fatal(err)
	}
	write("etc/keyhint/keyhint.yaml", strings.Replace(string(example), "REPLACE-with-the-check-of-keyhint-keyring-new", fields["check"], 1), 0o644)

	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	write("etc/keyhint/minter.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), 0o644)
	token, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{
		"sub": "alice", "aud": "https://keys.example.com", "exp": time.Now().Add(time.Hour).Unix(),
		"https://claims.tiny.cloud/rtc/document": "doc-1",
	}).SignedString(private)
	if err != nil {
		t.Fatal(err)
	}
	write("try/token", token, 0o600)
}

// boot runs the system until it powers off, in namespaces and a control group of
// its own, without a network, and returns what its script has written.
func boot(t *testing.T, root string) string {
	t.Helper()
	machine := "keyhint-" + strings.ToLower(rand.Text()[:8])
	const script = `
machine=$1 root=$2 cgroups=
for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/systemd /sys/fs/cgroup/unified; do
	[ -e $hierarchy/cgroup.procs ] || continue
	mkdir $hierarchy/$machine && echo $$ > $hierarchy/$machine/cgroup.procs || exit
done
exec systemd-nspawn --quiet --directory="$root" --overlay=/usr:"$root/try/upper":/usr --boot --machine=$machine \
	--register=no --keep-unit --private-network --console=pipe systemd.unit=try.target
`
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "sh", "-c", script, "sh", machine, root)
	console, err := command.CombinedOutput()
	t.Cleanup(func() {
		os.RemoveAll("/run/systemd/nspawn/propagate/" + machine)
		for _, hierarchy := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"} {
			var groups []string
			filepath.WalkDir(filepath.Join(hierarchy, machine), func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					groups = append(groups, path)
				}
				return nil
			})
			for _, group := range slices.Backward(groups) {
				if !within(func() bool { return os.Remove(group) == nil }) { // its last process may be ending
					t.Errorf("%s is left", group)
				}
			}
		}
	})
	complaints, _ := os.ReadFile(filepath.Join(root, "try/complaints"))
	output, missing := os.ReadFile(filepath.Join(root, "try/output"))
	if missing != nil {
		t.Skipf("no system can be booted here: %v: %s", err, console)
	}
	if ctx.Err() != nil {
		t.Errorf("the system does not power off: %s", console)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s", complaints)
		}
	})
	return string(output)
}
