// Package leaktest searches what was printed for secrets. It is for tests.
package leaktest

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Search gathers what must not be printed, and what was. The zero value is ready
// to use, by any number of goroutines.
type Search struct {
	// Stride is how many characters lie between the parts of a secret that are
	// looked for; zero is 1, which is all of them. A part has 12 characters, or 16
	// of hex, so that none stands anywhere by chance.
	Stride int

	mutex   sync.RWMutex
	parts   map[int]map[string]string // by their length: whose they are
	printed []text
	Secrets int // how many were given
	Size    int // of what was printed, in bytes
}

type text struct {
	where string
	data  []byte
}

// Secret adds a secret of bytes: they, and what they are in hex, in base64 and as
// numbers, are not to be found, nor is any part of these.
func (s *Search) Secret(name string, b []byte) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.Secrets++
	s.add(name, 12, string(b))
	s.add(name+" in a URL", 12, url.QueryEscape(base64.StdEncoding.EncodeToString(b)))
	s.add(name+" in base64url", 12, base64.RawURLEncoding.EncodeToString(b))
	s.add(name+" in base64", 12, base64.RawStdEncoding.EncodeToString(b)) // the same but for two characters
	s.add(name+" in hex", 16, hex.EncodeToString(b))
	s.add(name+" in hex", 16, strings.ToUpper(hex.EncodeToString(b)))
	s.add(name+" in hex", 24, fmt.Sprintf("% x", b))
	s.add(name+" in numbers", 24, strings.Trim(fmt.Sprint(b), "[]"))
	s.add(name+" in Go", 24, strings.Trim(fmt.Sprintf("%#v", b), "[]byte{}"))
	s.add(name+" in quotes", 24, strings.Trim(strconv.Quote(string(b)), `"`))
}

// Text adds a secret of characters, such as a token: no part of it is to be found.
func (s *Search) Text(name, secret string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.Secrets++
	s.add(name, 12, secret)
	s.add(name, 12, url.QueryEscape(secret))
}

func (s *Search) add(name string, length int, secret string) {
	if s.parts == nil {
		s.parts = make(map[int]map[string]string)
	}
	if s.parts[length] == nil {
		s.parts[length] = make(map[string]string)
	}
	for at := 0; at+length <= len(secret); at += max(s.Stride, 1) {
		s.parts[length][secret[at:at+length]] = name
	}
}

// Printed adds what was printed somewhere.
func (s *Search) Printed(where string, data []byte) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.printed = append(s.printed, text{where, slices.Clone(data)})
	s.Size += len(data)
}

// Found returns the secrets that stand, whole or in part, in what was printed:
// their names, and where, without themselves.
func (s *Search) Found() []string {
	s.mutex.RLock()
	defer s.mutex.RUnlock()
	var found []string
	for _, t := range s.printed {
		for _, finding := range s.in(t) {
			if !slices.Contains(found, finding) {
				found = append(found, finding)
			}
		}
	}
	return found
}

// In is what [Search.Found] returns of this text alone, which is not kept.
func (s *Search) In(where string, data []byte) []string {
	s.mutex.RLock()
	defer s.mutex.RUnlock()
	return s.in(text{where, data})
}

func (s *Search) in(t text) []string {
	var found []string
	for length, parts := range s.parts {
		for at := 0; at+length <= len(t.data); at++ {
			name, secret := parts[string(t.data[at:at+length])]
			if !secret {
				continue
			}
			if finding := t.where + " has a part of " + name; !slices.Contains(found, finding) {
				found = append(found, finding)
			}
		}
	}
	return found
}
