package envelope_test

import (
	"encoding/binary"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/protobuf/proto"
)

// connectErrorBody is the error of a unary answer.
type connectErrorBody struct {
	Code, Message string
	Details       []struct {
		Type, Value string
		Debug       map[string]any
	}
}

func readConnectError(t testing.TB, r *http.Response) connectErrorBody {
	t.Helper()
	var e connectErrorBody
	body := readAll(t, r)
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		t.Fatalf("%v in %q", err, body)
	}
	return e
}

func TestConnectUnaryRaw(t *testing.T) {
	e := newEdge(t)
	client := httpClient(t, false)
	const ok = `{"fillUsername":true,"payload":{"body":"aGk="}}`
	gzip := []string{"Content-Encoding", "gzip"}
	for _, test := range []struct {
		name, contentType, body string
		headers                 []string
		status                  int
		want                    string // of the answer, or the error's code
	}{
		{"Semantics 10: just JSON", "application/json", ok, nil, 200, `"username":"hi"`},
		{"with the version", "application/json", ok, []string{"Connect-Protocol-Version", "1"}, 200, `"username":"hi"`},
		{"charset", "application/json; charset=utf-8", ok, nil, 200, `"username":"hi"`},
		{"Semantics 19: no body", "application/json", "", nil, 200, `"payload":{}`},
		{"gzip", "application/json", string(gzipped(t, []byte(ok))), gzip, 200, `"username":"hi"`},
		{"proto", "application/proto", string(request(t, "hi")), nil, 200, "hi"},
		{"proto and gzip", "application/proto", string(gzipped(t, request(t, "hi"))), gzip, 200, "hi"},
		{"another version", "application/json", ok, []string{"Connect-Protocol-Version", "2"}, 400, "invalid_argument"},
		{"no JSON", "application/json", "{", nil, 400, "invalid_argument"},
		{"Semantics 20: two values", "application/json", "{}{}", nil, 400, "invalid_argument"},
		{"no gzip", "application/json", ok, gzip, 400, "invalid_argument"},
		{"unknown encoding", "application/json", ok, []string{"Content-Encoding", "lzma"}, 501, "unimplemented"},
		{"form", "application/x-www-form-urlencoded", "a=b", nil, 415, "unknown"},
		{"Semantics 21: too large", "application/proto", strings.Repeat("x", testMaxMessage+1), nil, 413, "resource_exhausted"},
		{"Semantics 21: a bomb", "application/proto", string(gzipped(t, make([]byte, testMaxMessage+1))), gzip, 413, "resource_exhausted"},
		{"Semantics 32: bad timeout", "application/json", ok, []string{"Connect-Timeout-Ms", "12345678901"}, 400, "invalid_argument"},
		{"Semantics 32: timeout", "application/json", ok, []string{"Connect-Timeout-Ms", "20", "X-Case", "block"}, 504, "deadline_exceeded"},
		{"Semantics 32: the longest there is", "application/json", ok, []string{"Grpc-Timeout", "99999999H"}, 200, `"username":"hi"`},
		{"Semantics 32: longer than that", "application/json", ok, []string{"Request-Timeout", "9e99"}, 200, `"username":"hi"`},
		{"Semantics 32: no timeout", "application/json", ok, []string{"Grpc-Timeout", ""}, 400, "invalid_argument"},
		{"Semantics 26: refused", "application/json", ok, []string{"X-Refuse", "1"}, 403, "permission_denied"},
		{"Semantics 55: a code above 16", "application/json", ok, []string{"X-Case", "fail-5002"}, 500, "unknown"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := send(t, client, e.url+testService+"UnaryCall", test.contentType, test.body, test.headers...)
			if test.status == 200 {
				if body := strings.ReplaceAll(readAll(t, r), " ", ""); r.StatusCode != 200 || !strings.Contains(body, test.want) {
					t.Errorf("got %d %s", r.StatusCode, body)
				}
				return
			}
			if got := readConnectError(t, r); r.StatusCode != test.status || got.Code != test.want {
				t.Errorf("got %d %+v, want %d %s", r.StatusCode, got, test.status, test.want)
			}
			if r.Header.Get("X-Policy") == "" || r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("got %v", r.Header)
			}
		})
	}
}

