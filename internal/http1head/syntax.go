package http1head

import (
	"bytes"
	"encoding/binary"
	"net/http"
	"net/netip"
	"strconv"
)

// Classes of characters (RFC 9110, 5.6.2; RFC 3986, 3.2.2).
var (
	token    = classOf("!#$%&'*+-.^_`|~", true)
	hostName = classOf("-._~!$&'()*+,;=%", true)
	hexValue = hexadecimal()
)

func classOf(others string, letters bool) (class [256]bool) {
	for c := range 128 {
		class[c] = letters && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9')
	}
	for _, c := range []byte(others) {
		class[c] = true
	}
	return class
}

func hexadecimal() (value [256]int8) {
	for i := range value {
		value[i] = -1
	}
	for i, c := range []byte("0123456789abcdef") {
		value[c] = int8(i)
		value[bytes.ToUpper([]byte{c})[0]] = int8(i)
	}
	return value
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// TokenLen is how many bytes of a token (RFC 9110, 5.6.2) s begins with.
func TokenLen(s string) int {
	for i := range len(s) {
		if !token[s[i]] {
			return i
		}
	}
	return len(s)
}

// ValidToken reports whether b is a token (RFC 9110, 5.6.2).
func ValidToken(b []byte) bool {
	for _, c := range b {
		if !token[c] {
			return false
		}
	}
	return len(b) > 0
}

// split takes a field's line apart.
func split(line []byte) (name, value []byte, fault *Fault) {
	i := 0
	for i < len(line) && token[line[i]] {
		i++
	}
	if i == 0 || i == len(line) || line[i] != ':' {
		return nil, nil, badName(line, i)
	}
	value = line[i+1:]
	for len(value) > 0 && isSpace(value[0]) {
		value = value[1:]
	}
	for len(value) > 0 && isSpace(value[len(value)-1]) {
		value = value[:len(value)-1]
	}
	if !validValue(value) {
		return nil, nil, bad("the value of the field %s has a control character", quoted(line[:i]))
	}
	return line[:i], value, nil
}

// badName says what is wrong with a line whose first i bytes alone are of a name.
func badName(line []byte, i int) *Fault {
	colon := bytes.IndexByte(line, ':')
	switch {
	case isSpace(line[0]):
		return bad("a field goes on in a second line; expected one line")
	case colon < 0:
		return bad("a field is %s; expected NAME: VALUE", quoted(line))
	case i > 0 && len(bytes.TrimRight(line[:colon], " \t")) == i:
		return bad("whitespace stands between the field name %s and its colon", quoted(line[:i]))
	}
	return bad("a field's name is %s; expected letters, digits and hyphens", quoted(line[:colon]))
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' }

// validValue reports whether b has no control character but tabs.
func validValue(b []byte) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for len(b) >= 8 {
		// Any byte below 0x20 or equal to 0x7f, eight at a time; a byte of 0x80 and more
		// is text of some kind.
		x := binary.LittleEndian.Uint64(b)
		if low := (x - 0x20*ones) &^ x & highs; low != 0 && !plain(b[:8]) {
			return false
		}
		if y := x ^ 0x7f*ones; (y-ones)&^y&highs != 0 && !plain(b[:8]) {
			return false
		}
		b = b[8:]
	}
	return plain(b)
}

func plain(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// fold reports whether b is s, which is in lower case, but for the case of letters.
func fold(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != s[i] {
			return false
		}
	}
	return true
}

// checkTarget checks the target of a request (RFC 9112, 3.2): a path, a URL of http or
// https, * for OPTIONS, a host and a port for CONNECT. What is not ASCII passes, as
// it does over HTTP/2. The host of a URL is kept, to be compared with Host.
func (h *head) checkTarget(method, target []byte) *Fault {
	switch {
	case bytes.IndexByte(target, ' ') >= 0 || len(target) == 0:
		return bad("the request target is %s; expected one without spaces", quoted(target))
	case bytes.IndexByte(target, '#') >= 0:
		return bad("the request target is %s; expected one without a fragment, or %%23 for the character", quoted(target))
	case target[0] == '/':
		return checkPath(target)
	case string(method) == http.MethodConnect:
		if !ValidHost(target) || bytes.IndexByte(target, '%') >= 0 {
			return bad("the request target is %s; expected a host and a port", quoted(target))
		}
		return nil
	case string(method) == http.MethodOptions && string(target) == "*":
		return nil
	}
	rest := target
	for scheme, port := range schemes {
		if len(target) > len(scheme) && fold(target[:len(scheme)], scheme) {
			rest, h.port = target[len(scheme):], port
		}
	}
	if len(rest) == len(target) {
		return bad("the request target is %s; expected a path that begins with a slash", quoted(target))
	}
	host := rest
	if i := bytes.IndexAny(rest, "/?"); i >= 0 {
		host = rest[:i]
	}
	if !ValidHost(host) || bytes.IndexByte(host, '%') >= 0 {
		return bad("the host of the request target is %s; expected a host with or without a port", quoted(host))
	}
	if len(host) > maxAuthority {
		return bad("the host of the request target has %d bytes; expected at most %d", len(host), maxAuthority)
	}
	h.authority.n = copy(h.authority.bytes[:], host)
	return checkPath(rest[len(host):])
}

// schemes are those of URLs that may be a target, with the ports that they mean.
var schemes = map[string]string{"http://": ":80", "https://": ":443"}

// checkPath checks the escapes of a path before its query.
func checkPath(path []byte) *Fault {
	if i := bytes.IndexByte(path, '?'); i >= 0 {
		path = path[:i]
	}
	for {
		i := bytes.IndexByte(path, '%')
		if i < 0 {
			return nil
		}
		if len(path) < i+3 || hexValue[path[i+1]] < 0 || hexValue[path[i+2]] < 0 {
			return bad("the path holds a %% that is not followed by two hexadecimal digits")
		}
		path = path[i+3:]
	}
}

// ValidHost reports whether a text is a host with or without a port (RFC 3986, 3.2.2):
// a name, an IPv4 address, or an IPv6 address in brackets.
func ValidHost[T string | []byte](host T) bool {
	if len(host) == 0 {
		return false
	}
	end := 0
	if host[0] == '[' {
		for end < len(host) && host[end] != ']' {
			end++
		}
		if end == len(host) || !ipv6(string(host[1:end])) {
			return false
		}
		end++
	} else {
		for ; end < len(host) && host[end] != ':'; end++ {
			if !hostName[host[end]] {
				return false
			}
			if host[end] == '%' && (len(host) < end+3 || hexValue[host[end+1]] < 0 || hexValue[host[end+2]] < 0) {
				return false
			}
		}
		if end == 0 {
			return false
		}
	}
	return end == len(host) || host[end] == ':' && validPort(host[end+1:])
}

func ipv6(text string) bool {
	a, err := netip.ParseAddr(text)
	return err == nil && a.Is6() && a.Zone() == ""
}

// validPort takes an empty port, as RFC 3986 does.
func validPort[T string | []byte](port T) bool {
	for i := range len(port) {
		if !isDigit(port[i]) {
			return false
		}
	}
	return len(port) <= 5
}

// kilobytes is a limit, for people.
func kilobytes(n int) string { return strconv.Itoa(n) + " bytes" }
