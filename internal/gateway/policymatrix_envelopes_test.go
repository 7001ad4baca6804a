package gateway_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// envelope frames a message as gRPC and Connect do.
func envelope(message []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
}

// envelopes takes frames apart. What follows the frame with a flag of last is an
// error.
func envelopes(t *testing.T, body []byte, last byte) (messages [][]byte, end []byte) {
	t.Helper()
	for len(body) > 0 {
		if len(body) < 5 || len(body)-5 < int(binary.BigEndian.Uint32(body[1:])) || end != nil {
			t.Errorf("no frames: %q", body)
			return messages, end
		}
		flag, n := body[0], binary.BigEndian.Uint32(body[1:])
		message := body[5 : 5+n]
		if body = body[5+n:]; flag == last {
			end = message
		} else {
			messages = append(messages, message)
		}
	}
	return messages, end
}

// doorEnvelopes speaks gRPC and gRPC-Web.
func doorEnvelopes(method, contentType, answerType string) func(*testing.T, *doorCall) *doorAnswer {
	text := strings.HasSuffix(contentType, "-text")
	return func(t *testing.T, c *doorCall) *doorAnswer {
		own, client := *c, c.g.HTTP2
		own.headers = append([]string{"Te", "trailers"}, c.headers...)
		if own.hold = c.hold && method == "Talk"; contentType != "application/grpc" {
			own.headers, client = c.headers, c.g.Client
		}
		var body []byte
		for _, word := range c.texts {
			body = append(body, envelope(wordWire(word))...)
		}
		if text {
			body = []byte(base64.StdEncoding.EncodeToString(body))
		}
		response := own.exchange(t, client, "POST", "/door.v1."+c.service+"/"+method, contentType, body)
		a := &doorAnswer{status: response.StatusCode, header: response.Header}
		answer, err := io.ReadAll(response.Body)
		if err != nil {
			t.Errorf("reading the answer: %v", err)
		}
		if got := response.Header.Get("Content-Type"); a.status != 200 || !strings.HasPrefix(got, answerType) {
			t.Errorf("an answer of status %d and type %q, want 200 and %s", a.status, got, answerType)
		}
		if text {
			plain, err := io.ReadAll(&textBody{ReadCloser: io.NopCloser(bytes.NewReader(answer))})
			if answer = plain; err != nil {
				t.Errorf("no base64: %v", err)
			}
		}
		a.readEnvelopes(t, answer, response.Trailer, contentType == "application/grpc")
		return a
	}
}

// readEnvelopes reads messages and the status, which stands in the header of
// an answer without messages, or at the end.
func (a *doorAnswer) readEnvelopes(t *testing.T, body []byte, trailer http.Header, grpc bool) {
	t.Helper()
	messages, end := envelopes(t, body, 0x80)
	for _, m := range messages {
		a.words = append(a.words, wordText(m))
	}
	at := trailer
	if !grpc {
		at = http.Header{}
		for line := range strings.SplitSeq(strings.TrimSuffix(string(end), "\r\n"), "\r\n") {
			name, value, _ := strings.Cut(line, ":")
			if name != strings.ToLower(name) {
				t.Errorf("Semantics 44: a trailer %q, want lower case", name)
			}
			at.Add(name, strings.TrimSpace(value))
		}
	}
	a.midway = a.header.Get("Grpc-Status") == ""
	if !a.midway {
		if len(body) > 0 || at.Get("Grpc-Status") != "" {
			t.Errorf("Semantics 27: behind a status in the header stand %q and %v", body, at)
		}
		at = a.header
	}
	n, err := strconv.ParseUint(at.Get("Grpc-Status"), 10, 32)
	if err != nil {
		t.Errorf("no grpc-status: header %v, trailer %v, body %q", a.header, trailer, body)
	}
	a.code, a.midway = codes.Code(n), a.midway && n != 0
	if a.message, err = url.PathUnescape(at.Get("Grpc-Message")); err != nil {
		t.Errorf("grpc-message: %v", err)
	}
	a.readDetails(t, at.Get("Grpc-Status-Details-Bin"))
}

func (a *doorAnswer) readDetails(t *testing.T, text string) {
	t.Helper()
	raw, err := base64.RawStdEncoding.DecodeString(text)
	s := &spb.Status{}
	if err != nil || proto.Unmarshal(raw, s) != nil || text != "" && codes.Code(s.GetCode()) != a.code {
		t.Errorf("grpc-status-details-bin %q: %v", text, err)
	}
	for _, detail := range s.GetDetails() {
		a.readDetail(detail)
	}
}