func TestConnectUnaryForm(t *testing.T) {
	e := newEdge(t)
	client := httpClient(t, false)
	t.Run("Semantics 44: trailers as headers, binary ones in base64", func(t *testing.T) {
		r := send(t, client, e.url+testService+"UnaryCall", "application/json", "{}", "Echo-A", "1", "Trail-A", "2", "Trail-B-Bin", "AP8=")
		_ = readAll(t, r)
		if h := r.Header; h.Get("Echo-A") != "1" || h.Get("Trailer-Trail-A") != "2" || h.Get("Trailer-Trail-B-Bin") != "AP8" {
			t.Errorf("got %v", r.Header)
		}
	})
	t.Run("Semantics 44: details with their JSON", func(t *testing.T) {
		r := send(t, client, e.url+testService+"UnaryCall", "application/json", "{}", "X-Case", "fail-details")
		got := readConnectError(t, r)
		if len(got.Details) != 2 || got.Details[1].Type != "google.rpc.ErrorInfo" || got.Details[1].Debug["reason"] != "EMPTY" {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("the answer is compressed for who accepts it", func(t *testing.T) {
		r := send(t, client, e.url+testService+"UnaryCall", "application/json", `{"responseSize":5000}`, "Accept-Encoding", "gzip")
		body := readAll(t, r)
		if r.Header.Get("Content-Encoding") != "gzip" || !strings.Contains(gunzipped(t, body), "payload") {
			t.Errorf("got %v", r.Header)
		}
	})
	t.Run("Connect's unary form is no stream", func(t *testing.T) {
		r := send(t, client, e.url+testService+"FullDuplexCall", "application/json", "{}", "Connect-Protocol-Version", "1")
		_ = readAll(t, r)
		if r.StatusCode != http.StatusUnsupportedMediaType || !strings.Contains(r.Header.Get("Accept-Post"), "connect+json") {
			t.Errorf("got %d %v", r.StatusCode, r.Header)
		}
	})
}

// connectStreamAnswer is a stream's answer in its parts.
type connectStreamAnswer struct {
	messages []string
	end      struct {
		Error    *connectErrorBody
		Metadata map[string][]string
	}
}

func readConnectStream(t testing.TB, r *http.Response) (a connectStreamAnswer) {
	t.Helper()
	body := readAll(t, r)
	for ended := false; body != ""; {
		if ended {
			t.Fatalf("%d bytes after the end", len(body))
		}
		size := int(binary.BigEndian.Uint32([]byte(body[1:5])))
		message := body[5 : 5+size]
		switch body[0] {
		case 0:
			a.messages = append(a.messages, message)
		case 1:
			a.messages = append(a.messages, gunzipped(t, message))
		case 2:
			ended = true
			if err := json.Unmarshal([]byte(message), &a.end); err != nil {
				t.Fatal(err)
			}
		}
		body = body[5+size:]
	}
	return a
}

func TestConnectStreamRaw(t *testing.T) {
	e := newEdge(t)
	client := httpClient(t, false)
	wire, err := proto.Marshal(&testpb.StreamingOutputCallRequest{ResponseParameters: sizes(3, 3000)})
	if err != nil {
		t.Fatal(err)
	}
	const text = `{"responseParameters":[{"size":3},{"size":3000}]}`
	ok := envelope(0, []byte(text))
	gzip := []string{"Connect-Content-Encoding", "gzip"}
	for _, test := range []struct {
		name, contentType, body string
		headers                 []string
		messages                int
		code                    string
	}{
		{"JSON", "application/connect+json", ok, nil, 2, ""},
		{"proto", "application/connect+proto", envelope(0, wire), nil, 2, ""},
		{"gzip", "application/connect+json", envelope(1, gzipped(t, []byte(text))), gzip, 2, ""},
		{"gzip both ways", "application/connect+json", envelope(1, gzipped(t, []byte(text))), append(gzip, "Connect-Accept-Encoding", "br, gzip"), 2, ""},
		{"an error after messages", "application/connect+json", ok, []string{"X-Case", "fail-details", "Trail-A", "1"}, 2, "invalid_argument"},
		{"no message", "application/connect+json", "", nil, 0, "unimplemented"},
		{"two messages", "application/connect+json", ok + ok, nil, 0, "unimplemented"},
		{"no JSON", "application/connect+json", envelope(0, []byte("{")), nil, 0, "invalid_argument"},
		{"a truncated prefix", "application/connect+json", ok[:4], nil, 0, "invalid_argument"},
		{"a truncated message", "application/connect+json", ok[:9], nil, 0, "invalid_argument"},
		{"4 GiB announced", "application/connect+json", "\x00\xff\xff\xff\xff", nil, 0, "resource_exhausted"},
		{"a bomb", "application/connect+json", envelope(1, gzipped(t, make([]byte, testMaxMessage+1))), gzip, 0, "resource_exhausted"},
		{"an end in the request", "application/connect+json", envelope(2, []byte("{}")), nil, 0, "invalid_argument"},
		{"compressed without encoding", "application/connect+json", envelope(1, []byte("x")), nil, 0, "internal"},
		{"unknown encoding", "application/connect+json", ok, []string{"Connect-Content-Encoding", "lzma"}, 0, "unimplemented"},
		{"another version", "application/connect+json", ok, []string{"Connect-Protocol-Version", "2"}, 0, "invalid_argument"},
		{"Semantics 26: refused", "application/connect+json", ok, []string{"X-Refuse", "1"}, 0, "permission_denied"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := send(t, client, e.url+testService+"StreamingOutputCall", test.contentType, test.body, test.headers...)
			if r.StatusCode != 200 || r.Header.Get("Content-Type") != test.contentType {
				t.Errorf("got %d %v", r.StatusCode, r.Header)
			}
			a := readConnectStream(t, r)
			code := ""
			if a.end.Error != nil {
				code = a.end.Error.Code
			}
			if len(a.messages) != test.messages || code != test.code {
				t.Errorf("got %d messages and %+v, want %d and %q", len(a.messages), a.end.Error, test.messages, test.code)
			}
			if strings.Contains(test.name, "both ways") != (r.Header.Get("Connect-Content-Encoding") == "gzip") {
				t.Errorf("got %v", r.Header)
			}
			if strings.Contains(test.name, "after messages") && a.end.Metadata["trail-a"] == nil {
				t.Errorf("got %v", a.end.Metadata)
			}
		})
	}
}

// Requests that no binding takes get their error in their protocol's form.
func TestErrorWriter(t *testing.T) {
	e := newEdge(t)
	http1, http2 := httpClient(t, false), httpClient(t, true)
	at := e.url + "/no.Such/Method"
	for _, contentType := range []string{"application/grpc", "application/grpc-web", "application/grpc-web-text", "application/grpc-web+proto"} {
		r := send(t, http2, at, contentType, "")
		if a := readAnswer(t, r, false); a.httpStatus != 200 || a.status != "12" || a.message != "unknown method" || r.Header.Get("Content-Type") != contentType {
			t.Errorf("%s: got %+v", contentType, a)
		}
	}
	r := send(t, http1, at, "application/json", "{}", "Connect-Protocol-Version", "1")
	if got := readConnectError(t, r); r.StatusCode != 501 || got.Code != "unimplemented" {
		t.Errorf("Connect: got %d %+v", r.StatusCode, got)
	}
	r = send(t, http1, at, "application/connect+json", "")
	if a := readConnectStream(t, r); r.StatusCode != 200 || a.end.Error == nil || a.end.Error.Code != "unimplemented" {
		t.Errorf("Connect stream: got %d %+v", r.StatusCode, a)
	}
	r = send(t, http1, at, "text/plain", "")
	var rest struct{ Code int }
	if err := json.Unmarshal([]byte(readAll(t, r)), &rest); err != nil || r.StatusCode != 501 || rest.Code != 12 {
		t.Errorf("REST: got %d %+v %v", r.StatusCode, rest, err)
	}
}
