package kubernetes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
)

// patience bounds every wait.
const patience = 20 * time.Second

// podIP is the address of the pod, as far as it has one.
var podIP = net.IPv4(10, 244, 0, 7)

// inside is set where the test process has namespaces of its own, to the program.
const inside = "KEYHINT_TEST_PROGRAM"

// inNamespaces runs the rest of the test in a process whose mounts and network
// are its own, so that paths and ports can be the very ones of the manifests. It
// returns the program there, and "" in the process that was there before.
func inNamespaces(t *testing.T) string {
	t.Helper()
	if program := os.Getenv(inside); program != "" {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		setAddress(t, "lo", net.IPv4(127, 0, 0, 1))
		setAddress(t, "lo:0", podIP)
		return program
	}
	if os.Geteuid() != 0 {
		skipUnlessRequired(t, "only root can mount volumes")
	}
	program := filepath.Join(t.TempDir(), "keyhint")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", program, ".")
	build.Dir, build.Env = "../..", append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	again := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.count=1")
	again.Env = append(os.Environ(), inside+"="+program)
	again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	output, err := again.CombinedOutput()
	if errors.Is(err, syscall.EPERM) {
		skipUnlessRequired(t, "no namespaces are to be had here")
	}
	t.Logf("%s", output)
	if err != nil || bytes.Contains(output, []byte("no tests to run")) {
		t.Error(err)
	}
	return ""
}

