package httpapi

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"keyhint/derive"
	"keyhint/httpapi/access"
)

// errIssuingStopped is the refusal of new sessions for a reason that is not the ring's.
var errIssuingStopped = errors.New("issuing is stopped")

// key answers POST /v1/key: a new key for a null hint, the earlier one for a
// hint. Whether the caller may open the document is settled before the hint is
// looked at, so that a refused caller learns nothing about hints.
func (s *server) key(c echo.Context) error {
	request, err := readKeyRequest(c.Response(), c.Request())
	if err != nil {
		return err
	}
	doc := derive.Document{Namespace: s.Namespace, ID: request.documentID}
	if err := doc.Validate(); err != nil {
		return err
	}
	x := exchangeOf(c)
	x.documentID, x.operation, x.keyHint = doc.ID, request.operation, request.keyHint
	if err := x.caller.MayOpen(c.Request().Context(), doc.ID, request.operation); err != nil {
		return err
	}
	now := s.Now()
	key, hint, err := s.openSession(x, doc, request, now)
	if err != nil {
		return err
	}
	defer key.Wipe()
	x.hint = hint
	if err := s.record(x, nil); err != nil {
		return err // and no key leaves
	}
	body := answer(key, hint)
	defer clear(body) // it is written when this function returns
	s.Usage.add(hint, request.operation, now)
	if request.operation == access.Resolve {
		s.Metrics.observeHintAge(now.Sub(hint.Reference().Time()))
	}
	return c.Blob(http.StatusOK, echo.MIMEApplicationJSON, body)
}

// maxAnswerSize is the length of an answer with the longest hint, in bytes.
const maxAnswerSize = 149

// answer is the body of a 200 answer. Neither text has characters that JSON
// escapes, and an encoder of JSON would keep a copy.
func answer(key derive.Key, hint derive.Hint) []byte {
	body := append(make([]byte, 0, maxAnswerSize), `{"key":"`...)
	body = key.AppendReveal(body)
	body = append(body, `","keyHint":"`...)
	body = append(body, hint.String()...)
	return append(body, `"}`...)
}

func (s *server) openSession(x *exchange, doc derive.Document, request keyRequest, now time.Time) (derive.Key, derive.Hint, error) {
	if request.operation == access.Issue {
		if s.MayIssue != nil {
			if err := s.MayIssue(); err != nil {
				return derive.Key{}, derive.Hint{}, fmt.Errorf("%w: %w", errIssuingStopped, err)
			}
		}
		key, hint, err := s.Keyring.Issue(doc, now, s.Random)
		x.version = hint.Version()
		return key, hint, err
	}
	hint, err := derive.ParseHint(request.keyHint)
	if err != nil {
		return derive.Key{}, derive.Hint{}, err
	}
	x.version = hint.Version()
	key, err := s.Keyring.Resolve(hint, doc, now, s.MaxAge)
	return key, hint, err
}
