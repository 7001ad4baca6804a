package httpbackend_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/front"
	"github.com/transom-gateway/transom/proxy/httpbackend"
)

// TestRequestFraming: a body reaches the server framed as the client framed it, and never
// in two ways (Traffic 144, 162).
func TestRequestFraming(t *testing.T) {
	heads := make(chan string, 1)
	address := serveRaw(t, func(c net.Conn, r *bufio.Reader) {
		var whole strings.Builder
		tee := bufio.NewReader(io.TeeReader(r, &whole))
		request, err := http.ReadRequest(tee)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, request.Body); err != nil {
			t.Errorf("the server reads %v", err)
		}
		heads <- whole.String()
		_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
	})
	g := newRig(t, address, httpbackend.Options{})
	for name, test := range map[string]struct{ request, head, body string }{
		"a length stays":                     {"POST / HTTP/1.1\r\nContent-Length: 3\r\n", "Content-Length: 3\r\n", "abc"},
		"chunks stay":                        {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"},
		"GET has a body":                     {"GET / HTTP/1.1\r\nContent-Length: 3\r\n", "Content-Length: 3\r\n", "abc"},
		"GET has chunks":                     {"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"},
		"an empty body in chunks":            {"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"},
		"an empty body of POST":              {"POST / HTTP/1.1\r\nContent-Length: 0\r\n", "Content-Length: 0\r\n", ""},
		"an empty body of DELETE":            {"DELETE / HTTP/1.1\r\nContent-Length: 0\r\n", "Content-Length: 0\r\n", ""},
		"none of DELETE":                     {"DELETE / HTTP/1.1\r\n", "", ""},
		"none of GET":                        {"GET / HTTP/1.1\r\n", "", ""},
		"an announced trailer":               {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTrailer: X-T, Authorization\r\n", "Transfer-Encoding: chunked\r\nTrailer: X-T\r\n", "3\r\nabc\r\n0\r\nX-T: t\r\n\r\n"},
		"Traffic 147: one that is not":       {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\nX-T: t\r\n\r\n"},
		"a trailer that is the connection's": {"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			body := test.body
			if strings.HasPrefix(name, "a trailer that") {
				body = "0\r\nConnection: x\r\nAuthorization: y\r\nX_Real.IP: z\r\n\r\n"
			}
			answer := g.raw(t, strings.Replace(test.request, "\r\n", "\r\nHost: a\r\nConnection: close\r\n", 1)+"\r\n"+body)
			if !strings.HasPrefix(answer, "HTTP/1.1 204") {
				t.Fatalf("the client gets %q", answer)
			}
			head, got, _ := strings.Cut(<-heads, "\r\n\r\n")
			head += "\r\n"
			framed := strings.Count(head, "Content-Length:") + strings.Count(head, "Transfer-Encoding:")
			if want := min(1, len(test.head)); framed != want || !strings.Contains(head, test.head) || got != test.body {
				t.Errorf("the server gets %q and %q, want %q and %q", head, got, test.head, test.body)
			}
		})
	}
}

// TestAnswerFraming: an answer reaches the client framed as the server framed it (Traffic
// 144).
func TestAnswerFraming(t *testing.T) {
	for name, test := range map[string]struct{ method, answer, head, body string }{
		"a length stays":           {"GET", "200 OK\r\nContent-Length: 3\r\n\r\nabc", "Content-Length: 3\r\n", "abc"},
		"of nothing, too":          {"GET", "200 OK\r\nContent-Length: 0\r\n\r\n", "Content-Length: 0\r\n", ""},
		"chunks stay":              {"GET", "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"},
		"of nothing as well":       {"GET", "200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n"},
		"a body until the end":     {"GET", "200 OK\r\nConnection: close\r\n\r\nabc", "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"},
		"HEAD has a length":        {"HEAD", "200 OK\r\nContent-Length: 3\r\n\r\n", "Content-Length: 3\r\n", ""},
		"HEAD has none":            {"HEAD", "200 OK\r\n\r\n", "", ""},
		"204 has none":             {"GET", "204 No Content\r\n\r\n", "", ""},
		"304 has none":             {"GET", "304 Not Modified\r\nEtag: \"x\"\r\n\r\n", "", ""},
		"an error is as any other": {"GET", "500 Oops\r\nContent-Length: 3\r\n\r\nabc", "Content-Length: 3\r\n", "abc"},
	} {
		t.Run(name, func(t *testing.T) {
			address := serveRaw(t, func(c net.Conn, r *bufio.Reader) {
				if _, err := readHead(r); err == nil {
					_, _ = io.WriteString(c, "HTTP/1.1 "+test.answer)
				}
			})
			g := newRig(t, address, httpbackend.Options{})
			head, body, _ := strings.Cut(g.raw(t, test.method+" / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), "\r\n\r\n")
			head += "\r\n"
			framed := strings.Count(head, "Content-Length:") + strings.Count(head, "Transfer-Encoding:")
			if framed != min(1, len(test.head)) || !strings.Contains(head, test.head) || body != test.body || strings.Contains(head, "Content-Type") {
				t.Errorf("the client gets %q and %q, want %q and %q", head, body, test.head, test.body)
			}
			if result := g.last(); result.Err != nil || result.Aborted {
				t.Errorf("%+v", result)
			}
		})
	}
}

// TestHostileAnswer: what a server frames in two ways, or writes into its header, never
// becomes a second answer of ours (Traffic 162).
func TestHostileAnswer(t *testing.T) {
	for name, test := range map[string]struct {
		answer string
		want   int // 0: any, if it is one answer
	}{
		"two lengths":               {"200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde", 502},
		"a list of two":             {"200 OK\r\nContent-Length: 3, 5\r\n\r\nabcde", 502},
		"a length that is none":     {"200 OK\r\nContent-Length: -1\r\n\r\nabc", 502},
		"a length with a sign":      {"200 OK\r\nContent-Length: +3\r\n\r\nabc", 502},
		"the same twice":            {"200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 200},
		"a length and chunks":       {"200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n", 0},
		"an unknown coding":         {"200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 502},
		"two codings":               {"200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502},
		"a folded line":             {"200 OK\r\nContent-Length: 0\r\nX-A: 1\r\n Content-Length: 9\r\n\r\n", 0},
		"a bare CR":                 {"200 OK\r\nContent-Length: 0\r\nX-A: 1\rX-Evil: 2\r\n\r\n", 502},
		"a NUL":                     {"200 OK\r\nContent-Length: 0\r\nX-A: 1\x002\r\n\r\n", 502},
		"a space in a name":         {"200 OK\r\nContent-Length : 9\r\nContent-Length: 0\r\n\r\n", 200},
		"a name that is none":       {"200 OK\r\nX(A): 1\r\nContent-Length: 0\r\n\r\n", 502},
		"a line without a colon":    {"200 OK\r\nrubbish\r\nContent-Length: 0\r\n\r\n", 502},
		"no status":                 {"OK\r\nContent-Length: 0\r\n\r\n", 502},
		"a status that is none":     {"999999 OK\r\nContent-Length: 0\r\n\r\n", 502},
		"101 that nobody asked":     {"101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", 502},
		"informational for ever":    {strings.Repeat("102 Processing\r\n\r\nHTTP/1.1 ", 200) + "200 OK\r\nContent-Length: 0\r\n\r\n", 502},
		"a header without end":      {"200 OK\r\nX-Long: " + strings.Repeat("x", 600<<10) + "\r\nContent-Length: 0\r\n\r\n", 502},
		"more than the length":      {"200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", 200},
		"a body where there's none": {"204 No Content\r\nContent-Length: 4\r\n\r\nevil", 204},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, answers(t, "HTTP/1.1 "+test.answer), httpbackend.Options{})
			got := g.raw(t, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
			reader := bufio.NewReader(strings.NewReader(got))
			for i := range 2 {
				response, err := http.ReadResponse(reader, nil)
				for err == nil && response.StatusCode < 200 {
					response, err = http.ReadResponse(reader, nil)
				}
				if err != nil {
					t.Fatalf("answer %d: %v in %q", i, err, got)
				}
				body, err := io.ReadAll(response.Body)
				if err != nil || test.want != 0 && response.StatusCode != test.want || strings.Contains(string(body), "evil") || response.Header.Get("X-Evil") != "" {
					t.Errorf("answer %d: %d, want %d, %q, %v", i, response.StatusCode, test.want, body, err)
				}
			}
			if rest, _ := io.ReadAll(reader); len(rest) > 0 {
				t.Errorf("more than two answers: %q", rest)
			}
		})
	}
}

// TestBrokenBody: an answer whose body breaks off does not end well for the client, by
// whatever protocol.
func TestBrokenBody(t *testing.T) {
	for name, answer := range map[string]string{
		"a length": "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
		"chunks":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
		"a chunk":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
		"a lie":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\nabc",
	} {
		t.Run(name, func(t *testing.T) {
			address := serveRaw(t, func(c net.Conn, r *bufio.Reader) {
				if _, err := readHead(r); err == nil {
					_, _ = io.WriteString(c, answer)
				}
			})
			g := newRig(t, address, httpbackend.Options{})
			forAll(t, g, func(t *testing.T, c *front.Client) {
				response, err := c.Get(c.URL)
				if err == nil {
					var body []byte
					body, err = io.ReadAll(response.Body)
					_ = response.Body.Close()
					if err == nil {
						t.Errorf("the client takes %q for the whole", body)
					}
				}
				if result := g.last(); !result.Aborted || result.Err == nil || result.Status != 200 {
					t.Errorf("%+v", result)
				}
			})
		})
	}
}

// TestStatusThatIsNone: a status that net/http cannot write is the server's fault, and
// told to the client, who would else have no answer (Traffic 162).
func TestStatusThatIsNone(t *testing.T) {
	for status, want := range map[string]string{
		"000": "HTTP/1.1 502 ", "001": "HTTP/1.1 502 ", "099": "HTTP/1.1 502 ",
		"200": "HTTP/1.1 200 ", "599": "HTTP/1.1 599 ", "999": "HTTP/1.1 999 ",
	} {
		t.Run(status, func(t *testing.T) {
			g := newRig(t, serveRaw(t, func(c net.Conn, r *bufio.Reader) {
				if _, err := http.ReadRequest(r); err != nil {
					return
				}
				_, _ = io.WriteString(c, "HTTP/1.1 "+status+" X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			}), httpbackend.Options{})
			if got := g.raw(t, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(got, want) {
				t.Errorf("%q, want %s", got, want)
			}
		})
	}
}
