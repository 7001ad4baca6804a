package pages

import (
	"context"
	"net/http/httptest"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/interop/internal/browser"
)

// ask fetches and tells the status and the JSON that came.
const ask = `async (method, path, body) => {
	const answer = await fetch(path, { method, headers: body === null ? {} : { 'Content-Type': 'application/json' }, body: body === null ? undefined : JSON.stringify(body) });
	const { title, inStock, name, code, message } = await answer.json();
	return { status: answer.status, title, inStock, name, code, message };
}`

// readLines reads an answer bit by bit and tells the kinds of the messages, one a
// line, or what else the line is; after so many lines it goes away.
const readLines = `async (path, accept, enough) => {
	const answer = await fetch(path, { headers: { Accept: accept } });
	const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
	const told = { type: answer.headers.get('content-type'), lines: [], end: 'done' };
	for (let rest = '';;) {
		let bit;
		try { bit = await reader.read() } catch (e) { told.end = e.name; break }
		if (bit.done) break;
		const lines = (rest + bit.value).split('\n');
		rest = lines.pop();
		for (const line of lines) {
			if (accept === 'application/json') { told.lines.push(line.length > 0); continue }
			const message = JSON.parse(line);
			told.lines.push(message.kind ?? message);
		}
		if (enough > 0 && told.lines.length >= enough) { told.end = 'enough'; await reader.cancel(); break }
	}
	return told;
}`

func TestFetchREST(t *testing.T) {
	_, _, page := start(t, gatewaytest.Options{})
	const book = "/v1/shelves/3/books/mine"
	for _, test := range []struct {
		name, method, path string
		body               any
		want               string
	}{
		{"a POST", "POST", "/v1/shelves/3/books?bookId=mine", map[string]any{"title": "Mine"}, `{"status":200,"title":"Mine","inStock":false,"name":"shelves/3/books/mine"}`},
		{"a GET", "GET", book, nil, `{"status":200,"title":"Mine","inStock":false,"name":"shelves/3/books/mine"}`},
		{"Semantics 23: a PATCH", "PATCH", book, map[string]any{"inStock": true}, `{"status":200,"title":"Mine","inStock":true,"name":"shelves/3/books/mine"}`},
		{"Semantics 28: a DELETE", "DELETE", book, nil, `{"status":200}`},
		{"Semantics 26: an error", "GET", book, nil, `{"status":404,"code":5,"message":"there is no shelves/3/books/mine"}`},
		{"Semantics 15: a query of nobody's", "GET", "/v1/shelves?color=red", nil,
			`{"status":400,"code":3,"message":"unknown query parameter \"color\": bookstore.v1.ListShelvesRequest has no field \"color\""}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			check(t, browser.Eval[any](t, page, ask, test.method, test.path, test.body), test.want)
		})
	}
}

func TestFetchStreams(t *testing.T) {
	b := startBackend(t)
	g, chromium, page := start(t, gatewaytest.Options{Backend: b.address})
	const watch = "/v1/shelves/1/books:watch?interval=0s&count=1"
	for _, test := range []struct {
		name, path, accept string
		enough             int
		want               string
	}{
		{"Semantics 33: NDJSON", watch, "application/x-ndjson", 0,
			`{"type": "application/x-ndjson", "lines": ["EXISTING", "EXISTING", "TICK"], "end": "done"}`},
		{"Semantics 34: NDJSON that ends with an error", watch + "&failCode=14", "application/x-ndjson", 0,
			`{"type": "application/x-ndjson", "lines": ["EXISTING", "EXISTING", "TICK", {"error": {"code": 14, "message": "the watch was told to fail", "details": []}}], "end": "done"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			check(t, browser.Eval[any](t, page, readLines, test.path, test.accept, test.enough), test.want)
			ended(t, b, nil)
		})
	}
	t.Run("Semantics 34: a JSON array that an error breaks off", func(t *testing.T) {
		got := browser.Eval[struct{ Type, End string }](t, page, readLines, watch+"&failCode=14", "application/json", 0)
		if got.Type != "application/json" || got.End != "TypeError" {
			t.Errorf("%+v", got)
		}
		ended(t, b, nil)
	})
	t.Run("Semantics 40: a reader that has enough", func(t *testing.T) {
		got := browser.Eval[struct{ End string }](t, page, readLines, "/v1/shelves/1/books:watch?interval=3600s", "application/x-ndjson", 2)
		if got.End != "enough" {
			t.Errorf("%+v", got)
		}
		ended(t, b, context.Canceled)
	})
	t.Run("Semantics 36: a body written bit by bit, which browsers do over HTTP/2", func(t *testing.T) {
		secure := httptest.NewUnstartedServer(g)
		secure.EnableHTTP2 = true
		secure.StartTLS()
		t.Cleanup(secure.Close)
		check(t, browser.Eval[any](t, chromium.Open(t, secure.URL+"/v1/shelves/1"), `async () => {
			let left = ['{"title":"One"}\n{"ti', 'tle":"Two"}\n', '{"title":"Three"}'];
			const body = new ReadableStream({ pull(to) { left.length > 0 ? to.enqueue(left.shift()) : to.close() } });
			const answer = await fetch('/v1/shelves/3/books:import', {
				method: 'POST', duplex: 'half', headers: { 'Content-Type': 'application/x-ndjson' }, body: body.pipeThrough(new TextEncoderStream()),
			});
			return [answer.status, (await answer.json()).count];
		}`), `[200, 3]`)
	})
}

