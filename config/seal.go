package config

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// The YAML library, and what its result goes through, make strings of all that
// they are given, and a string cannot be cleared. So they are not given the
// secrets: seal puts a mark in the place of each.

// sealMark begins what stands for a secret. YAML takes this character, which
// has no meaning, and nobody writes it by mistake.
const sealMark = "\ue000"

const secretSize = 44 // of a secret in base64, in bytes

// seal returns a copy of a configuration file's text without its secrets, and
// the secrets: parts of data, in the order in which the marks count them. A
// secret is what has the form of one and stands behind a name that ends in
// _key; in a comment, too.
func seal(data []byte) (text []byte, secrets [][]byte) {
	text = bytes.Clone(data)
	for at := 0; ; at++ {
		next := bytes.IndexByte(data[at:], '=')
		if next < 0 {
			return text, secrets
		}
		at += next
		start := at
		for start > 0 && isBase64(data[start-1]) && at-start < secretSize {
			start--
		}
		if at-start == secretSize-1 && namesKey(data[:start]) {
			copy(text[start:], mark(len(secrets)))
			secrets = append(secrets, data[start:at+1])
		}
	}
}

func isBase64(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/'
}

// namesKey tells whether a text ends in the name of a key, a colon, and what may
// stand between it and a value.
func namesKey(text []byte) bool {
	text, found := bytes.CutSuffix(bytes.TrimRight(text, " \t\r\n\"'|>-"), []byte(":"))
	return found && bytes.HasSuffix(bytes.TrimRight(text, " \t\"'"), []byte("_key"))
}

// mark stands for the i-th secret, and is as long as one.
func mark(i int) string {
	return fmt.Sprintf("%s%0*d", sealMark, secretSize-len(sealMark), i)
}

// unseal returns the secret that a text stands for, or nil if it stands for none.
func unseal(text string, secrets [][]byte) []byte {
	number, marked := strings.CutPrefix(text, sealMark)
	if !marked {
		return nil
	}
	i, err := strconv.Atoi(number)
	if err != nil || i < 0 || i >= len(secrets) || text != mark(i) {
		return nil
	}
	return secrets[i]
}
