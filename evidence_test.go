package main

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"testing"

	"keyhint/derive"
	"keyhint/httpapi/leaktest"
)

// known are the secrets of all servers that these tests start, and the keys that
// they answer. None of them may be in what a server logs and audits.
var known = leaktest.Search{Stride: 8}

// maxAudited bounds how much of a server's audit log is searched, in bytes:
// servers under load write it by the gigabyte.
const maxAudited = 4 << 20

var (
	secretForm = regexp.MustCompile(`(?:^|[^A-Za-z0-9+/])([A-Za-z0-9+/]{43}=)`)
	namedFile  = regexp.MustCompile(`file://(/[^\s'",}]+)`)
)

// knowSecrets notes the secrets in the environment of a server, in the files that
// it is given, and in those that they name.
func knowSecrets(command *exec.Cmd) {
	for _, variable := range command.Env {
		know(variable)
	}
	for _, argument := range command.Args {
		text, err := os.ReadFile(argument)
		if err != nil || len(text) > 1<<20 {
			continue // it is no file, or a program
		}
		know(string(text))
		for _, named := range namedFile.FindAllStringSubmatch(string(text), -1) {
			secret, _ := os.ReadFile(named[1])
			know(string(secret))
		}
	}
}

func know(text string) {
	for _, found := range secretForm.FindAllStringSubmatch(text, -1) {
		if b, err := base64.StdEncoding.DecodeString(found[1]); err == nil {
			known.Secret("a secret", b)
		}
	}
}

// knowKey notes the key in an answer, if there is one.
func knowKey(answer []byte) {
	var a struct{ Key string }
	if json.Unmarshal(answer, &a) != nil {
		return
	}
	if b, err := base64.RawURLEncoding.DecodeString(a.Key); err == nil && len(b) == derive.SecretSize {
		known.Secret("a key", b)
	}
}

// searchOutput searches what a server that has ended has logged, and audited on
// its stdout.
func searchOutput(t testing.TB, s *served) {
	var found []string
	for _, line := range s.lines() {
		found = append(found, known.In("the log", []byte(line.text))...)
	}
	if stdout, isFile := s.Stdout.(*os.File); isFile {
		if audited, err := os.Open(stdout.Name()); err == nil {
			text, _ := io.ReadAll(io.LimitReader(audited, maxAudited))
			audited.Close()
			found = append(found, known.In("the audit log", text)...)
		}
	}
	slices.Sort(found)
	for _, finding := range slices.Compact(found) {
		t.Error(finding)
	}
}