func TestFetchBytes(t *testing.T) {
	_, _, page := start(t, gatewaytest.Options{})
	t.Run("Semantics 24: a picture", func(t *testing.T) {
		check(t, browser.Eval[any](t, page, `path => new Promise((resolve, reject) => {
			const picture = new Image();
			picture.onload = () => resolve([picture.naturalWidth, picture.naturalHeight]);
			picture.onerror = reject;
			picture.src = path;
		})`, "/v1/shelves/1/books/1/cover"), `[8, 12]`)
	})
	t.Run("Semantics 24: an upload comes back as it was", func(t *testing.T) {
		check(t, browser.Eval[any](t, page, `async path => {
			const bytes = new Uint8Array(300000).map((_, i) => i * 7);
			const up = await fetch(path, { method: 'POST', body: new Blob([bytes], { type: 'image/x-mine' }) });
			const down = await fetch(path);
			const back = new Uint8Array(await down.arrayBuffer());
			return [(await up.json()).size, down.headers.get('content-type'), back.length, back.every((b, i) => b === bytes[i])];
		}`, "/v1/shelves/1/books/2/cover"), `["300000", "image/x-mine", 300000, true]`)
	})
	t.Run("Semantics 24: a form with a file reaches the method as it is", func(t *testing.T) {
		check(t, browser.Eval[any](t, page, `async path => {
			const form = new FormData();
			form.append('file', new Blob(['a picture']), 'cover.txt');
			await fetch(path, { method: 'POST', body: form });
			const answer = await (await fetch(path)).formData();
			return [answer.get('file').name, await answer.get('file').text()];
		}`, "/v1/shelves/1/books/2/cover"), `["cover.txt", "a picture"]`)
	})
	t.Run("Semantics 22: a form of fields", func(t *testing.T) {
		check(t, browser.Eval[any](t, page, `async () => {
			const answer = await fetch('/v1/shelves/3/books', { method: 'POST', body: new URLSearchParams({ title: 'By a form', pages: 7 }) });
			const { title, pages } = await answer.json();
			return [answer.status, title, pages];
		}`), `[200, "By a form", 7]`)
	})
	t.Run("Semantics 24: a download in pieces", func(t *testing.T) {
		check(t, browser.Eval[any](t, page, `async () => {
			const answer = await fetch('/v1/shelves/1/books/1:content?chunkSize=100');
			const text = await answer.text();
			return [answer.headers.get('content-type'), text.length > 1000];
		}`), `["text/plain; charset=utf-8", true]`)
	})
}
