package config

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// settleTime is how long a burst of events may go on before it counts as one.
const settleTime = 100 * time.Millisecond

// watcher tells of changes in the folders where watched files are. Folders, not
// files: a file that is replaced or created anew is another file, and so is what
// a symbolic link points to after it was swapped.
//
// It is a convenience. Where the operating system gives no events, or runs out
// of watches, the interval finds the change a little later.
type watcher struct {
	events  *fsnotify.Watcher // nil if there are none to be had
	refused map[string]bool   // folders that cannot be watched, and that was logged
	log     *slog.Logger
}

func newWatcher(log *slog.Logger) *watcher {
	events, err := fsnotify.NewWatcher()
	if err != nil {
		log.Warn("changes of files are noticed at the reload interval only", "cause", err)
	}
	return &watcher{events: events, refused: make(map[string]bool), log: log}
}

// follow watches the folders of these files, and of what links to them lead to.
// It tells whether it watches one that it did not before: what happened there
// until now it has not seen.
func (w *watcher) follow(files []string) (more bool) {
	if w.events == nil {
		return false
	}
	folders := make(map[string]bool)
	for _, file := range files {
		folders[oneName(filepath.Dir(file))] = true
		if target, err := filepath.EvalSymlinks(file); err == nil {
			folders[oneName(filepath.Dir(target))] = true
		}
	}
	watched := make(map[string]bool)
	for _, folder := range w.events.WatchList() {
		if watched[folder] = folders[folder]; !watched[folder] {
			w.events.Remove(folder)
		}
	}
	for folder := range folders {
		if watched[folder] {
			continue
		}
		if err := w.events.Add(folder); err == nil {
			more = true
		} else if !w.refused[folder] {
			w.refused[folder] = true
			w.log.Warn("changes of files in a folder are noticed at the reload interval only", "folder", folder, "cause", err)
		}
	}
	return more
}

// oneName is the one name of a folder that fsnotify gets to see. A folder that it
// watches under one name is gone from its list when it is added under another.
func oneName(folder string) string {
	if real, err := filepath.EvalSymlinks(folder); err == nil {
		folder = real
	}
	if absolute, err := filepath.Abs(folder); err == nil {
		folder = absolute
	}
	return folder
}

// changes sends once for each burst of events, until ctx is done.
func (w *watcher) changes(ctx context.Context) <-chan struct{} {
	bursts := make(chan struct{})
	if w.events == nil {
		return bursts
	}
	go func() {
		defer w.events.Close()
		var settled <-chan time.Time
		for {
			select {
			case <-ctx.Done():
				return
			case <-w.events.Errors: // an overflow, after which something has changed
			case <-w.events.Events:
			case <-settled:
				settled = nil
				select {
				case bursts <- struct{}{}:
				case <-ctx.Done():
					return
				}
				continue
			}
			if settled == nil {
				settled = time.After(settleTime)
			}
		}
	}()
	return bursts
}
