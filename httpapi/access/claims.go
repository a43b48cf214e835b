package access

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/golang-jwt/jwt/v5"

	"keyhint/httpapi/strictjson"
)

// claims is what a token says. The names of the last two come from the
// configuration and are set before decoding.
type claims struct {
	jwt.RegisteredClaims
	documents []string // empty if the claim is absent
	role      string   // empty if the claim is absent

	documentClaim, roleClaim string
}

// UnmarshalJSON decodes a token's payload as strictly as a request's body: a
// claim that two readers could understand differently is an error, and so is a
// known claim of another type, null included.
func (c *claims) UnmarshalJSON(payload []byte) error {
	members, err := strictjson.Object(payload, "exp", "nbf", "iat", "sub", "aud", "iss", c.documentClaim, c.roleClaim)
	if err != nil {
		return fmt.Errorf("the claims are %w", err)
	}
	for _, d := range []struct {
		name string
		to   **jwt.NumericDate
	}{{"exp", &c.ExpiresAt}, {"nbf", &c.NotBefore}, {"iat", &c.IssuedAt}} {
		if value := members.Get(d.name); value != nil {
			if *d.to, err = numericDate(value); err != nil {
				return fmt.Errorf("claim %s %w", d.name, err)
			}
		}
	}
	for _, s := range []struct {
		name string
		to   *string
	}{{"sub", &c.Subject}, {"iss", &c.Issuer}, {c.roleClaim, &c.role}} {
		if value := members.Get(s.name); value != nil {
			if *s.to, err = nonEmpty(value); err != nil {
				return fmt.Errorf("claim %s %w", s.name, err)
			}
		}
	}
	for _, l := range []struct {
		name string
		to   *[]string
	}{{"aud", (*[]string)(&c.Audience)}, {c.documentClaim, &c.documents}} {
		if value := members.Get(l.name); value != nil {
			if *l.to, err = oneOrMore(value); err != nil {
				return fmt.Errorf("claim %s %w", l.name, err)
			}
		}
	}
	return nil
}

// maxNumericDate is the end of the year 9999, in seconds. It keeps sums of a
// time and the leeway in range.
const maxNumericDate = 253402300799

// numericDate reads seconds since 1970, of which there may be fractions (RFC
// 7519 section 2).
func numericDate(value jsontext.Value) (*jwt.NumericDate, error) {
	if value.Kind() != '0' {
		return nil, errors.New("is not a number")
	}
	seconds, err := strconv.ParseFloat(string(value), 64)
	if err != nil || seconds < 0 || seconds > maxNumericDate {
		return nil, errors.New("is out of range")
	}
	whole, fraction := math.Modf(seconds)
	return &jwt.NumericDate{Time: time.Unix(int64(whole), int64(fraction*1e9))}, nil
}

func nonEmpty(value jsontext.Value) (string, error) {
	text, ok := strictjson.String(value)
	if !ok || text == "" {
		return "", errors.New("is not a string, or empty")
	}
	return text, nil
}

// oneOrMore reads a string, or an array of strings with at least one.
func oneOrMore(value jsontext.Value) ([]string, error) {
	if value.Kind() == '"' {
		text, err := nonEmpty(value)
		return []string{text}, err
	}
	list, ok := strictjson.Strings(value)
	if !ok || len(list) == 0 {
		return nil, errors.New("is neither a string nor a list of one or more strings")
	}
	return list, nil
}
