package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"keyhint/config"
)

// writeServing makes a configuration with these settings of server and admin,
// whose host application allows everything.
func writeServing(t *testing.T, server, admin string) (file string) {
	t.Helper()
	host := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"allow":true}`)
	}))
	t.Cleanup(host.Close)
	entry, err := config.NewEntry(1, time.Now(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "keyhint.yaml")
	text := fmt.Sprintf("server: {%s}\nadmin: {%s}\nauth:\n  mode: forward\n  forward: {url: %q}\nkeyring:\n  keys:\n%s", server, admin, host.URL, entry)
	if err := writeInPlace(file, text); err != nil {
		t.Fatal(err)
	}
	return file
}

// clientOf asks what listens at an address, whatever the URL says.
func clientOf(network, address string) *http.Client {
	return &http.Client{Timeout: patience, Transport: cookies{&http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}}}}
}

// checkKey asks for a key.
func checkKey(t *testing.T, client *http.Client) {
	t.Helper()
	if outcome, key, _, err := exchange(client, "http://keyhint.internal/v1/key", "doc-1", nil); err != nil || key == "" {
		t.Errorf("%s, %v", outcome, err)
	}
}

func (s *served) end(t *testing.T, signal syscall.Signal) {
	t.Helper()
	s.dying.Store(true)
	if err := s.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	s.awaitEnd(t)
}

func (s *served) awaitEnd(t *testing.T) {
	t.Helper()
	select {
	case <-s.exited:
	case <-time.After(patience):
		t.Fatalf("it does not end: %v", s.lines())
	}
}

func TestUnixSocketOutlivesItsServers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keyhint.sock")
	file, client := writeServing(t, "address: unix:"+path, `address: ""`), clientOf("unix", path)
	start := func() *served {
		t.Helper()
		s, err := launch(t, file, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.listens(); err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := start()
	checkKey(t, client)
	if info, err := os.Lstat(path); err != nil || info.Mode() != fs.ModeSocket|0o660 {
		t.Errorf("%v, %v", info.Mode(), err)
	}

	second, err := launch(t, file, 0)
	if err != nil {
		t.Fatal(err)
	}
	second.awaitEnd(t)
	if code, log := second.ProcessState.ExitCode(), fmt.Sprint(second.lines()); code != exitFailed || !strings.Contains(log, "server.address: another server listens on "+path) {
		t.Errorf("a second server exits with %d: %s", code, log)
	}
	checkKey(t, client) // the first has its socket

	first.end(t, syscall.SIGKILL)
	if _, err := os.Lstat(path); err != nil {
		t.Fatal("nothing is left behind, so this tests nothing")
	}
	client.CloseIdleConnections()
	third := start()
	checkKey(t, client)
	third.end(t, syscall.SIGTERM)
	if _, err := os.Lstat(path); err == nil {
		t.Error("a server that stopped in order left its socket")
	}
}

// activate starts a server as systemd does, with a socket of each name.
func activate(t *testing.T, file string, names string, sockets ...*os.File) *served {
	t.Helper()
	command := exec.Command("sh", "-c", fmt.Sprintf("LISTEN_PID=$$ LISTEN_FDS=%d LISTEN_FDNAMES=%s exec keyhint serve --config %s", len(sockets), names, file))
	command.ExtraFiles = sockets
	s, err := launchCommand(t, command)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Connections that are made while nobody runs wait in the socket.
func TestPassedSocketsOutliveTheServer(t *testing.T) {
	file := writeServing(t, "address: systemd", "address: systemd")
	var sockets []*os.File
	var clients []*http.Client
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		socket, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
		sockets = append(sockets, socket)
		clients = append(clients, clientOf("tcp", l.Addr().String()))
	}
	public, private := clients[0], clients[1]
	for range 2 {
		answered := make(chan struct{})
		go func() {
			defer close(answered)
			checkKey(t, public)
		}()
		s := activate(t, file, "keyhint:keyhint-admin", sockets...)
		if _, err := s.listens(); err != nil {
			t.Fatal(err)
		}
		<-answered
		response, err := private.Get("http://keyhint.internal/readyz")
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v", response, err)
		}
		response.Body.Close()
		s.end(t, syscall.SIGTERM)
		if code := s.ProcessState.ExitCode(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		public.CloseIdleConnections()
		private.CloseIdleConnections()
	}

	for _, c := range []struct{ server, admin, names, says string }{
		{"address: systemd", `address: ""`, "keyhint:keyhint-admin", "server.address: systemd passed a socket that no setting uses, keyhint-admin: "},
		{"address: systemd", `address: ""`, "other:another", "server.address: systemd passed no socket named keyhint, but another, other: write FileDescriptorName=keyhint in the socket unit"},
		{"address: systemd", "address: systemd", "keyhint:other", "admin.address: systemd passed no socket named keyhint-admin, but other: "},
		{"address: systemd", `address: ""`, "keyhint:keyhint", `systemd passed two sockets named "keyhint"`},
	} {
		s := activate(t, writeServing(t, c.server, c.admin), c.names, sockets...)
		s.awaitEnd(t)
		if code, log := s.ProcessState.ExitCode(), fmt.Sprint(s.lines()); code != exitFailed || !strings.Contains(log, c.says) {
			t.Errorf("%s: exit code %d, %s", c.names, code, log)
		}
	}
}

func TestServeWithSystemdSocketActivate(t *testing.T) {
	if _, err := exec.LookPath("systemd-socket-activate"); err != nil {
		skipUnlessRequired(t, "systemd-socket-activate is not installed")
	}
	file := writeServing(t, "address: systemd", "address: systemd")
	folder := t.TempDir()
	public, private := filepath.Join(folder, "public"), filepath.Join(folder, "private")
	program, err := exec.LookPath("keyhint")
	if err != nil {
		t.Fatal(err)
	}
	s, err := launchCommand(t, exec.Command("systemd-socket-activate", "-l", public, "-l", private, "--fdname=keyhint:keyhint-admin", program, "serve", "--config", file))
	if err != nil {
		t.Fatal(err)
	}
	if !within(func() bool { _, err := os.Lstat(private); return err == nil }) {
		t.Fatalf("%v", s.lines())
	}
	checkKey(t, clientOf("unix", public)) // the first connection starts the server
	response, err := clientOf("unix", private).Get("http://keyhint.internal/readyz")
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", response, err)
	}
	response.Body.Close()
	s.end(t, syscall.SIGTERM)
	if code := s.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestSecondSignalEndsItAtOnce(t *testing.T) {
	s, err := launch(t, writeServing(t, "address: 127.0.0.1:0, shutdown_delay: 5m", `address: ""`), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.listens(); err != nil {
		t.Fatal(err)
	}
	s.dying.Store(true)
	if err := s.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, err := s.await(0, func(line logLine) bool { return line.Msg == "stopping" }); err != nil {
		t.Fatal(err)
	}
	s.end(t, syscall.SIGTERM)
	if status := s.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("%v", s.ProcessState)
	}
}
