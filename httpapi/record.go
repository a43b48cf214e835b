package httpapi

import (
	"net/http"

	"keyhint/derive"
	"keyhint/httpapi/audit"
)

// ProblemType is the type of the problem that an error becomes in an answer.
func ProblemType(err error) string { return problemOf(err).Type }

// record puts a decision about a key into the audit log, before the answer: p is
// the refusal, or nil for a key that is about to leave. It must not leave if this
// returns an error.
func (s *server) record(x *exchange, p *problem) error {
	if !x.decides || s.Audit == nil {
		return nil
	}
	r := audit.Record{
		Kind: audit.Request, Time: s.Now(), RequestID: x.requestID, Client: x.client,
		Document:  derive.Document{Namespace: s.Namespace, ID: x.documentID},
		Operation: string(x.operation), Hint: x.hint, Status: http.StatusOK,
	}
	if x.caller != nil {
		r.Subject = x.caller.Subject()
	}
	if p != nil {
		r.Status, r.Problem = p.Status, p.Type
		// A refused caller's hint was not looked at; what parses says what they had.
		r.Hint, _ = derive.ParseHint(x.keyHint)
	}
	return s.Audit.Write(r)
}
