package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"keyhint/config"
)

// These tests run keyhint as a user without privileges, which takes root.

const nobody = 65534

// asNobody starts a command as that user, with these capabilities.
func asNobody(capabilities ...uintptr) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, AmbientCaps: capabilities}
}

// nobodysConfig writes a configuration with a fresh ring that nobody may read,
// and returns its path.
func nobodysConfig(t *testing.T, settings string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		skipUnlessRequired(t, "only root can start a program as another user")
	}
	entry, err := config.NewEntry(1, time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(openFolder(t), "keyhint.yaml")
	text := "server: {address: 127.0.0.1:0}\nauth: {mode: none}\n" + settings + "\nkeyring:\n  keys:\n" + entry
	if err := errors.Join(os.WriteFile(file, []byte(text), 0o600), os.Chown(file, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	return file
}

// openFolder is a temporary folder that everyone may enter.
func openFolder(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.Chmod(filepath.Dir(folder), 0o755); err != nil {
		t.Fatal(err)
	}
	return folder
}

// buildForNobody builds a program that nobody may run.
func buildForNobody(t *testing.T) string {
	t.Helper()
	openFolder(t) // they share the one above them
	return buildForTest(t)
}

// withLimit runs start with another limit, which what it starts inherits.
func withLimit(t *testing.T, resource int, limit unix.Rlimit, start func() error) error {
	t.Helper()
	var was unix.Rlimit
	if err := unix.Getrlimit(resource, &was); err != nil {
		t.Fatal(err)
	}
	switch err := unix.Setrlimit(resource, &limit); {
	case errors.Is(err, unix.EPERM): // without CAP_SYS_RESOURCE
		t.Skip("there is no test of a limit that root may not raise:", err)
	case err != nil:
		t.Fatal(err)
	}
	defer unix.Setrlimit(resource, &was)
	return start()
}

// memoryOf is a field of /proc/PID/status, in kB.
func memoryOf(t *testing.T, pid int, field string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^` + field + `:\s+(\S+)`).FindSubmatch(text)
	if found == nil {
		t.Fatalf("there is no %s in %s", field, text)
	}
	kB, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kB
}

func TestMemoryIsLockedOnlyWhereNoLimitCanEndTheProcess(t *testing.T) {
	binary := buildForNobody(t)
	userNamespace := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER, Credential: new(syscall.Credential),
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: nobody, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: nobody, Size: 1}}}
	var hard unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &hard); err != nil {
		t.Fatal(err)
	}
	usual := min(8<<20, hard.Max)
	const roomy, none = 64 << 30, unix.RLIM_INFINITY // bytes
	for _, c := range []struct {
		name   string
		as     *syscall.SysProcAttr
		limit  unix.Rlimit
		locked bool
	}{
		{"root", nil, unix.Rlimit{Cur: usual, Max: usual}, true},
		{"root without any limit to spare", nil, unix.Rlimit{Cur: 0, Max: usual}, true},
		{"a user", asNobody(), unix.Rlimit{Cur: usual, Max: usual}, false},
		{"a user with a small limit", asNobody(), unix.Rlimit{Cur: 64 << 10, Max: usual}, false},
		{"a user with no limit to spare", asNobody(), unix.Rlimit{Cur: 0, Max: usual}, false},
		{"a user with a limit that has room at first", asNobody(), unix.Rlimit{Cur: roomy, Max: roomy}, false},
		{"a user without a limit", asNobody(), unix.Rlimit{Cur: none, Max: none}, true},
		{"a user who may lift the limit", asNobody(), unix.Rlimit{Cur: usual, Max: none}, true},
		{"a user with the capability", asNobody(unix.CAP_IPC_LOCK), unix.Rlimit{Cur: usual, Max: usual}, true},
		{"root of a user namespace", userNamespace, unix.Rlimit{Cur: usual, Max: usual}, false},
	} {
		unlocked := 0 // kB that were resident without a lock
		for _, setting := range []string{"memory: {lock: off}", "", "memory: {lock: require}"} {
			t.Run(c.name+"/"+setting, func(t *testing.T) {
				file := nobodysConfig(t, setting+"\nadmin: {address: ''}")
				var s *served
				err := withLimit(t, unix.RLIMIT_MEMLOCK, c.limit, func() (err error) {
					command := exec.Command(binary, "serve", "--config", file)
					command.SysProcAttr = c.as
					s, err = launchCommand(t, command)
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				if setting == "memory: {lock: require}" && !c.locked {
					checkRefusedLock(t, s)
					return
				}
				if _, err := s.listens(); err != nil {
					t.Fatal(err)
				}
				logged := 0
				for _, line := range s.lines() {
					if line.Msg == "memory is not locked: if there is swap space, secrets can get there" && strings.Contains(line.text, "LimitMEMLOCK=infinity") {
						logged++
					}
				}
				if tried := setting == ""; tried && !c.locked != (logged == 1) {
					t.Errorf("it is logged %d times that memory is not locked", logged)
				}
				makeItGrow(t, s)
				all, locked, resident := memoryOf(t, s.Process.Pid, "VmSize"), memoryOf(t, s.Process.Pid, "VmLck"), memoryOf(t, s.Process.Pid, "VmHWM")
				t.Logf("of %d kB %d are locked; at most %d were resident", all, locked, resident)
				switch {
				case !c.locked || setting == "memory: {lock: off}":
					if locked > 0 {
						t.Error("memory is locked")
					}
					unlocked = resident
				case all-locked > 1024: // what the kernel maps by itself
					t.Error("not all memory is locked")
				case resident > unlocked+32<<10:
					t.Error("what was never touched is resident")
				}
			})
		}
	}
}

// checkRefusedLock waits for the end of a server that must not run unlocked.
func checkRefusedLock(t *testing.T, s *served) {
	t.Helper()
	select {
	case <-s.exited:
	case <-time.After(patience):
		t.Fatal("it runs")
	}
	if s.ProcessState.ExitCode() != exitFailed {
		t.Errorf("it ended with %v", s.ProcessState)
	}
	var said []string
	for _, line := range s.lines() {
		said = append(said, line.text)
	}
	want := regexp.MustCompile(`^keyhint: memory cannot be locked, which memory.lock requires: RLIMIT_MEMLOCK is limited.*\nhint: give it the capability CAP_IPC_LOCK, or no limit: LimitMEMLOCK=infinity .*$`)
	if text := strings.Join(said, "\n"); !want.MatchString(text) {
		t.Errorf("it says %s", text)
	}
}

// makeItGrow opens many connections with requests on them, until the server has
// reserved more than it began with: that is when a limit would end it.
func makeItGrow(t *testing.T, s *served) {
	t.Helper()
	before := memoryOf(t, s.Process.Pid, "VmPeak")
	client := &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 500}}
	defer client.CloseIdleConnections()
	for deadline := time.Now().Add(patience); memoryOf(t, s.Process.Pid, "VmPeak") == before; {
		if time.Now().After(deadline) {
			t.Fatal("the server has not grown")
		}
		var asking sync.WaitGroup
		for range 500 {
			asking.Go(func() {
				if code, _, err := postJSON(client, s.url, `{"documentId":"`+strings.Repeat("d", 1000)+`","keyHint":null}`); err != nil || code != http.StatusOK {
					t.Errorf("status %d, %v", code, err)
				}
			})
		}
		asking.Wait()
		if t.Failed() {
			return
		}
	}
}

func TestNobodyElseCanLookIntoTheProcess(t *testing.T) {
	file := nobodysConfig(t, "admin: {address: ''}")
	command := exec.Command(buildForNobody(t), "serve", "--config", file)
	command.SysProcAttr = asNobody()
	s, err := launchCommand(t, command)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.listens(); err != nil {
		t.Fatal(err)
	}
	other := exec.Command("sleep", "60")
	other.SysProcAttr = asNobody()
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer other.Wait()
	defer other.Process.Kill()

	asUser(t, func() {
		// What another process of the same user shows otherwise.
		for _, name := range []string{"environ", "maps"} {
			if _, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", other.Process.Pid, name)); err != nil {
				t.Errorf("this test sees nothing anywhere: %v", err)
			}
		}
		for _, name := range []string{"environ", "maps", "mem", "auxv", "stack", "fd/0"} {
			f, err := os.Open(fmt.Sprintf("/proc/%d/%s", s.Process.Pid, name))
			if err == nil {
				_, err = f.Read(make([]byte, 1))
				f.Close()
			}
			if !errors.Is(err, os.ErrPermission) {
				t.Errorf("reading %s of its process gives %v", name, err)
			}
		}
		if err := unix.PtraceAttach(s.Process.Pid); !errors.Is(err, unix.EPERM) {
			t.Errorf("attaching a debugger gives %v", err)
		}
	})
}

// asUser does something as nobody, in a thread that ends with it.
func asUser(t *testing.T, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		for _, call := range []uintptr{unix.SYS_SETRESGID, unix.SYS_SETRESUID} {
			if _, _, errno := unix.RawSyscall(call, nobody, nobody, nobody); errno != 0 {
				t.Error(errno)
				return
			}
		}
		do()
	}()
	<-done
}

func TestNoCoreIsDumped(t *testing.T) {
	var hard unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &hard); err != nil {
		t.Fatal(err)
	}
	if hard.Max == 0 {
		skipUnlessRequired(t, "no core is dumped of anything here")
	}
	file := nobodysConfig(t, "admin: {address: ''}")
	folder := filepath.Dir(file) // where a core would be, by default
	if err := os.Chown(folder, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	binary := buildForNobody(t)
	for _, c := range []struct {
		signal syscall.Signal
		cored  bool
		args   []string
	}{
		{syscall.SIGABRT, true, []string{"sleep", "60"}}, // shows that this test can see one
		{syscall.SIGABRT, false, []string{binary, "serve", "--config", file}},
		{syscall.SIGSEGV, false, []string{binary, "serve", "--config", file}},
		{syscall.SIGQUIT, false, []string{binary, "serve", "--config", file}},
	} {
		command := exec.Command(c.args[0], c.args[1:]...)
		command.SysProcAttr, command.Dir, command.Env = asNobody(), folder, []string{"GOTRACEBACK=crash"}
		var s *served
		if err := withLimit(t, unix.RLIMIT_CORE, unix.Rlimit{Cur: hard.Max, Max: hard.Max}, func() (err error) { s, err = launchCommand(t, command); return err }); err != nil {
			t.Fatal(err)
		}
		if !c.cored {
			if _, err := s.listens(); err != nil {
				t.Fatal(err)
			}
		}
		s.dying.Store(true)
		if err := s.Process.Signal(c.signal); err != nil {
			t.Fatal(err)
		}
		<-s.exited
		ended := s.ProcessState.Sys().(syscall.WaitStatus)
		if !ended.Signaled() || ended.CoreDump() != c.cored {
			t.Errorf("%s after %v: %v", c.args[0], c.signal, s.ProcessState)
		}
		if cores, _ := filepath.Glob(filepath.Join(folder, "core*")); len(cores) > 0 != c.cored {
			t.Errorf("%s after %v leaves %v", c.args[0], c.signal, cores)
		} else if c.cored {
			os.Remove(cores[0])
		}
	}
}

// The process collector reads /proc/self, which belongs to root.
func TestProcessMetricsWorkForAUser(t *testing.T) {
	admin := freeAddress(t)
	file := nobodysConfig(t, "admin: {address: '"+admin+"'}")
	command := exec.Command(buildForNobody(t), "serve", "--config", file)
	command.SysProcAttr = asNobody()
	s, err := launchCommand(t, command)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.listens(); err != nil {
		t.Fatal(err)
	}
	response, err := newClient().Get("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"cpu_seconds_total", "open_fds", "max_fds", "resident_memory_bytes", "virtual_memory_bytes", "start_time_seconds"} {
		if !regexp.MustCompile(`(?m)^process_` + name + ` \d`).Match(text) {
			t.Errorf("there is no process_%s", name)
		}
	}
}
