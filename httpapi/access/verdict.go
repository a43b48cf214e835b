package access

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"keyhint/httpapi/strictjson"
)

// forwardVerdict reads what the host application decided and, if it says so,
// about whom.
func forwardVerdict(r *http.Response) (subject string, err error) {
	var body []byte
	var broken error
	if r.StatusCode >= 200 { // a 101 has no body that a timeout would end
		// Whatever the status, reading to the end keeps the connection.
		body, broken = io.ReadAll(io.LimitReader(r.Body, forwardMaxBody+1))
	}
	switch {
	case r.StatusCode == http.StatusUnauthorized:
		return "", unauthenticated(HostUnauthenticated, errors.New("the host application answered 401"))
	case r.StatusCode == http.StatusForbidden:
		return "", denied(HostDenied, errors.New("the host application answered 403"))
	case r.StatusCode != http.StatusOK:
		return "", fmt.Errorf("the host application answered %d", r.StatusCode)
	case !forwardIsJSON(r.Header):
		return "", errForwardNotJSON
	case broken != nil:
		return "", forwardSymptom(broken)
	case len(body) > forwardMaxBody:
		return "", errForwardTooLong
	}
	members, err := strictjson.Object(body, "allow", "subject")
	if err != nil {
		return "", fmt.Errorf("reading the host application's answer: %w", err)
	}
	if name, ok := strictjson.String(members.Get("subject")); ok && len(name) <= forwardMaxSubject {
		subject = name
	}
	switch members.Get("allow").Kind() {
	case jsontext.KindTrue:
		return subject, nil
	case jsontext.KindFalse:
		return subject, denied(HostDenied, errors.New("the host application does not allow it"))
	}
	return "", errForwardNoAllow
}

func forwardIsJSON(h http.Header) bool {
	types := h.Values("Content-Type")
	if len(types) != 1 {
		return false
	}
	name, parameters, err := mime.ParseMediaType(types[0])
	charset, given := parameters["charset"]
	return err == nil && (name == "application/json" || strings.HasSuffix(name, "+json")) &&
		(!given || strings.EqualFold(charset, "utf-8"))
}

// Why there is no decision.
var (
	errForwardBusy    = errors.New("as many calls to the host application as may run at once are waiting for its answer")
	errForwardTimeout = errors.New("the host application did not answer in time")
	errForwardEnded   = errors.New("the host application ended the connection before its answer was complete")
	errForwardNotHTTP = errors.New("the host application answered with something else than HTTP, or with a header over 64 KiB")
	errForwardNotJSON = errors.New("the host application answered 200, but with a Content-Type that is not JSON")
	errForwardTooLong = errors.New("the host application answered with more than 64 KiB")
	errForwardNoAllow = errors.New(`the host application answered 200, but "allow" is neither true nor false`)
)

// forwardSymptom passes on what the network and certificates are at fault for.
// Other errors of net/http may quote the answer, which may echo the request.
func forwardSymptom(err error) error {
	var timeout net.Error
	var certificate *tls.CertificateVerificationError
	var record tls.RecordHeaderError // the host speaks no TLS
	var network *net.OpError
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return errForwardTimeout
	case errors.As(err, &certificate):
		return certificate
	case errors.As(err, &network):
		return network
	case errors.As(err, &record):
		return record
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errForwardEnded
	}
	return errForwardNotHTTP
}
