package pages

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/interop/internal/browser"
)

// consolePolicies make a bookstore of which something can be said.
const consolePolicies = `
auth:
  jwt:
    - { issuer: console, audience: bookstore, secret: "0123456789abcdef0123456789abcdef" }
policies:
  - selector: bookstore.v1.BookstoreService.GetShelf
    policy: { auth: { jwt: {}, scopes: ["shelves.read"] }, rate_limit: [{ requests: 100, per: 60s, key: PRINCIPAL }], timeout: 3s, retry: { max_attempts: 3 } }
  - selector: bookstore.v1.BookstoreService.ListShelves
    policy: { cache: { ttl: 30s }, circuit_breaker: { consecutive_failures: 5 }, timeout: 5s }
`

// hostileProto has comments that are no markup.
const hostileProto = `syntax = "proto3";
package hostile.v1;
// <img src=x onerror="window.hacked=1"><script>window.hacked=1</script>
service Hostile {
  // [a link](javascript:window.hacked=1) </pre><b>bold</b>
  rpc Attack(Message) returns (Message);
}
// <iframe srcdoc="<script>parent.hacked=1</script>"></iframe>
message Message { string text = 1; }
`

//go:embed testdata/axe.min.js.gz
var axeGzipped []byte

// axe is the source of axe-core.
func axe(t *testing.T) string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(axeGzipped))
	if err != nil {
		t.Fatal(err)
	}
	source, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(source)
}

// startConsole opens the console of a bookstore in a browser.
func startConsole(t *testing.T) (*gatewaytest.Gateway, demo) {
	t.Helper()
	return startConsoleOf(t, consolePolicies)
}

// startConsoleOf is startConsole with a configuration.
func startConsoleOf(t *testing.T, config string) (*gatewaytest.Gateway, demo) {
	t.Helper()
	g := gatewaytest.Start(t, gatewaytest.Options{Admin: true, Config: config, Protos: map[string]string{"hostile/v1/hostile.proto": hostileProto}})
	page := demo{browser.Start(t).Open(t, g.Admin+"/")}
	page.Resize(t, 1440, 900)
	browser.Eval[any](t, page.Page, `() => { window.violations = []; addEventListener('securitypolicyviolation', e => violations.push(e.violatedDirective + ' ' + e.blockedURI)) }`)
	return g, page
}

// at goes to a page of the console.
func (d demo) at(t *testing.T, hash, title string) {
	t.Helper()
	browser.Eval[any](t, d.Page, `hash => { location.hash = hash }`, hash)
	d.awaits(t, "h1", title)
}

// consolePages are the pages, with what each shows when it is there.
var consolePages = []struct{ name, hash, title, shows, text string }{
	{"overview", "#/overview", "Overview", "#app .tiles", "Routes"},
	{"routes", "#/routes", "Routes", ".window", "/v1/shelves"},
	{"route", "#/route?rule=GET%20/v1/%7Bname%3Dshelves/*%7D", "GET /v1/{name=shelves/*}", ".steps", "rate_limit"},
	{"explain", "#/explain?method=GET&url=/v1/shelves/1%3Fcolor%3Dred", "Explain", ".steps", "refused"},
	{"try-choose", "#/try", "Try", ".choices", "/v1/shelves"},
	{"try", "#/try?rule=POST%20/v1/%7Bparent%3Dshelves/*%7D/books&protocol=connect", "Try POST /v1/{parent=shelves/*}/books", ".form", "parent"},
	{"upstreams", "#/upstreams", "Upstreams", "table", "ready"},
	{"policies", "#/policies", "Policies", ".facts", "rate_limit"},
	{"live", "#/live", "Live", "main .lead", "watching"},
	{"events", "#/events", "Events", "main", "Nothing is published"},
	{"reloads", "#/reloads", "Reloads", ".cards", "Generation 1"},
	{"configuration", "#/configuration", "Configuration", ".lines", "transom.yaml:"},
	{"schema", "#/schema?symbol=hostile.v1.Hostile.Attack", "Schema", "pre", "rpc Attack"},
}

// violations are those that axe knows of the page as it stands.
func (d demo) violations(t *testing.T) []string {
	t.Helper()
	if !browser.Eval[bool](t, d.Page, `() => 'axe' in window`) {
		browser.Eval[any](t, d.Page, "() => {"+axe(t)+"\n}")
	}
	return browser.Eval[[]string](t, d.Page, `async () => (await axe.run(document, { resultTypes: ['violations'] })).violations.map(
		v => v.id + ': ' + v.help + ': ' + v.nodes.map(n => n.html + ' ' + n.any.map(c => c.message).join(' ')).join('; '))`)
}

