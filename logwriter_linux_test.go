package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Whoever reads the log and hangs holds neither requests nor the end of the
// program; when they read again they learn how much they missed.
func TestLogReaderThatHangs(t *testing.T) {
	a := newAudited(t)
	var ends [2]int
	if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	reader, writer := os.NewFile(uintptr(ends[0]), "reader"), os.NewFile(uintptr(ends[1]), "writer")
	defer reader.Close()
	defer writer.Close()
	command := exec.Command("keyhint", "serve", "--config", a.file)
	command.Env, command.Stderr = append(os.Environ(), "KEYHINT_LOG_LEVEL=debug"), writer
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- command.Wait() }()
	t.Cleanup(func() { command.Process.Kill() })
	lines := bufio.NewScanner(reader)
	lines.Buffer(nil, 1<<20) // for what the pipe is filled with below
	await := func(message string) (line struct {
		Msg, Address string
		Lines        int
	}) {
		t.Helper()
		for lines.Scan() {
			_, record, _ := strings.Cut(lines.Text(), "{") // what the pipe was filled with may stand before it
			if json.Unmarshal([]byte("{"+record), &line) == nil && line.Msg == message {
				return line
			}
		}
		t.Fatalf("the log ends before %q: %v", message, lines.Err())
		return
	}
	url := "http://" + await("serving").Address + "/v1/key"
	await(loggedInForce)

	fill := func() {
		t.Helper()
		raw := int(writer.Fd())
		if err := syscall.SetNonblock(raw, true); err != nil {
			t.Fatal(err)
		}
		for size := 4096; size > 0; {
			if _, err := syscall.Write(raw, make([]byte, size)); errors.Is(err, syscall.EAGAIN) {
				size /= 2
			} else if err != nil {
				t.Fatal(err)
			}
		}
		// The server writes by the same description.
		if err := syscall.SetNonblock(raw, false); err != nil {
			t.Fatal(err)
		}
	}
	refuse := func() time.Duration { // which is logged
		t.Helper()
		client := newClient()
		defer client.CloseIdleConnections()
		client.Timeout = patience
		request, err := http.NewRequest(http.MethodPost, url, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		request.Host = "keys.example.com"
		start := time.Now()
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusForbidden {
			t.Errorf("status %d", response.StatusCode)
		}
		return time.Since(start)
	}
	fill()
	for range 20 {
		if took := refuse(); took > patience/2 {
			t.Errorf("a refusal takes %v", took)
		}
	}
	if lost := await("lines of this log were lost: nothing took them up").Lines; lost < 10 {
		t.Errorf("%d lines", lost)
	}
	fill()
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-exited:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("it does not end")
	}
}
