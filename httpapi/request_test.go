package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"unicode/utf8"

	"keyhint/derive"
	"keyhint/httpapi"
)

func TestRequestsThatAreNotExactlyRight(t *testing.T) {
	e := newEndpoint(t)
	hint := e.issue("a").KeyHint
	pad := func(n int) string { return strings.Repeat(" ", n) }
	for _, test := range []struct {
		name, body string
		kind       kind
	}{
		{"keyHint absent", `{"documentId":"a"}`, malformedRequest},
		{"keyHint empty", `{"documentId":"a","keyHint":""}`, hintMismatch},
		{"keyHint the word null", `{"documentId":"a","keyHint":"null"}`, hintMismatch},
		{"keyHint of 10,000 characters", `{"documentId":"a","keyHint":"` + strings.Repeat("k", 10000) + `"}`, hintMismatch},
		{"keyHint with space around", `{"documentId":"a","keyHint":" ` + hint + `"}`, hintMismatch},
		{"keyHint with a newline after", `{"documentId":"a","keyHint":"` + hint + `\n"}`, hintMismatch},
		{"keyHint with U+0000 after", `{"documentId":"a","keyHint":"` + hint + `\u0000"}`, hintMismatch},
		{"keyHint undefined", `{"documentId":"a","keyHint":undefined}`, malformedRequest},
		{"keyHint of another name", `{"documentId":"a","keyId":null}`, malformedRequest},
		{"keyHint a number", `{"documentId":"a","keyHint":0}`, malformedRequest},
		{"keyHint false", `{"documentId":"a","keyHint":false}`, malformedRequest},
		{"keyHint true", `{"documentId":"a","keyHint":true}`, malformedRequest},
		{"keyHint an object", `{"documentId":"a","keyHint":{}}`, malformedRequest},
		{"keyHint an array", `{"documentId":"a","keyHint":[null]}`, malformedRequest},
		{"keyHint within an object", `{"documentId":"a","x":{"keyHint":null}}`, malformedRequest},

		{"documentId absent", `{"keyHint":null}`, malformedRequest},
		{"documentId empty", `{"documentId":"","keyHint":null}`, malformedRequest},
		{"documentId empty, with a hint", `{"documentId":"","keyHint":"` + hint + `"}`, malformedRequest},
		{"documentId null", `{"documentId":null,"keyHint":null}`, malformedRequest},
		{"documentId a number", `{"documentId":1,"keyHint":null}`, malformedRequest},
		{"documentId a huge number", `{"documentId":1e999999,"keyHint":null}`, malformedRequest},
		{"documentId true", `{"documentId":true,"keyHint":null}`, malformedRequest},
		{"documentId an object", `{"documentId":{"a":"b"},"keyHint":null}`, malformedRequest},
		{"documentId an array", `{"documentId":["a"],"keyHint":null}`, malformedRequest},
		{"documentId of 1025 bytes", `{"documentId":"` + strings.Repeat("a", 1025) + `","keyHint":null}`, malformedRequest},
		{"documentId of 1025 bytes in 513 characters", `{"documentId":"` + strings.Repeat("é", 512) + `a","keyHint":null}`, malformedRequest},
		{"documentId of another name", `{"document":"a","keyHint":null}`, malformedRequest},

		{"name in another case", `{"documentId":"a","keyHint":null,"KeyHint":null}`, malformedRequest},
		{"name in another case alone", `{"documentId":"a","KeyHint":null}`, malformedRequest},
		{"name in lower case", `{"documentid":"a","keyHint":null}`, malformedRequest},
		{"name in upper case beside", `{"documentId":"a","keyHint":null,"DOCUMENTID":"a"}`, malformedRequest},
		{"name with the Kelvin sign", `{"documentId":"a","keyHint":null,"` + "\u212a" + `eyHint":null}`, malformedRequest},
		{"name with the Kelvin sign escaped", `{"documentId":"a","keyHint":null,"\u212aeyHint":null}`, malformedRequest},
		{"name in another case escaped", `{"documentId":"a","keyHint":null,"\u004beyHint":null}`, malformedRequest},

		{"keyHint twice", `{"documentId":"a","keyHint":null,"keyHint":null}`, malformedRequest},
		{"keyHint twice with different values", `{"documentId":"a","keyHint":"` + hint + `","keyHint":null}`, malformedRequest},
		{"keyHint twice, once escaped", `{"documentId":"a","keyHint":null,"\u006beyHint":null}`, malformedRequest},
		{"documentId twice", `{"documentId":"a","documentId":"b","keyHint":null}`, malformedRequest},
		{"documentId twice, once escaped", `{"documentId":"a","document\u0049d":"b","keyHint":null}`, malformedRequest},
		{"unknown member twice", `{"x":1,"documentId":"a","keyHint":null,"x":2}`, malformedRequest},
		{"unknown member twice, once escaped", `{"x":1,"documentId":"a","keyHint":null,"\u0078":2}`, malformedRequest},
		{"member twice in an object", `{"documentId":"a","keyHint":null,"x":{"y":1,"y":2}}`, malformedRequest},
		{"member twice in an object in an array", `{"documentId":"a","keyHint":null,"x":[{"y":1,"\u0079":2}]}`, malformedRequest},
		{"empty name twice", `{"":0,"documentId":"a","keyHint":null,"":0}`, malformedRequest},

		{"invalid UTF-8 in documentId", "{\"documentId\":\"a\xff\",\"keyHint\":null}", malformedRequest},
		{"overlong UTF-8 in documentId", "{\"documentId\":\"\xc1\xa1\",\"keyHint\":null}", malformedRequest},
		{"surrogate as UTF-8 in documentId", "{\"documentId\":\"\xed\xa0\x80\",\"keyHint\":null}", malformedRequest},
		{"UTF-8 cut short in documentId", "{\"documentId\":\"\xc3\",\"keyHint\":null}", malformedRequest},
		{"invalid UTF-8 in keyHint", "{\"documentId\":\"a\",\"keyHint\":\"\xff\"}", malformedRequest},
		{"invalid UTF-8 in a name", "{\"documentId\":\"a\",\"keyHint\":null,\"\xff\":1}", malformedRequest},
		{"invalid UTF-8 in an unknown member", "{\"documentId\":\"a\",\"keyHint\":null,\"x\":[\"\xff\"]}", malformedRequest},
		{"lone high surrogate in documentId", `{"documentId":"a\ud800","keyHint":null}`, malformedRequest},
		{"lone low surrogate in documentId", `{"documentId":"\udc00a","keyHint":null}`, malformedRequest},
		{"surrogates in the wrong order in documentId", `{"documentId":"\udc00\ud800","keyHint":null}`, malformedRequest},
		{"lone surrogate in keyHint", `{"documentId":"a","keyHint":"\ud800"}`, malformedRequest},
		{"lone high surrogate in a name", `{"documentId":"a","keyHint":null,"\ud800":1}`, malformedRequest},
		{"lone low surrogate in a name", `{"documentId":"a","keyHint":null,"\udc00":1}`, malformedRequest},
		{"lone surrogate in an unknown member", `{"documentId":"a","keyHint":null,"x":{"y":"\udfff"}}`, malformedRequest},

		{"byte order mark", "\ufeff" + `{"documentId":"a","keyHint":null}`, malformedRequest},
		{"UTF-16", "\xff\xfe{\x00", malformedRequest},
		{"trailing word", `{"documentId":"a","keyHint":null} x`, malformedRequest},
		{"trailing comma", `{"documentId":"a","keyHint":null},`, malformedRequest},
		{"trailing brace", `{"documentId":"a","keyHint":null}}`, malformedRequest},
		{"trailing U+0000", `{"documentId":"a","keyHint":null}` + "\x00", malformedRequest},
		{"two documents", `{"documentId":"a","keyHint":null}{"documentId":"b","keyHint":null}`, malformedRequest},
		{"two documents on two lines", `{"documentId":"a","keyHint":null}` + "\n" + `{"documentId":"b","keyHint":null}`, malformedRequest},
		{"comma after the last member", `{"documentId":"a","keyHint":null,}`, malformedRequest},
		{"no comma", `{"documentId":"a" "keyHint":null}`, malformedRequest},
		{"no colon", `{"documentId" "a","keyHint":null}`, malformedRequest},
		{"no closing brace", `{"documentId":"a","keyHint":null`, malformedRequest},
		{"no closing quote", `{"documentId":"a","keyHint":"` + hint, malformedRequest},
		{"name without quotes", `{documentId:"a","keyHint":null}`, malformedRequest},
		{"name that is a number", `{1:2,"documentId":"a","keyHint":null}`, malformedRequest},
		{"single quotes", `{'documentId':'a','keyHint':null}`, malformedRequest},
		{"comment", `{"documentId":"a","keyHint":null/**/}`, malformedRequest},
		{"raw U+0000", "{\"documentId\":\"a\x00\",\"keyHint\":null}", malformedRequest},
		{"raw newline", "{\"documentId\":\"a\n\",\"keyHint\":null}", malformedRequest},
		{"NaN", `{"documentId":"a","keyHint":null,"x":NaN}`, malformedRequest},
		{"leading zero", `{"documentId":"a","keyHint":null,"x":01}`, malformedRequest},
		{"form", `documentId=a&keyHint=`, malformedRequest},
		{"empty", ``, malformedRequest},
		{"whitespace", " \r\n\t", malformedRequest},
		{"array", `["a",null]`, malformedRequest},
		{"array of requests", `[{"documentId":"a","keyHint":null}]`, malformedRequest},
		{"string", `"documentId"`, malformedRequest},
		{"request within a string", `"{\"documentId\":\"a\",\"keyHint\":null}"`, malformedRequest},
		{"number", `42`, malformedRequest},
		{"null", `null`, malformedRequest},
		{"true", `true`, malformedRequest},
		{"empty object", `{}`, malformedRequest},
		{"deep arrays", strings.Repeat("[", 16<<10), malformedRequest},
		{"deep arrays, closed", strings.Repeat("[", 8<<10) + strings.Repeat("]", 8<<10), malformedRequest},
		{"deep objects", strings.Repeat(`{"":`, 4<<10), malformedRequest},
		{"deep unknown member", `{"documentId":"a","keyHint":null,"x":` + strings.Repeat("[", 16<<10-37), malformedRequest},
		{"too large and not JSON", pad(16<<10) + "x", bodyTooLarge},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := e.in(t)
			e.post(test.body).wants(t, test.kind)
		})
	}
}

