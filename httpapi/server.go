// Package httpapi serves the key endpoint over HTTP (DESIGN section 5): routes,
// decoding, answers and their headers, and the server's bounds. It derives
// nothing itself; see package derive.
package httpapi

import (
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"

	"keyhint/derive"
	"keyhint/httpapi/access"
	"keyhint/httpapi/audit"
	"keyhint/httpapi/clientaddr"
	"keyhint/httpapi/cors"
	"keyhint/httpapi/ratelimit"
)

// Config is what the endpoint works with. All fields are required unless said otherwise.
type Config struct {
	Path      string // of the endpoint, such as /v1/key
	Keyring   *derive.Keyring
	Namespace string        // may be empty
	MaxAge    time.Duration // of a hint; 0 is no limit

	// MayIssue, if not nil, can stop issuing with an error, whatever the ring says.
	MayIssue func() error

	Access     access.Control       // who may have a key
	CORS       *cors.Policy         // what pages of other origins may do
	Clients    *clientaddr.Resolver // where requests come from
	PerAddress *ratelimit.Limiter   // of requests, before access control; nil is no limit
	PerSubject *ratelimit.Limiter   // of requests, after it; nil is no limit

	// LoopbackOnly refuses requests that come over anything but the loopback, and
	// those whose Host header does not name it. The second keeps a web page
	// elsewhere from reaching an endpoint without access control through a host
	// name of its own.
	LoopbackOnly bool

	// Page is what stands beside the endpoint for people who try it. It knows no
	// access control, so it is served with LoopbackOnly alone. May be empty.
	Page []Route

	Now     func() time.Time
	Random  io.Reader // a CSPRNG
	Log     *slog.Logger
	Metrics *Metrics
	Usage   *Usage     // of Keyring; nil is one that nobody looks at
	Audit   *audit.Log // of every decision about a key; nil keeps none
}

type server struct {
	Config
	alarms      []*alarm
	description []byte // of the API, in YAML
}

// New returns the handler of the public listener. It does not change and is
// safe for any number of goroutines.
func New(c Config) http.Handler {
	if c.Usage == nil {
		c.Usage = NewUsage(c.Keyring, nil)
	}
	s := &server{Config: c, alarms: newAlarms(), description: []byte(strings.ReplaceAll(openAPI, defaultPath, c.Path))}
	e := echo.New()
	around := []echo.MiddlewareFunc{s.observe, c.CORS.Middleware(), middleware.RecoverWithConfig(middleware.RecoverConfig{
		LogErrorFunc: s.logPanic, DisableErrorHandler: true, // observe answers
	})}
	if c.LoopbackOnly {
		around = append(around, requireLoopback)
	}
	// Echo would put the middleware around each request's handler anew.
	all := compose(around, func(c echo.Context) error { return c.Handler()(c) })
	e.Use(func(echo.HandlerFunc) echo.HandlerFunc { return all })
	for _, r := range s.routes() {
		e.Add(r.method, r.path, compose(r.guards, r.handler))
	}
	return e
}

// compose puts middleware around a handler, the first outermost.
func compose(around []echo.MiddlewareFunc, handler echo.HandlerFunc) echo.HandlerFunc {
	for _, m := range slices.Backward(around) {
		handler = m(handler)
	}
	return handler
}

// Route is served for a method and a path, which must not be the endpoint's.
type Route struct {
	Method, Path string
	Handler      http.Handler
}

// route is a row of the table of what is served.
type route struct {
	method, path string
	handler      echo.HandlerFunc
	guards       []echo.MiddlewareFunc // outermost first
}

func (s *server) routes() []route {
	table := []route{
		{http.MethodPost, s.Path, s.key, []echo.MiddlewareFunc{s.limitAddress, s.protectCookies, s.identify}},
		{http.MethodGet, openAPIPath, s.describe, []echo.MiddlewareFunc{s.limitAddress}},
	}
	if s.LoopbackOnly {
		for _, r := range s.Page {
			table = append(table, route{r.Method, r.Path, echo.WrapHandler(r.Handler), nil})
		}
	}
	return table
}
