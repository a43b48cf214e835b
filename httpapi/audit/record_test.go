package audit_test

import (
	"encoding/json"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"keyhint/derive"
	"keyhint/httpapi/audit"
)

func TestRecord(t *testing.T) {
	hint, err := derive.ParseHint("kh1.3-9f86d081.0198c2f4-6a31-7cc0-9f3e-5d0a7b1c2d3e.q1w2e3r4t5y6u7i8o9p0aA")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 23, 13, 0, 0, 1_999, time.FixedZone("", 3600))
	for want, r := range map[string]audit.Record{
		`{"audit":"request","time":"2026-11-23T12:00:00.000001Z","request_id":"R","client":"2001:db8::7","subject":"alice","namespace":"tenant","document_id":"doc-1","operation":"resolve","version":3,"salt_reference":"0198c2f4-6a31-7cc0-9f3e-5d0a7b1c2d3e","hint":"kh1.3-9f86d081.0198c2f4-6a31-7cc0-9f3e-5d0a7b1c2d3e.q1w2e3r4t5y6u7i8o9p0aA","outcome":"granted","status":200}`: {
			Kind: audit.Request, Time: at, RequestID: "R", Client: netip.MustParseAddr("2001:db8::7"), Subject: "alice",
			Document: derive.Document{Namespace: "tenant", ID: "doc-1"}, Operation: "resolve", Hint: hint, Status: 200,
		},
		`{"audit":"request","time":"2026-11-23T12:00:00.000001Z","outcome":"refused","status":429,"problem":"urn:keyhint:rate-limited"}`: {
			Kind: audit.Request, Time: at, Status: 429, Problem: "urn:keyhint:rate-limited",
		},
		`{"audit":"command","time":"2026-11-23T12:00:00.000001Z","subject":"uid 0","document_id":"d","operation":"resolve","outcome":"granted"}`: {
			Kind: audit.Command, Time: at, Subject: "uid 0", Document: derive.Document{ID: "d"}, Operation: "resolve",
		},
	} {
		if got := string(audit.Append(nil, r)); got != want+"\n" {
			t.Errorf("got  %swant %s", got, want)
		}
	}
}

// The pseudonym was computed with openssl; see the script that does it again.
func TestDocumentID(t *testing.T) {
	key, err := derive.ParseSecret("s3wBTVvLTWbCjBxT4X6g0tGv9qcZ8kq4mYcIuVQ5o2E=")
	if err != nil {
		t.Fatal(err)
	}
	doc := derive.Document{Namespace: "tenant", ID: "doc-1"}
	const want = "b2a58e214a9a41fc483a1a0b6d46476a55234d723f731e0a5b01fa5a060c22a8"
	if got := audit.DocumentID(key, doc); got != want {
		t.Errorf("%s", got)
	}
	path := t.TempDir() + "/audit.log"
	log := open(t, audit.Options{Sink: path, DocumentKey: key})
	r := sampleRecord(t)
	r.Document = doc
	if err := log.Write(r); err != nil {
		t.Fatal(err)
	}
	if text := read(t, path); !strings.Contains(text, `"document_id_hmac":"`+want+`"`) || strings.Contains(text, "doc-1") {
		t.Errorf("%s", text)
	}
	seen := map[string]bool{want: true}
	for _, other := range []derive.Document{
		{ID: "doc-1"}, {Namespace: "tenan", ID: "tdoc-1"}, {Namespace: "tenant", ID: "doc-2"}, {Namespace: "tenantdoc-1", ID: "d"},
		{Namespace: "tenant\x00\x00\x00\x05doc-1", ID: "d"},
	} {
		if id := audit.DocumentID(key, other); seen[id] {
			t.Errorf("%q has the pseudonym of another", other)
		} else {
			seen[id] = true
		}
	}
}

// nasty are texts that readers of lines, of JSON or of terminals stumble over.
var nasty = []string{
	"", "doc-1", `"`, `\`, `\"},{"`, "\x00", "a\nb", "a\r\nb", "\v\f\x1c\x1d\x1e", "\x7f", "\u0085", "\u2028\u2029",
	"\u202e gnp.exe", "\u200b\ufeff", "\x1b[2J", "\U000e0041", "\U0001f600", "é", "e\u0301", "\ufffd", "</script>",
	strings.Repeat("\x01", 1024), "\xff", "a\xc3", "\xed\xa0\x80",
}

func FuzzRecordIsOneLine(f *testing.F) {
	for _, text := range nasty {
		f.Add(text, "tenant", text)
	}
	f.Fuzz(func(t *testing.T, subject, namespace, id string) {
		r := audit.Record{Kind: audit.Request, Subject: subject, Document: derive.Document{Namespace: namespace, ID: id}}
		line, ended := strings.CutSuffix(string(audit.Append(nil, r)), "\n")
		if !ended {
			t.Fatalf("%q", line)
		}
		for _, c := range line {
			if !strconv.IsPrint(c) {
				t.Errorf("%q does not print: %q", c, line)
			}
		}
		var got map[string]string
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		for name, want := range map[string]string{"subject": subject, "namespace": namespace, "document_id": id} {
			if value, there := got[name]; there == (want == "") || value != valid(want) {
				t.Errorf("%s is %q, not %q", name, value, want)
			}
		}
	})
}

// valid has U+FFFD for each byte that is not UTF-8.
func valid(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		b.WriteRune(r)
		text = text[size:]
	}
	return b.String()
}

// All that a client, or a token, can make long is bounded.
func TestRecordIsBounded(t *testing.T) {
	r := sampleRecord(t)
	r.RequestID = strings.Repeat("x", 128)
	r.Subject = strings.Repeat("\u2028", 2048) // what fits into a token of 8 KiB
	r.Document = derive.Document{Namespace: strings.Repeat("\x01", 128), ID: strings.Repeat("\x01", 1024)}
	if size := len(audit.Append(nil, r)); size > 32<<10 {
		t.Errorf("%d bytes", size)
	}
}