func TestUnknownMembersAreIgnored(t *testing.T) {
	e := newEndpoint(t)
	issued := e.issue("a")
	for name, member := range map[string]string{
		"null":                         `"x":null`,
		"huge number":                  `"x":-1e999999`,
		"long number":                  `"x":` + strings.Repeat("9", 10000),
		"nested names":                 `"x":{"documentId":"b","keyHint":null,"KEYHINT":1}`,
		"repeated in different places": `"x":[{"y":1},{"y":2}],"y":{"y":{"y":1}}`,
		"similar names":                `"document_id":"b","documentId ":"b","key-hint":1,"keyHint\u0000":1,"keyId":"k","hint":2`,
		"long s":                       `"documentIdſ":"b"`,
		"dotless i":                    `"documentıd":"b","keyHınt":1,"İ":2`,
		"paired surrogates":            `"\ud83d\ude00":"\ud83d\ude00"`,
		"prototype":                    `"__proto__":{"keyHint":null},"constructor":1`,
		"many":                         many(1000),
		"deep":                         `"x":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000),
	} {
		t.Run(name, func(t *testing.T) {
			e := e.in(t)
			for _, body := range []string{
				fmt.Sprintf(`{%s,"documentId":"a","keyHint":%q}`, member, issued.KeyHint),
				fmt.Sprintf(`{"keyHint":%q,%s,"documentId":"a"}`, issued.KeyHint, member),
				fmt.Sprintf(" {\n\"documentId\" :\t\"a\" , \"keyHint\":%q , %s\r\n} \n", issued.KeyHint, member),
			} {
				if got := e.post(body).session(t); got != issued {
					t.Error("another session")
				}
			}
		})
	}
}

func many(n int) string {
	members := make([]string, n)
	for i := range members {
		members[i] = fmt.Sprintf(`"m%d":%d`, i, i)
	}
	return strings.Join(members, ",")
}

// TestDifferentIdsStayDifferent resolves every id's hint with every other id.
func TestDifferentIdsStayDifferent(t *testing.T) {
	e := newEndpoint(t)
	ids := []string{
		"a", "A", "á", "a\u0301", "\u212a", "k", "K", "ſ", "s", "ﬁ", "fi", "ａ", " a", "a ", "a\n", "a\x00", "\x00", "\x00a", "a\x00b", "\\u0061", "\"", "/", "\\/",
		"\ufffd", "\ufeffa", "null", "0", "00", "true", "👩‍👩‍👧", "👩👩👧", "\U0010ffff", "\uffff",
		strings.Repeat("x", 1023), strings.Repeat("x", 1024), strings.Repeat("é", 512),
	}
	hints := make([]string, len(ids))
	for i, id := range ids {
		hints[i] = e.issue(id).KeyHint
	}
	for i, id := range ids {
		for j, hint := range hints {
			a := e.ask(id, hint)
			if i == j {
				a.session(t)
			} else {
				a.wants(t, hintMismatch)
			}
		}
	}
}

// TestOneIdHasManySpellingsInJSON escapes what need not be escaped.
func TestOneIdHasManySpellingsInJSON(t *testing.T) {
	e := newEndpoint(t)
	issued := e.issue("é/\x00😀")
	for _, spelling := range []string{`é/\u0000😀`, `\u00e9\/\u0000\ud83d\ude00`, `\u00E9\u002f\u0000\uD83D\uDE00`} {
		body := fmt.Sprintf(`{"docum\u0065ntId":"%s","key\u0048int":"%s"}`, spelling, strings.Replace(issued.KeyHint, "kh1", `\u006bh1`, 1))
		if got := e.post(body).session(t); got != issued {
			t.Errorf("%s is another document", spelling)
		}
	}
}

// chunked hides a body's length, so that it is sent in chunks.
func chunked(body string) io.Reader { return struct{ io.Reader }{strings.NewReader(body)} }

func TestBodyLimitIsTheSameForEveryFraming(t *testing.T) {
	e := newEndpoint(t)
	request := `{"documentId":"a","keyHint":null}`
	padded := func(size int) string { return request + strings.Repeat(" ", size-len(request)) }
	for _, test := range []struct {
		size int
		kind *kind // nil is a key
	}{{16383, nil}, {16384, nil}, {16385, &bodyTooLarge}, {32768, &bodyTooLarge}, {1 << 20, &bodyTooLarge}} {
		for name, body := range map[string]io.Reader{"Content-Length": strings.NewReader(padded(test.size)), "chunked": chunked(padded(test.size))} {
			t.Run(fmt.Sprintf("%d/%s", test.size, name), func(t *testing.T) {
				e := e.in(t)
				r := e.newRequest(http.MethodPost, path, body)
				if sized := r.ContentLength > 0; sized != (name == "Content-Length") {
					t.Fatalf("the request has Content-Length %d", r.ContentLength)
				}
				if a := e.do(r); test.kind == nil {
					a.session(t)
				} else {
					a.wants(t, *test.kind)
				}
			})
		}
	}
}

func TestClientThatExpectsContinueNeedNotSendATooLargeBody(t *testing.T) {
	address := serve(t, httpapi.New(newConfig(t)))
	head := "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
	raw(t, address, fmt.Sprintf(head, 16385)).wants(t, bodyTooLarge)
	if a := raw(t, address, fmt.Sprintf(head, 16384)); a.status != http.StatusContinue {
		t.Errorf("status %d", a.status)
	}
}

func TestBodyThatIsCutShortOrBadlyFramed(t *testing.T) {
	address := serve(t, httpapi.New(newConfig(t)))
	body := `{"documentId":"a","keyHint":null}`
	for name, framed := range map[string]string{
		"Content-Length too large": fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body)+1, body),
		"no last chunk":            fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(body), body),
		"half a chunk":             fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s", len(body), body[:10]),
		"chunk size is no number":  "Transfer-Encoding: chunked\r\n\r\nzz\r\n" + body,
		"no body":                  "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			a := raw(t, address, "POST "+path+" HTTP/1.1\r\nHost: localhost\r\n"+framed)
			a.checkHeaders(t)
			a.wants(t, malformedRequest)
		})
	}
	t.Run("bytes after the Content-Length are another request", func(t *testing.T) {
		a := raw(t, address, fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s%s", path, len(body), body, body))
		a.session(t)
	})
}

func TestContentTypes(t *testing.T) {
	e := newEndpoint(t)
	accepted := [][]string{
		nil,
		{"application/json"}, {"APPLICATION/JSON"}, {"application/json; charset=utf-8"}, {"application/json;charset=UTF-8"},
		{`application/json; charset="utf-8"`}, {`application/json; charset="UTF-8"`}, {"application/json ; charset=Utf-8 "}, {"application/json; CHARSET=utf-8"},
		{"application/json; charset*=us-ascii'en'utf-8"}, {"application/json;"}, {"application/json; q=1; charset=utf-8"}, {"application/json; boundary=x"},
		{"text/json"}, {"application/ld+json"}, {"application/vnd.api+json; charset=utf-8"}, {"application/problem+json"},
		{"text/plain"}, {"text/plain;charset=UTF-8"}, {"Text/Plain; Charset=\"utf-8\""},
	}
	refused := [][]string{
		{"application/x-www-form-urlencoded"}, {"multipart/form-data; boundary=x"}, {"text/html"}, {"text/xml"}, {"application/xml"}, {"text/plain+x"},
		{"application/octet-stream"}, {"application/javascript"}, {"application/jsonp"}, {"application/json5"}, {"application/x-json"}, {"application/json-seq"}, {"*/*"}, {"image/svg+xml"},
		{"application/json; charset=utf-16"}, {"application/json; charset=iso-8859-1"}, {"text/plain; charset=us-ascii"}, {"application/json; charset=utf8"}, {"application/json; charset=utf-8x"},
		{"application/json; charset="}, {`application/json; charset=""`}, {"application/json; charset"}, {"application/json; charset=utf-8; charset=utf-16"},
		{"application/json; charset*0=utf; charset*1=-16"},
		{"application/json, text/plain"}, {"application/json", "application/json"}, {"application/json", "text/html"}, {"json"}, {"application/"}, {"/json"}, {";"}, {"application/json charset=utf-8"},
	}
	post := func(t *testing.T, name string, values []string) answer {
		e := e.in(t)
		r := e.newRequest(http.MethodPost, path, strings.NewReader(`{"documentId":"a","keyHint":null}`))
		if values != nil {
			r.Header[name] = values
		}
		return e.do(r)
	}
	for _, types := range accepted {
		t.Run(fmt.Sprintf("%q", types), func(t *testing.T) { post(t, "Content-Type", types).session(t) })
	}
	for _, types := range refused {
		t.Run(fmt.Sprintf("%q", types), func(t *testing.T) { post(t, "Content-Type", types).wants(t, unsupportedMediaType) })
	}
	for _, encodings := range [][]string{{"gzip"}, {"br"}, {"deflate"}, {"zstd"}, {"gzip, gzip"}, {"x"}} {
		t.Run(fmt.Sprintf("Content-Encoding %q", encodings), func(t *testing.T) {
			post(t, "Content-Encoding", encodings).wants(t, unsupportedMediaType)
		})
	}
}

// TestBrowserFetchWithoutContentType sends what TinyMCE's own example does:
// fetch labels a string body as text.
func TestBrowserFetchWithoutContentType(t *testing.T) {
	e := newEndpoint(t)
	r := e.newRequest(http.MethodPost, path, strings.NewReader(`{"documentId":"doc-1","keyHint":null}`))
	r.Header = http.Header{
		"Content-Type":    {"text/plain;charset=UTF-8"},
		"Accept":          {"*/*"},
		"Accept-Encoding": {"gzip, deflate, br, zstd"},
		"Accept-Language": {"en"},
		"Referer":         {"http://localhost:3000/"},
		"User-Agent":      {"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"},
	}
	a := e.do(r)
	s := a.session(t)
	if a.header.Get("Content-Encoding") != "" {
		t.Error("the answer with the key is compressed")
	}
	if e.resolve("doc-1", s.KeyHint) != s {
		t.Error("another session")
	}
}

// FuzzDecodeKeyRequest compares with a second strict reader, built on another
// JSON library: whatever gets a key says the same to both.
func FuzzDecodeKeyRequest(f *testing.F) {
	config := newConfig(f)
	handler := httpapi.New(config)
	doc := derive.Document{Namespace: config.Namespace, ID: "a"}
	key, hint, err := config.Keyring.Issue(doc, noon, config.Random)
	if err != nil {
		f.Fatal(err)
	}
	post := func(ctx context.Context, body []byte) *httptest.ResponseRecorder {
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, httptest.NewRequestWithContext(ctx, http.MethodPost, path, bytes.NewReader(body)))
		return recorder
	}
	accepted := 0
	for _, seed := range []string{
		`{"documentId":"a","keyHint":null}`, `{"documentId":"a","keyHint":"` + hint.String() + `"}`,
		`{"x":{"documentId":1},"document\u0049d":"\u0000\ud83d\ude00","keyHint":null}`, " {\"keyHint\":null,\n\"documentId\":\"é\"} ",
		`{"documentId":"a"}`, `{"documentId":"a","KeyHint":null}`, `{"documentId":"a","documentId":"b","keyHint":null}`, `{"documentId":"\ud800","keyHint":null}`,
		"{\"documentId\":\"\xff\",\"keyHint\":null}", `[]`, `{}`, ``, "\ufeff{}", `{"documentId":"a","keyHint":null}{}`, strings.Repeat("[", 100), `{"documentId":1e9,"keyHint":0}`,
	} {
		f.Add([]byte(seed))
		if post(f.Context(), []byte(seed)).Code == http.StatusOK {
			accepted++
		}
	}
	if accepted != 4 {
		f.Fatalf("%d seeds get a key, want 4", accepted)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		answer := post(t.Context(), body)
		switch answer.Code {
		case 400, 403, 409, 413:
			return
		case 200:
		default:
			t.Fatalf("status %d for %q", answer.Code, body)
		}
		documentID, keyHint := readStrictly(t, body)
		var s session
		decodeExactly(t, answer.Body.Bytes(), &s)
		got, err := derive.ParseHint(s.KeyHint)
		if err != nil {
			t.Fatal(err)
		}
		derived, err := config.Keyring.Resolve(got, derive.Document{Namespace: config.Namespace, ID: documentID}, noon, 0)
		if err != nil || derived.Reveal() != s.Key {
			t.Fatalf("the key in the answer is not of document %q: %v", documentID, err)
		}
		if keyHint != nil && (*keyHint != s.KeyHint || s.Key != key.Reveal()) {
			t.Fatalf("hint %q got the key of %q", *keyHint, s.KeyHint)
		}
	})
}

// readStrictly reads a request with encoding/json and fails the test for
// whatever that would read differently from the specification.
func readStrictly(t *testing.T, body []byte) (documentID string, keyHint *string) {
	t.Helper()
	if !utf8.Valid(body) || len(body) > 16<<10 {
		t.Fatalf("%q is accepted", body)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	token := func() json.Token {
		token, err := d.Token()
		if err != nil {
			t.Fatalf("%q is accepted: %v", body, err)
		}
		return token
	}
	if token() != json.Delim('{') {
		t.Fatalf("%q is accepted", body)
	}
	seen := make(map[string]json.RawMessage)
	for d.More() {
		name := token().(string)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			t.Fatalf("%q is accepted: %v", body, err)
		}
		for _, known := range []string{"documentId", "keyHint"} {
			if name != known && strings.EqualFold(name, known) {
				t.Fatalf("%q is accepted with the name %q", body, name)
			}
		}
		if _, twice := seen[name]; twice {
			t.Fatalf("%q is accepted with the name %q twice", body, name)
		}
		seen[name] = value
	}
	token()
	if _, err := d.Token(); err != io.EOF {
		t.Fatalf("%q is accepted with trailing data", body)
	}
	var id *string
	if json.Unmarshal(seen["documentId"], &id) != nil || id == nil || seen["keyHint"] == nil || json.Unmarshal(seen["keyHint"], &keyHint) != nil {
		t.Fatalf("%q is accepted", body)
	}
	if strings.ContainsRune(*id, utf8.RuneError) && !bytes.Contains(body, []byte("\ufffd")) && !bytes.Contains(bytes.ToLower(body), []byte(`\ufffd`)) {
		t.Fatalf("%q is accepted with half a character", body)
	}
	return *id, keyHint
}
