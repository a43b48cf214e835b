package main

import (
	"bytes"
	"crypto/x509"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The image that the container file makes holds keyhint, the same bytes as built
// outside, and CA certificates; and it serves, as nobody in particular, from a
// root that cannot be written. The toolchain of this machine stands in for the
// image that builds, which would come over the network.
func TestContainerImage(t *testing.T) {
	if testing.Short() {
		t.Skip("builds an image")
	}
	if os.Geteuid() != 0 {
		skipUnlessRequired(t, "images are built as root here")
	}
	b := newBuildah(t)
	source := cloneHere(t)
	root, c := b.build(t, source)

	t.Run("settings", func(t *testing.T) {
		if c.User != "65532:65532" || c.StopSignal != "SIGTERM" || !slices.Equal(c.Entrypoint, []string{"/keyhint"}) ||
			!slices.Equal(c.Cmd, []string{"serve", "--config", "/etc/keyhint/keyhint.yaml"}) {
			t.Errorf("the image runs %+v", c)
		}
		if len(c.Volumes) > 0 || c.Labels["org.opencontainers.image.title"] != "keyhint" {
			t.Errorf("volumes %v, labels %v", c.Volumes, c.Labels)
		}
		for _, variable := range c.Env {
			if !strings.HasPrefix(variable, "PATH=") { // buildah's own
				t.Errorf("the image sets %s", variable)
			}
		}
	})

	t.Run("files", func(t *testing.T) {
		want := map[string]fs.FileMode{"keyhint": 0o755, "etc/ssl/certs/ca-certificates.crt": 0o644}
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			name, _ := filepath.Rel(root, path)
			if mode, expected := want[name]; !expected || info.Mode() != mode {
				t.Errorf("%s is there with mode %v", name, info.Mode())
			}
			delete(want, name)
			return nil
		})
		if err != nil || len(want) > 0 {
			t.Errorf("%v; missing: %v", err, want)
		}
		authorities, err := os.ReadFile(filepath.Join(root, "etc/ssl/certs/ca-certificates.crt"))
		if err != nil || !x509.NewCertPool().AppendCertsFromPEM(authorities) {
			t.Errorf("no certificates: %v", err)
		}
	})

	t.Run("binary", func(t *testing.T) {
		inside, err := os.ReadFile(filepath.Join(root, "keyhint"))
		if err != nil {
			t.Fatal(err)
		}
		if outside := buildIn(t, cloneHere(t), documentedBuild(t), os.Environ()); !bytes.Equal(inside, outside) {
			t.Errorf("it is not what %q makes: %d and %d bytes", documentedBuild(t), len(inside), len(outside))
		}
		file, err := elf.NewFile(bytes.NewReader(inside))
		if err != nil {
			t.Fatal(err)
		}
		for _, program := range file.Progs {
			if program.Type == elf.PT_INTERP || program.Type == elf.PT_DYNAMIC {
				t.Errorf("it is not static: it has %v", program.Type)
			}
		}
	})

	t.Run("running", func(t *testing.T) { serveImage(t, root, c) })
}

// What is kept out of commits, such as configurations with secrets, is kept out of
// builds too; what is in a commit is not, or the build would be of a changed one.
func TestBuildContextIsTheCommit(t *testing.T) {
	patterns := func(file string) (list []string) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				list = append(list, line)
			}
		}
		slices.Sort(list)
		return list
	}
	if git, build := patterns(".gitignore"), patterns(".dockerignore"); !slices.Equal(git, build) {
		t.Errorf(".gitignore has %q and .dockerignore %q", git, build)
	}
}

