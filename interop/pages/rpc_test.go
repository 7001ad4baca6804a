package pages

import (
	"slices"
	"testing"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/interop/internal/browser"
)

const service = "/bookstore.v1.BookstoreService/"

// frames puts the helpers of the framed protocols into the page: frame makes one
// of a payload, unframe parses a body into [flags, payload] pairs.
const frames = `() => {
	window.frame = payload => {
		const head = new DataView(new ArrayBuffer(5));
		head.setUint32(1, payload.length);
		return new Uint8Array([...new Uint8Array(head.buffer), ...payload]);
	};
	window.unframe = body => {
		const found = [];
		while (body.length > 0) {
			const size = new DataView(body.buffer, body.byteOffset).getUint32(1);
			found.push([body[0], body.slice(5, 5 + size)]);
			body = body.slice(5 + size);
		}
		return found;
	};
	window.utf8 = { encode: text => new TextEncoder().encode(text), decode: bytes => new TextDecoder().decode(bytes) };
}`

func TestConnect(t *testing.T) {
	_, _, page := start(t, gatewaytest.Options{})
	browser.Eval[any](t, page, frames)
	const post = `async (path, type, body) => {
		const answer = await fetch(path, { method: 'POST', headers: { 'Content-Type': type, 'Connect-Protocol-Version': '1' }, body });
		return [answer.status, answer.headers.get('content-type'), await answer.json()];
	}`
	const get = `async query => {
		const answer = await fetch('` + service + `GetShelf?' + new URLSearchParams(query));
		return [answer.status, (await answer.json()).theme];
	}`
	t.Run("Semantics 44: unary", func(t *testing.T) {
		check(t, browser.Eval[any](t, page, post, service+"ListTags", "application/json", `{"name":"shelves/1/books/2"}`),
			`[200, "application/json", {"tags": ["winter"]}]`)
	})
	t.Run("Semantics 29, 44: without defaults", func(t *testing.T) {
		check(t, browser.Eval[any](t, page, post, service+"ListBooks", "application/json", `{"parent":"shelves/3"}`),
			`[200, "application/json", {}]`)
	})
	t.Run("Semantics 44: an error", func(t *testing.T) {
		check(t, browser.Eval[any](t, page, post, service+"GetBook", "application/json", `{"name":"shelves/1/books/9"}`),
			`[404, "application/json", {"code": "not_found", "message": "there is no shelves/1/books/9"}]`)
	})
	t.Run("Semantics 44: GET", func(t *testing.T) {
		check(t, browser.Eval[any](t, page, get, map[string]string{"connect": "v1", "encoding": "json", "message": `{"name":"shelves/2"}`}), `[200, "Science"]`)
	})
	t.Run("Semantics 44: a server stream", func(t *testing.T) {
		check(t, browser.Eval[any](t, page, `async (path, message) => {
			const answer = await fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/connect+json' }, body: frame(utf8.encode(message)) });
			const found = unframe(new Uint8Array(await answer.arrayBuffer()));
			return [answer.headers.get('content-type'), ...found.map(([flags, payload]) => [flags, JSON.parse(utf8.decode(payload))]).map(([flags, m]) => [flags, m.kind ?? m])];
		}`, service+"WatchBooks", `{"parent":"shelves/1","count":1,"interval":"0s","failCode":9}`),
			`["application/connect+json", [0, "EXISTING"], [0, "EXISTING"], [0, "TICK"], [2, {"error": {"code": "failed_precondition", "message": "the watch was told to fail"}}]]`)
	})
}

func TestGRPCWeb(t *testing.T) {
	_, _, page := start(t, gatewaytest.Options{})
	browser.Eval[any](t, page, frames)
	// call calls a method by gRPC-Web, as text or not, and tells the sizes of the
	// messages and the trailers that end the body.
	const call = `async (method, type, message) => {
		const text = type.includes('text');
		const framed = frame(new Uint8Array(message));
		const answer = await fetch('` + service + `' + method, {
			method: 'POST', headers: { 'Content-Type': type, 'X-Grpc-Web': '1' }, body: text ? framed.toBase64() : framed,
		});
		let body = new Uint8Array(await answer.arrayBuffer());
		// Base64 text is flushed by frame: there may be padding within.
		if (text) body = new Uint8Array((utf8.decode(body).match(/[^=]+=*/g) ?? []).flatMap(part => [...Uint8Array.fromBase64(part)]));
		const found = unframe(body), told = { type: answer.headers.get('content-type'), messages: [], status: answer.headers.get('grpc-status'), trailers: {} };
		for (const [flags, payload] of found) {
			if (flags === 0x80) utf8.decode(payload).trim().split('\r\n').forEach(line => { const [, name, value] = line.match(/^([^:]+): *(.*)$/); told.trailers[name] = value });
			else told.messages.push([...payload]);
		}
		return told;
	}`
	type told struct {
		Type     string
		Messages [][]int
		Status   *string // where there was no body
		Trailers map[string]string
	}
	code := func(got told) string {
		if got.Status != nil {
			return *got.Status
		}
		return got.Trailers["grpc-status"]
	}
	for _, kind := range []string{"application/grpc-web+proto", "application/grpc-web-text+proto"} {
		t.Run("Semantics 44: unary, "+kind, func(t *testing.T) {
			got := browser.Eval[told](t, page, call, "ListTags", kind, encoded(t, &pb.ListTagsRequest{Name: "shelves/1/books/2"}))
			want := encoded(t, &pb.ListTagsResponse{Tags: []string{"winter"}})
			if got.Type != kind || len(got.Messages) != 1 || !slices.Equal(got.Messages[0], want) || code(got) != "0" || got.Status != nil {
				t.Errorf("%+v", got)
			}
		})
		t.Run("Semantics 44: an error, "+kind, func(t *testing.T) {
			got := browser.Eval[told](t, page, call, "GetBook", kind, encoded(t, &pb.GetBookRequest{Name: "shelves/1/books/9"}))
			if len(got.Messages) != 0 || code(got) != "5" {
				t.Errorf("%+v", got)
			}
		})
		t.Run("Semantics 44: a server stream, "+kind, func(t *testing.T) {
			got := browser.Eval[told](t, page, call, "WatchBooks", kind, encoded(t, &pb.WatchBooksRequest{Parent: "shelves/1", Count: 1, FailCode: 9}))
			if len(got.Messages) != 3 || code(got) != "9" || got.Trailers["grpc-message"] != "the watch was told to fail" {
				t.Errorf("%d messages, %+v", len(got.Messages), got.Trailers)
			}
		})
	}
}
