// Package devpage is the page that "keyhint dev" serves: two editors that share
// a document, what a server between them sees of it, and the key ring.
//
// The page asks the endpoint for keys as any other would, through the modules of
// client/. All it adds are the routes below /@dev/: the ring without its secrets,
// and two changes of the ring in the configuration file. They are for whoever
// uses this machine, as all of "keyhint dev" is; [httpapi.Config] says what keeps
// others out. The configuration allows no endpoint below /@dev/.
package devpage

import (
	"bytes"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"path"
	"strings"
	"time"

	"keyhint/config"
	"keyhint/httpapi"
)

//go:embed assets
var assets embed.FS

// Options are what the page works with.
type Options struct {
	Client fs.FS // with client/keyhint.js and client/aes.js
	Now    func() time.Time
	Random io.Reader // a CSPRNG, for new versions
}

const prefix = "/@dev/"

var contentTypes = map[string]string{
	".css":  "text/css; charset=utf-8",
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// New returns what makes the routes for a configuration in force, and a log for
// what goes wrong with it.
func New(o Options) (func(*config.Config, *slog.Logger) []httpapi.Route, error) {
	var files []httpapi.Route
	for _, source := range []struct {
		files fs.FS
		names string
	}{{assets, "assets/*"}, {o.Client, "client/*.js"}} {
		names, err := fs.Glob(source.files, source.names)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			data, err := fs.ReadFile(source.files, name)
			if err != nil {
				return nil, fmt.Errorf("reading a file of the page: %w", err)
			}
			at := prefix + strings.TrimPrefix(name, "assets/")
			if path.Base(name) == "page.html" {
				at = "/"
			}
			files = append(files, httpapi.Route{Method: http.MethodGet, Path: at, Handler: protected(serveFile(name, data))})
		}
	}
	return func(c *config.Config, log *slog.Logger) []httpapi.Route {
		r := ring{o, c, log}
		return append(files[:len(files):len(files)],
			httpapi.Route{Method: http.MethodGet, Path: prefix + "ring", Handler: protected(http.HandlerFunc(r.describe))},
			httpapi.Route{Method: http.MethodPost, Path: prefix + "versions", Handler: protected(change(r.addVersion))},
			httpapi.Route{Method: http.MethodPost, Path: prefix + "status", Handler: protected(change(r.setStatus))},
		)
	}, nil
}

func serveFile(name string, data []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentTypes[path.Ext(name)])
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(data))
	})
}

// policy lets the page load its own files and talk to its own origin, and nothing
// else; no other page may frame it. Trusted Types with no policy means that no
// text ever becomes HTML.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"frame-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// protected adds the headers that keep the page to itself.
func protected(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		next.ServeHTTP(w, r)
	})
}
