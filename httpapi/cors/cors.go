// Package cors decides what web pages of other origins may do (DESIGN section
// 5). Pages of listed origins may read answers and make the browser send its
// cookies; all others may do neither.
//
// Reading is up to [Policy.Middleware], which withholds answers from pages; the
// requests are still processed. Cookies are up to [Policy.Protect], which refuses
// requests. Neither replaces access control: what is no browser sends whatever
// headers it likes.
package cors

import (
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
)

// Policy is a list of origins and whether their pages may use credentials. It
// does not change and is safe for any number of goroutines.
type Policy struct {
	origins     map[string]bool
	credentials bool
	protection  *http.CrossOriginProtection
}

// preflightMaxAge is as long as Chromium remembers a preflight, in seconds.
const preflightMaxAge = 7200

// New returns the policy for pages of exactly these origins, each of which
// [ValidateOrigin] must take. With credentials, these pages may send cookies and
// other credentials of the browser. With no origins, no page of another origin
// may read an answer.
func New(origins []string, credentials bool) (*Policy, error) {
	p := &Policy{origins: make(map[string]bool), credentials: credentials, protection: http.NewCrossOriginProtection()}
	for i, origin := range origins {
		if err := ValidateOrigin(origin); err != nil {
			return nil, fmt.Errorf("origin %d %w", i+1, err)
		}
		if err := p.protection.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("origin %d: %w", i+1, err)
		}
		p.origins[origin] = true
	}
	return p, nil
}

// Middleware adds the headers of CORS to every answer, and answers preflights.
// It must stand outside of all that can refuse a request, so that pages can read
// refusals too and preflights need no credentials.
//
// Every answer has Vary: Origin, whatever was asked, so that no cache hands the
// answer for one origin to another. Every OPTIONS request is answered with 204,
// from a page or not; that of another origin without a header of CORS, which is
// how a browser knows that it may not send the real one.
//
// The origins go through AllowOriginFunc, because AllowOrigins would take ? and
// * in them for wildcards and reads an empty list as *.
func (p *Policy) Middleware() echo.MiddlewareFunc {
	return middleware.CORSWithConfig(middleware.CORSConfig{
		AllowOriginFunc:  func(origin string) (bool, error) { return p.origins[origin], nil },
		AllowMethods:     []string{http.MethodPost},
		AllowHeaders:     []string{"content-type", "authorization", "x-request-id"},
		AllowCredentials: p.credentials,
		ExposeHeaders:    []string{"Retry-After", "X-Request-Id"},
		MaxAge:           preflightMaxAge,
	})
}

// Protect refuses a request with cookies or a client certificate that a page of
// another origin made the browser send, unless the origin is listed. Requests
// without either pass: what they may do depends on nothing that the browser adds
// by itself.
//
// It is [http.CrossOriginProtection]: GET, HEAD and OPTIONS pass, and so does
// what no browser of today sends, namely requests with neither Sec-Fetch-Site nor
// Origin. Browsers leave out Sec-Fetch-Site on plain HTTP; then Origin has to
// name the same host as Host, so a proxy should pass Host on.
func (p *Policy) Protect(req *http.Request) error {
	_, cookies := req.Header["Cookie"]
	certificate := req.TLS != nil && len(req.TLS.PeerCertificates) > 0
	if !cookies && !certificate {
		return nil
	}
	return p.protection.Check(req)
}
