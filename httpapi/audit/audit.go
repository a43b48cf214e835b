// Package audit keeps the audit log: a line for each decision about a key, there
// before the key leaves.
//
// A line is one JSON object. Its member audit tells what it is about: a request
// to the endpoint, a command that recovers a key, or a gap. Members that have
// nothing to say are left out; readers should ignore members that they do not
// know, as later versions may add some.
//
//	audit             request, command or gap
//	time              RFC 3339, UTC, to the microsecond
//	request_id        as in the answer's X-Request-Id
//	client            the client's address
//	subject           who asked, as access control knows them
//	namespace         that the ring serves, unless it is empty
//	document_id       the document; or instead, if there is a document key,
//	document_id_hmac  its pseudonym, see [DocumentID]
//	operation         issue or resolve
//	version           of the hint
//	salt_reference    of the hint, a UUIDv7
//	hint              issued, or received in its one spelling; any other text is left out
//	outcome           granted if a key was about to leave, else refused
//	status            of the answer, for a request
//	problem           type of the problem, if it was refused
//
// A gap has time, since and unwritten: so many records could not be written since
// then. No key left with any of them.
//
// What a client chose is escaped unless it prints, so a record is one line to
// every reader. A line that does not end in "}" was cut off by a full disk or a
// crash, and no key left with it. No record is longer than 64 KiB: ids,
// subjects and hints are bounded where they come from.
package audit

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"keyhint/derive"
)

// The sinks that are no files.
const (
	Stdout = "stdout"
	Stderr = "stderr"
)

// ErrUnwritten means that a record is not in the log. What it is about must not
// be done.
var ErrUnwritten = errors.New("the audit record cannot be written")

// Options are what a [Log] works with.
type Options struct {
	Sink        string        // Stdout, Stderr, or the absolute path of a file
	Existing    bool          // the file must be there already
	Fsync       bool          // wait until the disk has each record; for a file
	DocumentKey derive.Secret // for pseudonyms of document ids; zero writes them as they are

	// Observe is told how long each record took, from when it was handed over, and
	// why it could not be written, if so. It may be nil.
	Observe func(took time.Duration, err error)
}

// Log is an audit log. It is safe for any number of goroutines. A nil Log keeps
// no records, and never fails.
type Log struct {
	sink    *sink
	key     derive.Secret // for pseudonyms; may be zero
	observe func(time.Duration, error)
}

// Open opens the log. A file is created if it is not there, for its owner alone;
// a link, a device, and a file that everyone on the machine may read or write
// are refused.
func Open(o Options) (*Log, error) {
	s := &sink{fsync: o.Fsync}
	var err error
	switch o.Sink {
	case Stdout:
		s.target, err = openStandard(os.Stdout)
	case Stderr:
		s.target, err = openStandard(os.Stderr)
	default:
		s.path = o.Sink
		s.target, err = openFile(o.Sink, !o.Existing, o.Fsync)
	}
	if err != nil {
		return nil, err
	}
	return &Log{sink: s, key: o.DocumentKey.Clone(), observe: o.Observe}, nil
}

// buffers are for records on their way.
var buffers = sync.Pool{New: func() any { return new([512]byte) }}

// Write returns nil once the record is in the log: in the operating system's
// hands, from where it survives the end of this process, and with Fsync on the
// disk. Otherwise, after 5 seconds at the latest, the error wraps [ErrUnwritten].
// A record may then still be in the log, if it was on its way.
func (l *Log) Write(r Record) error {
	if l == nil {
		return nil
	}
	start := time.Now()
	buffer := buffers.Get().(*[512]byte)
	err := l.sink.write(r.append(buffer[:0], l.key))
	buffers.Put(buffer)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrUnwritten, err)
	}
	if l.observe != nil {
		l.observe(time.Since(start), err)
	}
	return err
}

// Ready returns nil if records can be written, and otherwise why not. As long as
// they cannot, it tries each time: where not being ready keeps requests away,
// nothing else would find out that they can again.
func (l *Log) Ready() error {
	if l == nil || l.sink.healthy() {
		return nil
	}
	return l.sink.write(nil)
}

// Reopen opens the file anew, as has to be done after it was renamed. If that
// fails, records go on to where they went before, and Detached says so.
func (l *Log) Reopen() error {
	if l == nil {
		return nil
	}
	return l.sink.reopen()
}

// Detached returns nil if the path of the log leads to the file that is being
// written, and otherwise why not.
func (l *Log) Detached() error {
	if l == nil {
		return nil
	}
	return l.sink.detached()
}

// Close closes the log, and wipes its document key. Records that are on their
// way are still written; others are refused.
func (l *Log) Close() {
	if l != nil {
		l.sink.close()
		l.key.Wipe()
	}
}
