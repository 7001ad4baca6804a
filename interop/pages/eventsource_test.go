package pages

import (
	"context"
	"net/http/httptest"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/interop/internal/browser"
)

// listen opens an EventSource and tells what came until it is over: by the event
// `end`, after which it closes the source if it is told to, by the server's
// event `error`, or as the browser gives up.
const listen = `(path, closeAtEnd) => new Promise(resolve => {
	const told = { events: [], opened: 0 };
	const source = new EventSource(path);
	const over = how => { source.close(); resolve({ ...told, over: how }) };
	source.onopen = () => told.opened++;
	source.onmessage = e => told.events.push([e.lastEventId, JSON.parse(e.data).kind]);
	source.addEventListener('end', e => {
		told.events.push([e.lastEventId, e.type, e.data]);
		if (closeAtEnd) over('end');
	});
	source.addEventListener('error', e => {
		if (e.data) { told.error = JSON.parse(e.data); over('error') }
		else if (source.readyState === EventSource.CLOSED) over('given up');
	});
})`

func TestEventSource(t *testing.T) {
	b := startBackend(t)
	g, chromium, page := start(t, gatewaytest.Options{Backend: b.address})
	const path = "/v1/shelves/1/books:watch?interval=0s"
	const all = `[["1","EXISTING"], ["2","EXISTING"], ["3","TICK"], ["4","TICK"], ["end","end","{}"]]`
	over := func(t *testing.T, want error) {
		t.Helper()
		next(t, "a call", b.begun)
		ended(t, b, want)
	}
	listenTo := func(t *testing.T, path string, closeAtEnd bool) any {
		t.Helper()
		return browser.Eval[any](t, page, listen, path, closeAtEnd)
	}

	t.Run("Semantics 33, 35: events, their ids, and the end", func(t *testing.T) {
		check(t, listenTo(t, path+"&count=2", true), `{"events": `+all+`, "opened": 1, "over": "end"}`)
		over(t, nil)
	})
	t.Run("Semantics 35: a source that reconnects after the end is sent home", func(t *testing.T) {
		check(t, listenTo(t, path+"&count=2", false), `{"events": `+all+`, "opened": 1, "over": "given up"}`)
		over(t, nil)
		if n := len(b.begun); n > 0 {
			t.Errorf("the backend was called %d more times", n)
		}
	})
	t.Run("Semantics 34: an error after messages", func(t *testing.T) {
		check(t, listenTo(t, path+"&count=1&failCode=9", true), `{"events": [["1","EXISTING"], ["2","EXISTING"], ["3","TICK"]], "opened": 1,
			"error": {"code": 9, "message": "the watch was told to fail", "details": []}, "over": "error"}`)
		over(t, nil)
	})
	t.Run("Semantics 34: an error before", func(t *testing.T) {
		check(t, listenTo(t, "/v1/shelves/9/books:watch", true), `{"events": [], "opened": 0, "over": "given up"}`)
		over(t, nil)
	})
	t.Run("Semantics 40: the page closes the source", func(t *testing.T) {
		kind := browser.Eval[string](t, page, `path => new Promise(resolve => {
			const source = new EventSource(path);
			source.onmessage = e => { source.close(); resolve(JSON.parse(e.data).kind) };
		})`, "/v1/shelves/1/books:watch?interval=3600s")
		if kind != "EXISTING" {
			t.Errorf("first came %s", kind)
		}
		over(t, context.Canceled)
	})
	t.Run("Semantics 40: the page goes away", func(t *testing.T) {
		other := chromium.Open(t, g.URL+"/v1/shelves/1")
		browser.Eval[any](t, other, `path => new Promise(resolve => { new EventSource(path).onopen = resolve })`, "/v1/shelves/1/books:watch?interval=3600s")
		other.Close(t)
		over(t, context.Canceled)
	})
	t.Run("Semantics 35: a connection that breaks", func(t *testing.T) {
		// Another server in front of the same gateway, whose connections the test
		// may break.
		frail := httptest.NewServer(g)
		t.Cleanup(frail.Close)
		other := chromium.Open(t, frail.URL+"/v1/shelves/1")
		browser.Eval[any](t, other, `path => new Promise(resolve => {
			const source = window.source = new EventSource(path);
			source.onmessage = e => { if (e.lastEventId === '2') { source.onmessage = null; resolve() } };
		})`, "/v1/shelves/1/books:watch?interval=3600s")
		if id := next(t, "a call", b.begun).Get("last-event-id"); len(id) != 0 {
			t.Errorf("the first call has the last-event-id %v", id)
		}
		frail.CloseClientConnections()
		ended(t, b, context.Canceled)
		if id := next(t, "the second call", b.begun).Get("last-event-id"); len(id) != 1 || id[0] != "2" {
			t.Errorf("the second call has the last-event-id %v", id)
		}
		browser.Eval[any](t, other, `() => window.source.close()`)
		ended(t, b, context.Canceled)
	})
	t.Run("Semantics 33, 35: more sources than HTTP/1.1 has connections for", func(t *testing.T) {
		secure := httptest.NewUnstartedServer(g)
		secure.EnableHTTP2 = true
		secure.StartTLS()
		t.Cleanup(secure.Close)
		other := chromium.Open(t, secure.URL+"/v1/shelves/1")
		if n := browser.Eval[int](t, other, `async path => {
			const sources = Array.from({ length: 20 }, () => new EventSource(path));
			await Promise.all(sources.map(source => new Promise(resolve => source.onmessage = resolve)));
			const open = sources.filter(source => source.readyState === EventSource.OPEN).length;
			sources.forEach(source => source.close());
			return open;
		}`, "/v1/shelves/1/books:watch?interval=3600s"); n != 20 {
			t.Errorf("%d sources are open at once", n)
		}
		for range 20 {
			over(t, context.Canceled)
		}
	})
	t.Run("Semantics 33: no event stream is asked for", func(t *testing.T) {
		if got := browser.Eval[string](t, page, `async path => (await fetch(path)).headers.get('content-type')`, path+"&count=1"); got != "application/x-ndjson" {
			t.Errorf("fetch has %s", got)
		}
		over(t, nil)
	})
}
