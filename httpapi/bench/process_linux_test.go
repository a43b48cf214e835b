package bench_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"keyhint/httpapi/bench"
)

// allowed are the cores of this program before it is bound to one.
var allowed, errAllowed = func() (cores unix.CPUSet, err error) {
	err = unix.SchedGetaffinity(0, &cores)
	return cores, err
}()

// twoCores returns a core for the server and one for all else. Without two it
// skips, or fails where everything must run.
func twoCores(b *testing.B) (server, load int) {
	b.Helper()
	if errAllowed != nil {
		b.Fatal(errAllowed)
	}
	if allowed.Count() < 2 {
		const why = "a server and its load need a core each"
		if os.Getenv("KEYHINT_REQUIRE_ALL") != "" {
			b.Fatal(why)
		}
		b.Skip(why)
	}
	var cores []int
	for core := 0; len(cores) < 2; core++ {
		if allowed.IsSet(core) {
			cores = append(cores, core)
		}
	}
	return cores[0], cores[1]
}

// pin binds the threads of a process, and so those that they start, to a core.
func pin(t testing.TB, pid, core int) {
	t.Helper()
	var only unix.CPUSet
	only.Set(core)
	for range 2 { // the second time for those that were started during the first
		threads, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		if err != nil {
			t.Fatal(err)
		}
		for _, thread := range threads {
			id, _ := strconv.Atoi(thread.Name())
			if err := unix.SchedSetaffinity(id, &only); err != nil && err != unix.ESRCH {
				t.Fatal(err)
			}
		}
	}
}

// process is a server that runs by itself.
type process struct {
	t       testing.TB
	command *exec.Cmd
	target  bench.Target
	metrics string // URL
}

// spawn starts a program on a core, and returns with it the first group of the
// first line of its output that matches.
func spawn(t testing.TB, core int, listening *regexp.Regexp, name string, args ...string) (*process, string) {
	t.Helper()
	p := &process{t: t, command: exec.Command(name, args...)}
	p.command.Env = append(os.Environ(), "GOMAXPROCS=1")
	output, err := p.command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.command.Stderr = p.command.Stdout
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.command.Process.Signal(unix.SIGTERM)
		p.command.Wait()
	})
	lines, told := bufio.NewScanner(output), ""
	for lines.Scan() {
		told += lines.Text() + "\n"
		if found := listening.FindStringSubmatch(lines.Text()); found != nil {
			go io.Copy(io.Discard, output)
			pin(t, p.command.Process.Pid, core)
			return p, found[1]
		}
	}
	t.Fatalf("%s ended before it listened:\n%s", name, told)
	return nil, ""
}

// cpu is the processor time that the process has used.
func (p *process) cpu() (used time.Duration) {
	p.t.Helper()
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.command.Process.Pid))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			p.t.Fatal(err)
		}
		used += time.Duration(number(p.t, text, `^(\d+) `))
	}
	return used
}

// memory is the resident memory of the process now and at most, in bytes.
func (p *process) memory() (now, most float64) {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	return number(p.t, text, `VmRSS:\s+(\d+) kB`) * 1024, number(p.t, text, `VmHWM:\s+(\d+) kB`) * 1024
}

// allocated is how much memory the process has asked for since it began, and how
// often.
func (p *process) allocated() (bytes, times float64) {
	p.t.Helper()
	response, err := http.Get(p.metrics)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return number(p.t, text, `(?m)^go_memstats_alloc_bytes_total (\S+)`), number(p.t, text, `(?m)^go_memstats_mallocs_total (\S+)`)
}

func number(t testing.TB, text []byte, pattern string) float64 {
	t.Helper()
	found := regexp.MustCompile(pattern).FindSubmatch(text)
	if found == nil {
		t.Fatalf("no %s in %s", pattern, strings.TrimSpace(string(text)))
	}
	n, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
