package httpbackend_test

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/front"
	"github.com/transom-gateway/transom/proxy/httpbackend"
)

// TestRequestHeader sends fields that are not for the server (Traffic 139).
func TestRequestHeader(t *testing.T) {
	address, heads := records(t)
	g := newRig(t, address, httpbackend.Options{Protocol: httpbackend.H1})
	g.raw(t, "GET /p HTTP/1.1\r\nHost: a.example\r\nConnection: close, X-Named, X-Other\r\nX-Named: 1\r\nx-other: 2\r\nKeep-Alive: timeout=5\r\n"+
		"Proxy-Authorization: Basic x\r\nProxy-Connection: keep-alive\r\nProxy: http://evil\r\nTE: gzip, Trailers;q=0.5, trailers\r\nTrailer: X-T\r\nUpgrade: foo\r\n"+
		"HTTP2-Settings: AA\r\nX_Forwarded_For: 6.6.6.6\r\nX-Forwarded_Host: evil\r\nContent_Length: 5\r\nTransfer_Encoding: chunked\r\nX-Transom-Principal: root\r\nX_Transom.Principal: root\r\n"+
		"X-Kept: a\r\nX-Kept: b\r\nunder_score: kept\r\nProxied: kept\r\nCookie: c=d\r\n\r\n")
	head := <-heads
	for _, want := range []string{"GET /p HTTP/1.1\r\n", "Host: a.example\r\n", "X-Kept: a\r\nX-Kept: b\r\n", "Under_score: kept\r\n", "Proxied: kept\r\n", "Cookie: c=d\r\n", "\r\nTe: trailers\r\n", "\r\nVia: 1.1 transom\r\n"} {
		if !strings.Contains(head, want) {
			t.Errorf("%q is missing in %q", want, head)
		}
	}
	if lines := strings.Count(head, "\r\n"); lines != 10 {
		t.Errorf("%d lines, want 10: %q", lines, head)
	}
}

// TestTwins: what policies and the gateway set has no twin beside it, as a server may take
// an underscore for a hyphen (Semantics 52).
func TestTwins(t *testing.T) {
	address, heads := records(t)
	g := newRig(t, address, httpbackend.Options{})
	g.change = func(x *httpbackend.Exchange) {
		x.Header = func(h http.Header) { h["X-User"] = []string{"known"} }
	}
	g.raw(t, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX_User: forged\r\nX.User: forged\r\nx-user: client\r\nX_Alone: kept\r\n\r\n")
	if head := <-heads; strings.Contains(head, "forged") || strings.Contains(head, "client") || !strings.Contains(head, "X-User: known\r\n") || !strings.Contains(head, "X_alone: kept\r\n") {
		t.Errorf("the server got %q", head)
	}
}

// hopAnswer is an answer with fields of the connection wherever it can have some.
const hopAnswer = "HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\nConnection: X-Named\r\nX-Named: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: x\r\n\r\n" +
	"HTTP/1.1 200 OK\r\nConnection: X-Named\r\nX-Named: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: x\r\nProxy-Status: kept\r\nAlt-Svc: h3=\":1\"\r\nUpgrade: foo\r\nX-Kept: 1\r\n" +
	"Trailer: X-T, Proxy-Foo\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: t\r\nProxy-Foo: no\r\nKeep-Alive: no\r\nX-More: m\r\nContent-Length: 9\r\n\r\n"

// TestAnswerHeader: fields of the server's connection do not reach the client, neither in
// an informational answer nor in a trailer (Traffic 139), and a trailer that was not
// announced reaches those that say that they take it (Traffic 147).
func TestAnswerHeader(t *testing.T) {
	g := newRig(t, answers(t, hopAnswer), httpbackend.Options{})
	forAll(t, g, func(t *testing.T, c *front.Client) {
		for _, te := range []string{"", "trailers"} {
			var mu sync.Mutex
			var hints []http.Header
			trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				mu.Lock()
				defer mu.Unlock()
				if code == 103 {
					hints = append(hints, http.Header(h))
				}
				return nil
			}}
			r, _ := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "GET", c.URL+"/", nil)
			if te != "" {
				r.Header.Set("TE", te)
			}
			got, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(got.Body)
			_ = got.Body.Close()
			if string(body) != "abc" || err != nil || got.Header.Get("X-Kept") != "1" || got.Header.Get("Proxy-Status") != "kept" {
				t.Errorf("%q, %v, %v", body, err, got.Header)
			}
			mu.Lock()
			if len(hints) != 1 || hints[0].Get("Link") != "</s.css>" || len(hints[0]) != 1 {
				t.Errorf("Traffic 146: the client is given the hints %v", hints)
			}
			mu.Unlock()
			for _, name := range []string{"X-Named", "Keep-Alive", "Proxy-Authenticate", "Alt-Svc", "Upgrade", "Link", "Content-Type", "Via"} {
				if v, ok := got.Header[name]; ok {
					t.Errorf("the client is given %s: %q", name, v)
				}
			}
			want := map[string]string{"X-T": "t"}
			if te != "" {
				want["X-More"] = "m"
			}
			if len(got.Trailer) != len(want) || got.Trailer.Get("X-T") != "t" || got.Trailer.Get("X-More") != want["X-More"] {
				t.Errorf("with TE %q the trailer is %v, want %v", te, got.Trailer, want)
			}
		}
	})
}

