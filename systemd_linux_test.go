package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"keyhint/config"
)

const units = "deploy/systemd/"

// needSystemd skips a test where systemd's tools are not installed.
func needSystemd(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			skipUnlessRequired(t, tool+" is not installed")
		}
	}
}

// installUnits copies the units into a folder. They name the given binary there.
func installUnits(t *testing.T, folder, binary string) {
	t.Helper()
	for _, name := range []string{"keyhint.service", "keyhint.socket", "keyhint-admin.socket"} {
		text, err := os.ReadFile(units + name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), []byte(strings.ReplaceAll(string(text), "/usr/local/bin/keyhint", binary)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func analyze(t *testing.T, arguments ...string) string {
	t.Helper()
	output, err := exec.Command("systemd-analyze", arguments...).CombinedOutput()
	if err != nil {
		t.Errorf("systemd-analyze %s: %v\n%s", strings.Join(arguments, " "), err, output)
	}
	return string(output)
}

func TestUnitsAreGood(t *testing.T) {
	needSystemd(t, "systemd-analyze")
	folder := t.TempDir()
	installUnits(t, folder, buildForTest(t))
	service := filepath.Join(folder, "keyhint.service")
	if output := analyze(t, "verify", service, filepath.Join(folder, "keyhint.socket"), filepath.Join(folder, "keyhint-admin.socket")); output != "" {
		t.Errorf("systemd-analyze verify says %s", output)
	}
	readme, err := os.ReadFile("deploy/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		dropIn, threshold string
		open              []string // what the sandbox does not close, in systemd's words
	}{
		{"", "11", []string{
			"RootDirectory=/RootImage=", "RestrictAddressFamilies=~AF_UNIX", "RestrictAddressFamilies=~AF_(INET|INET6)",
			"PrivateNetwork=", "DeviceAllow=", "IPAddressDeny=",
		}},
		{"no-network.conf", "4", []string{"RootDirectory=/RootImage=", "RestrictAddressFamilies=~AF_UNIX", "DeviceAllow=", "IPAddressDeny="}},
	} {
		if c.dropIn != "" {
			text, err := os.ReadFile(units + c.dropIn)
			if err != nil {
				t.Fatal(err)
			}
			before, err := os.ReadFile(service)
			if err != nil {
				t.Fatal(err)
			}
			// An offline look sees no drop-ins.
			if err := os.WriteFile(service, slices.Concat(before, []byte("\n"), text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		output := analyze(t, "security", "--offline=true", "--no-pager", "--threshold="+c.threshold, service)
		exposure := regexp.MustCompile(`Overall exposure level for keyhint.service: ([0-9.]+)`).FindStringSubmatch(output)
		if exposure == nil || !strings.Contains(string(readme), "**"+exposure[1]+"**") {
			t.Errorf("deploy/README.md does not have the exposure level of %s %s: %s", service, c.dropIn, output[max(0, len(output)-200):])
		}
		var settings []struct {
			Set      *bool // null if it does not matter here
			Name     string
			Exposure *string
		}
		if err := json.Unmarshal([]byte(analyze(t, "security", "--offline=true", "--json=short", service)), &settings); err != nil {
			t.Fatal(err)
		}
		var open []string
		for _, s := range settings {
			if s.Exposure != nil {
				open = append(open, s.Name)
			}
		}
		slices.Sort(open)
		slices.Sort(c.open)
		if len(settings) < 50 || !slices.Equal(open, c.open) {
			t.Errorf("with %q, of %d settings these leave something open: %q", c.dropIn, len(settings), open)
		}
	}
}

// allowedCalls are the system calls that the unit allows, as systemd resolves
// its groups.
func allowedCalls(t *testing.T) map[string]bool {
	t.Helper()
	groups := make(map[string][]string)
	group := ""
	for line := range strings.Lines(analyze(t, "syscall-filter", "--no-pager")) {
		name := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "@"):
			group = name
		case name != "" && !strings.HasPrefix(name, "#"):
			groups[group] = append(groups[group], name)
		}
	}
	text, err := os.ReadFile(units + "keyhint.service")
	if err != nil {
		t.Fatal(err)
	}
	allowed := make(map[string]bool)
	var set func(name string, to bool)
	set = func(name string, to bool) {
		if !strings.HasPrefix(name, "@") {
			allowed[name] = to
		} else if len(groups[name]) == 0 {
			t.Errorf("there is no group %s", name)
		}
		for _, member := range groups[name] {
			set(member, to)
		}
	}
	filters := regexp.MustCompile(`(?m)^SystemCallFilter=(~?)(.+)$`).FindAllStringSubmatch(string(text), -1)
	for _, filter := range filters {
		for _, name := range strings.Fields(filter[2]) {
			set(name, filter[1] == "")
		}
	}
	set("@default", true) // which is implied
	if len(filters) == 0 || !allowed["openat"] || allowed["ptrace"] || allowed["mount"] {
		t.Fatalf("%d filters, %d system calls", len(filters), len(allowed))
	}
	return allowed
}

// What keyhint calls while it starts, serves, reloads, writes its ledger and its
// audit log, and stops, the unit allows.
func TestUnitAllowsTheSystemCallsThatAreMade(t *testing.T) {
	needSystemd(t, "systemd-analyze", "strace")
	allowed := allowedCalls(t)
	folder := t.TempDir()
	writeCertificate(t, folder)
	file := writeServing(t, fmt.Sprintf("address: unix:%[1]s/socket, tls: {cert_file: %[1]s/cert.pem, key_file: %[1]s/key.pem}", folder), "address: "+freeAddress(t))
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	extended := strings.Replace(string(text), "keyring:\n", fmt.Sprintf("audit: {sink: %[1]s/audit, fsync: true}\nkeyring:\n  ledger_file: %[1]s/ledger\n", folder), 1)
	if err := writeInPlace(file, extended); err != nil {
		t.Fatal(err)
	}
	trace := filepath.Join(t.TempDir(), "trace")
	s, err := launchCommand(t, exec.Command("strace", "-D", "-f", "-qq", "-o", trace, buildForTest(t), "serve", "--config", file))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.listens(); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Timeout: patience, Transport: cookies{&http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(folder, "socket"))
		},
	}}}
	each(100, func(int) {
		if outcome, _, _, err := exchange(client, "https://keyhint.internal/v1/key", "doc-1", nil); outcome != "200" {
			t.Errorf("%s, %v", outcome, err)
		}
	})
	from := len(s.lines())
	if err := s.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	second, err := config.NewEntry(2, time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := renameOver(file, extended+second); err != nil {
		t.Fatal(err)
	}
	if _, err := s.await(from, func(line logLine) bool { return line.Msg == loggedInForce }); err != nil {
		t.Fatal(err)
	}
	s.end(t, syscall.SIGTERM)
	if awaitMatch(trace, regexp.MustCompile(`exit_group\(0`)) == nil {
		t.Fatal("the trace has no end")
	}
	content, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	called := make(map[string]bool)
	maps.DeleteFunc(allowed, func(_ string, is bool) bool { return !is })
	for _, m := range regexp.MustCompile(`(?m)^\d+ +([a-z0-9_]+)\(`).FindAllStringSubmatch(string(content), -1) {
		called[m[1]] = true
		if !allowed[m[1]] {
			t.Errorf("the unit does not allow %s", m[1])
			allowed[m[1]] = true // said once
		}
	}
	t.Logf("%d system calls of %d allowed ones: %v", len(called), len(allowed), slices.Sorted(maps.Keys(called)))
	if !called["accept4"] || !called["fsync"] || !called["inotify_add_watch"] {
		t.Error("the trace does not have what must be there")
	}
}
