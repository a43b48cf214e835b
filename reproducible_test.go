package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A release is the same bytes wherever it is built: the command in
// deploy/README.md gives one binary in two clones in two folders, one of them with
// nothing compiled before. The binary tells its commit, and changes that are not in it.
func TestBuildIsReproducible(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles everything anew")
	}
	command := documentedBuild(t)
	head := git(t, ".", "rev-parse", "HEAD")
	one, other := cloneHere(t), cloneHere(t)
	fresh := append(os.Environ(), "GOCACHE="+t.TempDir(), "TMPDIR="+t.TempDir(), "TZ=Pacific/Kiritimati", "LC_ALL=C")
	binary := buildIn(t, one, command, os.Environ())
	again := buildIn(t, other, command, fresh)
	if !bytes.Equal(binary, again) {
		t.Errorf("%q makes other bytes in another folder: %d and %d of them", command, len(binary), len(again))
	}
	if bytes.Contains(binary, []byte(one)) {
		t.Errorf("the binary names the folder it was built in, %s", one)
	}

	if b := versionOf(t, one); b.Commit != head || b.Modified == nil || *b.Modified || b.Time == "" {
		t.Errorf("built from a clean clone of %s, it says %+v", head, b)
	}
	if text := runIn(t, one, "./keyhint", "version"); !strings.Contains(text, head) || !strings.Contains(text, ", clean\n") {
		t.Errorf("built from a clean clone of %s, it prints %s", head, text)
	}

	if err := os.WriteFile(filepath.Join(one, "local.go"), []byte("package main\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	buildIn(t, one, command, os.Environ())
	if b := versionOf(t, one); b.Commit != head || b.Modified == nil || !*b.Modified {
		t.Errorf("built with a file that is not in the commit, it says %+v", b)
	}
	if text := runIn(t, one, "./keyhint", "version"); !strings.Contains(text, "dirty") {
		t.Errorf("built with a file that is not in the commit, it prints %s", text)
	}

	// As from a source archive.
	if err := os.RemoveAll(filepath.Join(one, ".git")); err != nil {
		t.Fatal(err)
	}
	buildIn(t, one, command, os.Environ())
	if b := versionOf(t, one); b.Commit != "" || b.Modified != nil {
		t.Errorf("built without version control, it says %+v", b)
	}
}

// documentedBuild is the command of deploy/README.md that makes a release.
func documentedBuild(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("deploy/README.md")
	if err != nil {
		t.Fatal(err)
	}
	command := regexp.MustCompile(`(?m)^    (.*go build .*)$`).FindSubmatch(text)
	if command == nil {
		t.Fatal("deploy/README.md shows no command that builds a release")
	}
	return string(command[1])
}

// cloneHere clones the commit that is checked out into a folder of its own. What
// is not committed is not in it.
func cloneHere(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "some folder")
	git(t, ".", "clone", "--quiet", "--no-tags", ".", folder)
	return folder
}

// git runs a git command in a folder and returns what it prints. Outside a
// checkout, as in a source archive, the test is skipped.
func git(t *testing.T, folder string, arguments ...string) string {
	t.Helper()
	command := exec.Command("git", arguments...)
	command.Dir = folder
	output, err := command.CombinedOutput()
	if err != nil {
		skipUnlessRequired(t, "this is no git checkout: "+string(output)+err.Error())
	}
	return strings.TrimSpace(string(output))
}

// buildIn runs a build and returns the binary.
func buildIn(t *testing.T, folder, command string, environment []string) []byte {
	t.Helper()
	build := exec.Command("sh", "-c", command)
	build.Dir, build.Env = folder, environment
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", command, err, output)
	}
	binary, err := os.ReadFile(filepath.Join(folder, "keyhint"))
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

func versionOf(t *testing.T, folder string) buildInfo {
	t.Helper()
	var b buildInfo
	if err := json.Unmarshal([]byte(runIn(t, folder, "./keyhint", "version", "--json")), &b); err != nil {
		t.Fatal(err)
	}
	return b
}

func runIn(t *testing.T, folder, program string, arguments ...string) string {
	t.Helper()
	command := exec.Command(program, arguments...)
	command.Dir = folder
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", program, strings.Join(arguments, " "), err, output)
	}
	return string(output)
}