// TestVia: requests name the version they came by and us; one that was here before is
// refused, and answers say it where that is asked for (Traffic 140).
func TestVia(t *testing.T) {
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Via", strings.Join(r.Header["Via"], "|"))
	})
	g := newRig(t, address, httpbackend.Options{})
	for name, want := range map[string]string{"HTTP/1.1": "1.1 transom", "HTTP/2": "2.0 transom"} {
		if got := do(t, g.Clients[name], "GET", "/", nil); got.Header.Get("X-Via") != want || got.Header["Via"] != nil {
			t.Errorf("%s: the server gets %q, and the client %q", name, got.Header.Get("X-Via"), got.Header["Via"])
		}
	}
	if got := do(t, g.Clients["HTTP/1.1"], "GET", "/", nil, "Via", "1.0 fred, 1.1 transom-2 (x)"); got.Header.Get("X-Via") != "1.0 fred, 1.1 transom-2 (x)|1.1 transom" {
		t.Errorf("the server gets %q", got.Header.Get("X-Via"))
	}
	if got := g.raw(t, "GET / HTTP/1.0\r\n\r\n"); !strings.Contains(got, "X-Via: 1.0 transom\r\n") {
		t.Errorf("by HTTP/1.0: %q", got)
	}
	for _, loop := range []string{"1.1 transom", "1.0 fred, HTTP/1.1  transom (a comment)", "2.0 transom,1.1 x"} {
		if got := do(t, g.Clients["HTTP/1.1"], "GET", "/", nil, "Via", loop); got.StatusCode != 508 {
			t.Errorf("%q: %d, want 508", loop, got.StatusCode)
		}
	}
	g.change = func(x *httpbackend.Exchange) { x.ViaAnswers = true }
	if got := do(t, g.Clients["HTTP/2"], "GET", "/", nil); got.Header.Get("Via") != "1.1 transom" {
		t.Errorf("the client is told %q", got.Header.Get("Via"))
	}
}

// TestHost: the client's Host goes on, or the one that is set, or the server's own
// (Traffic 142).
func TestHost(t *testing.T) {
	address := serve(t, func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X-Host", r.Host) })
	g := newRig(t, address, httpbackend.Options{})
	for host, want := range map[string]string{"": address, "other.example:81": "other.example:81"} {
		g.change = func(x *httpbackend.Exchange) { x.Host = host }
		if got := do(t, g.Clients["HTTP/2"], "GET", "/", nil); got.Header.Get("X-Host") != want {
			t.Errorf("the server gets %q, want %q", got.Header.Get("X-Host"), want)
		}
	}
}
