package http1head

import (
	"strings"
	"testing"
)

const maxHead = 4 << 10

// crlf writes the line ends that tests leave out.
func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// refusals are requests that are refused, with the status and a part of the message.
var refusals = []struct {
	name, request string
	status        int
	message       string
}{
	{"length and chunks", crlf("POST / HTTP/1.1\nHost: x\nContent-Length: 4\nTransfer-Encoding: chunked\n\n0\n\n"), 400, "Content-Length and Transfer-Encoding"},
	{"chunks and length", crlf("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\nContent-Length: 4\n\n0\n\n"), 400, "Content-Length and Transfer-Encoding"},
	{"two lengths", crlf("POST / HTTP/1.1\nHost: x\nContent-Length: 4\nContent-Length: 5\n\nabcde"), 400, "more than one Content-Length"},
	{"one length twice", crlf("POST / HTTP/1.1\nHost: x\nContent-Length: 4\ncontent-length: 4\n\nabcd"), 400, "more than one Content-Length"},
	{"a list of lengths", crlf("POST / HTTP/1.1\nHost: x\nContent-Length: 4, 4\n\nabcd"), 400, "expected a number"},
	{"a signed length", crlf("POST / HTTP/1.1\nHost: x\nContent-Length: +4\n\nabcd"), 400, "expected a number"},
	{"no length", crlf("POST / HTTP/1.1\nHost: x\nContent-Length:\n\n"), 400, "Content-Length is empty"},
	{"a length beyond numbers", crlf("POST / HTTP/1.1\nHost: x\nContent-Length: 99999999999999999999\n\n"), 400, "more than can be"},
	{"HTTP/1.0 with chunks", crlf("POST / HTTP/1.0\nTransfer-Encoding: chunked\n\n0\n\n"), 400, "HTTP/1.0 has no Transfer-Encoding"},
	{"HTTP/1.0 with chunks and length", crlf("POST / HTTP/1.0\nContent-Length: 5\nTransfer-Encoding: chunked\n\n0\n\n"), 400, "HTTP/1.0 has no Transfer-Encoding"},
	{"two encodings", crlf("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked\n\n0\n\n"), 400, "more than one Transfer-Encoding"},
	{"chunked twice", crlf("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked, chunked\n\n0\n\n"), 400, "expected chunked"},
	{"not chunked last", crlf("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked, identity\n\n0\n\n"), 400, "expected chunked"},
	{"identity", crlf("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: identity\n\n"), 400, "expected chunked"},
	{"vertical tab before chunked", crlf("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: \vchunked\n\n0\n\n"), 400, "control character"},
	{"gzip, chunked", crlf("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: gzip, chunked\n\n0\n\n"), 501, "knows chunked alone"},
	{"no host", crlf("GET / HTTP/1.1\nA: b\n\n"), 400, "no Host"},
	{"two hosts", crlf("GET / HTTP/1.1\nHost: x\nHost: x\n\n"), 400, "more than one Host"},
	{"an open bracket", crlf("GET / HTTP/1.1\nHost: [::1\n\n"), 400, "Host is"},
	{"no IPv6", crlf("GET / HTTP/1.1\nHost: [1.2.3.4]\n\n"), 400, "Host is"},
	{"a user", crlf("GET / HTTP/1.1\nHost: a@b\n\n"), 400, "Host is"},
	{"a path in Host", crlf("GET / HTTP/1.1\nHost: a/b\n\n"), 400, "Host is"},
	{"two ports", crlf("GET / HTTP/1.1\nHost: a:1:2\n\n"), 400, "Host is"},
	{"a port of letters", crlf("GET / HTTP/1.1\nHost: a:http\n\n"), 400, "Host is"},
	{"a port alone", crlf("GET / HTTP/1.1\nHost: :80\n\n"), 400, "Host is"},
	{"whitespace before the colon", crlf("GET / HTTP/1.1\nHost : x\n\n"), 400, "whitespace stands between the field name \"Host\" and its colon"},
	{"tab before the colon", crlf("GET / HTTP/1.1\nHost: x\nContent-Length\t: 5\n\n"), 400, "whitespace stands"},
	{"a folded line", crlf("GET / HTTP/1.1\nHost: x\nA: b\n c\n\n"), 400, "goes on in a second line"},
	{"a folded first line", crlf("GET / HTTP/1.1\n Host: x\n\n"), 400, "goes on in a second line"},
	{"no colon", crlf("GET / HTTP/1.1\nHost: x\nGarbage\n\n"), 400, "expected NAME: VALUE"},
	{"no name", crlf("GET / HTTP/1.1\nHost: x\n: b\n\n"), 400, "a field's name is"},
	{"a bad name", crlf("GET / HTTP/1.1\nHost: x\nA(b): c\n\n"), 400, "a field's name is"},
	{"a name that is no ASCII", crlf("GET / HTTP/1.1\nHost: x\nÄ: c\n\n"), 400, "a field's name is"},
	{"NUL in a value", crlf("GET / HTTP/1.1\nHost: x\nA: b\x00c\n\n"), 400, "control character"},
	{"DEL in a long value", crlf("GET / HTTP/1.1\nHost: x\nA: 0123456789\x7f0123456789\n\n"), 400, "control character"},
	{"a bare CR in a value", crlf("GET / HTTP/1.1\nHost: x\nA: b") + "\rc" + crlf("\n\n"), 400, "control character"},
	{"a bare LF behind the request line", "GET / HTTP/1.1\nHost: x\r\n\r\n", 400, "bare LF"},
	{"a bare LF behind a field", "GET / HTTP/1.1\r\nHost: x\n\r\n", 400, "bare LF"},
	{"a bare LF at the end", "GET / HTTP/1.1\r\nHost: x\r\n\n", 400, "bare LF"},
	{"two CRs", "GET / HTTP/1.1\r\nHost: x\r\r\n\r\n", 400, "control character"},
	{"nine empty lines first", crlf(strings.Repeat("\n", 9) + "GET / HTTP/1.1\nHost: x\n\n"), 400, "more than 8 empty lines stand before the request line"},
	{"nine empty lines behind a request", crlf("GET / HTTP/1.1\nHost: x\n\n" + strings.Repeat("\n", 9) + "GET / HTTP/1.1\nHost: x\n\n"), 400, "more than 8 empty lines"},
	{"a bare LF first", "\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "bare LF"},
	{"a bare CR first", "\rGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "a CR stands before the request line without its LF"},
	{"a bare CR behind an empty line", "\r\n\r\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "a CR stands before the request line without its LF"},
	{"a field first", crlf("\nHost: x\nGET / HTTP/1.1\n\n"), 400, "the request line is \"Host: x\""},
	{"a space first", crlf("\n \nGET / HTTP/1.1\nHost: x\n\n"), 400, "the request line is"},
	{"a preface behind an empty line", crlf("\n") + preface, 505, "expected HTTP/1.1"},
	{"no version", crlf("GET /\n\n"), 400, "the request line is"},
	{"two spaces", crlf("GET  / HTTP/1.1\nHost: x\n\n"), 400, "request target"},
	{"a space in the target", crlf("GET /a b HTTP/1.1\nHost: x\n\n"), 400, "request target"},
	{"a tab in the request line", crlf("GET\t/ HTTP/1.1\nHost: x\n\n"), 400, "control character"},
	{"a bad method", crlf("G(T / HTTP/1.1\nHost: x\n\n"), 400, "the method is"},
	{"a relative target", crlf("GET a HTTP/1.1\nHost: x\n\n"), 400, "begins with a slash"},
	{"a star", crlf("GET * HTTP/1.1\nHost: x\n\n"), 400, "begins with a slash"},
	{"another scheme", crlf("GET ftp://a/ HTTP/1.1\nHost: x\n\n"), 400, "begins with a slash"},
	{"a URL without a host", crlf("GET http:///a HTTP/1.1\nHost: x\n\n"), 400, "the host of the request target"},
	{"a URL with a user", crlf("GET http://u@h/a HTTP/1.1\nHost: x\n\n"), 400, "the host of the request target"},
	{"a bad escape", crlf("GET /%zz HTTP/1.1\nHost: x\n\n"), 400, "two hexadecimal digits"},
	{"half an escape", crlf("GET /%a HTTP/1.1\nHost: x\n\n"), 400, "two hexadecimal digits"},
	{"a fragment", crlf("GET /a#b HTTP/1.1\nHost: x\n\n"), 400, "without a fragment"},
	{"a fragment in the query", crlf("GET /a?b#c HTTP/1.1\nHost: x\n\n"), 400, "without a fragment"},
	{"an empty fragment", crlf("GET /# HTTP/1.1\nHost: x\n\n"), 400, "without a fragment"},
	{"a fragment alone", crlf("GET # HTTP/1.1\nHost: x\n\n"), 400, "without a fragment"},
	{"a fragment of a URL", crlf("GET http://h/#a HTTP/1.1\nHost: x\n\n"), 400, "without a fragment"},
	{"a fragment behind a host", crlf("GET http://h#@evil/ HTTP/1.1\nHost: x\n\n"), 400, "without a fragment"},
	{"a fragment of CONNECT", crlf("CONNECT h:80# HTTP/1.1\nHost: x\n\n"), 400, "without a fragment"},
	{"a fragment of a star", crlf("OPTIONS *#a HTTP/1.1\nHost: x\n\n"), 400, "without a fragment"},
	{"a URL with a user and a password", crlf("GET http://u:p@h HTTP/1.1\nHost: x\n\n"), 400, "the host of the request target"},
	{"a URL with a user alone", crlf("OPTIONS http://u@ HTTP/1.1\nHost: x\n\n"), 400, "the host of the request target"},
	{"a URL with a query alone", crlf("GET http://?a HTTP/1.1\nHost: x\n\n"), 400, "the host of the request target"},
	{"a URL with a backslash", crlf("GET http://h\\@evil/ HTTP/1.1\nHost: x\n\n"), 400, "the host of the request target"},
	{"a URL of another host", crlf("GET http://h/a HTTP/1.1\nHost: x\n\n"), 400, "Host is \"x\", and the host of the request target \"h\""},
	{"a URL of another port", crlf("GET http://h:8080/a HTTP/1.1\nHost: h\n\n"), 400, "expected the same"},
	{"a URL of the other scheme's port", crlf("GET http://h:443/a HTTP/1.1\nHost: h\n\n"), 400, "expected the same"},
	{"a URL and an empty Host", crlf("GET http://h/a HTTP/1.1\nHost:\n\n"), 400, "expected the same"},
	{"a URL of a longer host", crlf("GET http://h.x HTTP/1.1\nHost: h\n\n"), 400, "expected the same"},
	{"a URL of another host behind one", crlf("GET http://h/a HTTP/1.1\nHost: h\n\nGET http://h/a HTTP/1.1\nHost: x\n\n"), 400, "expected the same"},
	{"a URL of a host without end", crlf("GET http://" + strings.Repeat("h", maxAuthority+1) + "/ HTTP/1.1\nHost: h\n\n"), 400, "has 263 bytes"},
	{"a URL and no Host", crlf("GET http://h/ HTTP/1.1\nA: x\n\n"), 400, "no Host"},
	{"CONNECT to a URL", crlf("CONNECT http://a/ HTTP/1.1\nHost: x\n\n"), 400, "a host and a port"},
	{"HTTP/2.0", crlf("GET / HTTP/2.0\nHost: x\n\n"), 505, "expected HTTP/1.1"},
	{"HTTP/0.9", crlf("GET / HTTP/0.9\nHost: x\n\n"), 505, "expected HTTP/1.1"},
	{"http/1.1", crlf("GET / http/1.1\nHost: x\n\n"), 400, "expected HTTP/1.1"},
	{"HTTP/1.10", crlf("GET / HTTP/1.10\nHost: x\n\n"), 400, "expected HTTP/1.1"},
	{"half a preface", crlf("PRI * HTTP/2.0\n\nSN\n\n"), 505, "expected HTTP/1.1"},
	{"PRI", crlf("PRI / HTTP/2.0\nHost: x\n\n"), 505, "expected HTTP/1.1"},
	{"another expectation", crlf("POST / HTTP/1.1\nHost: x\nExpect: 200-ok\n\n"), 417, "knows 100-continue"},
	{"a large head", crlf("GET / HTTP/1.1\nHost: x\n" + strings.Repeat("A: b\n", 1000) + "\n"), 431, "larger than 4096 bytes"},
	{"a long line", crlf("GET /" + strings.Repeat("a", 5000)), 431, "larger than 4096 bytes"},
	{"framing announced as a trailer", crlf("POST / HTTP/1.1\nHost: x\nTrailer: a, content-length\nTransfer-Encoding: chunked\n\n0\n\n"), 400, "cannot be one"},

	{"whitespace in a trailer", crlf("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n0\nX-T : a\n\n"), 400, "whitespace stands"},
	{"a folded trailer", crlf("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n0\nX-T: a\n b\n\n"), 400, "goes on in a second line"},
	{"framing in a trailer", crlf("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n0\nContent-Length: 5\n\n"), 400, "cannot be one"},
	{"long trailers", crlf("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n0\nA: " + strings.Repeat("a", 5000)), 400, "trailers are larger"},
	{"a bare LF behind a size", crlf("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n") + "5\nabcde\r\n0\r\n\r\n", 400, "bare LF"},
	{"a bare LF behind a chunk", crlf("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n5\nabcde") + "\n0\r\n\r\n", 400, "bare LF"},
	{"no size", crlf("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n;a\n"), 400, "hexadecimal"},
	{"a size with a prefix", crlf("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n0x5\nabcde\n0\n\n"), 400, "hexadecimal"},
	{"a size with a space", crlf("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n5 \nabcde\n0\n\n"), 400, "hexadecimal"},
	{"a size beyond numbers", crlf("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n10000000000000005\nabcde\n0\n\n"), 400, "more than can be"},
	{"a longer chunk", crlf("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n5\nabcdef\n0\n\n"), 400, "longer than its size"},
	{"a long extension", crlf("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n5;" + strings.Repeat("a", 2000) + "\nabcde\n0\n\n"), 400, "a chunk's size is longer"},
	{"a control character in an extension", crlf("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n5;a\rb\nabcde\n0\n\n"), 400, "control character"},
	{"more framing than data", crlf("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n" + strings.Repeat("1;"+strings.Repeat("a", 1000)+"\nx\n", 20)), 400, "more framing than data"},
}

// passed are requests that pass, whole.
var passed = map[string]string{
	"plain":                  crlf("GET / HTTP/1.1\nHost: x\n\n"),
	"no host in HTTP/1.0":    crlf("GET / HTTP/1.0\n\n"),
	"an empty host":          crlf("GET / HTTP/1.1\nHost:\n\n"),
	"hosts":                  crlf("GET / HTTP/1.1\nHost: a_b.example:8080\n\nGET / HTTP/1.1\nHost: [::1]:80\n\nGET / HTTP/1.1\nHost: %2Frun%2Fx.sock\n\nGET / HTTP/1.1\nHost: 10.0.0.1:\n\n"),
	"targets":                crlf("GET http://h:80/a?b HTTP/1.1\nHost: H\n\nOPTIONS * HTTP/1.1\nHost: x\n\nCONNECT h:80 HTTP/1.1\nHost: h:80\n\nGET HTTPS://h?q HTTP/1.1\nHost: h:443\n\nGET //a:b/%2F?%zz%23 HTTP/1.1\nHost: x\n\nGET /ü HTTP/1.1\nHost: x\n\n"),
	"URLs without a path":    crlf("GET http://h HTTP/1.1\nHost: h\n\nOPTIONS http://h:80 HTTP/1.1\nHost: h:\n\nGET http://h? HTTP/1.1\nHost: h\n\nPOST http://[::1]?a=/b@c HTTP/1.1\nHost: [::1]:80\n\nGET http://h/ HTTP/1.0\n\nGET /a HTTP/1.1\nHost: x\n\n"),
	"an empty line first":    crlf("\nGET / HTTP/1.1\nHost: x\n\n"),
	"eight empty lines":      crlf(strings.Repeat(strings.Repeat("\n", 8)+"GET / HTTP/1.1\nHost: x\n\n", 3)),
	"a line behind a body":   crlf("PUT / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n1\na\n0\n\n\nGET / HTTP/1.1\nHost: x\n\n"),
	"a line before P":        crlf("\nPRI / HTTP/1.1\nHost: x\n\n"),
	"a body of known length": crlf("POST / HTTP/1.1\nHost: x\nContent-Length: 05\n\nab") + "\n\ncPOST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
	"a body of GET":          crlf("GET / HTTP/1.1\nHost: x\nContent-Length: 2\n\nab"),
	"chunks":                 crlf("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: Chunked \n\n5\nabc\n\n00a;b=\"c\"\n0123456789\n0\n\nGET / HTTP/1.1\nHost: x\n\n"),
	"trailers":               crlf("POST / HTTP/1.1\nHost: x\nTrailer: X-T\nTransfer-Encoding: chunked\n\n0\nX-T: a\nX-U:\n\nGET / HTTP/1.1\nHost: x\n\n"),
	"an expectation":         crlf("POST / HTTP/1.1\nHost: x\nExpect: 100-Continue\nContent-Length: 1\n\na"),
	"values":                 crlf("GET / HTTP/1.1\nHost: x\nA:\t \nB: a\tb\nC: äöü 0123456789\nD: " + "\xff\xfe\n\n"),
	"a line behind a POST":   crlf("POST / HTTP/1.1\nHost: x\nContent-Length: 2\n\nab\nGET / HTTP/1.1\nHost: x\n\n"),
	"a method of its own":    crlf("M-SEARCH / HTTP/1.1\nHost: x\n\n"),
	"bytes a chunk":          crlf("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n" + strings.Repeat("1\nx\n", 3000) + "0\n\n"),
}

// scanBy scans text in pieces of n bytes. It returns where requests begin, behind empty
// lines, and end, as far as they were seen to.
func scanBy(text string, n int) (requests [][2]int, scanned int, fault *Fault) {
	s := NewScanner(maxHead, true)
	from := 0
	for at := 0; at < len(text); {
		piece := []byte(text[at:min(at+n, len(text))])
		empty, fault := s.SkipEmptyLines(piece)
		if fault != nil {
			return requests, at + empty, fault
		}
		if empty > 0 {
			at += empty
			from = at
			continue
		}
		sound, fault := s.Scan(piece)
		if fault != nil {
			return requests, at + sound, fault
		}
		if at += sound; s.Between() {
			requests = append(requests, [2]int{from, at})
			from = at
		}
	}
	return requests, len(text), nil
}

func TestRefused(t *testing.T) {
	for _, test := range refusals {
		t.Run("Semantics 312: "+test.name, func(t *testing.T) {
			for _, n := range []int{1 << 20, 1, 2, 7} {
				_, _, fault := scanBy(test.request, n)
				if fault == nil {
					t.Fatalf("in pieces of %d: it passed", n)
				}
				if fault.Status != test.status || !strings.Contains(fault.Message, test.message) {
					t.Errorf("in pieces of %d: %d %s", n, fault.Status, fault.Message)
				}
			}
		})
	}
}

func TestPassed(t *testing.T) {
	for name, text := range passed {
		t.Run(name, func(t *testing.T) {
			for _, n := range []int{1 << 20, 1, 2, 7} {
				requests, scanned, fault := scanBy(text, n)
				if fault != nil || scanned != len(text) || len(requests) == 0 || requests[len(requests)-1][1] != len(text) {
					t.Errorf("in pieces of %d: %d of %d bytes, requests are at %v; %v", n, scanned, len(text), requests, fault)
				}
			}
			if text := crlf("GET / HTTP/1.1\nHost: x\n\n"); true {
				if _, sound, fault := scanBy(text+"\x00\r\n", 1<<20); fault == nil || sound != len(text) {
					t.Errorf("behind it a bad head: %d bytes are sound, %v", sound, fault)
				}
			}
		})
	}
}

// HTTP/2 by prior knowledge passes, over connections that may have it.
func TestPreface(t *testing.T) {
	text := preface + "\x00\x00\x00\x04\n\n\x00\r"
	for _, n := range []int{1 << 20, 1, 5} {
		if _, scanned, fault := scanBy(text, n); fault != nil || scanned != len(text) {
			t.Errorf("in pieces of %d: %d bytes, %v", n, scanned, fault)
		}
	}
	s := NewScanner(maxHead, false)
	if _, fault := s.Scan([]byte(text)); fault == nil {
		t.Error("it passed where it must not")
	}
}

// What follows a request that asks for another protocol is left for later.
func TestUpgradeHoldsBack(t *testing.T) {
	head := crlf("GET / HTTP/1.1\nHost: x\nConnection: upgrade\nUpgrade: websocket\n\n")
	s := NewScanner(maxHead, true)
	if sound, fault := s.Scan([]byte(head + "\x81\n")); fault != nil || sound != len(head) || s.Upgrades() != 1 || !s.Between() {
		t.Errorf("%d bytes, %v", sound, fault)
	}
}

// The answer's form is known however the head came.
func TestRefusal(t *testing.T) {
	for name, fields := range map[string]string{
		"before the fault": "Content-Type: application/grpc-web\nX-Request-Id: abc\nConnect-Protocol-Version: 1\nA : b\n\n",
		"behind the fault": "A : b\nContent-Type: application/grpc-web\nBad\nX-Request-Id: abc\nConnect-Protocol-Version: 1\n\nContent-Type: c\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := NewScanner(maxHead, true)
			first := crlf("GET / HTTP/1.1\nHost: x\nX-Request-Id: other\n\n")
			text := first + crlf("POST /a?b HTTP/1.1\nHost: x\n"+fields)
			if sound, fault := s.Scan([]byte(text)); fault != nil || sound != len(first) {
				t.Fatalf("%d bytes of the first request, %v", sound, fault)
			}
			_, fault := s.Scan([]byte(text[len(first):]))
			if fault == nil {
				t.Fatal("it passed")
			}
			want := Refusal{Fault: *fault, Method: "POST", Target: "/a?b", ContentType: "application/grpc-web", RequestID: "abc", Connect: "1"}
			if got := s.Refusal(fault); got != want {
				t.Errorf("%+v", got)
			}
		})
	}
}

func BenchmarkScan(b *testing.B) {
	text := []byte(crlf("GET /v1/shelves/1/books/2?view=FULL HTTP/1.1\nHost: localhost:8080\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\n" +
		"Accept: application/json, text/plain, */*\nAccept-Language: en-US,en;q=0.5\nAccept-Encoding: gzip, deflate, br, zstd\nAuthorization: Bearer " + strings.Repeat("abcdefgh", 40) +
		"\nX-Request-Id: 0123456789abcdef0123456789abcdef\nContent-Type: application/json\nConnection: keep-alive\n\n"))
	short := []byte(crlf("GET /v1/shelves/1 HTTP/1.1\nHost: localhost:8080\nUser-Agent: curl/8\nAccept: */*\n\n"))
	body := append([]byte(crlf("POST /v1/shelves HTTP/1.1\nHost: localhost:8080\nContent-Type: application/json\nContent-Length: 65536\n\n")), make([]byte, 64<<10)...)
	for _, bench := range []struct {
		name string
		text []byte
	}{{"short head", short}, {"browser's head", text}, {"body of 64 KB", body}} {
		b.Run(bench.name, func(b *testing.B) {
			s := NewScanner(maxHead, false)
			b.ReportAllocs()
			b.SetBytes(int64(len(bench.text)))
			for b.Loop() {
				if n, fault := s.Scan(bench.text); fault != nil || n != len(bench.text) {
					b.Fatal(n, fault)
				}
			}
		})
	}
}

// A sound request costs no allocation, however often its head is cut.
func TestNoAllocation(t *testing.T) {
	text := []byte(crlf("POST /v1/shelves HTTP/1.1\nHost: localhost:8080\nContent-Type: application/json\nX-Request-Id: a\nTransfer-Encoding: chunked\n\n5\nabcde\n0\nX-T: a\n\n"))
	s := NewScanner(maxHead, false)
	if n := testing.AllocsPerRun(100, func() {
		if _, fault := s.Scan(text); fault != nil {
			t.Fatal(fault)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
