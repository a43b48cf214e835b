package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/time/rate"

	"keyhint/derive"
	"keyhint/httpapi/access"
)

// alarm is a refusal that an operator should hear of, and what to do about it.
// Clients cause refusals, so each alarm is logged once a minute at most.
type alarm struct {
	cause   error
	level   slog.Level
	message string
	limit   rate.Sometimes
}

const alarmInterval = time.Minute

// newAlarms lists the alarms; the first that fits a refusal is raised.
func newAlarms() []*alarm {
	list := []*alarm{
		{cause: derive.ErrNothingIssues, level: slog.LevelError,
			message: "new sessions are refused: add a new version to the key ring"},
		{cause: derive.ErrUnknownFingerprint, level: slog.LevelWarn,
			message: "a hint names other material than this ring holds under its version: compare the replicas' rings, unless hints are being made up"},
		{cause: derive.ErrUnknownVersion, level: slog.LevelWarn,
			message: "a hint names a version that this ring does not have: roll the ring out to this replica, unless hints are being made up"},
		{cause: access.ErrUnavailable, level: slog.LevelError,
			message: "requests are refused because access control cannot decide"},
		{cause: access.ErrNoAudience, level: slog.LevelWarn,
			message: "a token was refused that looks as if it was minted for the RTC server"},
		{cause: access.ErrUnauthenticated, level: slog.LevelInfo,
			message: "credentials were refused"},
	}
	for _, a := range list {
		a.limit = rate.Sometimes{First: 1, Interval: alarmInterval}
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
				s.Log.Log(context.Background(), a.level, a.message, "cause", err, "version", x.version, "request_id", x.requestID)
			})
			return
		}
	}
}
