package audit_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"keyhint/httpapi/audit"
)

// skipUnlessRequired skips what this machine or user cannot run. Where
// everything must run, it fails instead.
func skipUnlessRequired(t *testing.T, why ...any) {
	t.Helper()
	if os.Getenv("KEYHINT_REQUIRE_ALL") != "" {
		t.Fatal(why...)
	}
	t.Skip(why...)
}

// disk is a file system of 64 KiB.
func disk(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		skipUnlessRequired(t, "only root can mount a small file system")
	}
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=64k"); err != nil {
		skipUnlessRequired(t, "no file system can be mounted here:", err)
	}
	t.Cleanup(func() { syscall.Unmount(folder, syscall.MNT_DETACH) })
	return folder
}

// fill takes all that is left of a disk.
func fill(t *testing.T, folder string) {
	t.Helper()
	f, err := os.Create(filepath.Join(folder, "fill"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for {
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			return
		}
	}
}

// The log goes over its last page while many write. Each record whose Write
// returned nil is there, whole and once, and once there is room all is well.
func TestFullDisk(t *testing.T) {
	for _, fsync := range []bool{false, true} {
		t.Run(fmt.Sprint("fsync ", fsync), func(t *testing.T) {
			folder := disk(t)
			path := filepath.Join(folder, "audit.log")
			log := open(t, audit.Options{Sink: path, Fsync: fsync})
			write(t, log, "first")
			fill(t, folder)
			var mutex sync.Mutex
			var written []string
			failed := 0
			var done sync.WaitGroup
			for w := range 8 {
				done.Go(func() {
					for n := range 100 {
						id := fmt.Sprintf("%d.%d.%s", w, n, strings.Repeat("x", n))
						err := log.Write(request(id))
						mutex.Lock()
						if err == nil {
							written = append(written, id)
						} else if failed++; !errors.Is(err, audit.ErrUnwritten) || !errors.Is(err, syscall.ENOSPC) {
							t.Error(err)
						}
						mutex.Unlock()
					}
				})
			}
			done.Wait()
			if failed == 0 || len(written) == 0 {
				t.Fatalf("%d failed, %d were written", failed, len(written))
			}
			if err := log.Ready(); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("%v", err)
			}
			if err := os.Remove(filepath.Join(folder, "fill")); err != nil {
				t.Fatal(err)
			}
			if err := log.Ready(); err != nil {
				t.Errorf("there is room again: %v", err)
			}
			write(t, log, "last")
			torn, gaps, unwritten := 0, 0, 0
			var found []string
			for _, l := range lines(t, path) {
				switch {
				case l.torn:
					torn++
				case l.Audit == "gap":
					gaps++
					unwritten += l.Unwritten
					if l.Since == "" || l.Since > l.Time {
						t.Errorf("%+v", l)
					}
				default:
					found = append(found, l.RequestID)
				}
			}
			t.Logf("%d written, %d failed, %d torn, %d gaps of %d", len(written), failed, torn, gaps, unwritten)
			if gaps < 1 || unwritten != failed || torn > gaps {
				t.Errorf("%d torn, %d gaps of %d records; %d failed", torn, gaps, unwritten, failed)
			}
			want := append([]string{"first", "last"}, written...)
			slices.Sort(want)
			slices.Sort(found)
			if !slices.Equal(found, want) {
				t.Errorf("%d are there of %d", len(found), len(want))
			}
		})
	}
}

// asStdout puts a file in the place of stdout for a test.
func asStdout(t *testing.T, f *os.File) {
	t.Helper()
	stdout := os.Stdout
	os.Stdout = f
	t.Cleanup(func() { os.Stdout = stdout })
}

// pipe is one that blocks its writers, like that of a shell.
func pipe(t *testing.T) (reader, writer *os.File) {
	t.Helper()
	var fds [2]int
	if err := syscall.Pipe(fds[:]); err != nil {
		t.Fatal(err)
	}
	reader, writer = os.NewFile(uintptr(fds[0]), "reader"), os.NewFile(uintptr(fds[1]), "writer")
	t.Cleanup(func() { reader.Close(); writer.Close() })
	return reader, writer
}

