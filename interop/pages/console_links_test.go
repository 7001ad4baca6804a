package pages

import (
	"net/url"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/interop/internal/browser"
)

// TestConsoleDeepLinks: Surface 233 and 239: an address of the console that somebody else has made up shows text, sends no call, changes
// nothing, and puts no key of a terminal into a command.
func TestConsoleDeepLinks(t *testing.T) {
	g, page := startConsole(t)
	page.awaits(t, "h1", "Overview")
	browser.Eval[any](t, page.Page, `() => {
		window.asked = []
		const real = window.fetch
		window.fetch = (url, o) => { if (o?.method && o.method !== 'GET') asked.push(o.method + ' ' + url); return real(url, o) }
	}`)
	const evil = "<img src=x onerror=hacked=1>\u202e\x1b[201~\x03rm -rf /\n'\"`$(id)"
	for _, test := range []struct {
		page   string
		query  url.Values
		title  string
		posted string
	}{
		{"explain", url.Values{"method": {evil}, "url": {evil}}, "Explain", "POST ../explain"},
		{"schema", url.Values{"symbol": {evil}}, "Schema", ""},
		{"schema", url.Values{"symbol": {"__proto__"}}, "Schema", ""},
		{"route", url.Values{"rule": {evil}}, "Route", ""},
		{"try", url.Values{"rule": {evil}}, "Try", ""},
		{"try", url.Values{"rule": {"GET /v1/{name=shelves/*}"}, "protocol": {"__proto__"}, "message": {`{"name":"shelves/` + `\u0003"}`}, "headers": {evil}, "timeout": {evil}}, "Try GET", ""},
		{"live", url.Values{"filter": {evil}}, "Live", ""},
		{"routes", url.Values{"q": {evil}}, "Routes", ""},
		{"constructor", url.Values{"q": {evil}}, "", ""},
	} {
		hash := "#/" + test.page + "?" + test.query.Encode()
		if test.title == "" {
			browser.Eval[any](t, page.Page, `hash => { location.hash = hash }`, hash)
			page.awaits(t, "main", "There is no page of that name.")
		} else {
			page.at(t, hash, test.title)
		}
		if test.posted != "" {
			poll.Until(t, test.posted, func() bool { return browser.Eval[bool](t, page.Page, `posted => asked.includes(posted)`, test.posted) })
		}
		if test.page == "try" && test.title == "Try GET" {
			for _, tool := range []string{"curl", "grpcurl", "buf curl", "transom call"} {
				page.choose(t, tool)
				browser.Eval[any](t, page.Page, `() => { window.clipped = undefined; navigator.clipboard.writeText = async text => { window.clipped = text } }`)
				var text *string
				page.Click(t, ".copies header button")
				poll.Until(t, "the call is copied", func() bool { text = browser.Eval[*string](t, page.Page, `() => window.clipped`); return text != nil })
				if strings.ContainsAny(*text, "\x03\x1b") || !strings.Contains(*text, `\u0003rm -rf`) {
					t.Errorf("%s has keys of a terminal: %q", tool, *text)
				}
			}
		}
		page.unharmed(t)
	}
	if asked := browser.Eval[[]string](t, page.Page, `() => [...new Set(asked)]`); len(asked) != 1 || asked[0] != "POST ../explain" {
		t.Errorf("the page has asked by itself for %q", asked)
	}
	browser.Eval[any](t, page.Page, `() => { sessionStorage.setItem('transom-try', '[{"at":1,"rule":"<b>","wanted":{"protocol":"x"}}]') }`)
	page.Load(t, g.Admin+"/console/?again#/try") // another document, which reads what the tab has kept
	page.awaits(t, "[aria-label=History]", "No call yet.")
	page.unharmed(t)
}

// TestConsoleTakesNothingBack: Surface 245: what somebody types as soon as a page is there stays, and so does the focus: nothing that a
// page does after it was drawn begins it anew.
func TestConsoleTakesNothingBack(t *testing.T) {
	_, page := startConsole(t)
	page.awaits(t, "h1", "Overview")
	for _, test := range []struct{ hash, field, focus string }{
		{"#/explain", ".ask input", ".ask textarea"},
		{"#/explain?method=GET&url=/v1/shelves/1", ".ask input", ".ask select"},
		{"#/live", ".tail input", ".tail input"},
		{"#/live?filter=status%20%3E%201", ".tail input", ".tail button"},
		{"#/routes", "main input[type=search]", "main input[type=search]"},
		{"#/routes?q=getshelf", "main input[type=search]", "main input[type=search]"},
	} {
		page.at(t, "#/overview", "Overview")
		// The observer is told of the page before it is painted, and before anything waits for that.
		got := browser.Eval[struct {
			Value   string
			Focused bool
		}](t, page.Page, `(hash, field, focus) => new Promise(done => {
			new MutationObserver((_, self) => {
				const box = document.querySelector(field), at = document.querySelector(focus)
				if (!box || !at) return
				self.disconnect()
				box.value = '/typed'
				box.dispatchEvent(new Event('input', { bubbles: true }))
				at.focus()
				setTimeout(() => requestAnimationFrame(() => setTimeout(() => done({ value: document.querySelector(field).value, focused: document.activeElement === document.querySelector(focus) }))), 100)
			}).observe(document.body, { childList: true, subtree: true })
			location.hash = hash
		})`, test.hash, test.field, test.focus)
		if got.Value != "/typed" || !got.Focused {
			t.Errorf("%s: the field has %q, and the focus is where it was put: %v", test.hash, got.Value, got.Focused)
		}
	}
	page.at(t, "#/overview", "Overview")
	page.Type(t, "/")
	poll.Until(t, "the filter of the routes has the focus", func() bool {
		return browser.Eval[bool](t, page.Page, `() => document.activeElement.matches('main input[type=search]')`)
	})
}
