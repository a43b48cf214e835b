package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

type authSection struct {
	Mode    string         `mapstructure:"mode"`
	JWT     jwtSection     `mapstructure:"jwt"`
	Forward forwardSection `mapstructure:"forward"`
}

type jwtSection struct {
	Keys             []string      `mapstructure:"keys"`
	Audience         []string      `mapstructure:"audience"`
	Issuer           string        `mapstructure:"issuer"`
	Algorithms       []string      `mapstructure:"algorithms"`
	Leeway           time.Duration `mapstructure:"leeway"`
	Cookie           string        `mapstructure:"cookie"`
	DocumentClaim    string        `mapstructure:"document_claim"`
	AllowAnyDocument bool          `mapstructure:"allow_any_document"`
	RoleClaim        string        `mapstructure:"role_claim"`
	IssueRoles       []string      `mapstructure:"issue_roles"`
}

type forwardSection struct {
	URL           string        `mapstructure:"url"`
	Timeout       time.Duration `mapstructure:"timeout"`
	CAFile        string        `mapstructure:"ca_file"`
	MaxConcurrent uint32        `mapstructure:"max_concurrent"`
}

// Auth says who may have a key.
type Auth struct {
	Mode    AuthMode
	JWT     JWT     // for mode jwt
	Forward Forward // for mode forward
}

// AuthMode names a way of access control (DESIGN section 6).
type AuthMode string

const (
	AuthNone    AuthMode = "none"    // every caller that can reach the listener
	AuthJWT     AuthMode = "jwt"     // the bearer of a token
	AuthForward AuthMode = "forward" // whoever the host application allows
)

// JWT says which tokens are accepted. Package access checks what the keys and
// names are worth.
type JWT struct {
	KeyFiles         []KeyFile
	KeySets          []string // URLs of JWKS
	Audience         []string
	Issuer           string
	Algorithms       []string
	Leeway           time.Duration
	Cookie           string
	DocumentClaim    string
	AllowAnyDocument bool
	RoleClaim        string
	IssueRoles       []string
}

// KeyFile is a file of public keys.
type KeyFile struct {
	Setting string // that names it, such as auth.jwt.keys[0]
	Path    string
	Data    []byte
}

// Forward says how the host application is asked.
type Forward struct {
	URL           string
	Timeout       time.Duration
	CAs           []byte // certificates in PEM; nil is the system's
	MaxConcurrent int
}

// maxLeeway bounds the leeway for clocks: above it a token hardly expires.
const maxLeeway = 5 * time.Minute

func (v *validation) auth(a authSection, s serverSection) Auth {
	auth := Auth{Mode: AuthMode(a.Mode)}
	switch auth.Mode {
	case AuthNone:
		if s.TLS.ClientCAFile != "" && len(s.TLS.ClientNames) > 0 || v.refused("server") {
			break
		}
		if !isLoopback(s.Address) {
			is := "not a loopback address"
			if _, unix := UnixPath(s.Address); unix {
				is = "a Unix socket, where a proxy can let in callers from anywhere"
			}
			v.refuse("auth.mode", "is none, which gives every caller every key, and server.address is %s: set server.address to 127.0.0.1:8080, or server.tls with client_ca_file and client_names, or another mode", is)
		}
	case AuthJWT:
		auth.JWT = v.jwt(a.JWT)
	case AuthForward:
		auth.Forward = v.forward(a.Forward)
	case "":
		if !v.refused("auth") {
			v.refuse("auth.mode", "is missing: who may have a key has no default; write jwt, forward, or none to serve callers on this machine only")
		}
	default:
		v.refuse("auth.mode", "is not a mode of access control: write jwt, forward or none")
	}
	if auth.Mode != AuthNone && len(s.TLS.ClientNames) > 0 {
		v.refuse("server.tls.client_names", "is for auth.mode none: in another mode, client_ca_file alone asks for a client certificate besides")
	}
	return auth
}

