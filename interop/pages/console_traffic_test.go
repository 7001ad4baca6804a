package pages

import (
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/interop/internal/browser"
)

// TestConsoleTraffic: Surface 234 and 243: the page of a route shows its calls as they end and what there were of them, and those of no other
// route; Policies shows what was decided, and how full a limit is.
func TestConsoleTraffic(t *testing.T) {
	// What callers have used of a limit is theirs again only days later.
	g, page := startConsoleOf(t, strings.Replace(consolePolicies, "requests: 100, per: 60s", "requests: 10, per: 864000s", 1))
	page.at(t, "#/route?rule=GET%20/v1/%7Bname%3Dshelves/*%7D", "GET /v1/{name=shelves/*}")
	const recent = "[aria-label='Recent calls']"
	page.awaits(t, recent+" .note", "since this page is open")
	g.Do(t, "GET", "/v1/shelves", "")
	g.Do(t, "GET", "/v1/shelves/1", "") // it needs a token
	g.Do(t, "GET", "/v1/shelves/2", "", "Authorization", "Bearer "+consoleToken(t))
	page.awaits(t, recent+" .calls", "/v1/shelves/2")
	page.awaits(t, recent+" .calls", "401 UNAUTHENTICATED")
	if rows := browser.Eval[int](t, page.Page, `s => document.querySelectorAll(s).length`, recent+" li"); rows != 2 {
		t.Errorf("%d calls are shown, expected those of the route", rows)
	}
	page.awaits(t, "[aria-label=Requests] figcaption", "refused") // within 5 s
	poll.Until(t, "a point of the calls", func() bool {
		return browser.Eval[bool](t, page.Page, `() => [...document.querySelectorAll('[aria-label=Requests] path.line.area')].some(p => p.getAttribute('d'))`)
	})
	page.picture(t, "console-route-traffic")
	page.at(t, "#/policies", "Policies")
	page.awaits(t, "[aria-label='Rate limits'] tbody", "bookstore.v1.BookstoreService/GetShelf10 per 240hprincipal1010 %")
	page.awaits(t, "[aria-label=Decisions] tbody", "rate_limit")
	page.picture(t, "console-policies-traffic")
}

const formProto = `syntax = "proto3";
package form.v1;
import "buf/validate/validate.proto";
service Forms { rpc Fill(Form) returns (Form); }
message Form {
  // What it is <b>called</b>.
  string name = 1 [(buf.validate.field).string = { min_len: 2 max_len: 9 }];
  map<string, int32> sizes = 2;
  map<int32, Form> inner = 3;
}
`

// TestTryForm: Surface 238: a map has a row for each key, and the rules of a field stand beside it.
func TestTryForm(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Admin: true, Protos: map[string]string{"form/v1/form.proto": formProto}})
	page := demo{browser.Start(t).Open(t, g.Admin+"/")}
	page.Resize(t, 1440, 900)
	page.awaits(t, "h1", "Overview")
	page.at(t, "#/try?rule=POST%20/form.v1.Forms/Fill&message=%7B%22sizes%22%3A%7B%22small%22%3A1%7D%7D", "Try POST /form.v1.Forms/Fill")
	page.awaits(t, ".form .rules", "min_len 2max_len 9")
	page.awaits(t, ".form", "What it is <b>called</b>.")
	message := func(want string) {
		t.Helper()
		poll.Until(t, "the message "+want, func() bool {
			return strings.Contains(browser.Eval[string](t, page.Page, `() => document.querySelector('.copies .command').textContent`), want)
		})
	}
	message(`'{"sizes":{"small":1}}'`)
	page.Click(t, "[aria-label='Add to sizes']")
	page.set(t, "[aria-label='sizes key 2']", "large")
	page.set(t, "[aria-label='sizes value 2']", "7")
	message(`'{"sizes":{"small":1,"large":7}}'`)
	page.set(t, "[aria-label='sizes key 2']", "small")
	page.awaits(t, ".form", "A row below has the same key, which counts.")
	message(`'{"sizes":{"small":7}}'`)
	page.Click(t, "[aria-label='Remove sizes 2']")
	message(`'{"sizes":{"small":1}}'`)
	page.Click(t, "[aria-label='Add to inner']")
	page.set(t, "[aria-label='inner key 1']", "3")
	page.set(t, "[aria-label='inner value 1 name']", "ann")
	message(`'{"sizes":{"small":1},"inner":{"3":{"name":"ann"}}}'`)
	page.picture(t, "try-form")
	if wide := browser.Eval[[]string](t, page.Page, `() => [...document.querySelectorAll('.form *')].filter(e => e.getBoundingClientRect().right > e.closest('.card').getBoundingClientRect().right).map(e => e.outerHTML)`); len(wide) > 0 {
		t.Errorf("the form is wider than its card: %q", wide)
	}
	if thrown := page.Uncaught(); len(thrown) > 0 {
		t.Errorf("nobody caught %q", thrown)
	}
}
