package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/keytest"
)

// rawTime is how long a test waits for a server that should answer at once.
const rawTime = 20 * time.Second

// raw opens a connection to a listener; config nil is without TLS.
func raw(t *testing.T, at net.Addr, config *tls.Config) net.Conn {
	t.Helper()
	c, err := net.Dial(at.Network(), at.String())
	if err != nil {
		t.Fatal(err)
	}
	if config != nil {
		c = tls.Client(c, config)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(rawTime)); err != nil {
		t.Fatal(err)
	}
	return c
}

// sends writes bytes as they are.
func sends(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// answerOf reads one answer with its body.
func answerOf(t *testing.T, r *bufio.Reader) (*http.Response, string) {
	t.Helper()
	response, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

// lines writes the line ends that tests leave out.
func lines(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// badHeads are refused, in the form of google.rpc.Status.
var badHeads = []struct {
	name, head string
	status     int
}{
	{"length and chunks", "POST /v1/shelves HTTP/1.1\nHost: x\nContent-Length: 4\nTransfer-Encoding: chunked\n\n0\n\n", 400},
	{"two lengths", "POST /v1/shelves HTTP/1.1\nHost: x\nContent-Length: 2\nContent-Length: 2\n\n{}", 400},
	{"HTTP/1.0 with chunks and a length", "POST /v1/shelves HTTP/1.0\nHost: x\nTransfer-Encoding: chunked\nContent-Length: 4\n\n0\n\n", 400},
	{"a folded line", "GET /v1/shelves HTTP/1.1\nHost: x\nX-A: a\n b\n\n", 400},
	{"a host with an open bracket", "GET /v1/shelves HTTP/1.1\nHost: [::1\n\n", 400},
	{"no host", "GET /v1/shelves HTTP/1.1\n\n", 400},
	{"whitespace before a colon", "GET /v1/shelves HTTP/1.1\nHost: x\nX-A : a\n\n", 400},
	{"NUL", "GET /v1/shelves HTTP/1.1\nHost: x\nX-A: \x00\n\n", 400},
	{"no request", "\x16\x03garbage\n\n", 400},
	{"a bad escape", "GET /v1/%zz HTTP/1.1\nHost: x\n\n", 400},
	{"a fragment", "GET /v1/shelves#a HTTP/1.1\nHost: x\n\n", 400},
	{"a fragment of a URL", "GET http://x?a#b HTTP/1.1\nHost: x\n\n", 400},
	{"a URL of another host", "GET http://y/v1/shelves HTTP/1.1\nHost: x\n\n", 400},
	{"a URL with a user", "GET http://u@x/v1/shelves HTTP/1.1\nHost: x\n\n", 400},
	{"a thousand empty lines", strings.Repeat("\n", 1000) + "GET /v1/shelves HTTP/1.1\nHost: x\n\n", 400},
	{"the beginning of HTTP/2", "PRI * HTTP/1.1\nHost: x\n\n", 400},
	{"another version", "GET /v1/shelves HTTP/3.0\nHost: x\n\n", 505},
	{"another encoding", "POST /v1/shelves HTTP/1.1\nHost: x\nTransfer-Encoding: gzip, chunked\n\n0\n\n", 501},
	{"another expectation", "POST /v1/shelves HTTP/1.1\nHost: x\nExpect: pie\nContent-Length: 2\n\n{}", 417},
	{"a head of 300 KB", "GET /v1/shelves HTTP/1.1\nHost: x\n" + strings.Repeat("X-A: "+strings.Repeat("a", 1000)+"\n", 300) + "\n", 431},
}

// posting is a folder of protos with a route that takes a body.
func posting(t *testing.T) string {
	t.Helper()
	return folder(t, map[string]string{"q.proto": `syntax = "proto3";
package q.v1;
import "google/api/annotations.proto";
service S { rpc Put(Message) returns (Message) { option (google.api.http) = { post: "/v1/put" body: "*" }; } }
message Message { string name = 1; }
`})
}

// wantRefusal checks an answer in the form of JSON, and that the connection ends
// behind it.
func wantRefusal(t *testing.T, r *bufio.Reader, status int) {
	t.Helper()
	response, body := answerOf(t, r)
	var said struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	if err := json.Unmarshal([]byte(body), &said); err != nil || said.Code == 0 || said.Message == "" {
		t.Errorf("no google.rpc.Status: %q, %v", body, err)
	}
	if response.StatusCode != status || !response.Close || response.Header.Get("Content-Type") != "application/json" || len(response.Header["X-Request-Id"]) != 1 {
		t.Errorf("%s, header %v; want %d", response.Status, response.Header, status)
	}
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Errorf("behind the refusal: %q, %v", rest, err)
	}
}

// TestBadHeads sends them as they are, alone and behind a sound request, over TCP and
// inside TLS (Semantics 312, 321).
func TestBadHeads(t *testing.T) {
	dir := t.TempDir()
	cert, key := keytest.Certificate(t, "first.example")
	write(t, filepath.Join(dir, "cert.pem"), cert)
	write(t, filepath.Join(dir, "key.pem"), key)
	at := listening(t, dir, `[{ address: "127.0.0.1:0" }, { address: "127.0.0.1:0", tls: { certificate: cert.pem, key: key.pem } }]`)
	inside := trusting(t, cert, "first.example")
	for i, config := range []*tls.Config{nil, inside} {
		for _, test := range badHeads {
			name := test.name + map[int]string{1: ", inside TLS"}[i]
			t.Run(name, func(t *testing.T) {
				c := raw(t, at[i], config)
				go func() { _, _ = io.WriteString(c, lines(test.head)) }() // it may be refused before it is read
				wantRefusal(t, bufio.NewReader(c), test.status)
			})
			t.Run(name+", behind a sound request", func(t *testing.T) {
				c := raw(t, at[i], config)
				go func() { _, _ = io.WriteString(c, lines("GET /none HTTP/1.1\nHost: x\n\n"+test.head)) }()
				r := bufio.NewReader(c)
				if response, body := answerOf(t, r); response.StatusCode != 404 || response.Close {
					t.Errorf("the sound request: %s %s", response.Status, body)
				}
				wantRefusal(t, r, test.status)
			})
		}
	}
	t.Run("plain HTTP where TLS is spoken", func(t *testing.T) {
		c := raw(t, at[1], nil)
		sends(t, c, lines("GET /v1/shelves HTTP/1.1\nHost: x\n\n"))
		wantRefusal(t, bufio.NewReader(c), 400)
	})
	t.Run("HTTP/2 by prior knowledge inside TLS", func(t *testing.T) {
		c := raw(t, at[1], inside)
		sends(t, c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
		wantRefusal(t, bufio.NewReader(c), 505)
	})
	t.Run("a head that ends within", func(t *testing.T) {
		c := raw(t, at[0], nil)
		sends(t, c, "GET /v1/shelves HTTP/1.1\r\nHos")
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		wantRefusal(t, bufio.NewReader(c), 400)
	})
}

// TestBadHeadsByProtocol: a refusal has the form of the protocol, and keeps its status
// (Semantics 312).
func TestBadHeadsByProtocol(t *testing.T) {
	at := listening(t, t.TempDir(), `[{ address: "127.0.0.1:0" }]`)[0]
	const head = "POST /bookstore.v1.BookstoreService/GetShelf HTTP/1.1\nHost: x\nX-A : a\n"
	for name, test := range map[string]struct{ fields, header, value, body string }{
		"gRPC-Web":       {"Content-Type: application/grpc-web+proto\n", "Grpc-Status", "3", ""},
		"gRPC-Web text":  {"Content-Type: application/grpc-web-text\n", "Grpc-Status", "3", ""},
		"gRPC":           {"Content-Type: application/grpc\n", "Grpc-Status", "3", ""},
		"Connect":        {"Content-Type: application/json\nConnect-Protocol-Version: 1\n", "Content-Type", "application/json", `"invalid_argument"`},
		"Connect stream": {"Content-Type: application/connect+json\n", "Content-Type", "application/connect+json", `"invalid_argument"`},
		"REST":           {"Content-Type: application/json\nX-Request-Id: mine\n", "X-Request-Id", "mine", `"code":3`},
	} {
		t.Run(name, func(t *testing.T) {
			c := raw(t, at, nil)
			sends(t, c, lines(head+test.fields+"\n"))
			response, body := answerOf(t, bufio.NewReader(c))
			if response.StatusCode != 400 || !response.Close || response.Header.Get(test.header) != test.value || !strings.Contains(body, test.body) {
				t.Errorf("%s, header %v, %q", response.Status, response.Header, body)
			}
		})
	}
}

// TestBadBodies: what is wrong behind a sound head is answered by whoever reads it, and
// the connection ends (Semantics 312).
func TestBadBodies(t *testing.T) {
	at := listening(t, posting(t), `[{ address: "127.0.0.1:0" }]`)[0]
	for name, body := range map[string]string{
		"whitespace before a trailer's colon": "2\n{}\n0\nX-T : a\n\n",
		"a folded trailer":                    "2\n{}\n0\nX-T: a\n b\n\n",
		"a length as a trailer":               "2\n{}\n0\nContent-Length: 3\n\n",
		"a bad size":                          "z\n{}\n0\n\n",
	} {
		for path, status := range map[string]int{"/v1/put": 400, "/none": 404} {
			t.Run(name+" to "+path, func(t *testing.T) {
				c := raw(t, at, nil)
				sends(t, c, lines("POST "+path+" HTTP/1.1\nHost: x\nContent-Type: application/json\nTransfer-Encoding: chunked\n\n"+body+"GET /none HTTP/1.1\nHost: x\n\n"))
				wantRefusal(t, bufio.NewReader(c), status)
			})
		}
	}
}

// TestSoundHeads: what is sound passes, also where net/http's server has its ways of
// reading: a 100 before the body, two requests at once, another protocol.
func TestSoundHeads(t *testing.T) {
	at := listening(t, posting(t), `[{ address: "127.0.0.1:0" }]`)[0]
	t.Run("100-continue", func(t *testing.T) {
		c := raw(t, at, nil)
		r := bufio.NewReader(c)
		sends(t, c, lines("POST /v1/put HTTP/1.1\nHost: x\nContent-Type: application/json\nExpect: 100-continue\nContent-Length: 2\n\n"))
		if response, _ := answerOf(t, r); response.StatusCode != 100 {
			t.Fatal(response.Status)
		}
		sends(t, c, "{}")
		if response, body := answerOf(t, r); response.StatusCode == 400 || response.Close {
			t.Errorf("%s %s", response.Status, body)
		}
	})
	t.Run("many at once", func(t *testing.T) {
		c := raw(t, at, nil)
		r := bufio.NewReader(c)
		const n = 500
		go func() {
			_, _ = io.WriteString(c, strings.Repeat(lines("GET /none HTTP/1.1\nHost: x\n\nPOST /none HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n3\nabc\n0\nX-T: a\n\n"), n))
		}()
		for range 2 * n {
			if response, body := answerOf(t, r); response.StatusCode != 404 {
				t.Fatalf("%s %s", response.Status, body)
			}
		}
	})
	t.Run("byte by byte", func(t *testing.T) {
		c := raw(t, at, nil)
		for _, b := range []byte(lines("POST /none HTTP/1.1\nHost: x\nContent-Length: 3\n\nabcGET /none HTTP/1.1\nHost: x\nConnection: close\n\n")) {
			sends(t, c, string([]byte{b}))
		}
		r := bufio.NewReader(c)
		for range 2 {
			if response, body := answerOf(t, r); response.StatusCode != 404 {
				t.Fatalf("%s %s", response.Status, body)
			}
		}
	})
	t.Run("empty lines", func(t *testing.T) {
		c := raw(t, at, nil)
		sends(t, c, lines("\nGET /none HTTP/1.1\nHost: x\n\n\n\nGET http://x HTTP/1.1\nHost: x\n\n"))
		r := bufio.NewReader(c)
		for range 2 {
			if response, body := answerOf(t, r); response.StatusCode != 404 || response.Close {
				t.Fatalf("%s %s", response.Status, body)
			}
		}
	})
	t.Run("OPTIONS *", func(t *testing.T) {
		c := raw(t, at, nil)
		sends(t, c, lines("OPTIONS * HTTP/1.1\nHost: x\n\n"))
		if response, _ := answerOf(t, bufio.NewReader(c)); response.StatusCode != 204 || response.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s %v", response.Status, response.Header)
		}
	})
}
