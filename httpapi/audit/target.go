package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// target is an open file, stdout or stderr.
type target struct {
	file     *os.File
	standard bool // stays open
	regular  bool // not a pipe, socket or terminal
	torn     bool // its last line has no end
}

// openStandard takes stdout or stderr. It refuses the null device, which the
// program has for one that was closed when it was started. To keep records nowhere
// must be somebody's choice.
func openStandard(f *os.File) (*target, error) {
	name := filepath.Base(f.Name())
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("%s cannot be used: %w", name, err)
	}
	if null, err := os.Stat(os.DevNull); err == nil && os.SameFile(info, null) {
		return nil, fmt.Errorf("%s is closed or leads to %s, where nothing is kept: name a file, or write none", name, os.DevNull)
	}
	return &target{file: f, standard: true, regular: info.Mode().IsRegular()}, nil
}

// openFile opens a file for appending, and may create it for its owner alone.
// With durable, its name is on disk then.
func openFile(path string, create, durable bool) (*target, error) {
	err := CheckFile(path)
	if err != nil && !(create && errors.Is(err, fs.ErrNotExist)) {
		return nil, err
	}
	// O_RDWR is for reading the last byte; the rest is for what may have come to
	// the path since it was checked.
	flags := os.O_RDWR | os.O_APPEND | syscall.O_NONBLOCK | noFollow
	if create {
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, opening(path, err)
	}
	t := &target{file: f, regular: true}
	info, err := f.Stat()
	if err == nil {
		err = checkFile(path, info)
	}
	if err == nil && info.Size() > 0 {
		last := make([]byte, 1)
		_, err = f.ReadAt(last, info.Size()-1)
		t.torn = last[0] != '\n'
	}
	if err == nil && durable {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return t, nil
}

func opening(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the folder %s does not exist: make it, writable for the user that keyhint runs as", filepath.Dir(path))
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s cannot be written: give it, or the folder if the file does not exist, to the user that keyhint runs as", path)
	}
	return err
}

// CheckFile tells whether a file is fit for an audit log. The error wraps
// [fs.ErrNotExist] if there is none.
func CheckFile(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	return checkFile(path, info)
}

func checkFile(path string, info fs.FileInfo) error {
	switch mode := info.Mode(); {
	case mode&fs.ModeSymlink != 0:
		return fmt.Errorf("%s is a symbolic link: write the path of the file itself", path)
	case !mode.IsRegular():
		return fmt.Errorf("%s is not a regular file", path)
	case mode&0o004 != 0:
		return fmt.Errorf("%s can be read by everyone on this machine: run chmod o= %[1]s", path)
	case mode&0o002 != 0:
		return fmt.Errorf("%s can be written by everyone on this machine: run chmod o= %[1]s", path)
	}
	return nil
}

func syncFolder(folder string) error {
	f, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// checkPath tells whether the path leads to this file.
func (t *target) checkPath(path string) error {
	open, err := t.file.Stat()
	if err != nil {
		return err
	}
	switch named, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s is gone", path)
	case err != nil:
		return err
	case !os.SameFile(open, named):
		return fmt.Errorf("%s is another file than the one that is open", path)
	}
	return nil
}

// write appends whole lines and returns how many of their bytes are there, with
// sync on disk.
func (t *target) write(lines []byte, sync bool) (n int, err error) {
	for n < len(lines) && err == nil {
		var m int
		m, err = t.file.Write(t.portion(lines[n:]))
		n += m
	}
	if n > 0 {
		t.torn = lines[n-1] != '\n'
	}
	if sync && n > 0 {
		if syncing := t.file.Sync(); syncing != nil {
			return 0, syncing
		}
	}
	return n, err
}

// pipeSize is what a pipe takes in one piece (PIPE_BUF on Linux). Beyond it, the
// lines of another writer, such as a log that goes the same way, may come in
// between.
const pipeSize = 4096

// portion is what goes into one call of the system: all, or the whole lines that
// fit into pipeSize, or a single one that does not.
func (t *target) portion(lines []byte) []byte {
	if t.regular || len(lines) <= pipeSize {
		return lines
	}
	end := bytes.LastIndexByte(lines[:pipeSize], '\n') + 1
	if end == 0 {
		end = bytes.IndexByte(lines, '\n') + 1
	}
	return lines[:end]
}

func (t *target) close() {
	if !t.standard {
		t.file.Close()
	}
}
