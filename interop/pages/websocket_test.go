package pages

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/interop/internal/browser"
)

// converse opens a WebSocket and sends frames: text, or bytes as a list of
// numbers. After so many answers it half-closes the call by an empty frame or
// closes the socket. It tells all that happened.
const converse = `({ path, protocols, frames, after, then }) => new Promise(resolve => {
	const told = { answers: [], protocol: '', extensions: '' };
	const socket = new WebSocket(path, protocols ?? []);
	socket.binaryType = 'arraybuffer';
	const next = () => {
		if (told.answers.length !== (after ?? 0)) return;
		if (then === 'half-close') socket.send('');
		if (then === 'close') socket.close(1000, 'enough');
	};
	socket.onopen = () => {
		[told.protocol, told.extensions] = [socket.protocol, socket.extensions];
		for (const frame of frames ?? []) socket.send(typeof frame === 'string' ? frame : new Uint8Array(frame));
		next();
	};
	socket.onmessage = e => {
		told.answers.push(typeof e.data === 'string' ? e.data : [...new Uint8Array(e.data)]);
		next();
	};
	socket.onclose = e => resolve({ ...told, code: e.code, reason: e.reason, clean: e.wasClean });
})`

// conversation is what converse is told.
type conversation struct {
	Path      string   `json:"path"`
	Protocols []string `json:"protocols,omitempty"`
	Frames    []any    `json:"frames,omitempty"`
	After     int      `json:"after"`
	Then      string   `json:"then,omitempty"`
}

// conversed is what converse tells.
type conversed struct {
	Answers              []any
	Protocol, Extensions string
	Code                 int
	Reason               string
	Clean                bool
}

// encoded is a message as a frame of bytes.
func encoded(t *testing.T, m proto.Message) []int {
	t.Helper()
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	numbers := make([]int, len(data)) // as []byte would become base64
	for i, b := range data {
		numbers[i] = int(b)
	}
	return numbers
}

const (
	discuss  = "/v1/discuss:stream"
	textHi   = `{"text":"hi"}`
	answerHi = `{"sequence":"1","text":"You said: hi"}`
	closed   = "half-close"
)

