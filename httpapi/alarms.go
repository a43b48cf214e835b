package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/time/rate"

	"keyhint/derive"
	"keyhint/httpapi/access"
	"keyhint/httpapi/audit"
)

// alarm is a refusal that an operator should hear of, and what to do about it.
// Clients cause refusals, so each alarm is logged once a minute at most, but for
// a few at first.
type alarm struct {
	cause   error
	level   slog.Level
	message string
	first   int // that many are logged before the interval counts
	limit   rate.Sometimes
}

const (
	alarmInterval = time.Minute
	// A person who sets up access control sees why each attempt is refused.
	firstRefusals = 20
)

// newAlarms lists the alarms; the first that fits a refusal is raised.
func newAlarms() []*alarm {
	list := []*alarm{
		{cause: audit.ErrUnwritten, level: slog.LevelError,
			message: "nobody gets a key until audit records can be written again"},
		{cause: derive.ErrNothingIssues, level: slog.LevelError,
			message: "new sessions are refused: add a new version to the key ring"},
		{cause: errIssuingStopped, level: slog.LevelError,
			message: "new sessions are refused until what stops them is mended"},
		{cause: derive.ErrUnknownFingerprint, level: slog.LevelWarn,
			message: "a hint names other material than this ring holds under its version: compare the replicas' rings, unless hints are being made up"},
		{cause: derive.ErrUnknownVersion, level: slog.LevelWarn,
			message: "a hint names a version that this ring does not have: roll the ring out to this replica, unless hints are being made up"},
		{cause: access.ErrUnavailable, level: slog.LevelError,
			message: "requests are refused because access control cannot decide"},
		{cause: access.ErrNoAudience, level: slog.LevelWarn,
			message: "a token was refused that looks as if it was minted for the RTC server"},
		{cause: errForeignOrigin, level: slog.LevelWarn,
			message: "a page of another origin was refused: add the origin to server.cors.origins if it is yours"},
		{cause: errForeignHost, level: slog.LevelWarn,
			message: "a request that is not for this machine was refused: auth.mode none is for callers on this machine"},
		{cause: access.ErrUnauthenticated, level: slog.LevelInfo, first: firstRefusals,
			message: "credentials were refused"},
		{cause: access.ErrDenied, level: slog.LevelInfo, first: firstRefusals,
			message: "access was denied"},
	}
	for _, a := range list {
		a.limit = rate.Sometimes{First: max(1, a.first), Interval: alarmInterval}
	}
	return list
}

func (s *server) raiseAlarm(err error, x *exchange) {
	if errors.Is(err, context.Canceled) {
		return // the client went away
	}
	for _, a := range s.alarms {
		if errors.Is(err, a.cause) {
			a.limit.Do(func() {
				log := s.Log.With("cause", err)
				if x.version != 0 {
					log = log.With("version", x.version)
				}
				log.Log(context.Background(), a.level, a.message, "request_id", x.requestID)
			})
			return
		}
	}
}