func (a *doorAnswer) readDetail(detail *anypb.Any) {
	bad := &errdetails.BadRequest{}
	if detail.UnmarshalTo(bad) != nil {
		return // another type
	}
	for _, v := range bad.GetFieldViolations() {
		a.fields = append(a.fields, v.GetField())
	}
}

// doorConnect speaks Connect with a codec.
func doorConnect(method, codec string) func(*testing.T, *doorCall) *doorAnswer {
	return func(t *testing.T, c *doorCall) *doorAnswer {
		contentType, body, own := "application/"+codec, []byte(nil), *c
		own.headers = append([]string{"Connect-Protocol-Version", "1"}, c.headers...)
		own.hold = c.hold && method == "Talk"
		if method != "Ask" {
			contentType = "application/connect+" + codec
		}
		for _, text := range c.texts {
			word := wordWire(text)
			if codec == "json" {
				word = []byte(fmt.Sprintf(`{"text": %q}`, text))
			}
			if method != "Ask" {
				word = envelope(word)
			}
			body = append(body, word...)
		}
		response := own.exchange(t, c.g.HTTP2, "POST", "/door.v1."+c.service+"/"+method, contentType, body)
		return readConnect(t, response, contentType)
	}
}

// doorConnectGet speaks Connect's GET.
func doorConnectGet(t *testing.T, c *doorCall) *doorAnswer {
	own := *c
	own.hold = false
	path := "/door.v1." + c.service + "/Ask?connect=v1&encoding=json&message=" + url.QueryEscape(fmt.Sprintf(`{"text": %q}`, c.texts[0]))
	return readConnect(t, own.exchange(t, c.g.Client, "GET", path, "", nil), "application/json")
}

func readConnect(t *testing.T, response *http.Response, contentType string) *doorAnswer {
	t.Helper()
	a := &doorAnswer{status: response.StatusCode, header: response.Header}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Errorf("reading the answer: %v", err)
	}
	want := contentType
	unary := !strings.Contains(contentType, "connect+")
	if unary && a.status != 200 {
		want = "application/json"
	}
	if got := response.Header.Get("Content-Type"); got != want || !unary && a.status != 200 {
		t.Errorf("an answer of status %d and type %q, want %s", a.status, got, want)
	}
	if unary {
		if a.status != 200 {
			a.readConnectError(t, body)
		} else {
			a.readWord(t, body, contentType)
		}
		return a
	}
	messages, last := envelopes(t, body, 2)
	for _, m := range messages {
		a.readWord(t, m, contentType)
	}
	var end struct{ Error json.RawMessage }
	if err := json.Unmarshal(last, &end); err != nil {
		t.Errorf("no end-stream message: %q: %v", body, err)
	}
	if end.Error != nil {
		a.midway = len(messages) > 0
		a.readConnectError(t, end.Error)
	}
	return a
}

func (a *doorAnswer) readWord(t *testing.T, message []byte, contentType string) {
	t.Helper()
	if strings.HasSuffix(contentType, "json") {
		a.readJSON(t, message)
		return
	}
	a.words = append(a.words, wordText(message))
}

// connectNames are the Connect protocol's names of codes.
var connectNames = []string{"", "canceled", "unknown", "invalid_argument", "deadline_exceeded", "not_found", "already_exists",
	"permission_denied", "resource_exhausted", "failed_precondition", "aborted", "out_of_range", "unimplemented", "internal",
	"unavailable", "data_loss", "unauthenticated"}

func (a *doorAnswer) readConnectError(t *testing.T, text []byte) {
	t.Helper()
	var e struct {
		Code, Message string
		Details       []struct{ Type, Value string }
	}
	if err := json.Unmarshal(text, &e); err != nil || slices.Index(connectNames, e.Code) < 1 {
		t.Errorf("no error of Connect: %q: %v", text, err)
		return
	}
	a.code, a.message = codes.Code(slices.Index(connectNames, e.Code)), e.Message
	for _, d := range e.Details {
		value, err := base64.RawStdEncoding.DecodeString(d.Value)
		if err != nil || strings.Contains(d.Type, "/") {
			t.Errorf("a detail %+v: %v", d, err)
		}
		a.readDetail(&anypb.Any{TypeUrl: "type.googleapis.com/" + d.Type, Value: value})
	}
}
