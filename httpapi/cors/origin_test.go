package cors_test

import (
	"net/http"
	"strings"
	"testing"

	"keyhint/httpapi/cors"
)

var validOrigins = []string{
	"https://app.example.com", "http://app.example.com", "https://example.com:8443", "http://localhost:3000", "http://localhost",
	"https://example.com:80", "http://example.com:443", "https://a", "https://a-b.c--d.example", "https://r3---sn.example.com",
	"https://my_app.example.com", "https://xn--mnchen-3ya.example", "https://1.example", "https://127.0.0.1", "http://127.0.0.1:8080",
	"http://[::1]:8080", "https://[2001:db8::1]", "https://example.com:65535",
	"app://editor", "tauri://localhost", "capacitor://localhost", "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
	"moz-extension://0198c2f4-6a31-7cc0-9f3e-5d0a7b1c2d3e",
}

// invalidOrigins are texts with what their error tells to write.
var invalidOrigins = map[string]string{
	"https://app.example.com/":       "write https://app.example.com",
	"https://app.example.com/editor": "write https://app.example.com",
	"https://app.example.com#a":      "write https://app.example.com",
	"https://App.Example.com":        "write https://app.example.com",
	"HTTPS://app.example.com":        "write https://app.example.com",
	"https://app.example.com:443":    "write https://app.example.com",
	"http://app.example.com:80":      "write http://app.example.com",
	"https://app.example.com:0443":   "write https://app.example.com",
	"https://app.example.com:08443":  "write https://app.example.com:8443",
	"https://app.example.com:":       "write https://app.example.com",
	"https://app.example.com.":       "write https://app.example.com",
	"app.example.com":                "write https://app.example.com",
	"app.example.com:8443/":          "write https://app.example.com:8443",
	"https://münchen.example":        "write https://xn--mnchen-3ya.example",
	"https://MÜNCHEN.example":        "write https://xn--mnchen-3ya.example",
	"https://faß.example":            "write https://xn--fa-hia.example",
	"https://ｅxample.com":            "write https://example.com",
	"https://[2001:DB8:0::1]":        "write https://[2001:db8::1]",
	"https://%65xample.com":          "write scheme://host",
	"App://Editor":                   "write app://editor",

	"":                                "write scheme://host",
	"null":                            "sandboxed frames",
	"*":                               "has a wildcard",
	"https://*":                       "has a wildcard",
	"https://*.example.com":           "has a wildcard",
	"https://app?.example.com":        "write scheme://host",
	"https://app.example.com?a=b":     "write scheme://host",
	"https://":                        "write scheme://host",
	"https:///a":                      "write scheme://host",
	"https:app.example.com":           "write scheme://host",
	"//app.example.com":               "write scheme://host",
	"/v1/key":                         "write scheme://host",
	" https://app.example.com":        "write scheme://host",
	"https://app.example.com ":        "write scheme://host",
	"https://app.example.com\n":       "write scheme://host",
	"https://app .example.com":        "write scheme://host",
	"https://app.example.com\\@a.b":   "write scheme://host",
	"https://a.example,b.example":     "has no valid host",
	"https://a.example https://b":     "write scheme://host",
	"https://a.example, https://b":    "write scheme://host",
	"https://user@app.example.com":    "has a user name",
	"https://u:secret@example.com":    "has a user name",
	"https://@app.example.com":        "has a user name",
	"https://app..example.com":        "has no valid host",
	"https://.example.com":            "has no valid host",
	"https://.":                       "has no valid host",
	"https://a$b.example":             "has no valid host",
	"https://xn--a.example":           "has no valid host",
	"https://a\u200b.\u200b.example":  "has no valid host",
	"https://127.1":                   "has no valid host",
	"https://127.0.0.01":              "has no valid host",
	"https://1.2.3.256":               "has no valid host",
	"https://0x7f000001":              "has no valid host",
	"https://2130706433":              "has no valid host",
	"https://[fe80::1%25eth0]":        "write scheme://host",
	"https://[::ffff:1.2.3.4]":        "has no valid host",
	"https://[127.0.0.1]":             "write scheme://host",
	"https://[::1":                    "write scheme://host",
	"https://app.example.com:0":       "has no valid port",
	"https://app.example.com:65536":   "has no valid port",
	"https://app.example.com:-1":      "write scheme://host",
	"https://app.example.com:http":    "write scheme://host",
	"file://":                         "write scheme://host",
	"file://host/a.html":              "has a scheme",
	"ws://app.example.com":            "has a scheme",
	"wss://app.example.com":           "has a scheme",
	"ftp://app.example.com":           "has a scheme",
	"blob:https://app.example.com/id": "write scheme://host",
	"about:blank":                     "write scheme://host",
	"javascript:alert(1)":             "write scheme://host",
	"1app://editor":                   "write scheme://host",
	"\x80":                            "write scheme://host",
	"https://\xff.example":            "write scheme://host",
	"//a://":                          "write scheme://host",
	"https://" + strings.Repeat("a", 64) + ".example":  "has no valid host",
	"https://" + strings.Repeat("a.", 127) + "example": "has no valid host",
	"https://" + strings.Repeat("é", 600):              "write scheme://host",
	"app://.":                                          "has no valid host",
}

func TestOriginsAsBrowsersSendThemAreTaken(t *testing.T) {
	for _, origin := range validOrigins {
		if err := cors.ValidateOrigin(origin); err != nil {
			t.Errorf("%s %v", origin, err)
		}
	}
}

func TestOtherOriginsAreRefusedWithWhatToWrite(t *testing.T) {
	for origin, want := range invalidOrigins {
		err := cors.ValidateOrigin(origin)
		if err == nil || !strings.Contains(err.Error()+"$", want) {
			t.Errorf("%q %v; want an error with %q", origin, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q %v: prints a password", origin, err)
		}
		if written, ok := adviceOf(err); ok && written != strings.TrimPrefix(want, "write ") {
			t.Errorf("%q %v; want %s", origin, err, want)
		}
		for _, origins := range [][]string{{origin}, {"https://app.example.com", origin}} {
			if p, err := cors.New(origins, true); err == nil || p != nil {
				t.Errorf("a policy for %q", origins)
			}
		}
	}
}

// adviceOf is the spelling that an error tells to write.
func adviceOf(err error) (origin string, ok bool) {
	if err == nil {
		return "", false
	}
	_, origin, ok = strings.Cut(err.Error(), "as browsers send it: write ")
	return origin, ok
}

func FuzzAdviceIsTaken(f *testing.F) {
	if len(validOrigins) < 20 || len(invalidOrigins) < 60 || cors.ValidateOrigin(validOrigins[0]) != nil {
		f.Fatal("the seeds are of no use")
	}
	for _, origin := range validOrigins {
		f.Add(origin)
	}
	for origin := range invalidOrigins {
		f.Add(origin)
	}
	f.Fuzz(func(t *testing.T, s string) {
		err := cors.ValidateOrigin(s)
		if err == nil {
			if strings.ToLower(s) != s || strings.ContainsAny(s, "*?#@\\% ,;\"'<>\x00\r\n\t") || strings.Count(s, "/") != 2 || s == "null" {
				t.Errorf("%q is taken", s)
			}
			if err := http.NewCrossOriginProtection().AddTrustedOrigin(s); err != nil {
				t.Errorf("%q is taken here and not by net/http: %v", s, err)
			}
			return
		}
		if origin, ok := adviceOf(err); ok {
			if again := cors.ValidateOrigin(origin); again != nil || origin == s {
				t.Errorf("%q %v, which %v", s, err, again)
			}
		}
	})
}
