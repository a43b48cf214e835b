package devpage_test

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	requireAll  = "KEYHINT_REQUIRE_ALL" // makes what would be skipped fail
	screenshots = "KEYHINT_SCREENSHOTS" // the folder for them
)

// build compiles keyhint once.
var build = sync.OnceValues(func() (program string, err error) {
	program = filepath.Join(scratch, "keyhint")
	output, err := exec.Command("go", "build", "-buildvcs=false", "-o", program, "keyhint").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("building keyhint: %w: %s", err, output)
	}
	return program, err
})

// keyhint is a real one, in a process of its own and in an empty folder.
type keyhint struct {
	testing.TB
	program, dir string
	url          string // of the page, without a slash at the end
	process      *exec.Cmd
	exited       chan struct{}
}

func newKeyhint(t testing.TB) *keyhint {
	t.Helper()
	program, err := build()
	if err != nil {
		t.Fatal(err)
	}
	k := &keyhint{TB: t, program: program, dir: t.TempDir()}
	k.start("dev", "--address", "127.0.0.1:0")
	return k
}

// start runs it and waits until it listens.
func (k *keyhint) start(args ...string) {
	k.Helper()
	k.process = exec.Command(k.program, args...)
	k.process.Dir, k.process.Stderr = k.dir, k.Output()
	stdout, err := k.process.StdoutPipe()
	if err != nil {
		k.Fatal(err)
	}
	if err := k.process.Start(); err != nil {
		k.Fatal(err)
	}
	k.exited = make(chan struct{})
	first, process, exited := make(chan string, 1), k.process, k.exited
	go func() {
		defer close(exited)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			select {
			case first <- lines.Text():
			default:
			}
		}
		process.Wait()
	}()
	k.Cleanup(k.kill)
	select {
	case line := <-first:
		url, found := strings.CutPrefix(line, "See it work in a browser: ")
		if !found {
			k.Fatalf("the first line is %q, not the page's URL", line)
		}
		k.url = strings.TrimSuffix(url, "/")
	case <-exited:
		k.Fatalf("keyhint %q: %v", args, process.ProcessState)
	case <-time.After(patience):
		k.Fatalf("keyhint %q does not listen", args)
	}
}

// kill ends it without a chance to do anything.
func (k *keyhint) kill() {
	k.process.Process.Kill()
	<-k.exited
}

// restart runs it again, on the same address and with the same file.
func (k *keyhint) restart() {
	k.Helper()
	k.start("dev", "--address", strings.TrimPrefix(k.url, "http://"))
}

// run runs another command on the file, and returns what it prints.
func (k *keyhint) run(args ...string) string {
	k.Helper()
	command := exec.Command(k.program, append(args, "--config", "keyhint.dev.yaml")...)
	command.Dir = k.dir
	output, err := command.Output()
	if err != nil {
		k.Fatalf("keyhint %q: %v", args, err)
	}
	return string(output)
}

// "keyhint serve" knows nothing of the page, even with a file of "keyhint dev".
func TestServeHasNoPage(t *testing.T) {
	k := newKeyhint(t)
	k.kill()
	file := filepath.Join(k.dir, "keyhint.dev.yaml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(k.url, "http://")
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), "127.0.0.1:8080", address, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	server := exec.Command(k.program, "serve", "--config", file)
	server.Stderr = t.Output()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
	})
	until(t, "keyhint serve listens", func() bool {
		response, err := http.Get(k.url + "/openapi.yaml")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	for path, method := range map[string]string{
		"/": "GET", "/@dev/page.js": "GET", "/@dev/editor.html": "GET", "/@dev/client/keyhint.js": "GET", "/@dev/ring": "GET",
		"/@dev/versions": "POST", "/@dev/status": "POST",
	} {
		request, err := http.NewRequest(method, k.url+path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", asJSON)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusNotFound || response.Header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s: %d %s", method, path, response.StatusCode, response.Header.Get("Content-Type"))
		}
	}
}
