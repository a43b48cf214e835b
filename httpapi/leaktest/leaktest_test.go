package leaktest_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"keyhint/httpapi/leaktest"
)

func TestSearchFindsASecretHoweverItIsPrinted(t *testing.T) {
	secret := make([]byte, 32)
	rand.Read(secret)
	secret[0], secret[31] = 0xfb, 0xff // whose base64 has signs in it
	text := base64.StdEncoding.EncodeToString(secret)
	inJSON, err := json.Marshal(map[string]any{"bytes": secret, "text": string(secret)})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "secret", secret)
	for name, printed := range map[string]string{
		"bytes": string(secret), "base64": text, "base64url": base64.URLEncoding.EncodeToString(secret),
		"base64 behind other bytes": base64.StdEncoding.EncodeToString(append([]byte("key"), secret...)),
		"hex":                       hex.EncodeToString(secret), "HEX": fmt.Sprintf("%X", secret), "% x": fmt.Sprintf("% x", secret),
		"%v": fmt.Sprint(secret), "%#v": fmt.Sprintf("%#v", secret), "%q": fmt.Sprintf("%q", text), "JSON": string(inJSON), "slog": log.String(),
		"a URL": url.QueryEscape(text), "a part": "see " + text[20:32] + "…", "a part of the hex": hex.EncodeToString(secret[5:13]),
	} {
		var s leaktest.Search
		s.Secret("a secret", secret)
		s.Printed("the log", []byte("before "+printed+" behind"))
		if found := s.Found(); len(found) == 0 || strings.Contains(fmt.Sprint(found), text[20:32]) {
			t.Errorf("%s: %q", name, found)
		}
		s = leaktest.Search{}
		s.Text("a token", text)
		s.Printed("the log", []byte("before "+text+" behind"))
		if found := s.Found(); len(found) != 1 || found[0] != "the log has a part of a token" {
			t.Errorf("%q", found)
		}
	}
}

func TestSearchFindsNothingElse(t *testing.T) {
	var s leaktest.Search
	for i := range 100 {
		b := make([]byte, 32)
		rand.Read(b)
		s.Secret("a secret", b)
		rand.Read(b)
		s.Printed("the log", fmt.Appendf(nil, "%d %x %s %v %q", i, b, base64.StdEncoding.EncodeToString(b), b, b))
	}
	if found := s.Found(); len(found) > 0 || s.Secrets != 100 || s.Size < 10_000 {
		t.Errorf("%q, after %d secrets and %d bytes", found, s.Secrets, s.Size)
	}
}