func (v *validation) jwt(s jwtSection) JWT {
	j := JWT{
		Audience: s.Audience, Issuer: s.Issuer, Algorithms: s.Algorithms, Leeway: s.Leeway, Cookie: s.Cookie,
		DocumentClaim: s.DocumentClaim, AllowAnyDocument: s.AllowAnyDocument, RoleClaim: s.RoleClaim, IssueRoles: s.IssueRoles,
	}
	if len(s.Keys) == 0 && !v.refused("auth.jwt.keys") {
		v.refuse("auth.jwt.keys", "is missing: name the public keys that tokens are verified with, as file:///absolute/path or as the https:// URL of a JWKS")
	}
	if len(s.Audience) == 0 && !v.refused("auth.jwt.audience") {
		v.refuse("auth.jwt.audience", "is missing: name this endpoint, for example by its URL, and mint tokens for it with that name as aud; it keeps tokens for the RTC server from opening anything here")
	}
	for i, key := range s.Keys {
		setting := item("auth.jwt.keys", i)
		switch {
		case slices.Contains(s.Keys[:i], key):
			v.refuse(setting, "stands in the list already: keep one")
		case strings.HasPrefix(key, fileScheme):
			path := strings.TrimPrefix(key, fileScheme)
			if data := v.file(setting, path); data != nil {
				j.KeyFiles = append(j.KeyFiles, KeyFile{setting, path, data})
			}
		case strings.HasPrefix(key, "https://"), strings.HasPrefix(key, "http://"):
			j.KeySets = append(j.KeySets, key)
		default:
			v.refuse(setting, "is neither a file nor a URL: write file:///absolute/path of PEM or a JWKS, or the https:// URL of a JWKS")
		}
	}
	for i, name := range s.Audience {
		if name == "" {
			v.refuse(item("auth.jwt.audience", i), "is empty")
		}
	}
	if s.Leeway > maxLeeway {
		v.refuse("auth.jwt.leeway", "is over %s: it is for clocks that differ a little", maxLeeway)
	}
	for _, claim := range []struct{ setting, name string }{
		{"auth.jwt.document_claim", s.DocumentClaim}, {"auth.jwt.role_claim", s.RoleClaim},
	} {
		switch claim.name {
		case "":
			v.refuse(claim.setting, "is empty: name a claim")
		case "exp", "nbf", "iat", "aud", "iss", "sub":
			v.refuse(claim.setting, "is a claim with a meaning of its own: name another")
		}
	}
	if s.DocumentClaim == s.RoleClaim {
		v.refuse("auth.jwt.role_claim", "is document_claim as well: name another")
	}
	v.oneOf("auth.jwt.algorithms", s.Algorithms, "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
	v.oneOf("auth.jwt.issue_roles", s.IssueRoles, "editor", "viewer")
	return j
}

func (v *validation) forward(s forwardSection) Forward {
	f := Forward{URL: s.URL, Timeout: s.Timeout, MaxConcurrent: int(s.MaxConcurrent)}
	if s.URL == "" {
		v.refuse("auth.forward.url", "is missing: write the URL of your application that decides, such as https://app.example.com/may-open")
	}
	if s.Timeout <= 0 || s.Timeout > maxForwardTimeout {
		v.refuse("auth.forward.timeout", "is not a time that an editor would wait: write one up to %s, such as 3s", maxForwardTimeout)
	}
	if s.MaxConcurrent == 0 || s.MaxConcurrent > maxForwarded {
		v.refuse("auth.forward.max_concurrent", "must be from 1 to %d", maxForwarded)
	}
	if s.CAFile != "" {
		f.CAs = v.certificates("auth.forward.ca_file", s.CAFile)
	}
	return f
}

// maxForwardTimeout leaves time to read a slow body and to answer before the
// server gives a connection up.
const maxForwardTimeout = 10 * time.Second

// maxForwarded bounds how many requests wait for the host application at once.
const maxForwarded = 10_000

// oneOf refuses list items that are not among the known ones.
func (v *validation) oneOf(setting string, list []string, known ...string) {
	for i, name := range list {
		if !slices.Contains(known, name) {
			v.refuse(item(setting, i), "is not known: write one of %s", strings.Join(known, ", "))
		}
	}
}

func item(setting string, i int) string { return fmt.Sprintf("%s[%d]", setting, i) }