// The image that builds has a toolchain that is new enough.
func TestContainerFileNamesTheToolchain(t *testing.T) {
	text, err := os.ReadFile("deploy/container/Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	image := regexp.MustCompile(`(?m)^ARG BUILDER=docker\.io/library/golang:(\d+\.\d+\.\d+)$`).FindSubmatch(text)
	module, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	least := regexp.MustCompile(`(?m)^go (\d+\.\d+\.\d+)$`).FindSubmatch(module)
	if image == nil || least == nil {
		t.Fatalf("the container file builds with %q and go.mod wants %q", image, least)
	}
	var i, l [3]int
	fmt.Sscanf(string(image[1]), "%d.%d.%d", &i[0], &i[1], &i[2])
	fmt.Sscanf(string(least[1]), "%d.%d.%d", &l[0], &l[1], &l[2])
	if slices.Compare(i[:], l[:]) < 0 {
		t.Errorf("the container file builds with Go %s and go.mod wants %s", image[1], least[1])
	}
}

// buildah builds images without a daemon, in folders of its own.
type buildah struct {
	folder string
	goenv  map[string]string
}

func newBuildah(t *testing.T) *buildah {
	t.Helper()
	if _, err := exec.LookPath("buildah"); err != nil {
		skipUnlessRequired(t, "buildah is not installed")
	}
	output, err := exec.Command("go", "env", "-json", "GOROOT", "GOCACHE", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	b := &buildah{folder: t.TempDir()}
	if err := json.Unmarshal(output, &b.goenv); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.run(t, "rm", "--all") }) // unmounts them
	return b
}

func (b *buildah) run(t *testing.T, arguments ...string) string {
	t.Helper()
	all := append([]string{"--root", filepath.Join(b.folder, "images"), "--runroot", filepath.Join(b.folder, "run"), "--storage-driver", "vfs"}, arguments...)
	command := exec.Command("buildah", all...)
	var complaints bytes.Buffer
	command.Stderr = &complaints
	output, err := command.Output()
	if err != nil {
		t.Fatalf("buildah %s: %v: %s%s", arguments[0], err, output, complaints.Bytes())
	}
	return strings.TrimSpace(string(output))
}

// imageConfig is how an image says that it is run, in the OCI's names.
type imageConfig struct {
	User, StopSignal     string
	Entrypoint, Cmd, Env []string
	Labels               map[string]string
	Volumes              map[string]any
}

// build makes the image from a clone, and returns its root and its configuration.
func (b *buildah) build(t *testing.T, source string) (root string, config imageConfig) {
	t.Helper()
	b.makeBuilder(t)
	arguments := []string{"build", "--isolation", "chroot", "--pull-never", "--build-arg", "BUILDER=localhost/builder",
		"--volume", "/usr:/usr:ro", "--volume", b.goenv["GOMODCACHE"] + ":/modules:ro", "--volume", b.goenv["GOCACHE"] + ":/cache"}
	if goroot := b.goenv["GOROOT"]; !strings.HasPrefix(goroot, "/usr/") && !strings.HasPrefix(goroot, b.goenv["GOMODCACHE"]) {
		arguments = append(arguments, "--volume", goroot+":"+goroot+":ro")
	}
	b.run(t, append(arguments, "--file", "deploy/container/Containerfile", "--tag", "keyhint", source)...)
	var inspected struct {
		OCIv1 struct{ Config imageConfig }
	}
	if err := json.Unmarshal([]byte(b.run(t, "inspect", "--type", "image", "localhost/keyhint")), &inspected); err != nil {
		t.Fatal(err)
	}
	return b.run(t, "mount", b.run(t, "from", "--pull-never", "localhost/keyhint")), inspected.OCIv1.Config
}