// TestConsolePages: Surface 233, 234, 245: every page, dark and light, wide and narrow: it shows what it
// should, fits the screen, has no violation that axe knows, asks for nothing from elsewhere and
// breaks no policy; comments of protos are text.
func TestConsolePages(t *testing.T) {
	g, page := startConsole(t)
	for range 3 {
		g.Do(t, "GET", "/v1/shelves", "")
	}
	for _, p := range consolePages {
		for _, scheme := range []string{"light", "dark"} {
			t.Run(p.name+" "+scheme, func(t *testing.T) {
				page.Prefer(t, "prefers-color-scheme", scheme)
				for _, width := range []int64{1440, 390, 2560} {
					page.Resize(t, width, 900)
					page.at(t, p.hash, p.title)
					page.awaits(t, p.shows, p.text)
					if wide := browser.Eval[int64](t, page.Page, `() => document.documentElement.scrollWidth`); wide > width {
						t.Errorf("the page has %d pixels on a screen of %d", wide, width)
					}
					for _, violation := range page.violations(t) {
						t.Errorf("%d pixels: %s", width, violation)
					}
					page.picture(t, fmt.Sprintf("console-%s-%s-%d", p.name, scheme, width))
				}
			})
		}
	}
	for what, found := range map[string][]string{
		"from elsewhere":        browser.Eval[[]string](t, page.Page, `() => performance.getEntriesByType('resource').map(e => e.name).filter(n => !n.startsWith(location.origin))`),
		"against the policy":    browser.Eval[[]string](t, page.Page, `() => window.violations`),
		"that comments brought": browser.Eval[[]string](t, page.Page, `() => [...document.querySelectorAll('main img, main script, main iframe, main b, main a[href^=javascript]')].map(e => e.outerHTML)`),
		"that nobody caught":    page.Uncaught(),
	} {
		if len(found) > 0 {
			t.Errorf("%s: %q", what, found)
		}
	}
	if browser.Eval[bool](t, page.Page, `() => 'hacked' in window`) {
		t.Error("a comment of a proto was run")
	}
}

// TestConsoleByKeyboard: Surface 245: without a mouse somebody finds a route, learns who may call it
// and why a request is refused.
func TestConsoleByKeyboard(t *testing.T) {
	_, page := startConsole(t)
	page.awaits(t, "h1", "Overview")
	page.Type(t, "gr")
	page.awaits(t, "h1", "Routes")
	page.awaits(t, "[role=status]", "")
	page.Type(t, "/")
	page.Type(t, "getshelf")
	page.awaits(t, "main .lead", "of")
	page.Type(t, "\t\t\t\t\t\t\t\t")
	poll.Until(t, "a link of a route has the focus", func() bool {
		if browser.Eval[bool](t, page.Page, `() => document.activeElement.matches('.window a')`) {
			return true
		}
		page.Type(t, "\t")
		return false
	})
	page.Type(t, "\r")
	page.awaits(t, "h1", "GET /v1/{name=shelves/*}")
	page.awaits(t, ".cards", "shelves.read")
	page.awaits(t, ".cards", "transom.yaml:")
	page.at(t, "#/explain", "Explain")
	browser.Eval[any](t, page.Page, `() => document.querySelector('.ask input').focus()`)
	page.Type(t, "/v1/shelves/1?color=red\r")
	page.awaits(t, ".steps .refused", `400 INVALID_ARGUMENT`)
	page.Type(t, "\t")
	browser.Eval[any](t, page.Page, `() => document.activeElement.blur()`)
	page.at(t, "#/routes?q=getshelf", "Routes")
	page.awaits(t, "main .lead", "of")
	page.Click(t, "main input[type=search]")
	page.Type(t, "\r") // opens the first that is found
	page.awaits(t, "h1", "GET /v1/{name=shelves/*}")
	page.Type(t, "?")
	page.awaits(t, "dialog", "this help")
}

// TestConsoleShowsRefusedReload: Surface 236: a configuration that is refused is shown on every page, with
// file and line, until one works.
func TestConsoleShowsRefusedReload(t *testing.T) {
	g, page := startConsole(t)
	page.awaits(t, "h1", "Overview")
	good, err := os.ReadFile(g.Config)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		if err := os.WriteFile(g.Config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(string(good) + "\nnonsense: true\n")
	if answer, err := http.Post(g.Admin+"/reload", "", nil); err != nil || answer.StatusCode != 422 {
		t.Fatalf("reloading: %v, %v", answer, err)
	} else {
		_ = answer.Body.Close()
	}
	for _, p := range consolePages {
		page.at(t, p.hash, p.title)
		page.awaits(t, ".banner", fmt.Sprintf("transom.yaml:%d", strings.Count(string(good), "\n")+2))
		page.awaits(t, ".banner", "nonsense")
	}
	page.at(t, "#/reloads", "Reloads")
	page.awaits(t, ".cards", "Refused")
	page.picture(t, "console-refused")
	write(string(good))
	page.Click(t, "main .actions button")
	poll.Until(t, "the banner is gone", func() bool {
		return browser.Eval[bool](t, page.Page, `() => !document.querySelector('.banner')`)
	})
}