func TestWebSocket(t *testing.T) {
	b := startBackend(t)
	_, _, page := start(t, gatewaytest.Options{Backend: b.address, Config: "defaults: { limits: { max_message_bytes: 100000 } }\n"})
	hi := encoded(t, &pb.DiscussRequest{Remark: &pb.DiscussRequest_Text{Text: "hi"}})
	toHi := encoded(t, &pb.DiscussResponse{Sequence: 1, Text: "You said: hi"})
	long := strings.Repeat("x", 90_000)
	failure := encoded(t, &pb.DiscussRequest{Remark: &pb.DiscussRequest_Failure{Failure: &pb.FailRequest{Code: 9, Message: "no"}}})

	for _, test := range []struct {
		name string
		conversation
		want conversed
	}{
		{"text, the half-close and a normal end", conversation{Path: discuss, Frames: []any{textHi, `{"text":"ho"}`}, After: 2, Then: closed},
			conversed{Answers: []any{answerHi, `{"sequence":"2","text":"You said: ho"}`}, Code: 1000}},
		{"a half-close at once", conversation{Path: discuss, Then: closed}, conversed{Code: 1000}},
		{"answers go on after the half-close", conversation{Path: discuss, Frames: []any{`{"monologue":3}`}, After: 1, Then: closed},
			conversed{Answers: []any{`{"sequence":"1","text":"And another thing."}`, `{"sequence":"2","text":"And another thing."}`, `{"sequence":"3","text":"And another thing."}`}, Code: 1000}},
		{"binary frames", conversation{Path: discuss, Frames: []any{hi}, After: 1, Then: closed}, conversed{Answers: []any{toHi}, Code: 1000}},
		{"a text frame is answered by text, the binary one that follows too", conversation{Path: discuss, Frames: []any{textHi, hi}, After: 2, Then: closed},
			conversed{Answers: []any{answerHi, `{"sequence":"2","text":"You said: hi"}`}, Code: 1000}},
		{"the subprotocol transom.json", conversation{Path: discuss, Protocols: []string{"transom.json"}, Frames: []any{hi}, After: 1, Then: closed},
			conversed{Answers: []any{answerHi}, Protocol: "transom.json", Code: 1000}},
		{"the subprotocol transom.proto", conversation{Path: discuss, Protocols: []string{"transom.proto"}, Frames: []any{textHi}, After: 1, Then: closed},
			conversed{Answers: []any{toHi}, Protocol: "transom.proto", Code: 1000}},
		{"one of two subprotocols", conversation{Path: discuss, Protocols: []string{"else", "transom.proto", "transom.json"}, Then: closed},
			conversed{Protocol: "transom.proto", Code: 1000}},
		{"a method by its name", conversation{Path: "/bookstore.v1.BookstoreService/Discuss", Frames: []any{textHi}, After: 1, Then: closed},
			conversed{Answers: []any{answerHi}, Code: 1000}},
		{"an error", conversation{Path: discuss, Frames: []any{`{"failure":{"code":9,"message":"not now"}}`}},
			conversed{Answers: []any{`{"error":{"code":9,"message":"not now","details":[]}}`}, Code: 4009, Reason: "not now"}},
		{"an error is text for binary frames too", conversation{Path: discuss, Frames: []any{failure}},
			conversed{Answers: []any{`{"error":{"code":9,"message":"no","details":[]}}`}, Code: 4009, Reason: "no"}},
		{"a long reason is cut", conversation{Path: discuss, Frames: []any{`{"failure":{"code":5,"message":"` + strings.Repeat("ä", 100) + `"}}`}},
			conversed{Answers: []any{`{"error":{"code":5,"message":"` + strings.Repeat("ä", 100) + `","details":[]}}`}, Code: 4005, Reason: strings.Repeat("ä", 61)}},
		{"a message too large", conversation{Path: discuss, Frames: []any{`{"text":"` + strings.Repeat("y", 100_000) + `"}`}},
			conversed{Answers: []any{`{"error":{"code":8,"message":"message 1 is larger than 100000 bytes","details":[]}}`}, Code: 1009, Reason: "message 1 is larger than 100000 bytes"}},
		{"a long message, compressed both ways", conversation{Path: discuss, Frames: []any{`{"text":"` + long + `"}`}, After: 1, Then: closed},
			conversed{Answers: []any{`{"sequence":"1","text":"You said: ` + long + `"}`}, Code: 1000}},
		{"a page that closes", conversation{Path: discuss, Frames: []any{textHi}, After: 1, Then: "close"},
			conversed{Answers: []any{answerHi}, Code: 1000, Reason: "enough"}},
	} {
		t.Run("Semantics 38: "+test.name, func(t *testing.T) {
			got := browser.Eval[conversed](t, page, converse, test.conversation)
			if !strings.HasPrefix(got.Extensions, "permessage-deflate") {
				t.Errorf("extensions %q", got.Extensions)
			}
			test.want.Extensions, test.want.Clean = got.Extensions, true
			same(t, got, test.want)
		})
	}
	t.Run("Semantics 38: a frame that is no message", func(t *testing.T) {
		got := browser.Eval[conversed](t, page, converse, conversation{Path: discuss, Frames: []any{textHi, `{"text":`}})
		if last := got.Answers[len(got.Answers)-1].(string); got.Code != 4003 || !strings.Contains(last, `{"error":{"code":3,"message":"message 2`) {
			t.Errorf("%+v", got)
		}
	})
	t.Run("Semantics 38: no such route", func(t *testing.T) {
		same(t, browser.Eval[conversed](t, page, converse, conversation{Path: "/v1/nothing"}), conversed{Code: 1006})
	})
	t.Run("Semantics 38: several sockets at once", func(t *testing.T) {
		all := browser.Eval[[]conversed](t, page, `conversation => Promise.all(Array.from({ length: 20 }, () => (`+converse+`)(conversation)))`,
			conversation{Path: discuss, Frames: []any{textHi}, After: 1, Then: closed})
		if len(all) != 20 {
			t.Errorf("%d sockets", len(all))
		}
		for _, got := range all {
			same(t, got, conversed{Answers: []any{answerHi}, Extensions: got.Extensions, Code: 1000, Clean: true})
		}
	})
	t.Run("Semantics 33, 38: a server stream", func(t *testing.T) {
		got := browser.Eval[conversed](t, page, converse, conversation{Path: "/v1/shelves/1/books:watch?count=1&interval=0s"})
		if len(got.Answers) != 3 || got.Code != 1000 || !strings.Contains(got.Answers[2].(string), `"kind":"TICK"`) {
			t.Errorf("%+v", got)
		}
	})
}