func skipUnlessRequired(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("KEYHINT_REQUIRE_ALL") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// setAddress gives an interface an address and turns it on.
func setAddress(t *testing.T, name string, address net.IP) {
	t.Helper()
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(socket)
	request, err := unix.NewIfreq(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := request.SetInet4Addr(address.To4()); err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlIfreq(socket, unix.SIOCSIFADDR, request); err != nil {
		t.Fatal(err)
	}
	request.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request); err != nil {
		t.Fatal(err)
	}
}

// pod is a pod of the Deployment, as far as one process can be: its one container
// with the image's files as root, the volumes where they are mounted, and the
// user, arguments and variables of the manifests.
type pod struct {
	*exec.Cmd
	spec    corev1.PodSpec
	root    string
	volumes map[string]*volume
	log     *lockedBuffer
	exited  chan struct{}
}

// newPod lays out a pod's files. files are those of the image, and what the
// kubelet adds to it, by path; secrets are the cluster's.
func newPod(t *testing.T, spec corev1.PodSpec, files map[string][]byte, secrets map[string]secret) *pod {
	t.Helper()
	p := &pod{spec: spec, root: t.TempDir(), volumes: make(map[string]*volume), log: new(lockedBuffer), exited: make(chan struct{})}
	p.mount(t, "tmpfs", p.root, "tmpfs", 0, "mode=755")
	for path, content := range files {
		path = filepath.Join(p.root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range spec.Volumes {
		p.volumes[v.Name] = newVolume(t, v, spec.SecurityContext)
		p.volumes[v.Name].sync(t, secrets)
	}
	for _, m := range spec.Containers[0].VolumeMounts {
		path, folder := filepath.Join(p.root, m.MountPath), p.volumes[m.Name].folder
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		p.mount(t, folder, path, "", unix.MS_BIND, "")
		if m.ReadOnly {
			p.mount(t, "", path, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")
		}
	}
	if read := spec.Containers[0].SecurityContext.ReadOnlyRootFilesystem; read != nil && *read {
		p.mount(t, "", p.root, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
	}
	return p
}

// mount mounts until the test ends.
func (p *pod) mount(t *testing.T, source, target, kind string, flags uintptr, data string) {
	t.Helper()
	if err := unix.Mount(source, target, kind, flags, data); err != nil {
		t.Fatalf("mounting %s: %v", target, err)
	}
	if flags&unix.MS_REMOUNT == 0 {
		t.Cleanup(func() { unix.Unmount(target, 0) })
	}
}

// start runs the container: the image's entry point with the arguments given.
func (p *pod) start(t *testing.T, entrypoint string) {
	t.Helper()
	c := p.spec.Containers[0]
	if len(c.Command) > 0 {
		entrypoint = c.Command[0]
	}
	p.Cmd = &exec.Cmd{Path: entrypoint, Args: append([]string{entrypoint}, c.Args...), Dir: "/", Stdout: p.log, Stderr: p.log}
	for _, e := range c.Env {
		if e.ValueFrom != nil {
			t.Fatalf("%s comes from elsewhere", e.Name)
		}
		p.Env = append(p.Env, e.Name+"="+e.Value)
	}
	s := p.spec.SecurityContext
	p.SysProcAttr = &syscall.SysProcAttr{
		Chroot:     p.root,
		Credential: &syscall.Credential{Uid: uint32(*s.RunAsUser), Gid: uint32(*s.RunAsGroup)},
		Pdeathsig:  syscall.SIGKILL,
	}
	if s.FSGroup != nil {
		p.SysProcAttr.Credential.Groups = []uint32{uint32(*s.FSGroup)}
	}
	started := make(chan error)
	go func() {
		// The thread goes with the process, which inherits this from it and dies with it.
		runtime.LockOSThread()
		if no := c.SecurityContext.AllowPrivilegeEscalation; no != nil && !*no {
			if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
				started <- err
				return
			}
		}
		started <- p.Cmd.Start()
		if p.Process != nil {
			p.Wait()
			close(p.exited)
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Process.Kill()
		<-p.exited
		if t.Failed() {
			t.Logf("keyhint says: %s", p.log)
		}
	})
}

// end waits for the container to end, and returns its exit code.
func (p *pod) end(t *testing.T) int {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		t.Fatal("it does not stop")
	}
	return p.ProcessState.ExitCode()
}

// await waits until something holds, while the container runs.
func (p *pod) await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !holds(); time.Sleep(20 * time.Millisecond) {
		select {
		case <-p.exited:
			t.Fatalf("waiting for %s, the container ended: %v", what, p.ProcessState)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen in %v", what, patience)
		}
	}
}

// get asks a port of the pod as the kubelet or Prometheus does.
func (p *pod) get(port int32, path string) (status int, body string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s:%d%s", podIP, port, path), nil)
	if err != nil {
		return 0, "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// probe is a probe of the kubelet: nil if it succeeds.
func (p *pod) probe(probe *corev1.Probe) error {
	status, body, err := p.get(containerPort(&p.spec.Containers[0], probe.HTTPGet.Port), probe.HTTPGet.Path)
	if err == nil && (status < 200 || status >= 400) {
		err = fmt.Errorf("%d %s", status, body)
	}
	return err
}

// secret is the data of a Secret.
type secret map[string][]byte

// volume is a folder of Secrets as the kubelet writes it: files are links through
// ..data, which is swapped for a new folder when a Secret has changed.
type volume struct {
	folder string
	source corev1.Volume
	group  *int64 // of the files; root's if there is none
	synced int
}

func newVolume(t *testing.T, source corev1.Volume, s *corev1.PodSecurityContext) *volume {
	t.Helper()
	v := &volume{folder: t.TempDir(), source: source, group: s.FSGroup}
	if err := os.Chmod(v.folder, 0o777|fs.ModeSticky); err != nil {
		t.Fatal(err)
	}
	return v
}

// sync brings the volume to what the Secrets are now.
func (v *volume) sync(t *testing.T, secrets map[string]secret) {
	t.Helper()
	mode, names := volumeSecrets(t, v.source)
	v.synced++
	data := filepath.Join(v.folder, fmt.Sprintf("..%d", v.synced))
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.Mkdir(data, 0o755))
	for _, name := range names {
		if secrets[name] == nil {
			t.Fatalf("nobody has made the Secret %s", name)
		}
		for key, value := range secrets[name] {
			file := filepath.Join(data, key)
			check(os.WriteFile(file, value, 0o600))
			if v.group != nil {
				mode |= 0o440 // as the kubelet does, so that the group can read
				check(os.Chown(file, 0, int(*v.group)))
			}
			check(os.Chmod(file, fs.FileMode(mode)))
			if err := os.Symlink("..data/"+key, filepath.Join(v.folder, key)); !errors.Is(err, fs.ErrExist) {
				check(err)
			}
		}
	}
	check(os.Symlink(filepath.Base(data), filepath.Join(v.folder, "..data_tmp")))
	former, _ := os.Readlink(filepath.Join(v.folder, "..data"))
	check(os.Rename(filepath.Join(v.folder, "..data_tmp"), filepath.Join(v.folder, "..data")))
	if former != "" {
		check(os.RemoveAll(filepath.Join(v.folder, former)))
	}
}

// entrypoint is the image's.
func entrypoint(t *testing.T) string {
	t.Helper()
	file, err := os.ReadFile("../container/Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^ENTRYPOINT \["(/\w+)"\]$`).FindSubmatch(file)
	if found == nil {
		t.Fatal("the container file has no entry point")
	}
	return string(found[1])
}

// lockedBuffer can be read while it is written.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
