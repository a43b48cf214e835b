package clientaddr

import (
	"net/netip"
	"strings"
)

// cutLast splits a list at its last separator outside quoted strings, and trims
// the element behind it.
//
// It reads from the right, because that end is the proxies'. A client that
// leaves a quote open at the left end does not reach what was appended to it.
// On proper lists this is the same as reading from the left: a quote inside of a
// quoted string follows a backslash, and the one that opens it follows a "=".
func cutLast(list string, separator byte) (rest, element string, found bool) {
	quoted := false
	for i := len(list) - 1; i >= 0; i-- {
		switch c := list[i]; {
		case c == '"' && quoted:
			quoted = i > 0 && list[i-1] == '\\'
		case c == '"':
			quoted = true
		case c == separator && !quoted:
			return list[:i], trim(list[i+1:]), true
		}
	}
	return "", trim(list), false
}

func trim(s string) string { return strings.Trim(s, " \t") }

// parseForwarded reads the address in one element of a Forwarded header, such
// as for="[2001:db8::1]:4711";proto=https.
func parseForwarded(element string) (netip.Addr, bool) {
	node, nodes := "", 0
	for more := true; more; {
		var pair string
		element, pair, more = cutLast(element, ';')
		if name, value, _ := strings.Cut(pair, "="); strings.EqualFold(name, "for") {
			node, nodes = value, nodes+1
		}
	}
	if strings.HasPrefix(node, `"`) {
		var ok bool
		if node, ok = unquote(node); !ok {
			return netip.Addr{}, false
		}
	}
	if nodes != 1 {
		return netip.Addr{}, false
	}
	return parseNode(node)
}

// unquote is the text of a quoted-string (RFC 9110 section 5.6.4).
func unquote(s string) (text string, ok bool) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), i == len(s)-1
		case s[i] == '\\':
			if i++; i == len(s) {
				return "", false
			}
		}
		b.WriteByte(s[i])
	}
	return "", false
}

// parseNode reads an address with or without a port. IPv6 addresses may stand
// in brackets, and must if there is a port.
func parseNode(node string) (netip.Addr, bool) {
	host, port, hasPort := node, "", false
	bracketed := strings.HasPrefix(node, "[")
	switch {
	case bracketed:
		var closed bool
		host, port, closed = strings.Cut(node[1:], "]")
		if port, hasPort = strings.CutPrefix(port, ":"); !closed || !hasPort && port != "" {
			return netip.Addr{}, false
		}
	case strings.Count(node, ":") == 1:
		host, port, hasPort = strings.Cut(node, ":")
	}
	address, err := netip.ParseAddr(host)
	if err != nil || bracketed && !address.Is6() || hasPort && !isPort(port) {
		return netip.Addr{}, false
	}
	return plain(address), true
}

// isPort takes what RFC 7239 section 6 takes: up to five digits, or an
// underscore and a made-up name.
func isPort(s string) bool {
	if name, obfuscated := strings.CutPrefix(s, "_"); obfuscated {
		return name != "" && consistsOf(name, "._-")
	}
	return s != "" && len(s) <= 5 && strings.Trim(s, "0123456789") == ""
}
