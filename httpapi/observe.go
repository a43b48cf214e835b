package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/labstack/echo/v4"

	"keyhint/derive"
	"keyhint/httpapi/access"
)

// exchange is the context of a request, with what is known of it and its answer,
// for the log and the audit log.
type exchange struct {
	echo.Context

	decides    bool // it is about a key, so the audit log gets a record
	requestID  string
	client     netip.Addr
	caller     access.Caller    // nil until the request is identified
	documentID string           // empty if it was refused before a valid one was known
	operation  access.Operation // empty if it was refused before that was known
	keyHint    string           // received, whatever it is; empty for none
	hint       derive.Hint      // issued or resolved; zero if there is none yet
	version    uint32           // of the hint issued or received; 0 if there is none
	outcome    string           // ok, canceled, or the name of the problem
	cause      error
}

// exchangeOf is the context that handlers within [server.observe] get.
func exchangeOf(c echo.Context) *exchange { return c.(*exchange) }

// Values of headers that all answers have.
var (
	noStore = []string{"no-store"}
	noSniff = []string{"nosniff"}
)

// observe makes the exchange and logs it, sets the headers that every answer has,
// and answers errors.
func (s *server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		r := c.Request()
		x := &exchange{
			Context: c, decides: r.Method == http.MethodPost && c.Path() == s.Path,
			requestID: s.Clients.RequestID(r), client: s.Clients.Address(r), outcome: "ok",
		}
		h := c.Response().Header()
		h["Cache-Control"] = noStore
		h["X-Content-Type-Options"] = noSniff
		h["X-Request-Id"] = []string{x.requestID}
		if err := next(x); err != nil {
			s.refuse(err, x)
		}
		took := time.Since(start)
		s.Metrics.countRequest(x, took)
		s.logExchange(x, took)
		return nil
	}
}

// refuse answers with a problem document.
func (s *server) refuse(err error, x *exchange) {
	p := problemOf(err)
	x.outcome, x.cause = p.outcome(), err
	if errors.Is(err, context.Canceled) {
		x.outcome = "canceled" // the client went away
	} else {
		s.Metrics.countRefusal(err, p)
	}
	s.raiseAlarm(err, x)
	if x.Response().Committed {
		return
	}
	if err := s.record(x, &p); err != nil { // which takes nothing from a refusal
		s.raiseAlarm(err, x)
	}
	if err := p.write(x.Response()); err != nil {
		x.cause = err // the client is gone
	}
}

func (s *server) logExchange(x *exchange, took time.Duration) {
	ctx := x.Request().Context()
	if !s.Log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	attrs := []slog.Attr{
		slog.String("request_id", x.requestID),
		slog.String("operation", string(x.operation)),
		slog.Uint64("version", uint64(x.version)),
		slog.String("outcome", x.outcome),
		slog.Int("status", x.Response().Status),
		slog.Duration("duration", took),
	}
	if x.cause != nil {
		attrs = append(attrs, slog.String("cause", x.cause.Error()))
	}
	s.Log.LogAttrs(ctx, slog.LevelDebug, "request", attrs...)
}

func (s *server) logPanic(c echo.Context, err error, stack []byte) error {
	s.Log.Error("a request panicked; this is a fault of keyhint, please report it",
		"request_id", exchangeOf(c).requestID, "cause", err, "stack", string(stack))
	return err
}
