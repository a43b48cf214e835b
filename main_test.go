package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
)

// clockOffsetEnv is how far the clock of a stand-in for keyhint is off, and
// clockFileEnv a file that says it anew whenever the clock is read.
const (
	clockOffsetEnv = "KEYHINT_TEST_CLOCK_OFFSET"
	clockFileEnv   = "KEYHINT_TEST_CLOCK_FILE"
)

// TestMain lets this test program stand in for keyhint, wherever a test runs it
// under that name.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"keyhint": func() {
		if text := os.Getenv(clockOffsetEnv); text != "" {
			offset, err := time.ParseDuration(text)
			if err != nil {
				panic(err)
			}
			clock = func() time.Time { return time.Now().Add(offset) }
		}
		if file := os.Getenv(clockFileEnv); file != "" {
			clock = func() time.Time {
				text, err := os.ReadFile(file)
				if err != nil {
					panic(err)
				}
				offset, err := time.ParseDuration(string(text))
				if err != nil {
					panic(err)
				}
				return time.Now().Add(offset)
			}
		}
		main()
	}})
}

// patience bounds every wait for another process.
const patience = 20 * time.Second

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Condition: func(condition string) (bool, error) {
			if condition != "installed" {
				return false, fmt.Errorf("unknown condition %q", condition)
			}
			_, err := os.Stat("/etc/keyhint/keyhint.yaml")
			return err == nil, nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"refuses": scriptRefuses,
			"exits":   scriptExits,
			"occupy":  scriptOccupy,
			"await":   scriptAwait,
			"signal":  scriptSignal,
			"answers": scriptAnswers,
			"mode":    scriptMode,
			"build":   scriptBuild,
		},
	})
}

// refuses CODE ERROR HINT ARG... runs keyhint. It must exit with the code, print
// nothing, and write one line of error and one of hint that match.
func scriptRefuses(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: refuses CODE ERROR HINT ARG...")
	}
	scriptExits(ts, false, append([]string{args[0], "keyhint"}, args[3:]...))
	if stdout := ts.ReadFile("stdout"); stdout != "" {
		ts.Fatalf("stdout is not empty: %s", stdout)
	}
	lines := regexp.MustCompile(`\Akeyhint: ([^\n]+)\nhint: ([^\n]+)\n\z`).FindStringSubmatch(ts.ReadFile("stderr"))
	if lines == nil {
		ts.Fatalf("stderr is not one line of error and one of hint")
	}
	for i, want := range args[1:3] {
		if !regexp.MustCompile(want).MatchString(lines[i+1]) {
			ts.Fatalf("%q does not match %q", lines[i+1], want)
		}
	}
}

// exits CODE PROGRAM ARG... runs a program that must exit with the code.
func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG...")
	}
	code := 0
	err := ts.Exec(args[1], args[2:]...)
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// occupy NAME sets a variable to the address of a port that is in use.
func scriptOccupy(ts *testscript.TestScript, _ bool, args []string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { listener.Close() })
	ts.Setenv(args[0], listener.Addr().String())
}

// await FILE REGEXP [NAME] waits until a file matches, and sets a variable to
// the first group.
func scriptAwait(ts *testscript.TestScript, _ bool, args []string) {
	found := awaitMatch(ts.MkAbs(args[0]), regexp.MustCompile(args[1]))
	if found == nil {
		content, _ := os.ReadFile(ts.MkAbs(args[0]))
		ts.Fatalf("%s does not match %q after %v: %s", args[0], args[1], patience, content)
	}
	if len(args) > 2 {
		ts.Setenv(args[2], found[1])
	}
}

func awaitMatch(file string, want *regexp.Regexp) []string {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		content, _ := os.ReadFile(file)
		if found := want.FindStringSubmatch(string(content)); found != nil {
			return found
		}
	}
	return nil
}

// signal NAME sends SIGTERM or SIGINT to the only background command.
func scriptSignal(ts *testscript.TestScript, _ bool, args []string) {
	commands := ts.BackgroundCmds()
	if len(commands) != 1 {
		ts.Fatalf("%d background commands", len(commands))
	}
	ts.Check(commands[0].Process.Signal(map[string]os.Signal{"TERM": syscall.SIGTERM, "INT": syscall.SIGINT}[args[0]]))
}

