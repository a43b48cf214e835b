package service

import (
	"bytes"
	"io"
	"sync"
	"time"
)

// logPatience is how long the log may hold whoever writes to it.
const logPatience = time.Second

// LogWriter writes the lines of a log. Where they go can hang: a pipe that nobody
// reads, a terminal that was stopped, a disk. That must not hold requests, nor the
// end of the program; so a line is waited for only so long, and those that come
// until it is written are lost, and counted.
type LogWriter struct {
	To   io.Writer
	Lost func(lines int) // is told when lines are written again, how many were lost

	mutex  sync.Mutex
	hangs  bool
	missed int // since then
}

// Write takes one line. It never fails: there is no one to tell.
func (w *LogWriter) Write(line []byte) (int, error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if w.hangs {
		w.missed++
		return len(line), nil
	}
	written, own := make(chan struct{}), bytes.Clone(line) // the caller uses its own again
	go func() {
		w.To.Write(own)
		close(written)
	}()
	select {
	case <-written:
	case <-time.After(logPatience):
		w.hangs = true
		go w.goOn(written)
	}
	return len(line), nil
}

// goOn lets lines be written again once the one that hangs is.
func (w *LogWriter) goOn(written <-chan struct{}) {
	<-written
	w.mutex.Lock()
	missed := w.missed
	w.hangs, w.missed = false, 0
	w.mutex.Unlock()
	if missed > 0 {
		w.Lost(missed)
	}
}
