package gateway_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// TestAnsweredBeforeTheBodyItOffers: a client that asks with Expect whether to send its
// body, and has an answer before the end of it, may send the rest or the next request:
// the answer does not wait for the body, and the connection ends behind it. Where the
// body was read to its end it stays (Semantics 312).
func TestAnsweredBeforeTheBodyItOffers(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	const next = "GET /v1/shelves/1 HTTP/1.1\r\nHost: x\r\n\r\n"
	const expect = " HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Type: application/json\r\n"
	for _, test := range []struct {
		name, request string
		status        int
		ends          bool
	}{
		{"no route, of known length", "POST /v1/nope" + expect + "Content-Length: 2\r\n\r\n", 404, true},
		{"no route, chunked", "POST /v1/nope" + expect + "Transfer-Encoding: chunked\r\n\r\n", 404, true},
		{"no route, the length of the next request", "POST /v1/nope" + expect + "Content-Length: 41\r\n\r\n", 404, true},
		{"no route, no body", "POST /v1/nope" + expect + "Content-Length: 0\r\n\r\n", 404, false},
		{"another method", "POST /v1/shelves/1" + expect + "Content-Length: 2\r\n\r\n", 405, true},
		{"OPTIONS", "OPTIONS /v1/shelves/1" + expect + "Content-Length: 2\r\n\r\n", 204, true},
		{"larger than may be", "POST /v1/echo" + expect + "Content-Length: 99999999\r\n\r\n", 413, true},
		{"an RPC that is unknown", "POST /bookstore.v1.BookstoreService/Nope" + expect + "Content-Length: 2\r\n\r\n", 404, true},
		{"read to its end", "POST /v1/echo" + expect + "Content-Length: 2\r\n\r\n{}", 200, false},
		{"read to its end by chunks", "POST /v1/echo" + expect + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 200, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := net.Dial("tcp", g.Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(c, test.request+next); err != nil {
				t.Fatal(err)
			}
			r := bufio.NewReader(c)
			for _, want := range []int{test.status, http.StatusOK} {
				answer, err := http.ReadResponse(r, nil)
				if err == nil && answer.StatusCode == http.StatusContinue {
					answer, err = http.ReadResponse(r, nil)
				}
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, answer.Body); err != nil {
					t.Fatal(err)
				}
				if answer.StatusCode != want || answer.Close != test.ends {
					t.Fatalf("%s, Connection: close is %v; want %d, %v", answer.Status, answer.Close, want, test.ends)
				}
				if test.ends {
					break
				}
			}
			if test.ends {
				if rest, _ := io.ReadAll(r); len(rest) > 0 {
					t.Errorf("behind the last answer: %q", rest)
				}
			}
		})
	}
}

// TestLengthsOverHTTP2: a content-length that is no number, or not that of a request
// which ends with its header, is refused as over HTTP/1.1 (Semantics 52).
func TestLengthsOverHTTP2(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	for _, test := range []struct {
		length string
		body   string
		status int
	}{
		{"0", "", 200}, {"00", "", 200}, {"5", "", 400}, {"-1", "", 400}, {"+0", "", 400}, {"x", "", 400}, {"", "", 400},
		{"0, 0", "", 400}, {"9223372036854775808", "", 400}, {"99999999999999999999", "", 400},
		{"2", "{}", 200},
	} {
		t.Run(test.length+", "+test.body, func(t *testing.T) {
			method, path := http.MethodGet, "/v1/shelves/1"
			if test.body != "" {
				method, path = http.MethodPost, "/v1/echo"
			}
			status, err := overHTTP2(g.Addr, test.body, [][2]string{
				{":method", method}, {":scheme", "http"}, {":authority", "x"}, {":path", path},
				{"content-type", "application/json"}, {"content-length", test.length},
			})
			if err != nil {
				t.Fatal(err)
			}
			if status != strconv.Itoa(test.status) {
				t.Errorf("%s, want %d", status, test.status)
			}
		})
	}
}

// overHTTP2 sends one request as it is given, and returns the status of the answer.
func overHTTP2(addr, body string, header [][2]string) (string, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		return "", err
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, f := range header {
		if err := encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}); err != nil {
			return "", err
		}
	}
	framer := http2.NewFramer(c, c)
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	err = errors.Join(framer.WriteSettings(), framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: body == "",
	}))
	if err == nil && body != "" {
		err = framer.WriteData(1, true, []byte(body))
	}
	for err == nil {
		var f http2.Frame
		if f, err = framer.ReadFrame(); err != nil {
			break
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			return f.PseudoValue("status"), nil
		case *http2.RSTStreamFrame:
			return f.ErrCode.String(), nil
		case *http2.GoAwayFrame:
			return f.ErrCode.String(), nil
		}
	}
	return "", err
}
