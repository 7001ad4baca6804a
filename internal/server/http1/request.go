package http1

import (
	"bytes"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/transom-gateway/transom/internal/http1head"
)

// parse reads a head. It returns nil for one that is another server's to serve, or to refuse: what is not as
// sound as it should be by now among them.
func (c *conn) parse(head []byte) *http.Request {
	line, fields, ok := bytes.Cut(head, endOfLine)
	if !ok {
		return nil
	}
	method, target, ok := strings.Cut(strings.TrimSuffix(string(line), " HTTP/1.1"), " ")
	if !ok || len(method)+1+len(target) == len(line) || method == http.MethodConnect || !http1head.ValidToken([]byte(method)) || target[:min(1, len(target))] != "/" {
		return nil
	}
	at, err := url.ParseRequestURI(target)
	if err != nil {
		return nil
	}
	header, host, ok := parseFields(fields)
	if !ok {
		return nil
	}
	last, ok := isLast(header["Connection"])
	if !ok {
		return nil
	}
	asked := &requestContext{Context: c.ctx, conn: c}
	r := c.like.WithContext(asked)
	r.Method, r.URL, r.RequestURI, r.Header, r.Host, r.Close = method, at, target, header, host, last
	c.mu.Lock()
	c.asked = asked
	c.mu.Unlock()
	return r
}

var endOfLine = []byte("\r\n")

// parseFields reads the fields up to the empty line. ok is false where one is another server's matter.
func parseFields(fields []byte) (header http.Header, host string, ok bool) {
	header = make(http.Header)
	values := make([]string, max(0, bytes.Count(fields, endOfLine)-2)) // all but Host and the empty line
	hosts := 0
	for {
		line, rest, ok := bytes.Cut(fields, endOfLine)
		if !ok {
			return nil, "", false
		}
		if len(line) == 0 {
			break
		}
		fields = rest
		name, value, ok := bytes.Cut(line, colon)
		if !ok || !http1head.ValidToken(name) {
			return nil, "", false
		}
		text := string(bytes.Trim(value, " \t"))
		if !httpguts.ValidHeaderFieldValue(text) {
			return nil, "", false
		}
		key := nameOf(name)
		switch key {
		case "Host":
			host = text
			hosts++
			continue
		case "Content-Length":
			if text != "0" {
				return nil, "", false
			}
		case "Transfer-Encoding", "Trailer", "Upgrade", "Expect":
			return nil, "", false
		}
		if before, more := header[key]; more {
			header[key] = append(before, text)
			continue
		}
		if len(values) == 0 {
			values = make([]string, 1) // there is no Host
		}
		values[0] = text
		header[key], values = values[:1:1], values[1:]
	}
	if hosts != 1 || host == "" || !httpguts.ValidHostHeader(host) {
		return nil, "", false
	}
	if pragma := header["Pragma"]; len(pragma) > 0 && pragma[0] == "no-cache" && header["Cache-Control"] == nil {
		header["Cache-Control"] = []string{"no-cache"} // RFC 9111, 5.4, of HTTP/1.0
	}
	return header, host, true
}

// isLast reports whether a request says that it is its connection's last one. ok is false where it says something else of
// that.
func isLast(connection []string) (last, ok bool) {
	switch {
	case len(connection) == 0:
		return false, true
	case len(connection) > 1:
		return false, false
	}
	last = strings.EqualFold(connection[0], "close")
	return last, last || strings.EqualFold(connection[0], "keep-alive")
}

var colon = []byte(":")

// usual are the names that most requests have, by the ways they are written.
var usual = func() map[string]string {
	names := map[string]string{}
	for _, name := range []string{
		"Host", "User-Agent", "Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Cache-Control", "Connection", "Content-Length", "Content-Type",
		"Cookie", "If-None-Match", "If-Modified-Since", "Origin", "Pragma", "Referer", "Traceparent", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto",
		"X-Real-Ip", "X-Request-Id", "Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site", "Sec-Ch-Ua", "Sec-Ch-Ua-Mobile", "Sec-Ch-Ua-Platform", "Dnt", "Te",
	} {
		names[name], names[strings.ToLower(name)] = name, name
	}
	return names
}()

// nameOf is the canonical form of a field's name.
func nameOf(name []byte) string {
	if key, ok := usual[string(name)]; ok {
		return key
	}
	return textproto.CanonicalMIMEHeaderKey(string(name))
}
