package httpbackend

import (
	"net/http"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/field"
)

// FuzzTarget: what is sent to a server is the target as it stands, or nothing.
func FuzzTarget(f *testing.F) {
	for _, seed := range []string{"/", "/a%2Fb//c?x=%20y", "//a", "//a//b?c", "//%zz", "*", "http://x/", "/a?b?c#d", "", "//a b", "///", "//user@host/x"} {
		f.Add(seed)
	}
	p := &place{scheme: "http", host: "a:1"}
	f.Fuzz(func(t *testing.T, target string) {
		u, ok := p.url(target)
		if !ok {
			return
		}
		if got := u.RequestURI(); got != target || u.Host != "a:1" {
			t.Errorf("%q is sent as %q to %q", target, got, u.Host)
		}
	})
}

// FuzzHeader: no field of a connection goes further, nor one that Connection names, nor a
// twin of what the gateway sets.
func FuzzHeader(f *testing.F) {
	for _, seed := range [][2]string{
		{"close, x-a", "X-A: 1\nX_User: 2"}, {"", "Proxy-X: 1\nTe: trailers"}, {"keep-alive,,upgrade", "X-User: 1\nx.user: 2"},
		{" X-User\t", "X-User: 1"}, {"via", "Via: 1.1 x"}, {"", "Content_Length: 5\nTransfer.Encoding: chunked"},
	} {
		f.Add(seed[0], seed[1])
	}
	v := newVia("us")
	f.Fuzz(func(t *testing.T, connection, lines string) {
		h := http.Header{"Connection": {connection}}
		for line := range strings.SplitSeq(lines, "\n") {
			if name, value, ok := strings.Cut(line, ":"); ok && name != "" {
				h.Add(name, strings.TrimSpace(value))
			}
		}
		e := &exchange{
			Exchange: &Exchange{R: &http.Request{Header: h, ProtoMajor: 1, ProtoMinor: 1}, Header: func(h http.Header) { h["X-User"] = []string{"known"} }},
			u:        &Upstream{via: &v},
		}
		named := field.NamedByConnection([]string{connection})
		for name, values := range e.requestHeader() {
			switch {
			case name == "X-User" && (len(values) != 1 || values[0] != "known"), name != "X-User" && field.Fold(name) == "x-user" && strings.ContainsAny(name, "_."):
				t.Errorf("%q: %q", name, values)
			case name == "Te", name == "Via", name == "X-User", name == "User-Agent":
			case field.HopByHop(name), named[name]:
				t.Errorf("%q passes", name)
			}
		}
		answer := http.Header{}
		copyAnswer(answer, h)
		for name := range answer {
			if field.HopByHop(name) && name != "Proxy-Status" || named[name] || strings.Contains(name, " ") {
				t.Errorf("%q passes to the client", name)
			}
		}
	})
}

// FuzzVia: a request that we have named ourselves in is known again.
func FuzzVia(f *testing.F) {
	for _, seed := range []string{"", "1.1 a", "1.0 a, 1.1 b (c, d)", "1.1", ",", " us", "HTTP/1.1\tus"} {
		f.Add(seed, "")
	}
	v := newVia("us")
	f.Fuzz(func(t *testing.T, first, second string) {
		for _, lines := range [][]string{nil, {first}, {first, second}} {
			_ = v.passed(lines)
			if added := v.add(lines, 1, 1); len(added) != len(lines)+1 || !v.passed(added) {
				t.Errorf("%q is not known again", added)
			}
		}
	})
}
