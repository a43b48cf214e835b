package httpapi

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/labstack/echo/v4"

	"keyhint/derive"
	"keyhint/httpapi/access"
	"keyhint/httpapi/audit"
)

// problem is an RFC 9457 problem document. Its texts are fixed: nothing of the
// request and nothing of the cause goes into it.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitzero"`

	retryAfter   time.Duration // whole seconds; 0 sends no Retry-After
	authenticate bool          // sends WWW-Authenticate
	reason       string        // for metrics, where the type does not tell it
}

// The problem types of DESIGN section 5.
var (
	malformedRequest = problem{
		Type: "urn:keyhint:malformed-request", Status: http.StatusBadRequest,
		Title:  "Malformed request",
		Detail: "The body must be a JSON object with documentId, a string, and keyHint, a string or null.",
	}
	unauthenticated = problem{
		Type: "urn:keyhint:unauthenticated", Status: http.StatusUnauthorized,
		Title:        "Unauthenticated",
		Detail:       "There are no credentials, or they are not accepted.",
		authenticate: true,
	}
	accessDenied = problem{
		Type: "urn:keyhint:access-denied", Status: http.StatusForbidden,
		Title:  "Access denied",
		Detail: "This caller may not open this document.",
	}
	hintMismatch = problem{
		Type: "urn:keyhint:hint-mismatch", Status: http.StatusForbidden,
		Title:  "Hint does not belong to this document",
		Detail: "The keyHint was not issued for this documentId. Send both exactly as they were when the key was issued.",
	}
	keyUnavailable = problem{
		Type: "urn:keyhint:key-unavailable", Status: http.StatusForbidden,
		Title:  "Key unavailable",
		Detail: "The keyHint names a master key that is not in use here any more.",
	}
	hintExpired = problem{
		Type: "urn:keyhint:hint-expired", Status: http.StatusForbidden,
		Title:  "Hint expired",
		Detail: "The keyHint is older than this service allows.",
	}
	versionUnknown = problem{
		Type: "urn:keyhint:version-unknown", Status: http.StatusConflict,
		Title:      "Version unknown",
		Detail:     "The keyHint names a master key that this replica does not know yet. Try again soon.",
		retryAfter: 5 * time.Second,
	}
	bodyTooLarge = problem{
		Type: "urn:keyhint:body-too-large", Status: http.StatusRequestEntityTooLarge,
		Title:  "Body too large",
		Detail: "The body is over 16 KiB.",
	}
	unsupportedMediaType = problem{
		Type: "urn:keyhint:unsupported-media-type", Status: http.StatusUnsupportedMediaType,
		Title:  "Unsupported media type",
		Detail: "Send JSON in UTF-8 with Content-Type application/json, text/plain or none, and without Content-Encoding.",
	}
	rateLimited = problem{
		Type: "urn:keyhint:rate-limited", Status: http.StatusTooManyRequests,
		Title:  "Rate limited",
		Detail: "There are too many requests. Try again after the time that Retry-After gives.",
	}
	unavailable = problem{
		Type: "urn:keyhint:unavailable", Status: http.StatusServiceUnavailable,
		Title:  "Unavailable",
		Detail: "The service cannot answer this request now.",
	}
)

// malformed is a flaw of a request's body. Its text goes to the client, so it
// is a constant.
type malformed string

func (m malformed) Error() string { return string(m) }

// problemOf is the one place where errors become answers.
func problemOf(err error) problem {
	var flaw malformed
	var known problem
	var routing *echo.HTTPError
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, access.ErrUnauthenticated):
		return unauthenticated
	case errors.Is(err, access.ErrDenied):
		return accessDenied
	case errors.Is(err, access.ErrUnavailable):
		return unavailable
	case errors.As(err, &flaw):
		p := malformedRequest
		p.Detail = string(flaw)
		return p
	case errors.Is(err, derive.ErrInvalidDocument):
		p := malformedRequest
		p.Detail = "documentId must be 1 to 1024 bytes of UTF-8."
		return p
	case errors.Is(err, derive.ErrMalformedHint), errors.Is(err, derive.ErrTagMismatch):
		return hintMismatch
	case errors.Is(err, derive.ErrUnknownVersion):
		return versionUnknown
	case errors.Is(err, derive.ErrUnknownFingerprint), errors.Is(err, derive.ErrDisabled), errors.Is(err, derive.ErrDestroyed):
		return keyUnavailable
	case errors.Is(err, derive.ErrExpired):
		return hintExpired
	case errors.Is(err, derive.ErrNothingIssues), errors.Is(err, errIssuingStopped), errors.Is(err, audit.ErrUnwritten):
		return unavailable
	case errors.As(err, &routing):
		return plainProblem(routing.Code)
	}
	return plainProblem(http.StatusInternalServerError)
}

// plainProblem is a problem that says no more than its status (RFC 9457 section 4.2.1).
func plainProblem(status int) problem {
	return problem{Type: "about:blank", Status: status, Title: http.StatusText(status)}
}

// outcome is the problem's name in logs and metrics.
func (p problem) outcome() string {
	if p.Type != "about:blank" {
		return p.Type[strings.LastIndexByte(p.Type, ':')+1:]
	}
	switch p.Status {
	case http.StatusNotFound:
		return "not-found"
	case http.StatusMethodNotAllowed:
		return "method-not-allowed"
	case http.StatusInternalServerError:
		return "internal-error"
	}
	return "other"
}

// outcomes lists all that there can be of a request, in metrics.
func outcomes() []string {
	list := []string{"ok", "canceled", "not-found", "method-not-allowed", "internal-error", "other"}
	for _, p := range []problem{
		malformedRequest, unauthenticated, accessDenied, hintMismatch, keyUnavailable, hintExpired, versionUnknown,
		bodyTooLarge, unsupportedMediaType, rateLimited, unavailable,
	} {
		list = append(list, p.outcome())
	}
	return list
}

// Error lets a handler return a problem as it is.
func (p problem) Error() string { return p.Title }

func (p problem) write(w http.ResponseWriter) error {
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/problem+json")
	if p.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(p.retryAfter/time.Second)))
	}
	if p.authenticate {
		w.Header().Set("WWW-Authenticate", `Bearer realm="keyhint"`)
	}
	w.WriteHeader(p.Status)
	_, err = w.Write(body)
	return err
}
