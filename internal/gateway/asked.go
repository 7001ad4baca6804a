package gateway

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"
)

// Asked is a request that somebody wants explained.
type Asked struct {
	// Method is one of HTTP, or websocket for a GET that opens a WebSocket.
	Method string `json:"method"`
	// URL is a path with its query, or an address, whose host counts.
	URL string `json:"url"`
	// Headers are lines of "name: value".
	Headers []string `json:"headers,omitempty"`
	Body    string   `json:"body,omitempty"`
}

// anyHost is the Host of a request where neither its URL nor a header says one.
const anyHost = "gateway"

// splitURL splits what may be a path or a URL into host and path.
func splitURL(text string) (host, path string) {
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok || scheme != "http" && scheme != "https" {
		return "", text
	}
	i := strings.IndexAny(rest, "/?")
	switch {
	case i < 0:
		return rest, "/"
	case rest[i] == '?':
		return rest[:i], "/" + rest[i:]
	}
	return rest[:i], rest[i:]
}

// Check says what keeps the URL from being one.
func (a *Asked) Check() error {
	_, path := splitURL(a.URL)
	if !strings.HasPrefix(path, "/") {
		return fmt.Errorf("found the path %q, expected one that begins with a slash", a.URL)
	}
	if strings.ContainsAny(path, "# ") {
		return fmt.Errorf("found the path %q, expected one without # and spaces, which are written %%23 and %%20", a.URL)
	}
	return nil
}

// Request makes the request.
func (a *Asked) Request(ctx context.Context) (*http.Request, error) {
	if err := a.Check(); err != nil {
		return nil, err
	}
	host, path := splitURL(a.URL)
	method := strings.ToUpper(a.Method)
	socket := method == "WEBSOCKET"
	if socket {
		method = http.MethodGet
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+cmp.Or(host, anyHost)+path, strings.NewReader(a.Body))
	if err != nil {
		return nil, fmt.Errorf("%s %s is no request: %w", a.Method, path, err)
	}
	request.RemoteAddr = "127.0.0.1:0"
	for _, h := range a.Headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return nil, fmt.Errorf("-H %q: expected 'name: value'", h)
		}
		if name, value = strings.TrimSpace(name), strings.TrimSpace(value); strings.EqualFold(name, "Host") {
			request.Host = value
			continue
		}
		request.Header.Add(name, value)
	}
	if contentType := request.Header.Get("Content-Type"); contentType == "application/grpc" || strings.HasPrefix(contentType, "application/grpc+") {
		request.Proto, request.ProtoMajor, request.ProtoMinor = "HTTP/2.0", 2, 0
	}
	if socket {
		for name, value := range map[string]string{
			"Connection": "Upgrade", "Upgrade": "websocket", "Sec-Websocket-Version": "13", "Sec-Websocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
		} {
			request.Header.Set(name, value)
		}
	}
	return request, nil
}
