package pages

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/examples/bookstore"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/interop/internal/browser"
)

// demo is the page that the bookstore serves at "/".
type demo struct{ *browser.Page }

// awaits waits until the text of an element contains a text.
func (d demo) awaits(t *testing.T, selector, text string) {
	t.Helper()
	var got string
	defer func() {
		if t.Failed() {
			t.Logf("%s is %q", selector, got)
		}
	}()
	poll.Until(t, selector+" contains "+text, func() bool {
		got = browser.Eval[string](t, d.Page, `s => document.querySelector(s)?.textContent`, selector)
		return strings.Contains(got, text)
	})
}

// fill replaces the value of a field by keyboard and presses Enter.
func (d demo) fill(t *testing.T, selector, text string) {
	t.Helper()
	browser.Eval[any](t, d.Page, `s => { document.querySelector(s).select(); document.querySelector(s).focus() }`, selector)
	d.Type(t, text+"\r")
}

// picture keeps a picture of the page in the folder $PICTURES, if that is set.
func (d demo) picture(t *testing.T, name string) {
	if folder := os.Getenv("PICTURES"); folder != "" {
		d.Screenshot(t, filepath.Join(folder, name+".png"))
	}
}

func TestDemo(t *testing.T) {
	g, chromium, _ := start(t, gatewaytest.Options{})
	page := demo{chromium.Open(t, g.URL+"/")}
	page.Resize(t, 1280, 900)
	const spines, events = "#watch .shelf", "#watch .log"

	t.Run("Semantics 24: the page is an HttpBody", func(t *testing.T) {
		a := g.Do(t, "GET", "/", "")
		if a.Status != 200 || a.Header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.HasPrefix(a.Body, "<!doctype html>") {
			t.Errorf("%d %v %.40s", a.Status, a.Header, a.Body)
		}
		if strings.Contains(a.Body, "src=") || strings.Contains(a.Body, "@import") {
			t.Error("the page needs more than itself")
		}
	})
	t.Run("Semantics 35: the watch ticks, and shows what is added", func(t *testing.T) {
		page.awaits(t, "#watch .state", "connected: message")
		page.picture(t, "empty")
		page.Click(t, "#add button")
		page.awaits(t, "#add output", "→ 200")
		page.awaits(t, spines, "A Guide to Small Doors")
		page.awaits(t, events, "ADDED shelves/3/books/")
		page.awaits(t, "#books tbody", "A Guide to Small Doors")
	})
	t.Run("Semantics 26: a refused book", func(t *testing.T) {
		page.fill(t, "#add [name=title]", " \b")
		page.awaits(t, "#add output", `"message": "book.title is empty, expected the title"`)
		page.awaits(t, "#add output", "→ 400")
	})
	t.Run("a book that goes", func(t *testing.T) {
		page.fill(t, "#books [name=query]", "guide")
		page.awaits(t, "#books .count", "1 book")
		page.Click(t, "#books tbody button")
		page.awaits(t, events, "REMOVED shelves/3/books/")
		page.awaits(t, "#books .count", "no books")
		if left := browser.Eval[int](t, page.Page, `s => document.querySelector(s).childElementCount`, spines); left != 0 {
			t.Errorf("%d books still stand on the shelf", left)
		}
		page.fill(t, "#books [name=query]", " \b")
		page.awaits(t, "#books tbody", "Tides, Explained")
	})
	t.Run("another shelf, stopped and begun again", func(t *testing.T) {
		browser.Eval[any](t, page.Page, `() => { const s = document.querySelector('#watch select'); s.value = 'shelves/1'; s.onchange() }`)
		page.awaits(t, spines, "The Lighthouse Ledger")
		page.Click(t, "#watch .toggle")
		page.awaits(t, "#watch .state", "stopped")
		page.Click(t, "#watch .toggle")
		page.awaits(t, "#watch .state", "connected")
	})
	t.Run("Semantics 38: remarks, the half-close, an error", func(t *testing.T) {
		page.Click(t, "#discuss form button")
		page.awaits(t, "#discuss .log", "1 You said: Is it any good?")
		page.awaits(t, "#discuss .state", "open, transom.json")
		page.fill(t, "#discuss [name=text]", "I <b>like</b> it")
		page.awaits(t, "#discuss .log", "2 You said: I <b>like</b> it")
		page.Click(t, "#discuss .enough")
		page.awaits(t, "#discuss .state", "closed: 1000")
		page.Click(t, "#discuss form button")
		page.awaits(t, "#discuss .state", "open")
		page.Click(t, "#discuss .quarrel")
		page.awaits(t, "#discuss .state", "closed: 4009 we shall not agree")
		page.awaits(t, "#discuss .log", `error {"code":9,"message":"we shall not agree"`)
	})
	t.Run("Semantics 10: a call by Connect", func(t *testing.T) {
		page.Click(t, "#connect button")
		page.awaits(t, "#connect output", `"title": "The Lighthouse Ledger"`)
		page.fill(t, "#connect [name=name]", "shelves/1/books/none")
		page.awaits(t, "#connect output", `"code": "not_found"`)
		page.awaits(t, "#connect output", "→ 404")
	})
	t.Run("Semantics 25: errors", func(t *testing.T) {
		page.Click(t, "#fail button")
		page.awaits(t, "#fail output", `"message": "the till is locked"`)
		page.awaits(t, "#fail output", "type.googleapis.com/google.rpc.ErrorInfo")
		page.fill(t, "#fail [name=code]", "many")
		page.awaits(t, "#fail output", "→ 400")
	})
	page.picture(t, "used")
	t.Run("narrow screens", func(t *testing.T) {
		page.Resize(t, 340, 700)
		if wide := browser.Eval[int](t, page.Page, `() => document.documentElement.scrollWidth`); wide > 340 {
			t.Errorf("the page is %d pixels wide on a screen of 340", wide)
		}
		page.picture(t, "narrow")
		page.Resize(t, 1280, 900)
	})
	t.Run("dark screens", func(t *testing.T) {
		const background = `() => getComputedStyle(document.body).backgroundColor`
		light := browser.Eval[string](t, page.Page, background)
		page.Prefer(t, "prefers-color-scheme", "dark")
		if dark := browser.Eval[string](t, page.Page, background); dark == light {
			t.Errorf("the page is %s, dark or light", dark)
		}
		page.picture(t, "dark")
	})
	t.Run("what the console may be told", func(t *testing.T) {
		page.Load(t, g.URL+"/")
		browser.Eval[any](t, page.Page, `() => { window.logged = ''; console.log = line => window.logged += line + '\n' }`)
		for _, line := range bookstore.TourInConsole() {
			browser.Eval[any](t, page.Page, "() => { "+line+" }")
		}
		for _, want := range []string{`"kind":"TICK"`, `{"sequence":"1","text":"You said: hello"}`} {
			poll.Until(t, "the console says "+want, func() bool {
				return strings.Contains(browser.Eval[string](t, page.Page, `() => window.logged`), want)
			})
		}
	})
	t.Run("a shelf that goes", func(t *testing.T) {
		page.awaits(t, "#watch .state", "connected")
		g.Do(t, "DELETE", "/v1/shelves/3?force=true", "")
		page.Click(t, "#watch .toggle")
		page.Click(t, "#watch .toggle")
		page.awaits(t, "#watch .state", "there is no shelves/3")
	})
	if thrown := page.Uncaught(); len(thrown) > 0 {
		t.Errorf("the page threw %s", strings.Join(thrown, "\n"))
	}
	t.Run("what a terminal may type", func(t *testing.T) {
		lines := browser.Eval[string](t, page.Page, `() => document.querySelector('#terminal').innerText`)
		for _, want := range []string{g.URL + "/v1/shelves/3/books", "-plaintext", " " + g.Addr + " "} {
			if !strings.Contains(lines, want) {
				text, _ := json.Marshal(lines) // for its line ends
				t.Errorf("no %q in %s", want, text)
			}
		}
	})
}

// TestDemoReconnects breaks the connection under the page.
func TestDemoReconnects(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	frail := httptest.NewServer(g)
	t.Cleanup(frail.Close)
	page := demo{browser.Start(t).Open(t, frail.URL+"/")}
	page.awaits(t, "#watch .state", "connected: message")
	g.Do(t, "POST", "/v1/shelves/3/books", `{"title":"Before"}`)
	page.awaits(t, "#watch .shelf", "Before")
	frail.CloseClientConnections()
	page.awaits(t, "#watch .state", "connection lost, trying again")
	g.Do(t, "POST", "/v1/shelves/3/books", `{"title":"Meanwhile"}`)
	page.awaits(t, "#watch .state", "connected: message")
	if titles := browser.Eval[string](t, page.Page, `() => document.querySelector('#watch .shelf').textContent`); titles != "BeforeMeanwhile" {
		t.Errorf("on the shelf: %s", titles)
	}
}
