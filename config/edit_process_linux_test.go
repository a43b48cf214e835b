package config_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"keyhint/config"
	"keyhint/derive"
)

// helperEnv makes this test program an editor of a file for the tests below.
const helperEnv = "RING_EDITOR"

// helper is a command of this test program as another process: TestEditorProcess
// with these words. It says "ready" before it begins.
func helper(t *testing.T, words ...string) (command *exec.Cmd, output *bufio.Reader) {
	t.Helper()
	command = exec.Command(os.Args[0], "-test.run", "^TestEditorProcess$")
	command.Env = append(os.Environ(), helperEnv+"="+strings.Join(words, " "))
	pipe, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	output = bufio.NewReader(pipe)
	if line, err := output.ReadString('\n'); line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	return command, output
}

func TestEditorProcess(t *testing.T) {
	words := strings.Fields(os.Getenv(helperEnv))
	if len(words) == 0 {
		return // a part of other tests
	}
	fmt.Println("ready")
	var err error
	switch words[0] {
	case "once":
		err = editOnce(words[1], words[2])
	case "many":
		err = addMany(words[1])
	case "limited":
		signal.Ignore(syscall.SIGXFSZ)
		size, _ := strconv.ParseUint(words[2], 10, 64)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: size}); err != nil {
			t.Fatal(err)
		}
		err = editOnce(words[1], "add")
	}
	fmt.Println(err)
	os.Exit(0)
}

// editOnce makes one edit, always the same.
func editOnce(path, what string) error {
	var err error
	switch what {
	case "add":
		_, err = config.AddEntry(path, addOptions())
	case "add-files":
		options := addOptions()
		options.SecretsDir = path[:strings.LastIndex(path, "/")] + "/secrets"
		_, err = config.AddEntry(path, options)
	case "disable":
		_, err = config.SetStatus(path, config.EntryName{Version: 2}, derive.Disabled, config.StatusOptions{Now: noon})
	case "destroy":
		_, err = config.SetStatus(path, config.EntryName{Version: 2}, derive.Destroyed, config.StatusOptions{Now: noon, Force: true})
	}
	return err
}

const editorsEach = 20

