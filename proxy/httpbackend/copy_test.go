package httpbackend_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/transom-gateway/transom/proxy/httpbackend"
)

// TestCopied: Traffic 208: what is refused, or is an upgrade, is not copied, so that a mirror
// which leads back to the gateway gets no copies of copies; a copy shares nothing with the request.
func TestCopied(t *testing.T) {
	u := newRig(t, "127.0.0.1:1", httpbackend.Options{}).upstream
	for name, test := range map[string]struct {
		method string
		header http.Header
		length int64
		want   bool
	}{
		"usual":         {"PUT", http.Header{"X-A": {"b"}, "Expect": {"100-continue"}}, 1, true},
		"came through":  {"GET", http.Header{"Via": {"1.1 other, 1.1 transom"}}, 0, false},
		"too large":     {"PUT", nil, 11, false},
		"an upgrade":    {"GET", http.Header{"Connection": {"upgrade"}, "Upgrade": {"websocket"}}, 0, false},
		"over HTTP/2":   {"CONNECT", http.Header{":protocol": {"websocket"}}, -1, false},
		"of one server": {"GET", http.Header{"Connection": {"x-a"}, "X-A": {"b"}, "X-Transom-A": {"b"}}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(test.method, "/a", nil)
			r.ContentLength = test.length
			if test.header != nil {
				r.Header = test.header
			}
			c := u.Copied(&httpbackend.Exchange{R: r, Target: "/b?c", Host: "h", MaxBody: 10})
			if (c != nil) != test.want {
				t.Fatalf("%v", c)
			}
			if c == nil {
				return
			}
			if c.Method != test.method || c.Target != "/b?c" || c.Host != "h" || c.Header["Expect"] != nil || !slices.Equal(c.Header["Via"], []string{"1.1 transom"}) {
				t.Errorf("%+v", c)
			}
			if values := c.Header["X-A"]; name == "usual" {
				values[0] = "changed"
				if r.Header["X-A"][0] != "b" {
					t.Error("the request is changed with its copy")
				}
			} else if values != nil || c.Header["X-Transom-A"] != nil {
				t.Errorf("%v", c.Header)
			}
		})
	}
}
