package audit_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"keyhint/httpapi/audit"
)

// line is what tests look at in a record.
type line struct {
	Audit, RequestID, Time, Since string
	Unwritten                     int
	torn                          bool // it is no JSON
}

// lines reads a log; lines that are empty are left out.
func lines(t testing.TB, path string) []line {
	t.Helper()
	var list []line
	for text := range strings.Lines(read(t, path)) {
		if text == "\n" {
			continue
		}
		var l struct {
			Audit, Time, Since string
			RequestID          string `json:"request_id"`
			Unwritten          int
		}
		err := json.Unmarshal([]byte(text), &l)
		list = append(list, line{l.Audit, l.RequestID, l.Time, l.Since, l.Unwritten, err != nil})
	}
	return list
}

// ids are the request ids of a log's records, which must all be whole.
func ids(t testing.TB, path string) []string {
	t.Helper()
	var list []string
	for _, l := range lines(t, path) {
		if l.torn || l.Audit != "request" {
			t.Errorf("%s has the line %+v", path, l)
		}
		list = append(list, l.RequestID)
	}
	return list
}

func request(id string) audit.Record {
	return audit.Record{Kind: audit.Request, RequestID: id, Status: 200}
}

func write(t testing.TB, log *audit.Log, id string) {
	t.Helper()
	if err := log.Write(request(id)); err != nil {
		t.Fatal(err)
	}
}

func TestFileIsForItsOwnerAndAppendedTo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	for i, before := range []string{"", "a"} {
		log := open(t, audit.Options{Sink: path, Fsync: i == 1})
		write(t, log, string(rune('a'+i)))
		log.Close()
		if got := strings.Join(ids(t, path), ""); got != before+string(rune('a'+i)) {
			t.Errorf("%q", got)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Error(info.Mode(), err)
	}
}

func TestLineThatWasCutOffStaysApart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(path, []byte(`{"audit":"requ`), 0o600); err != nil {
		t.Fatal(err)
	}
	log := open(t, audit.Options{Sink: path})
	write(t, log, "a")
	write(t, log, "b")
	if got := lines(t, path); len(got) != 3 || !got[0].torn || got[1].RequestID != "a" || got[2].RequestID != "b" {
		t.Errorf("%+v", got)
	}
}

func TestOpenRefusesWhatIsNoPrivateFile(t *testing.T) {
	folder := t.TempDir()
	path := func(name string) string { return filepath.Join(folder, name) }
	for _, f := range []struct {
		name string
		mode os.FileMode
	}{{"good", 0o600}, {"group", 0o660}, {"readable", 0o604}, {"writable", 0o602}} {
		if err := os.WriteFile(path(f.name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path(f.name), f.mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(path("good"), path("link")); err != nil {
		t.Fatal(err)
	}
	for name, says := range map[string]string{
		"good": "", "group": "", "new": "",
		"readable":    path("readable") + " can be read by everyone on this machine: run chmod o= " + path("readable"),
		"writable":    path("writable") + " can be written by everyone on this machine: run chmod o= " + path("writable"),
		"link":        path("link") + " is a symbolic link: write the path of the file itself",
		".":           folder + " is not a regular file",
		"no/such/log": "the folder " + path("no/such") + " does not exist: make it, writable for the user that keyhint runs as",
	} {
		log, err := audit.Open(audit.Options{Sink: path(name)})
		if log.Close(); fmt.Sprint(err) != says && (err != nil || says != "") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := audit.Open(audit.Options{Sink: path("absent"), Existing: true}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestNoLogKeepsNothingAndNeverFails(t *testing.T) {
	var log *audit.Log
	log.Close()
	for _, err := range []error{log.Write(request("a")), log.Ready(), log.Reopen(), log.Detached()} {
		if err != nil {
			t.Error(err)
		}
	}
}

func TestClosedLogRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	log := open(t, audit.Options{Sink: path})
	write(t, log, "a")
	log.Close()
	if err := log.Write(request("b")); !errors.Is(err, audit.ErrUnwritten) {
		t.Errorf("%v", err)
	}
	if err := log.Reopen(); err != nil {
		t.Error(err)
	}
	if got := ids(t, path); !slices.Equal(got, []string{"a"}) {
		t.Errorf("%q", got)
	}
}

// TestRotationLosesNoRecord renames the file while many write, as logrotate
// does, and checks that a record is in one of the files when Write returns.
func TestRotationLosesNoRecord(t *testing.T) {
	const writers, rotations = 16, 50
	folder := t.TempDir()
	path := filepath.Join(folder, "audit.log")
	log := open(t, audit.Options{Sink: path})
	stop := make(chan struct{})
	var done sync.WaitGroup
	written := make([][]string, writers)
	for w := range writers {
		done.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				id := fmt.Sprintf("%d.%d", w, n)
				if err := log.Write(request(id)); err != nil {
					t.Error(err)
					return
				}
				written[w] = append(written[w], id)
			}
		})
	}
	for n := range rotations {
		write(t, log, fmt.Sprint("before ", n))
		if err := os.Rename(path, fmt.Sprintf("%s.%d", path, n)); err != nil {
			t.Fatal(err)
		}
		if err := log.Detached(); err == nil || !strings.Contains(err.Error(), "is gone") {
			t.Errorf("%v", err)
		}
		if err := log.Reopen(); err != nil {
			t.Fatal(err)
		}
		if err := log.Detached(); err != nil {
			t.Error(err)
		}
		write(t, log, fmt.Sprint("after ", n))
	}
	close(stop)
	done.Wait()
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) != rotations+1 {
		t.Fatal(files, err)
	}
	var found []string
	for _, file := range files {
		found = append(found, ids(t, file)...)
	}
	want := slices.Concat(written...)
	for n := range rotations {
		want = append(want, fmt.Sprint("before ", n), fmt.Sprint("after ", n))
	}
	slices.Sort(found)
	slices.Sort(want)
	t.Logf("%d records in %d files", len(found), len(files))
	if !slices.Equal(found, want) {
		t.Errorf("%d records were written, %d are there", len(want), len(found))
	}
}

func TestReopenThatFailsKeepsTheFile(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "audit.log")
	log := open(t, audit.Options{Sink: path})
	write(t, log, "a")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := log.Reopen(); err == nil || !strings.Contains(err.Error(), "not a regular file") {
			t.Errorf("%v", err)
		}
	}
	if err := log.Detached(); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("%v", err)
	}
	write(t, log, "b")
	if err := log.Ready(); err != nil {
		t.Error(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := log.Reopen(); err != nil {
		t.Error(err)
	}
	if err := log.Detached(); err != nil {
		t.Error(err)
	}
	write(t, log, "c")
	if got := ids(t, path+".1"); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%q", got)
	}
	if got := ids(t, path); !slices.Equal(got, []string{"c"}) {
		t.Errorf("%q", got)
	}
}
