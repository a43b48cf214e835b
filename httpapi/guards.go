package httpapi

import (
	"errors"
	"fmt"
	"time"

	"github.com/labstack/echo/v4"

	"keyhint/httpapi/access"
	"keyhint/httpapi/ratelimit"
)

// limitAddress bounds the requests of each client address.
func (s *server) limitAddress(next echo.HandlerFunc) echo.HandlerFunc {
	if s.PerAddress == nil {
		return next
	}
	return func(c echo.Context) error {
		if ok, wait := s.PerAddress.Allow(ratelimit.AddressKey(exchangeOf(c).client)); !ok {
			return rateLimitedFor(wait, perAddressLimit)
		}
		return next(c)
	}
}

var errForeignOrigin = errors.New("the page's origin is not listed")

// protectCookies refuses what a page of another origin made a browser send with
// its cookies.
func (s *server) protectCookies(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		if err := s.CORS.Protect(c.Request()); err != nil {
			return fmt.Errorf("%w: %w: %w", access.ErrDenied, errForeignOrigin, err)
		}
		return next(c)
	}
}

// identify settles who asks, before anything of the body is read, and bounds
// the requests of each subject.
func (s *server) identify(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		caller, err := s.Access.Identify(c.Request())
		if err != nil {
			return err
		}
		exchangeOf(c).caller = caller
		if subject := caller.Subject(); subject != "" {
			if ok, wait := s.PerSubject.Allow(subject); !ok {
				return rateLimitedFor(wait, perSubjectLimit)
			}
		}
		return next(c)
	}
}

func rateLimitedFor(wait time.Duration, limit string) error {
	p := rateLimited
	p.retryAfter, p.reason = wait, limit
	return p
}
