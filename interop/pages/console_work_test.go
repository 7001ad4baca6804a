package pages

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/interop/internal/browser"
)

// consoleTimes has TestConsoleOfManyRoutes hold the times too, which take a quiet machine: make console-times.
var consoleTimes = flag.Bool("console-times", false, "hold the times of the console with 20,000 routes")

// manyRoutes are the protos of n routes, a hundred to a service.
func manyRoutes(n int) map[string]string {
	files := map[string]string{}
	for s := range n / 100 {
		var text strings.Builder
		_, _ = fmt.Fprintf(&text, "syntax = \"proto3\";\npackage many.v%d;\nimport \"google/api/annotations.proto\";\nmessage Message { string name = 1; }\nservice Service%d {\n", s+1, s)
		for m := range 100 {
			_, _ = fmt.Fprintf(&text, "  rpc Method%d(Message) returns (Message) { option (google.api.http) = { get: \"/many/%d/%d/{name}\" }; }\n", m, s, m)
		}
		files[fmt.Sprintf("many/v%d/many.proto", s+1)] = text.String() + "}\n"
	}
	return files
}

// TestConsoleOfManyRoutes: Surface 234: of 20,000 routes the page draws only the rows that are to be seen, whatever is filtered, sorted or
// scrolled. With -console-times the first rows are there within 300 ms and those of a filter within 50 ms.
func TestConsoleOfManyRoutes(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Admin: true, Protos: manyRoutes(20_000), Config: "rest: { only_rules: true }\n"})
	page := demo{browser.Start(t).Open(t, g.Admin+"/console/#/routes")}
	page.Resize(t, 1440, 900)
	// Each step is one event of the user's; what it costs is the time until the page has been drawn and the nodes that this has made.
	measure := func(act string) string {
		return `async () => {
			let nodes = 0
			const seen = new MutationObserver(list => { for (const m of list) nodes += m.addedNodes.length })
			seen.observe(document.body, { childList: true, subtree: true })
			let began = performance.now();
			` + act + `
			await new Promise(done => requestAnimationFrame(() => setTimeout(done)))
			const ms = performance.now() - began
			seen.disconnect()
			return { ms, nodes, rows: document.querySelectorAll('.window .row').length, lead: document.querySelector('main .lead').textContent }
		}`
	}
	type cost struct {
		MS    float64
		Nodes int
		Rows  int
		Lead  string
	}
	filter := func(words string) string {
		return fmt.Sprintf(`const box = document.querySelector('main input[type=search]'); box.value = %q; box.dispatchEvent(new Event('input', { bubbles: true }))`, words)
	}
	to := func(hash string) string {
		return fmt.Sprintf(`location.hash = %q; await new Promise(done => addEventListener('hashchange', done, { once: true }))`, hash)
	}
	for _, step := range []struct {
		name, act, says string
		within          float64 // ms
	}{
		{"a filter as soon as there are rows", `while (!document.querySelector('.window .row')) await new Promise(requestAnimationFrame)
			began = performance.now(); ` + filter("service1"), "of", 50},
		{"another page", to("#/overview"), "generation", 300},
		{"first rows", to("#/routes"), "routes", 300},
		{"a filter that takes many", filter("service1"), "of", 50},
		{"a filter that takes one", filter("/many/199/99/"), "1 of", 50},
		{"a filter that takes none", filter("nothing at all"), "0 of", 50},
		{"no filter", filter(""), "routes", 50},
		{"sorted", `document.querySelectorAll('.row.head button')[2].click()`, "routes", 300},
		{"scrolled", `document.querySelector('.window').scrollTop = 300000`, "routes", 50},
	} {
		got := browser.Eval[cost](t, page.Page, measure(step.act))
		t.Logf("%s: %.0f ms, %d nodes, %d rows: %s", step.name, got.MS, got.Nodes, got.Rows, got.Lead)
		if got.Rows > 60 || got.Nodes > 3000 || !strings.Contains(got.Lead, step.says) {
			t.Errorf("%s: %d rows and %d nodes of %s", step.name, got.Rows, got.Nodes, got.Lead)
		}
		if *consoleTimes && got.MS > step.within {
			t.Errorf("%s took %.0f ms, expected %.0f at most", step.name, got.MS, step.within)
		}
	}
}

// heap is how many bytes the page's objects have when those that nothing needs are gone, and how many nodes it has.
func (d demo) heap(t *testing.T) (bytes float64, nodes int) {
	t.Helper()
	return d.Heap(t), browser.Eval[int](t, d.Page, `() => document.querySelectorAll('*').length`)
}

