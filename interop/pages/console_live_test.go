package pages

import (
	"strings"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/interop/internal/browser"
)

// TestConsoleLive: Surface 242 and 245: by keyboard alone somebody watches calls as they end, filters them, is told
// what is wrong with a filter and where, pauses, and sees what the log says of one.
func TestConsoleLive(t *testing.T) {
	g, page := startConsole(t)
	page.awaits(t, "h1", "Overview")
	page.Type(t, "gi")
	page.awaits(t, "h1", "Live")
	page.awaits(t, "main .lead", "watching")
	shelf := func() { g.Do(t, "GET", "/v1/shelves?page_size=1", "") }
	refused := func() { g.Do(t, "GET", "/v1/shelves/1", "") } // it needs a token
	shelf()
	refused()
	page.awaits(t, ".calls", "401 UNAUTHENTICATED")
	page.awaits(t, ".calls", "/v1/shelves")
	if text := browser.Eval[string](t, page.Page, `() => document.querySelector('.calls').textContent`); strings.Contains(text, "page_size") {
		t.Error("the query is shown")
	}

	page.Type(t, "/")
	browser.Eval[any](t, page.Page, `() => document.activeElement.select()`)
	page.Type(t, "statsu == 401\r")
	page.awaits(t, "#wrong", `filter:1:1: there is no "statsu"; did you mean status?`)
	page.picture(t, "console-live-wrong")
	browser.Eval[any](t, page.Page, `() => document.activeElement.select()`)
	page.Type(t, "refused_by == 'auth'\r")
	page.awaits(t, "main .lead", "watching")
	page.awaits(t, "main .lead", "0 calls")
	shelf()
	refused()
	page.awaits(t, ".calls", "by auth")
	if n := browser.Eval[int](t, page.Page, `() => document.querySelectorAll('.calls li').length`); n != 1 {
		t.Errorf("%d calls, expected the refused one alone", n)
	}

	browser.Eval[any](t, page.Page, `() => document.activeElement.blur()`)
	page.Type(t, " ")
	page.awaits(t, "main .lead", "paused")
	poll.Until(t, "nobody watches", func() bool { return !g.Telemetry.Live.Watched() })
	for _, violation := range page.violations(t) {
		t.Errorf("paused: %s", violation)
	}
	page.Type(t, " ")
	page.awaits(t, "main .lead", "watching")
	browser.Eval[any](t, page.Page, `() => document.querySelector('.calls summary').focus()`)
	page.Type(t, "\r")
	page.awaits(t, ".calls [open] dl", "request_id")
	page.awaits(t, ".calls [open] dl", "bookstore.v1.BookstoreService/GetShelf")
	page.picture(t, "console-live-open")
}

// TestConsoleMessages: Surface 242: an operator has the messages of calls shown that admin.capture names, as text; without it the page says
// what to do.
func TestConsoleMessages(t *testing.T) {
	const shows = "admin: { capture: [{ selector: bookstore.v1.BookstoreService.ListShelves, fields: [\"*\"] }] }\n"
	for config, want := range map[string]string{consolePolicies: "admin.capture shows messages of no method", consolePolicies + shows: ""} {
		g, page := startConsoleOf(t, config)
		page.at(t, "#/live", "Live")
		page.awaits(t, "main .lead", "watching")
		page.Click(t, "main .switch input")
		page.awaits(t, "#wrong", want)
		if want != "" {
			continue
		}
		poll.Until(t, "a call with its messages", func() bool {
			g.Do(t, "GET", "/v1/shelves?page_token=%3Cb%3E", "")
			return browser.Eval[bool](t, page.Page, `() => !!document.querySelector('.calls .said')`)
		})
		page.Click(t, "main .actions button.small") // pauses
		browser.Eval[any](t, page.Page, `() => { document.querySelector('.calls li:has(.said) details').open = true }`)
		page.awaits(t, ".calls .said", `"pageToken": "<b>"`)
		for _, violation := range page.violations(t) {
			t.Errorf("with messages: %s", violation)
		}
		page.picture(t, "console-messages")
	}
}

// TestConsoleTimesAreLocal: Surface 242: the page Live says when a call ended by the clock of who looks, as all other pages do.
func TestConsoleTimesAreLocal(t *testing.T) {
	g, page := startConsole(t)
	page.Zone(t, "Asia/Kolkata")
	page.at(t, "#/live", "Live")
	page.awaits(t, "main .lead", "watching")
	g.Do(t, "GET", "/v1/shelves", "")
	page.awaits(t, ".calls", "/v1/shelves")
	shown := browser.Eval[[]string](t, page.Page, `() => { const at = document.querySelector('.calls time'); return [at.textContent, at.title] }`)
	ended, err := time.Parse(time.RFC3339Nano, shown[1])
	if err != nil {
		t.Fatal(err)
	}
	if want := ended.In(time.FixedZone("", 5*3600+1800)).Format("15:04:05.000"); shown[0] != want {
		t.Errorf("%s is shown as %s, expected %s", shown[1], shown[0], want)
	}
}