func TestReaderThatHangsIsNotWaitedForLong(t *testing.T) {
	const patience = 200 * time.Millisecond
	audit.SetPatience(patience)
	defer audit.SetPatience(5 * time.Second)
	reader, writer := pipe(t)
	asStdout(t, writer)
	failures := make(chan error, 100_000)
	log := open(t, audit.Options{Sink: audit.Stdout, Observe: func(_ time.Duration, err error) {
		if err != nil {
			failures <- err
		}
	}})
	start := time.Now()
	written := 0
	for ; log.Write(request(fmt.Sprint("a", written))) == nil; written++ {
	}
	if took := time.Since(start); took < patience || took > 20*patience {
		t.Errorf("after %v", took)
	}
	if err := <-failures; !strings.Contains(err.Error(), "writing takes over 200ms") {
		t.Error(err)
	}
	// From now on nobody waits.
	start = time.Now()
	for range 10_000 {
		if err := log.Write(request("b")); !errors.Is(err, audit.ErrUnwritten) {
			t.Fatal(err)
		}
	}
	if err := log.Ready(); err == nil {
		t.Error("is ready")
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("%v for 10,000 refusals", took)
	}
	if err := <-failures; !strings.Contains(err.Error(), "writing takes over 200ms") {
		t.Error(err)
	}

	// The reader goes on, and so does the log. What was on its way is there too.
	scanner := bufio.NewScanner(reader)
	for n := range written + 1 {
		if !scanner.Scan() || !strings.Contains(scanner.Text(), fmt.Sprintf(`"request_id":"a%d"`, n)) {
			t.Fatalf("line %d is %s", n, scanner.Text())
		}
	}
	for deadline := time.Now().Add(10 * time.Second); log.Write(request("c")) != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not recover")
		}
	}
	var gap struct {
		Audit     string
		Unwritten int
	}
	scanner.Scan()
	if err := json.Unmarshal(scanner.Bytes(), &gap); err != nil || gap.Audit != "gap" || gap.Unwritten < 10_000 {
		t.Errorf("%s", scanner.Text())
	}
	if !scanner.Scan() || !strings.Contains(scanner.Text(), `"request_id":"c"`) {
		t.Errorf("%s", scanner.Text())
	}
	if err := log.Ready(); err != nil {
		t.Error(err)
	}
}

// While a write hangs, only so much waits behind it.
func TestQueueIsBounded(t *testing.T) {
	reader, writer := pipe(t)
	asStdout(t, writer)
	log := open(t, audit.Options{Sink: audit.Stdout})
	var waiting sync.WaitGroup
	defer waiting.Wait()
	defer reader.Close() // which ends the waiting
	r := request("a")
	r.Subject = strings.Repeat("x", 6000)
	refused := make(chan error, 1000)
	for range 800 { // 5 MB
		waiting.Go(func() {
			refused <- log.Write(r)
		})
	}
	full := 0
	for timeout := time.After(4 * time.Second); full < 800-(2<<20+64<<10)/6000; {
		select {
		case err := <-refused:
			if err != nil {
				if full++; !strings.Contains(err.Error(), "too many records wait") {
					t.Fatal(err)
				}
			}
		case <-timeout:
			t.Fatalf("%d were refused", full)
		}
	}
}

// Lines go to a pipe in pieces that nothing can come between, of whole lines.
func TestPiecesForAPipe(t *testing.T) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET, 0)
	if err != nil {
		t.Fatal(err)
	}
	reader, writer := os.NewFile(uintptr(fds[0]), "reader"), os.NewFile(uintptr(fds[1]), "writer")
	defer reader.Close()
	asStdout(t, writer)
	log := open(t, audit.Options{Sink: audit.Stdout})
	const records = 2000
	var done sync.WaitGroup
	for n := range records {
		done.Go(func() {
			r := request(fmt.Sprint(n))
			if n%100 == 0 {
				r.Subject = strings.Repeat("x", 6000)
			}
			if err := log.Write(r); err != nil {
				t.Error(err)
			}
		})
	}
	go func() {
		done.Wait()
		writer.Close()
	}()
	pieces, found := 0, 0
	for buffer := make([]byte, 1<<21); ; pieces++ {
		n, err := reader.Read(buffer)
		if n == 0 || err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		piece := string(buffer[:n])
		whole := strings.Count(piece, "\n")
		found += whole
		if !strings.HasSuffix(piece, "\n") || n > 4096 && whole > 1 {
			t.Errorf("a piece of %d bytes, %d lines", n, whole)
		}
	}
	t.Logf("%d records in %d pieces", found, pieces)
	if found != records || pieces >= records {
		t.Errorf("%d records in %d pieces", found, pieces)
	}
}

func TestReaderThatIsGone(t *testing.T) {
	reader, writer := pipe(t)
	asStdout(t, writer)
	log := open(t, audit.Options{Sink: audit.Stdout})
	write(t, log, "a")
	reader.Close()
	for range 2 {
		if err := log.Write(request("b")); !errors.Is(err, audit.ErrUnwritten) || !errors.Is(err, syscall.EPIPE) {
			t.Errorf("%v", err)
		}
	}
	if err := log.Ready(); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("%v", err)
	}
}

// A terminal whose other end is gone gives EIO.
func TestInputOutputError(t *testing.T) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		skipUnlessRequired(t, err)
	}
	var number, unlocked uint32
	for request, argument := range map[uintptr]*uint32{syscall.TIOCGPTN: &number, syscall.TIOCSPTLCK: &unlocked} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, master.Fd(), request, uintptr(unsafe.Pointer(argument))); errno != 0 {
			t.Fatal(errno)
		}
	}
	terminal, err := os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		skipUnlessRequired(t, err)
	}
	defer terminal.Close()
	asStdout(t, terminal)
	log := open(t, audit.Options{Sink: audit.Stdout})
	write(t, log, "a")
	master.Close()
	for range 2 {
		if err := log.Write(request("b")); !errors.Is(err, audit.ErrUnwritten) || !errors.Is(err, syscall.EIO) {
			t.Errorf("%v", err)
		}
	}
}

func TestStdoutThatLeadsNowhereIsRefused(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	asStdout(t, null)
	if _, err := audit.Open(audit.Options{Sink: audit.Stdout}); err == nil {
		t.Error("is open")
	}
}