// makeBuilder makes an image into which this machine's programs can be mounted.
func (b *buildah) makeBuilder(t *testing.T) {
	t.Helper()
	container := b.run(t, "from", "scratch")
	root := b.run(t, "mount", container)
	for _, folder := range []string{"usr", "tmp", "root", "etc/ssl/certs"} {
		if err := os.MkdirAll(filepath.Join(root, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"bin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+name, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	authorities, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt")
	if err != nil {
		skipUnlessRequired(t, "ca-certificates is not installed")
	}
	if err := os.WriteFile(filepath.Join(root, "etc/ssl/certs/ca-certificates.crt"), authorities, 0o644); err != nil {
		t.Fatal(err)
	}
	b.run(t, "config", "--env", "PATH="+b.goenv["GOROOT"]+"/bin:/usr/bin", "--env", "HOME=/root",
		"--env", "GOMODCACHE=/modules", "--env", "GOCACHE=/cache", "--env", "GOPROXY=off", "--env", "GOTOOLCHAIN=local", container)
	b.run(t, "commit", container, "localhost/builder")
}

// serveImage runs an image's program as the image says: with its root, mounted
// for reading only, as its user, without a capability; asks it for a key, and
// stops it with its signal.
func serveImage(t *testing.T, root string, c imageConfig) {
	t.Helper()
	folder, entry := t.TempDir(), exec.Command(filepath.Join(root, "keyhint"), "keyring", "new")
	ring, err := entry.Output()
	if err != nil {
		t.Fatal(err)
	}
	text := "server: {address: 127.0.0.1:0}\nadmin: {address: \"\"}\nauth: {mode: none}\nkeyring:\n  keys:\n" + string(ring)
	if err := os.WriteFile(filepath.Join(folder, "keyhint.yaml"), []byte(text), 0o440); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(filepath.Join(folder, "keyhint.yaml"), 0, 65532); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, "etc/keyhint"), 0o755); err != nil { // where the container runtime would mount
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	const script = `set -eu
root=$1 config=$2 user=$3; shift 3
mount --bind "$root" "$root"
mount --bind "$config" "$root/etc/keyhint"
mount -o remount,bind,ro "$root/etc/keyhint"
mount -o remount,bind,ro "$root"
exec env -i PATH="$PATH" setpriv --no-new-privs --bounding-set=-all,+sys_chroot,+setuid,+setgid chroot --userspec="$user" --groups= "$root" "$@"`
	command := exec.Command("unshare", slices.Concat([]string{"--mount", "--propagation", "private", "sh", "-c", script, "sh", root, folder, c.User},
		c.Entrypoint, c.Cmd)...)
	command.Stderr = log
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- command.Wait() }()
	t.Cleanup(func() { command.Process.Kill() })
	found := awaitMatch(log.Name(), regexp.MustCompile(`"msg":"serving","address":"(\S+?)"`))
	if found == nil {
		output, _ := os.ReadFile(log.Name())
		t.Fatalf("the image does not serve: %s", output)
	}

	status, answer, err := postJSON(newClient(), "http://"+found[1]+"/v1/key", `{"documentId":"doc-1","keyHint":null}`)
	if err != nil || status != 200 || !regexp.MustCompile(`"key":"[\w-]{43}"`).Match(answer) {
		t.Errorf("it answers %d, %v", status, err)
	}
	process, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", command.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`Name:\tkeyhint`, `Uid:\t65532\t65532\t65532\t65532`, `Gid:\t65532\t65532\t65532\t65532`, `CapEff:\t0+`, `NoNewPrivs:\t1`} {
		if !regexp.MustCompile(`(?m)^` + want + `$`).Match(process) {
			t.Errorf("it does not run with %s: %s", want, process)
		}
	}
	var system syscall.Statfs_t
	if err := syscall.Statfs(fmt.Sprintf("/proc/%d/root/", command.Process.Pid), &system); err != nil || system.Flags&syscall.MS_RDONLY == 0 {
		t.Errorf("its root can be written: flags %x, %v", system.Flags, err)
	}

	if c.StopSignal != "SIGTERM" {
		t.Fatalf("it is stopped with %s", c.StopSignal)
	}
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-exited:
		if err != nil {
			t.Errorf("stopped, it exits with %v", err)
		}
	case <-time.After(patience):
		t.Error("it does not stop")
	}
}