// addMany adds entries from several goroutines at once.
func addMany(path string) error {
	errs := make([]error, editorsEach)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() {
			options := freshOptions()
			options.Wait = 2 * time.Minute
			_, errs[i] = config.AddEntry(path, options)
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestEditorsLoseNothing(t *testing.T) {
	one := ring(newEntry(t, 1))
	write(t, one)
	const processes = 3
	var commands []*exec.Cmd
	var outputs []*bufio.Reader
	for range processes {
		command, output := helper(t, "many", "keyhint.yaml")
		commands, outputs = append(commands, command), append(outputs, output)
	}
	if err := addMany("keyhint.yaml"); err != nil {
		t.Error(err)
	}
	for i, command := range commands {
		if said, _ := io.ReadAll(outputs[i]); string(said) != "<nil>\n" {
			t.Errorf("%s", said)
		}
		command.Wait()
	}
	c, err := config.Load("keyhint.yaml", nil)
	if err != nil {
		t.Fatal(err)
	}
	if versions := c.Keyring.Ring.Versions(); versions != 1+(processes+1)*editorsEach {
		t.Errorf("%d versions", versions)
	}
	if text := read(t, "keyhint.yaml"); !strings.HasPrefix(text, one) {
		t.Error("the first entry has changed")
	}
	if all := names(t, "."); all != "keyhint.yaml" {
		t.Errorf("the folder holds %s", all)
	}
}

// TestKilledEditorLeavesTheOldOrTheNewFile kills 200 editors at random moments.
func TestKilledEditorLeavesTheOldOrTheNewFile(t *testing.T) {
	t.Chdir(t.TempDir())
	dir, _ := os.Getwd()
	text := ring(newEntry(t, 1), newEntry(t, 2).with("status", "resolve_only"), newEntry(t, 3)) + "  max_age: 720h\nlog: {level: info}\n"
	kinds := []string{"add", "disable", "destroy", "add-files"}
	after := make(map[string]string)
	longest := 20 * time.Millisecond // of what is waited before a kill
	for _, kind := range kinds {
		for _, folder := range []string{"model", "model/secrets"} {
			if err := os.Mkdir(folder, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		writeFile(t, "model/keyhint.yaml", text, 0o640)
		begin := time.Now()
		if err := editOnce(dir+"/model/keyhint.yaml", kind); err != nil {
			t.Fatal(err)
		}
		longest = max(longest, 2*time.Since(begin)) // on a slow disk
		after[kind] = strings.ReplaceAll(read(t, "model/keyhint.yaml"), dir+"/model/", dir+"/live/")
		os.RemoveAll("model")
	}

	tally := make(map[string]int)
	const kills = 200
	for i := range kills {
		kind := kinds[i%len(kinds)]
		for _, folder := range []string{"live", "live/secrets"} {
			if err := os.Mkdir(folder, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		writeFile(t, "live/keyhint.yaml", text, 0o640)
		command, output := helper(t, "once", dir+"/live/keyhint.yaml", kind)
		delay := mathrand.Float64() // an edit takes a few of 20 ms, so early kills are made more likely
		time.Sleep(time.Duration(delay * delay * delay * float64(longest)))
		command.Process.Kill()
		said, _ := io.ReadAll(output)
		command.Wait()

		got := read(t, "live/keyhint.yaml")
		switch {
		case got == text:
			tally["old"]++
		case got == after[kind]:
			tally["new"]++
		default:
			t.Fatalf("%s left neither the old file nor the new:\n%s", kind, got)
		}
		if string(said) == "<nil>\n" {
			tally["was done before the kill"]++
		} else if len(said) > 0 {
			t.Fatalf("%s: %s", kind, said)
		}
		if _, err := config.Load("live/keyhint.yaml", nil); err != nil {
			t.Fatal(err)
		}
		checkLeftovers(t, "live", tally)

		version := derive.Enabled
		if i%2 == 0 {
			version = derive.Disabled
		}
		if _, err := config.SetStatus("live/keyhint.yaml", config.EntryName{Version: 1}, version, config.StatusOptions{Now: noon}); err != nil {
			t.Fatal(err)
		}
		options := freshOptions()
		options.SecretsDir = "live/secrets"
		mustAdd(t, "live/keyhint.yaml", options)
		if all := names(t, "live"); all != "keyhint.yaml secrets" {
			t.Fatalf("the folder holds %s", all)
		}
		if err := os.RemoveAll("live"); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d kills: %v", kills, tally)
	if tally["old"]+tally["new"] != kills || tally["old"] == 0 || tally["new"] == 0 {
		t.Errorf("the kills did not fall before and after: %v", tally)
	}
}

func checkLeftovers(t *testing.T, folder string, tally map[string]int) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == "keyhint.yaml" || e.Name() == "secrets" {
			continue
		}
		tally["left a new file behind"]++
		info, err := e.Info()
		if err != nil || !strings.HasPrefix(e.Name(), ".keyhint.yaml.edit-") || info.Mode().Perm()&0o007 != 0 {
			t.Fatalf("left %s, %v, %v", e.Name(), info.Mode(), err)
		}
	}
}

func TestFullDiskLeavesTheOldFile(t *testing.T) {
	text := ring(newEntry(t, 1))
	check := func(t *testing.T, path, said, want string) {
		t.Helper()
		if said != want {
			t.Errorf("%q, not %q", said, want)
		}
		if read(t, path) != text {
			t.Error("the file has changed")
		}
	}
	t.Run("limit of a file's size", func(t *testing.T) {
		write(t, text)
		for _, size := range []int{0, 1, len(text), len(text) + 10} {
			command, output := helper(t, "limited", "keyhint.yaml", strconv.Itoa(size))
			said, _ := io.ReadAll(output)
			command.Wait()
			name, reason, _ := strings.Cut(string(said), "/.keyhint.yaml.edit-")
			_, reason, _ = strings.Cut(reason, ": ")
			check(t, "keyhint.yaml", name+" "+reason, "replacing the configuration: write . file too large\n")
			if all := names(t, "."); all != "keyhint.yaml" {
				t.Errorf("the folder holds %s", all)
			}
		}
	})
	t.Run("file system", func(t *testing.T) {
		if os.Geteuid() != 0 {
			skipUnlessRequired(t, "only root can mount one")
		}
		folder := t.TempDir()
		if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=32k"); err != nil {
			skipUnlessRequired(t, "no file system can be mounted here:", err)
		}
		t.Cleanup(func() { syscall.Unmount(folder, 0) })
		writeFile(t, folder+"/keyhint.yaml", text, 0o600)
		fill, err := os.Create(folder + "/fill")
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(fill, bytes.NewReader(make([]byte, 1<<20)))
		fill.Close()
		for range 3 {
			_, err = config.AddEntry(folder+"/keyhint.yaml", freshOptions())
			name, reason, _ := strings.Cut(fmt.Sprint(err), folder+"/.keyhint.yaml.edit-")
			_, reason, _ = strings.Cut(reason, ": ")
			check(t, folder+"/keyhint.yaml", name+reason, "replacing the configuration: write no space left on device")
			if all := names(t, folder); all != "fill keyhint.yaml" {
				t.Errorf("the folder holds %s", all)
			}
		}
		options := freshOptions()
		options.SecretsDir = folder
		if _, err = config.AddEntry(folder+"/keyhint.yaml", options); err == nil || !strings.HasSuffix(err.Error(), "no space left on device") {
			t.Error(err)
		}
		if all := names(t, folder); all != "fill keyhint.yaml" {
			t.Errorf("the folder holds %s", all)
		}
	})
}
