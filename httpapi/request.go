package httpapi

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"keyhint/httpapi/access"
	"keyhint/httpapi/strictjson"
)

// maxBodySize bounds a request's body, in bytes.
const maxBodySize = 16 << 10

// keyRequest is the body of POST /v1/key.
type keyRequest struct {
	documentID string
	operation  access.Operation // Issue if keyHint is null
	keyHint    string           // for Resolve
}

// Public texts about bodies.
const (
	notJSON        = malformed("The body is not one JSON value in UTF-8, without a byte order mark and without unpaired surrogates.")
	notAnObject    = malformed("The body is not a JSON object.")
	duplicate      = malformed("The body has two members with one name.")
	lookAlike      = malformed("The body has a member whose name differs from documentId or keyHint in letter case alone.")
	noDocumentID   = malformed("documentId is missing or not a string.")
	noKeyHint      = malformed("keyHint is missing: send null for the key of a new session, or the hint that came with an earlier key.")
	keyHintType    = malformed("keyHint is neither a string nor null.")
	unreadableBody = malformed("The body ended early or came too slowly.")
)

// readKeyRequest reads and decodes a body, whatever its framing.
func readKeyRequest(w http.ResponseWriter, r *http.Request) (keyRequest, error) {
	if !acceptable(r.Header) {
		return keyRequest{}, unsupportedMediaType
	}
	if r.ContentLength > maxBodySize {
		return keyRequest{}, bodyTooLarge
	}
	body, err := readBody(w, r)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return keyRequest{}, bodyTooLarge
	case err != nil:
		return keyRequest{}, unreadableBody
	}
	return decodeKeyRequest(body)
}

// usualBodySize is the size, in bytes, up to which a body gets its memory before
// it arrives. Nearly all are smaller.
const usualBodySize = 1 << 10

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength < 0 || r.ContentLength > usualBodySize {
		return io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodySize))
	}
	body := make([]byte, r.ContentLength)
	_, err := io.ReadFull(r.Body, body)
	return body, err
}

// acceptable takes JSON of any name, text/plain, which browsers send for a
// string without a type, and no type at all; in UTF-8 and not compressed.
func acceptable(h http.Header) bool {
	if encoding := h.Values("Content-Encoding"); len(encoding) > 0 {
		return false
	}
	types := h.Values("Content-Type")
	if len(types) == 0 {
		return true
	}
	name, parameters, err := mime.ParseMediaType(types[0])
	if err != nil || len(types) > 1 {
		return false
	}
	charset, given := parameters["charset"]
	if given && !strings.EqualFold(charset, "utf-8") {
		return false
	}
	return name == "application/json" || name == "text/json" || name == "text/plain" || strings.HasSuffix(name, "+json")
}

func decodeKeyRequest(body []byte) (keyRequest, error) {
	if request, ok := decodePlain(string(body)); ok {
		return request, nil
	}
	return decodeStrictly(body)
}

// decodePlain decodes a body that is spelled as JSON.stringify and json.Marshal
// do: nothing but the two members, in order, without space, of ASCII that needs no
// escape. That is what clients send. What it takes means the same to
// [decodeStrictly]; for all else it returns false.
func decodePlain(body string) (keyRequest, bool) {
	rest, begins := strings.CutPrefix(body, `{"documentId":"`)
	id, rest, ends := strings.Cut(rest, `"`)
	if !begins || !ends || !isPlain(id) {
		return keyRequest{}, false
	}
	if rest == `,"keyHint":null}` {
		return keyRequest{documentID: id, operation: access.Issue}, true
	}
	hint, begins := strings.CutPrefix(rest, `,"keyHint":"`)
	hint, ends = strings.CutSuffix(hint, `"}`)
	return keyRequest{documentID: id, operation: access.Resolve, keyHint: hint}, begins && ends && isPlain(hint)
}

// isPlain tells whether a text stands for itself in a JSON string.
func isPlain(text string) bool {
	for _, c := range []byte(text) {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// decodeStrictly is strict where a lenient reader would let two different
// requests mean the same: an absent keyHint must never pass for null, and two
// ids must never become one (DESIGN section 5).
func decodeStrictly(body []byte) (keyRequest, error) {
	members, err := strictjson.Object(body, "documentId", "keyHint")
	switch {
	case errors.Is(err, strictjson.ErrNotObject):
		return keyRequest{}, notAnObject
	case errors.Is(err, strictjson.ErrDuplicate):
		return keyRequest{}, duplicate
	case errors.Is(err, strictjson.ErrLookAlike):
		return keyRequest{}, lookAlike
	case err != nil:
		return keyRequest{}, notJSON
	}
	var request keyRequest
	var ok bool
	if request.documentID, ok = strictjson.String(members.Get("documentId")); !ok {
		return keyRequest{}, noDocumentID
	}
	switch hint := members.Get("keyHint"); hint.Kind() {
	case '"':
		request.operation = access.Resolve
		request.keyHint, _ = strictjson.String(hint)
	case 'n':
		request.operation = access.Issue
	case jsontext.KindInvalid:
		return keyRequest{}, noKeyHint
	default:
		return keyRequest{}, keyHintType
	}
	return request, nil
}