// answers ADDRESS tells whether something accepts connections there.
func scriptAnswers(ts *testscript.TestScript, neg bool, args []string) {
	conn, err := net.DialTimeout("tcp", args[0], time.Second)
	if err == nil {
		conn.Close()
	}
	if (err == nil) == neg {
		ts.Fatalf("dialling %s: %v", args[0], err)
	}
}

// mode OCTAL FILE compares permissions.
func scriptMode(ts *testscript.TestScript, _ bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := fmt.Sprintf("%o", info.Mode().Perm()); got != args[0] {
		ts.Fatalf("%s has mode %s, want %s", args[1], got, args[0])
	}
}

// build FILE [LDFLAGS] compiles keyhint.
func scriptBuild(ts *testscript.TestScript, _ bool, args []string) {
	if output, err := buildKeyhint(ts.MkAbs(args[0]), args[1:]...); err != nil {
		ts.Fatalf("%v: %s", err, output)
	}
}

func buildKeyhint(file string, ldflags ...string) ([]byte, error) {
	return exec.Command("go", "build", "-buildvcs=false", "-ldflags", strings.Join(ldflags, " "), "-o", file, ".").CombinedOutput()
}

func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	var visit func(c *cobra.Command)
	commands := 0
	visit = func(c *cobra.Command) {
		commands++
		if c.Short == "" || strings.HasSuffix(c.Short, ".") || !strings.HasPrefix(c.Example, "  keyhint ") {
			t.Errorf("%q has short help %q and example %q", c.CommandPath(), c.Short, c.Example)
		}
		if c.HasParent() && !c.Runnable() {
			t.Errorf("%q exits with 0 for a subcommand that it does not have", c.CommandPath())
		}
		for line := range strings.Lines(c.Example) {
			command, _, _ := strings.Cut(line, " > ") // the rest is the shell's
			example := strings.Fields(command)
			target, rest, err := rootCommand().Find(example[1:])
			if err != nil || target.CommandPath() != c.CommandPath() && !strings.HasPrefix(target.CommandPath(), c.CommandPath()+" ") {
				t.Errorf("the example %q of %q calls %q: %v", line, c.CommandPath(), target.CommandPath(), err)
				continue
			}
			if err := target.ParseFlags(rest); err != nil {
				t.Errorf("the example %q: %v", line, err)
			} else if err := target.ValidateArgs(target.Flags().Args()); err != nil {
				t.Errorf("the example %q: %v", line, err)
			}
		}
		for _, child := range c.Commands() {
			visit(child)
		}
	}
	visit(rootCommand())
	if commands < 8 {
		t.Errorf("%d commands", commands)
	}
}

// program is a running keyhint.
type program struct {
	*exec.Cmd
	url    string
	exited chan struct{}
}

// startDev runs the binary as "keyhint dev" on a free port and waits until it listens.
func startDev(t *testing.T, binary, dir string) *program {
	t.Helper()
	p := &program{Cmd: exec.Command(binary, "dev", "--address", "127.0.0.1:0"), exited: make(chan struct{})}
	p.Dir = dir
	p.Stderr = t.Output()
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "KEYHINT_") {
			p.Env = append(p.Env, variable)
		}
	}
	stdout, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	listening := make(chan string, 1)
	go func() {
		defer close(p.exited)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if url, found := strings.CutPrefix(lines.Text(), "The endpoint is "); found {
				listening <- url
			}
		}
		p.Wait()
	}()
	t.Cleanup(p.kill)
	select {
	case p.url = <-listening:
	case <-p.exited:
		t.Fatalf("keyhint dev: %v", p.ProcessState)
	case <-time.After(patience):
		t.Fatal("keyhint dev does not listen")
	}
	return p
}

// kill ends the program without a chance to do anything.
func (p *program) kill() {
	p.Process.Kill()
	<-p.exited
}

func buildForTest(t testing.TB) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "keyhint")
	if output, err := buildKeyhint(binary); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	return binary
}

func newClient() *http.Client {
	connections := 4 * runtime.GOMAXPROCS(0)
	return &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections}}
}

func postJSON(client *http.Client, url, body string) (status int, answer []byte, err error) {
	response, err := client.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	answer, err = io.ReadAll(response.Body)
	knowKey(answer)
	return response.StatusCode, answer, err
}
