package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// readmeTool skips a test without a tool that README's commands need.
func readmeTool(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		skipUnlessRequired(t, name+" is not installed")
	}
}

// readmeBash runs the block of README that holds a text, where the server's
// files are, and returns the lines that it prints.
func (a *audited) readmeBash(t *testing.T, text string) []string {
	t.Helper()
	blocks := readmeBlocks(t, "bash")
	i := slices.IndexFunc(blocks, func(block string) bool { return strings.Contains(block, text) })
	if i < 0 {
		t.Fatalf("README has no block with %q", text)
	}
	command := exec.Command("sh", "-c", blocks[i])
	command.Dir = a.dir
	command.Stderr = t.Output()
	output, err := command.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, blocks[i])
	}
	return slices.Collect(strings.Lines(string(output)))
}

// A session's hint is lost. README's commands find it in the audit log of a real
// server, in spite of the loser of a race, of other documents, and of a line that
// was cut off; and it gives the same key.
func TestReadmeRecoversALostHint(t *testing.T) {
	readmeTool(t, "jq")
	for _, hashed := range []bool{false, true} {
		t.Run(fmt.Sprintf("document key %t", hashed), func(t *testing.T) {
			a := newAudited(t)
			if hashed {
				text, err := os.ReadFile(a.file)
				if err != nil {
					t.Fatal(err)
				}
				if err := writeInPlace(a.file, replace(t, string(text), "audit:\n", "audit:\n  document_key: s3wBTVvLTWbCjBxT4X6g0tGv9qcZ8kq4mYcIuVQ5o2E=\n")); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(a.sink, []byte(`{"audit":"request","document_id":"doc-1","operation":"iss`), 0o600); err != nil {
				t.Fatal(err)
			}
			a.start(t, "", nil)
			client := newClient()
			defer client.CloseIdleConnections()
			ask := func(document string, hint any, outcome string) audibleAnswer {
				t.Helper()
				answer, err := a.ask(client, document, hint)
				if err != nil || answer.outcome != outcome {
					t.Fatal(answer, err)
				}
				return answer
			}
			const mismatch = "urn:keyhint:hint-mismatch"
			ask("doc-2", nil, "granted")
			lost := ask("doc-1", nil, "granted")
			race := ask("doc-1", nil, "granted")
			for range 2 {
				ask("doc-1", lost.hint, "granted")
				ask("doc-2", lost.hint, mismatch)
			}

			if hashed {
				lines := a.readmeBash(t, "document_id_hmac")
				if len(lines) != 4 || !strings.Contains(lines[0], lost.hint) || !strings.Contains(lines[1], race.hint) {
					t.Errorf("%q", lines)
				}
				return
			}
			if lines := a.readmeBash(t, ".client, .operation"); len(lines) != 4 || !strings.Contains(lines[2], "\t127.0.0.1\tresolve\t"+lost.hint) {
				t.Errorf("%q", lines)
			}
			if lines := a.readmeBash(t, `"refused"`); len(lines) != 1 || strings.Join(strings.Fields(lines[0]), " ") != "2 127.0.0.1 "+mismatch {
				t.Errorf("%q", lines)
			}
			issued := a.readmeBash(t, `.operation == "issue"`)
			if len(issued) != 2 || !strings.HasSuffix(issued[0], "\t"+lost.hint+"\n") || !strings.HasSuffix(issued[1], "\t"+race.hint+"\n") {
				t.Errorf("%q", issued)
			}
			resolved := a.readmeBash(t, `.operation == "resolve"`)
			if len(resolved) != 1 {
				t.Fatalf("%q", resolved)
			}
			found := strings.Fields(resolved[0])[1]
			if again := ask("doc-1", found, "granted"); again.key != lost.key {
				t.Error("it is the key of another session")
			}
			inspect := exec.Command("keyhint", "hint", "inspect", found, "--document-id", "doc-1", "--config", a.file)
			if output, err := inspect.CombinedOutput(); err != nil || !strings.Contains(string(output), "resolves") {
				t.Errorf("%v: %s", err, output)
			}
		})
	}
}

// The record that README shows has the members of a real one, in their order, and
// the table has them all.
func TestReadmeShowsARecord(t *testing.T) {
	a := newAudited(t)
	a.start(t, "", nil)
	client := newClient()
	defer client.CloseIdleConnections()
	if _, err := a.ask(client, "doc-1", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := a.ask(client, "doc-1", "nonsense"); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(a.sink)
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`"(\w+)":`)
	members := func(line string) []string {
		if !json.Valid([]byte(line)) {
			t.Errorf("%s", line)
		}
		var names []string
		for _, m := range name.FindAllStringSubmatch(line, -1) {
			names = append(names, m[1])
		}
		return names
	}
	granted, refused, _ := strings.Cut(string(text), "\n")
	shown := members(readmeBlocks(t, "json")[0])
	if real := members(granted); !slices.Equal(slices.DeleteFunc(slices.Clone(shown), func(name string) bool { return name == "subject" }), real) {
		t.Errorf("README shows %q; there are %q", shown, real)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(readme), "| member | |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	for _, name := range append(shown, append(members(refused), "namespace", "document_id_hmac")...) {
		if !strings.Contains(table, "`"+name+"`") {
			t.Errorf("the table does not have %s", name)
		}
	}
}

// logrotate takes the configuration that README shows, and loses nothing with it.
func TestReadmeLogrotate(t *testing.T) {
	readmeTool(t, "logrotate")
	a := newAudited(t)
	a.start(t, "", nil)
	snippet := readmeBlocks(t, "logrotate")[0]
	snippet = replace(t, snippet, "/var/log/keyhint/audit.log {", a.sink+" {")
	snippet = replace(t, snippet, "systemctl reload keyhint.service", fmt.Sprint("kill -HUP ", a.Process.Pid))
	file := filepath.Join(a.dir, "logrotate.conf")
	if err := os.WriteFile(file, []byte(snippet), 0o600); err != nil {
		t.Fatal(err)
	}
	stop := a.load(t)
	const rotations = 3
	for n := range rotations {
		before, from := a.answered(), len(a.lines())
		if !within(func() bool { return a.answered() > before+100 }) {
			t.Fatal("there are no answers")
		}
		command := exec.Command("logrotate", "--force", "--state", filepath.Join(a.dir, "state"), file)
		if output, err := command.CombinedOutput(); err != nil || len(output) > 0 {
			t.Fatalf("%v: %s", err, output)
		}
		if _, err := a.await(from, func(line logLine) bool { return line.Msg == loggedOpened }); err != nil {
			t.Fatal(err)
		}
		// What has gone to a file before it is compressed is there: it waits for the next turn.
		if files, _ := filepath.Glob(a.sink + "*"); len(files) != n+2 {
			t.Errorf("%q", files)
		}
		// The names of rotated files have seconds.
		rotated := time.Now().Unix()
		within(func() bool { return time.Now().Unix() > rotated })
	}
	stop()
	files, err := filepath.Glob(a.sink + "*")
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range files {
		if filepath.Ext(name) == ".gz" {
			if output, err := exec.Command("gzip", "-d", name).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, output)
			}
			files[i] = strings.TrimSuffix(name, ".gz")
		}
	}
	if torn := a.check(t, files...); torn != 0 {
		t.Errorf("%d torn lines", torn)
	}
}