// TestConsoleIsBounded: Surface 242: however many calls the page Live is told of, and however hostile they are, it keeps 200 of them,
// as text; its heap does not grow.
func TestConsoleIsBounded(t *testing.T) {
	g, page := startConsole(t)
	page.at(t, "#/live", "Live")
	page.awaits(t, "main .lead", "watching")
	sent := 0
	call := func(n int) {
		t.Helper()
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				for range n / 4 {
					path := "/v1/%3Cimg%20src=x%20onerror=hacked=1%3E/" + url.PathEscape("\u202e\x1b[31m") + strings.Repeat("long", 200)
					g.Do(t, "GET", path, "", "User-Agent", "<script>hacked=1</script>\u202e\u0085 evil")
				}
			})
		}
		group.Wait()
		sent += n
	}
	first := func() string {
		return browser.Eval[string](t, page.Page, `() => document.querySelector('.calls summary')?.textContent ?? ''`)
	}
	// told waits until the page has been told of all calls, shown, dropped or missed.
	round := 0
	told := func() {
		t.Helper()
		round++
		last := fmt.Sprintf("/v1/told-%d-", round)
		poll.Until(t, "the page is told of all", func() bool {
			g.Do(t, "GET", last, "")
			return strings.Contains(first(), last)
		})
	}
	call(400)
	told()
	before, nodesBefore := page.heap(t)
	for range 5 {
		call(800)
		told()
	}
	after, nodesAfter := page.heap(t)
	t.Logf("%d calls: the heap was %.1f MB and is %.1f MB, %d nodes and %d", sent, before/1e6, after/1e6, nodesBefore, nodesAfter)
	if after > before+4e6 || nodesAfter > nodesBefore+500 {
		t.Errorf("the heap grew from %.0f to %.0f bytes, the page from %d to %d nodes", before, after, nodesBefore, nodesAfter)
	}
	poll.Until(t, "a hostile call", func() bool { call(4); return strings.Contains(first(), "%3Cimg") })
	page.Click(t, ".calls summary")
	page.awaits(t, ".calls [open] dl", `<script>hacked=1</script>\u202e`)
	page.awaits(t, ".calls [open] .path", "/v1/%3Cimg%20src=x")
	if rows := browser.Eval[int](t, page.Page, `() => document.querySelectorAll('.calls li').length`); rows != 200 {
		t.Errorf("%d calls are shown", rows)
	}
	page.picture(t, "console-live-hostile")
	page.unharmed(t)
}

// unharmed holds that nothing of what was shown was taken for a part of the page.
func (d demo) unharmed(t *testing.T) {
	t.Helper()
	found := browser.Eval[[]string](t, d.Page, `() => [...document.querySelectorAll('main img, main script, main iframe, main a[href^=javascript]')].map(e => e.outerHTML)`)
	violations := browser.Eval[[]string](t, d.Page, `() => window.violations ?? []`)
	if thrown := d.Uncaught(); len(found)+len(violations)+len(thrown) > 0 || browser.Eval[bool](t, d.Page, `() => 'hacked' in window`) {
		t.Errorf("the page has %q, broke its policy by %q, and nobody caught %q", found, violations, thrown)
	}
}

// TestTryStandsFloods: Surface 238: a stream without end, an answer of 10 MB and sockets that are closed at once leave the page as quick
// as before: it keeps 300 messages, shows the first 100,000 characters of a long one, and is told where an answer was cut.
func TestTryStandsFloods(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("X-Evil", "<script>hacked=1</script>")
		_, _ = io.WriteString(w, "<script>hacked=1</script>\u202e\x1b[31m"+strings.Repeat("<img src=x onerror=hacked=1>", 10<<20/28))
	}))
	t.Cleanup(site.Close)
	g := gatewaytest.Start(t, gatewaytest.Options{Admin: true, Upstreams: fmt.Sprintf("site: { http: { servers: [%q] } }", strings.TrimPrefix(site.URL, "http://")),
		Config: "routes: [{ match: { path: /big }, upstream: site }]\n"})
	page := demo{browser.Start(t).Open(t, g.Admin+"/")}
	page.Resize(t, 1440, 900)
	const answer = "[aria-label=Answer]"

	page.awaits(t, "#app .tiles", "Routes")
	rule := browser.Eval[string](t, page.Page, `async () => {
		const r = (await (await fetch('../routes')).json()).routes.find(r => r.path === '/big')
		return [r.method, r.path, ...r.conditions ?? []].join(' ')
	}`)
	page.at(t, "#/try?"+url.Values{"rule": {rule}}.Encode(), "Try "+rule)
	page.Click(t, "main form button.main")
	page.awaits(t, answer+" .flow", ", cut")
	page.awaits(t, answer+" .flow", `<script>hacked=1</script>\u202e\u001b[31m<img src=x`)
	page.awaits(t, answer+" .flow", "Show all of")
	if n := browser.Eval[int](t, page.Page, `() => document.querySelector('.flow pre').textContent.length`); n != 100_000 {
		t.Errorf("%d characters are shown", n)
	}
	page.Click(t, ".flow li button")
	poll.Until(t, "all that has come is shown", func() bool {
		return browser.Eval[int](t, page.Page, `() => document.querySelector('.flow pre').textContent.length`) > 1_000_000
	})

	page.at(t, "#/try?"+url.Values{"rule": {"GET /v1/{parent=shelves/*}/books:watch"}, "protocol": {"sse"}, "message": {`{"parent":"shelves/3","interval":"0s"}`}}.Encode(), "Try GET /v1/{parent=shelves/*}/books:watch")
	page.Click(t, "main form button.main")
	page.awaits(t, answer, "the most for a call of the console") // the gateway ends it
	if n := browser.Eval[int](t, page.Page, `() => document.querySelectorAll('.flow li').length`); n < 250 || n > 301 {
		t.Errorf("%d messages are shown", n)
	}
	page.awaits(t, answer+" .flow", "Earlier messages are left out.")
	page.picture(t, "try-flood")

	page.at(t, "#/try?"+url.Values{"rule": {"POST /v1/discuss:stream"}, "protocol": {"websocket"}, "message": {`{"text":"a"}`}}.Encode(), "Try POST /v1/discuss:stream")
	for range 20 {
		page.Click(t, "main form button.main")
		page.awaits(t, answer+" .flow", "You said: a")
		page.Click(t, "main form button.danger") // Cancel
		poll.Until(t, "the call has ended", func() bool {
			return browser.Eval[bool](t, page.Page, `() => document.querySelector('main form button.danger').disabled`)
		})
	}
	page.unharmed(t)
}
