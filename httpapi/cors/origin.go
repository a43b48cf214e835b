package cors

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// The flaws of origins that nothing can be made of. Each is the predicate of a
// sentence about the text.
var (
	errForm     = errors.New("is not an origin: write scheme://host or scheme://host:port, such as https://app.example.com")
	errWildcard = errors.New("has a wildcard: origins are compared exactly; write each one that may have keys, such as https://app.example.com")
	errNull     = errors.New("is what sandboxed frames and local files of anyone send: write an origin, such as https://app.example.com")
	errUser     = errors.New("has a user name: write scheme://host only, such as https://app.example.com")
	errScheme   = errors.New("has a scheme that no page's origin has: write http:// or https:// and the host, such as https://app.example.com")
	errHost     = errors.New("has no valid host: write a name in ASCII (xn--… if it is not), or an IP address, such as https://app.example.com")
	errPort     = errors.New("has no valid port: write one from 1 to 65535, or none for the scheme's own")
)

// ValidateOrigin returns nil if s is an origin as browsers send it: scheme://host
// or scheme://host:port in lower case, with the host in ASCII, and without the
// scheme's own port. Nothing follows, not even a slash. Besides http and https,
// the schemes that apps have for their pages are taken, such as app://editor.
//
// An error is the predicate of a sentence about s and tells what to write.
func ValidateOrigin(s string) error {
	canonical, err := canonicalOrigin(s)
	if err != nil {
		return err
	}
	if s != canonical {
		return fmt.Errorf("is not spelled as browsers send it: write %s", canonical)
	}
	return nil
}

// maxOriginSize is more bytes than any origin has: a host name has 253 at most.
const maxOriginSize = 1024

// canonicalOrigin is the origin that s most likely means.
func canonicalOrigin(s string) (string, error) {
	switch {
	case s == "null":
		return "", errNull
	case strings.Contains(s, "*"):
		return "", errWildcard
	case len(s) > maxOriginSize, strings.ContainsAny(s, "?%"), !utf8.ValidString(s): // a query, a wildcard, or escapes
		return "", errForm
	case !strings.Contains(s, "://"):
		s = "https://" + s
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme == "" || u.Host == "":
		return "", errForm
	case u.User != nil:
		return "", errUser
	case slices.Contains([]string{"file", "ftp", "ws", "wss"}, u.Scheme):
		return "", errScheme
	}
	host, err := canonicalHost(u)
	if err != nil {
		return "", err
	}
	port, err := canonicalPort(u)
	if err != nil {
		return "", err
	}
	return u.Scheme + "://" + host + port, nil
}

var (
	// hostNames in lookups are mapped as browsers map them.
	hostNames = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.Transitional(false),
		idna.StrictDomainName(false), idna.CheckHyphens(false), idna.VerifyDNSLength(true))

	hostName = regexp.MustCompile(`^[a-z0-9_-]+(\.[a-z0-9_-]+)*$`)
	isNumber = regexp.MustCompile(`(^|\.)([0-9]+|0x[0-9a-f]*)$`) // browsers take such names for IPv4 addresses
)

func canonicalHost(u *url.URL) (string, error) {
	if strings.HasPrefix(u.Host, "[") {
		address, err := netip.ParseAddr(u.Hostname())
		if err != nil || address.Is4In6() {
			return "", errHost
		}
		return "[" + address.String() + "]", nil
	}
	name, err := hostNames.ToASCII(strings.TrimSuffix(u.Hostname(), "."))
	if err != nil || !hostName.MatchString(name) {
		return "", errHost
	}
	if isNumber.MatchString(name) {
		if _, err := netip.ParseAddr(name); err != nil {
			return "", errHost
		}
	}
	return name, nil
}

// canonicalPort is empty for the port that the scheme has anyway.
func canonicalPort(u *url.URL) (string, error) {
	if u.Port() == "" {
		return "", nil
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	switch {
	case err != nil || port == 0:
		return "", errPort
	case u.Scheme == "http" && port == 80, u.Scheme == "https" && port == 443:
		return "", nil
	}
	return ":" + strconv.FormatUint(port, 10), nil
}
