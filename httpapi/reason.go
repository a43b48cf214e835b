package httpapi

import (
	"errors"

	"keyhint/derive"
	"keyhint/httpapi/access"
	"keyhint/httpapi/audit"
)

// causes are the refusals whose reason is finer than their problem type.
var causes = []struct {
	cause  error
	reason string
}{
	{errForeignOrigin, "foreign-origin"},
	{errForeignHost, "foreign-host"},
	{derive.ErrMalformedHint, "hint-malformed"},
	{derive.ErrTagMismatch, "tag-mismatch"},
	{derive.ErrUnknownFingerprint, "fingerprint-unknown"},
	{derive.ErrDisabled, "version-disabled"},
	{derive.ErrDestroyed, "version-destroyed"},
	{derive.ErrNothingIssues, "nothing-issues"},
	{errIssuingStopped, "issuing-stopped"},
	{audit.ErrUnwritten, "audit-unwritten"},
}

// The reasons of the two limits.
const (
	perAddressLimit = "rate-limit-per-address"
	perSubjectLimit = "rate-limit-per-subject"
)

// reasonOf names why a request was refused, for metrics. Where there is nothing
// finer it is the outcome.
func reasonOf(err error, p problem) string {
	if p.reason != "" {
		return p.reason
	}
	if r := access.ReasonOf(err); r != "" {
		return string(r)
	}
	for _, c := range causes {
		if errors.Is(err, c.cause) {
			return c.reason
		}
	}
	return p.outcome()
}

// reasons lists all that reasonOf can return, but for outcomes that have finer ones.
func reasons() []string {
	list := []string{perAddressLimit, perSubjectLimit}
	for _, c := range causes {
		list = append(list, c.reason)
	}
	for _, r := range access.Reasons() {
		list = append(list, string(r))
	}
	for _, p := range []problem{malformedRequest, bodyTooLarge, unsupportedMediaType, hintExpired, versionUnknown} {
		list = append(list, p.outcome())
	}
	return append(list, "not-found", "method-not-allowed", "internal-error", "other")
}
