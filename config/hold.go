package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// heldFile is a file that is being edited, locked against other editors of
// keyhint. The lock is on the file itself, so that only who may write it can
// hold it, and nothing beside it stays behind. It ends with the process.
type heldFile struct {
	named string // path as the caller gave it
	path  string // of the file itself, with symbolic links resolved
	file  *os.File
	info  fs.FileInfo
	data  []byte
}

const (
	// defaultWait bounds the wait for another editor.
	defaultWait = 10 * time.Second
	// lockInterval is the time between two tries to get the lock.
	lockInterval = 10 * time.Millisecond
)

// errLocked is what lockFile returns while another editor holds the lock.
var errLocked = errors.New("locked")

// hold waits for other editors of the file, at most for the given time (0 is 10
// s), and reads it. The file must be released afterwards.
func hold(named string, wait time.Duration) (*heldFile, error) {
	if wait == 0 {
		wait = defaultWait
	}
	for deadline := time.Now().Add(wait); ; time.Sleep(lockInterval) {
		h, err := tryHold(named)
		switch {
		case err == nil:
			return h, nil
		case !errors.Is(err, errLocked):
			return nil, fmt.Errorf("opening the configuration to edit it: %w", err)
		case time.Now().After(deadline):
			return nil, fmt.Errorf("%s is being edited by another keyhint, and was for %s: try again when that is done", named, wait)
		}
	}
}

func tryHold(named string) (*heldFile, error) {
	path, err := filepath.EvalSymlinks(named)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0) // who may not write it may not replace it
	if err != nil {
		return nil, err
	}
	h := &heldFile{named: named, path: path, file: f}
	if err := h.lock(); err != nil {
		f.Close()
		return nil, err
	}
	return h, nil
}

func (h *heldFile) lock() (err error) {
	if err := lockFile(h.file); err != nil {
		return err
	}
	if h.info, err = h.file.Stat(); err != nil {
		return err
	}
	// Whoever held the lock before may have put another file in this one's place.
	if now, err := os.Stat(h.named); err != nil || !os.SameFile(now, h.info) {
		return errLocked
	}
	if !h.info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", h.named)
	}
	if err := checkOneName(h.named, h.info); err != nil {
		return err
	}
	h.removeLeftovers()
	h.data, err = readAll(io.LimitReader(h.file, maxFileSize+1), int(min(h.info.Size(), maxFileSize)))
	if err == nil && len(h.data) > maxFileSize {
		err = fmt.Errorf("%s is larger than %d MiB", h.named, maxFileSize>>20)
	}
	return err
}

// release ends the lock.
func (h *heldFile) release() {
	h.file.Close()
	clear(h.data)
}

// temporary is how the names of new files begin before they take the place of
// the held one: .keyhint.yaml.edit-
func (h *heldFile) temporary() string { return "." + filepath.Base(h.path) + ".edit-" }

// removeLeftovers removes what runs that were killed have left. They hold
// secrets, as the file itself does. It is a courtesy and no condition of the edit.
func (h *heldFile) removeLeftovers() {
	folder := filepath.Dir(h.path)
	entries, _ := os.ReadDir(folder)
	for _, e := range entries {
		if e.Type().IsRegular() && strings.HasPrefix(e.Name(), h.temporary()) {
			os.Remove(filepath.Join(folder, e.Name()))
		}
	}
}

// replace puts a new file in the place of the held one: whole, on disk, and with
// its mode, owner and extended attributes; or it leaves the old one as it is and
// returns false. An error together with true says that the new file is in place
// and may not outlive a loss of power.
func (h *heldFile) replace(data []byte) (replaced bool, err error) {
	f, err := os.CreateTemp(filepath.Dir(h.path), h.temporary()+"*") // 0600
	if opening := (*fs.PathError)(nil); errors.As(err, &opening) {
		err = fmt.Errorf("no file can be made in the folder %s, which an edit needs: %w", filepath.Dir(h.path), opening.Err)
	}
	if err != nil {
		return false, err
	}
	defer os.Remove(f.Name()) // once renamed, there is none
	_, err = f.Write(data)
	if err == nil {
		err = h.keepAttributes(f)
	}
	if err == nil {
		err = f.Sync()
	}
	if closing := f.Close(); err == nil {
		err = closing
	}
	if changed := h.checkUnchanged(); changed != nil {
		err = changed // which is why anything else has failed
	}
	if err == nil {
		err = os.Rename(f.Name(), h.path)
	}
	if errors.Is(err, syscall.EBUSY) {
		err = fmt.Errorf("%s is mounted by itself and cannot be replaced here: edit it where it is mounted from", h.named)
	}
	if err != nil {
		return false, err
	}
	if err := syncFolder(filepath.Dir(h.path)); err != nil {
		return true, fmt.Errorf("%s is edited, but the disk does not confirm it: %w", h.named, err)
	}
	return true, nil
}

// keepAttributes gives f what the held file has: owner and extended attributes
// first, because changing them can clear bits of the mode.
func (h *heldFile) keepAttributes(f *os.File) error {
	if err := keepOwner(f, h.info); err != nil {
		return fmt.Errorf("%s: %w", h.named, err)
	}
	if err := keepExtended(f.Name(), h.path); err != nil {
		return fmt.Errorf("%s: %w", h.named, err)
	}
	return f.Chmod(h.info.Mode())
}

// checkUnchanged makes sure that nobody has written or replaced the file since
// it was read: people edit it with programs that know of no lock.
func (h *heldFile) checkUnchanged() error {
	changed := fmt.Errorf("%s was changed by another program meanwhile: nothing was edited; look at the file and try again", h.named)
	if path, err := filepath.EvalSymlinks(h.named); err != nil || path != h.path {
		return changed
	}
	data, info, err := readFile(h.path, maxFileSize)
	defer clear(data)
	if err != nil || !os.SameFile(info, h.info) || !bytes.Equal(data, h.data) {
		return changed
	}
	return nil
}