// TestWebSocketCancels looks at what the backend sees of a socket's end.
func TestWebSocketCancels(t *testing.T) {
	b := startBackend(t)
	g, chromium, page := start(t, gatewaytest.Options{Backend: b.address})
	const watch = "/v1/shelves/1/books:watch?interval=3600s"
	t.Run("Semantics 38: closing cancels a server stream", func(t *testing.T) {
		browser.Eval[conversed](t, page, converse, conversation{Path: watch, After: 1, Then: "close"})
		ended(t, b, context.Canceled)
	})
	t.Run("Semantics 38: closing half-closes a bidi stream", func(t *testing.T) {
		browser.Eval[conversed](t, page, converse, conversation{Path: discuss, Frames: []any{textHi}, After: 1, Then: "close"})
		ended(t, b, nil)
	})
	t.Run("Semantics 40: a page that goes away", func(t *testing.T) {
		other := chromium.Open(t, g.URL+"/v1/shelves/1")
		browser.Eval[any](t, other, `path => new Promise(resolve => { new WebSocket(path).onmessage = () => resolve() })`, watch)
		other.Close(t)
		ended(t, b, context.Canceled)
	})
}

// TestWebSocketToken brings a token where a page can put one.
func TestWebSocketToken(t *testing.T) {
	const secret = "a secret of the test, long enough"
	_, _, page := start(t, gatewaytest.Options{Config: `
auth: { jwt: [{ issuer: us, secret: "` + secret + `" }] }
policies:
  - { selector: bookstore.v1.BookstoreService.Discuss, policy: { auth: { jwt: { allow_query: true } } } }
`})
	token := signed(`{"iss":"us","sub":"ada","exp":4102444800}`, secret)
	for _, test := range []struct {
		name, path string
		protocols  []string
		protocol   string
		code       int
	}{
		{"a token and a kind", discuss, []string{"bearer." + token, "transom.json"}, "transom.json", 1000},
		{"a token alone", discuss, []string{"bearer." + token}, "bearer." + token, 1000},
		{"in the query, where the policy says so", discuss + "?access_token=" + token, nil, "", 1000},
		{"none", discuss, []string{"transom.json"}, "", 1006},
		{"a wrong one", discuss, []string{"bearer." + token + "x", "transom.json"}, "", 1006},
	} {
		t.Run("Semantics 38: "+test.name, func(t *testing.T) {
			got := browser.Eval[conversed](t, page, converse, conversation{Path: test.path, Protocols: test.protocols, Then: closed})
			if got.Protocol != test.protocol || got.Code != test.code {
				t.Errorf("%+v", got)
			}
		})
	}
}

// signed is a JSON Web Token signed by HS256.
func signed(claims, secret string) string {
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"HS256"}`)) + "." + encode([]byte(claims))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return text + "." + encode(mac.Sum(nil))
}

// same compares two conversations as JSON, in which an answer of bytes is a
// list of numbers.
func same(t *testing.T, got, want conversed) {
	t.Helper()
	want.Answers, got.Answers = slices.Concat([]any{}, want.Answers), slices.Concat([]any{}, got.Answers)
	found, _ := json.Marshal(got) // both are texts and numbers
	expected, _ := json.Marshal(want)
	if string(found) != string(expected) {
		t.Errorf("got  %.600s\nwant %.600s", found, expected)
	}
}
