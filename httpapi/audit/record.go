package audit

import (
	"net/netip"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"keyhint/derive"
)

// Kind tells what a record is about.
type Kind string

const (
	Request Kind = "request" // to the endpoint
	Command Kind = "command" // that recovers a key without the endpoint
	gap     Kind = "gap"
)

// Record is one decision. It has no room for a key. Fields that are zero are
// left out.
type Record struct {
	Kind      Kind
	Time      time.Time
	RequestID string
	Client    netip.Addr
	Subject   string
	Document  derive.Document // its ID is empty if none was named that is valid
	Operation string
	Hint      derive.Hint
	Status    int    // of an answer over HTTP
	Problem   string // type of the problem; empty if a key leaves
}

// append writes the record as a line.
func (r *Record) append(b []byte, key derive.Secret) []byte {
	b = appendHead(b, r.Kind, r.Time)
	b = appendText(b, "request_id", r.RequestID)
	if r.Client.IsValid() {
		b = appendName(b, "client")
		b = append(b, '"')
		b = r.Client.AppendTo(b)
		b = append(b, '"')
	}
	b = appendText(b, "subject", r.Subject)
	b = appendText(b, "namespace", r.Document.Namespace)
	switch {
	case r.Document.ID == "":
	case key.IsZero():
		b = appendText(b, "document_id", r.Document.ID)
	default:
		b = appendText(b, "document_id_hmac", DocumentID(key, r.Document))
	}
	b = appendText(b, "operation", r.Operation)
	if r.Hint.Version() != 0 {
		b = appendNumber(b, "version", int64(r.Hint.Version()))
		b = appendText(b, "salt_reference", r.Hint.Reference().String())
		b = appendText(b, "hint", r.Hint.String())
	}
	if r.Problem == "" {
		b = appendText(b, "outcome", "granted")
	} else {
		b = appendText(b, "outcome", "refused")
	}
	if r.Status != 0 {
		b = appendNumber(b, "status", int64(r.Status))
	}
	b = appendText(b, "problem", r.Problem)
	return append(b, "}\n"...)
}

// appendGap writes the line that tells of records which are missing.
func appendGap(b []byte, now, since time.Time, unwritten int) []byte {
	b = appendHead(b, gap, now)
	b = appendTime(appendName(b, "since"), since)
	b = appendNumber(b, "unwritten", int64(unwritten))
	return append(b, "}\n"...)
}

func appendHead(b []byte, kind Kind, now time.Time) []byte {
	b = append(b, `{"audit":"`...)
	b = append(b, kind...)
	b = append(b, `","time":`...)
	return appendTime(b, now)
}

func appendTime(b []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(b, `"2006-01-02T15:04:05.000000Z"`)
}

func appendName(b []byte, name string) []byte {
	b = append(b, `,"`...)
	b = append(b, name...)
	return append(b, `":`...)
}

func appendNumber(b []byte, name string, n int64) []byte {
	return strconv.AppendInt(appendName(b, name), n, 10)
}

func appendText(b []byte, name, text string) []byte {
	if text == "" {
		return b
	}
	return appendString(appendName(b, name), text)
}

// appendString writes a JSON string in which everything prints: control
// characters, line separators, marks that turn the direction of writing and the
// like are escaped. So nothing looks like another line, or like another record
// in a terminal.
func appendString(b []byte, text string) []byte {
	b = append(b, '"')
	done := 0
	for at := 0; at < len(text); {
		if c := text[at]; ' ' <= c && c <= '~' && c != '"' && c != '\\' {
			at++
			continue
		}
		r, size := utf8.DecodeRuneInString(text[at:])
		if prints := r >= utf8.RuneSelf && strconv.IsPrint(r) && (r != utf8.RuneError || size > 1); !prints {
			b = append(b, text[done:at]...)
			b = appendEscaped(b, r)
			done = at + size
		}
		at += size
	}
	b = append(b, text[done:]...)
	return append(b, '"')
}

func appendEscaped(b []byte, r rune) []byte {
	if r == '"' || r == '\\' {
		return append(b, '\\', byte(r))
	}
	for _, unit := range utf16.AppendRune(nil, r) {
		const digits = "0123456789abcdef"
		b = append(b, '\\', 'u', digits[unit>>12], digits[unit>>8&15], digits[unit>>4&15], digits[unit&15])
	}
	return b
}
