package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// readmeBlocks returns the fenced blocks of README in a language.
func readmeBlocks(t *testing.T, language string) []string {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(string(readme), -1) {
		blocks = append(blocks, m[1])
	}
	if len(blocks) == 0 {
		t.Fatalf("README has no block of %s", language)
	}
	return blocks
}

// issuedText is a hint or a key: what differs from run to run in a transcript.
var issuedText = regexp.MustCompile(`kh1\.[0-9a-f.-]+\.[\w-]{22}|[\w-]{43}`)

// The commands that README shows print what README shows. Keys and hints differ,
// but wherever README repeats one, the same one comes back; between the blocks
// the server is killed and started again.
func TestReadmeTranscript(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		skipUnlessRequired(t, "curl is not installed")
	}
	binary, dir := buildForTest(t), t.TempDir()
	issued := make(map[string]string) // README's keys and hints, and what they are in this run
	commands := 0
	for _, block := range readmeBlocks(t, "console") {
		server := startDev(t, binary, dir)
		for _, step := range strings.Split("\n"+block, "\n$ ")[1:] {
			commands++
			command, want, _ := strings.Cut(step, "\n")
			command = issuedText.ReplaceAllStringFunc(command, func(text string) string { return issued[text] })
			command = strings.ReplaceAll(command, "http://127.0.0.1:8080/v1/key", server.url)
			output, err := exec.Command("sh", "-c", command).CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v: %s", command, err, output)
			}
			got := string(output)
			for _, text := range issuedText.FindAllString(want, -1) {
				for _, found := range issuedText.FindAllString(got, -1) {
					if issued[text] == "" && strings.HasPrefix(found, "kh1.") == strings.HasPrefix(text, "kh1.") {
						issued[text] = found
					}
				}
			}
			want = issuedText.ReplaceAllStringFunc(strings.TrimSuffix(want, "\n"), func(text string) string { return issued[text] })
			if got != want {
				t.Errorf("%s\nprints\n%s\nand README shows\n%s", command, got, want)
			}
		}
		server.kill()
	}
	if commands < 4 || len(issued) != 2 {
		t.Errorf("%d commands, %d keys and hints", commands, len(issued))
	}
}

// README's Go code is that of the example of package derive, which runs.
func TestReadmeGoCodeRuns(t *testing.T) {
	example, err := os.ReadFile("derive/example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	body := strings.ReplaceAll(string(example), "\n\t", "\n")
	for _, block := range readmeBlocks(t, "go") {
		for part := range strings.SplitSeq(strings.TrimSpace(block), "\n\n") {
			if !strings.Contains(body, part) {
				t.Errorf("derive/example_test.go does not have\n%s", part)
			}
		}
	}
}

// The commands of README's runbooks are those that the scripts named after them run.
func TestReadmeRunbooksAreScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/script/runbook-*.txt")
	if err != nil {
		t.Fatal(err)
	}
	run := make(map[string]bool)
	for _, file := range files {
		script, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(script)) {
			line = strings.TrimSpace(line)
			command, isCommand := strings.CutPrefix(line, "exec ")
			if refusal := regexp.MustCompile(`^exits \d (.*)$`).FindStringSubmatch(line); refusal != nil {
				command, isCommand = refusal[1], true
			}
			run[command] = run[command] || isCommand
		}
	}
	for _, block := range readmeBlocks(t, "sh") {
		for command := range strings.Lines(block) {
			if !run[strings.TrimSpace(command)] {
				t.Errorf("no runbook script runs %q", command)
			}
		}
	}
}

// skipUnlessRequired skips what a machine with Go alone cannot run. Where
// everything must run, it fails instead.
func skipUnlessRequired(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("KEYHINT_REQUIRE_ALL") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}
