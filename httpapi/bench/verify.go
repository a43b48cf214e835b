package bench

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"regexp"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"keyhint/derive"
)

// refusal is an answer without a key.
type refusal struct {
	status int
	kind   string // of the problem document; empty if there is none
}

func (r refusal) Error() string {
	if r.kind == "" {
		return fmt.Sprint("status ", r.status)
	}
	return fmt.Sprint("status ", r.status, ", ", r.kind)
}

// mismatch is an answer that is wrong. It never has a key in it.
type mismatch string

func (m mismatch) Error() string { return string(m) }

// perform makes a request and returns the session that came back. The error is
// a refusal, a mismatch, or one of the connection.
func perform(c *Conn, t task) (session, error) {
	body, err := appendRequest(nil, t)
	if err != nil {
		return session{}, err
	}
	answer, err := c.Post(body)
	if err != nil {
		return session{}, err
	}
	return verify(t, answer)
}

func appendRequest(b []byte, t task) ([]byte, error) {
	b, err := jsontext.AppendQuote(append(b, `{"documentId":`...), t.document)
	b = append(b, `,"keyHint":`...)
	if err != nil || t.issues() {
		return append(b, "null}"...), err
	}
	b, err = jsontext.AppendQuote(b, t.hint)
	return append(b, '}'), err
}

const hintMismatch = "urn:keyhint:hint-mismatch"

// verify checks an answer: what was issued has the form that it must have, and
// what was resolved is what was issued.
func verify(t task, a Answer) (session, error) {
	if a.Status != http.StatusOK {
		r := refusal{a.Status, problemType(a)}
		if r.kind == hintMismatch && !t.issues() {
			return session{}, mismatch(fmt.Sprintf("the hint that was issued for document %q is refused as that of another: %s", t.document, t.hint))
		}
		return session{}, r
	}
	var got struct {
		Key  string `json:"key"`
		Hint string `json:"keyHint"`
	}
	if a.ContentType != "application/json" || json.Unmarshal(a.Body, &got) != nil {
		return session{}, mismatch(fmt.Sprintf("the answer for document %q is not application/json with a key and a keyHint", t.document))
	}
	if key, err := base64.RawURLEncoding.Strict().DecodeString(got.Key); err != nil || len(got.Key) != 43 || len(key) != 32 {
		return session{}, mismatch(fmt.Sprintf("the key for document %q is not 43 characters of base64url", t.document))
	}
	if _, err := derive.ParseHint(got.Hint); err != nil { // which does not repeat it: who knows what it is
		return session{}, mismatch(fmt.Sprintf("the hint for document %q is none: %v", t.document, err))
	}
	switch {
	case t.issues():
	case got.Hint != t.hint:
		return session{}, mismatch(fmt.Sprintf("resolving %s for document %q gives another hint: %s", t.hint, t.document, got.Hint))
	case got.Key != t.key:
		return session{}, mismatch(fmt.Sprintf("resolving %s for document %q gives ANOTHER KEY than issuing did", t.hint, t.document))
	}
	return session{t.document, got.Key, got.Hint}, nil
}

var problemTypes = regexp.MustCompile(`^[a-z:-]{1,60}$`)

// problemType is that of a problem document, if it is like keyhint's. What
// others write is not repeated: it may be long, and meant for the terminal.
func problemType(a Answer) string {
	var p struct {
		Type string `json:"type"`
	}
	if a.ContentType != "application/problem+json" || json.Unmarshal(a.Body, &p) != nil || !problemTypes.MatchString(p.Type) {
		return ""
	}
	return p.Type
}
