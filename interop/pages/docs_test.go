package pages

import (
	"fmt"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/interop/internal/browser"
)

// TestDocsPage: Surface 247: the documentation says of each method what it needs; it fits screens of all sizes,
// dark and light, has no violation that axe knows, loads nothing, breaks no policy of its own, is searched, and comments are text.
func TestDocsPage(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{
		Config: consolePolicies + "docs: { path: /docs }\nopenapi: { title: Books, description: \"Shelves and <b>books</b>.\" }\n",
		Protos: map[string]string{"hostile/v1/hostile.proto": hostileProto},
	})
	whole := g.Do(t, "GET", "/docs?service=bookstore.v1.BookstoreService", "").Body
	for _, text := range []string{"Needs the scope shelves.read.", "100 calls per minute for each caller.", "Where a server fails, the gateway tries 3 times in all.", "429"} {
		if !strings.Contains(whole, text) {
			t.Errorf("without JavaScript the page does not say %q", text)
		}
	}
	page := demo{browser.Start(t).Open(t, "about:blank")}
	const guard = `() => { window.violations = []; addEventListener('securitypolicyviolation', e => violations.push(e.violatedDirective + ' ' + e.blockedURI)) }`
	for _, p := range []struct{ name, path, heading string }{
		{"all", "/docs", "Books"},
		{"service", "/docs?service=bookstore.v1.BookstoreService", "bookstore.v1.BookstoreService"},
		{"hostile", "/docs?service=hostile.v1.Hostile", "hostile.v1.Hostile"},
	} {
		for _, scheme := range []string{"light", "dark"} {
			t.Run(p.name+" "+scheme, func(t *testing.T) {
				page.Prefer(t, "prefers-color-scheme", scheme)
				page.Load(t, g.URL+p.path)
				page.awaits(t, "h1", p.heading)
				browser.Eval[any](t, page.Page, guard)
				for _, width := range []int64{1440, 390, 2560} {
					page.Resize(t, width, 900)
					if wide := browser.Eval[int64](t, page.Page, `() => document.documentElement.scrollWidth`); wide > width {
						t.Errorf("the page has %d pixels on a screen of %d", wide, width)
					}
					for _, violation := range page.violations(t) {
						t.Errorf("%d pixels: %s", width, violation)
					}
					page.picture(t, fmt.Sprintf("docs-%s-%s-%d", p.name, scheme, width))
				}
				for what, found := range map[string][]string{
					"loaded":              browser.Eval[[]string](t, page.Page, `() => performance.getEntriesByType('resource').map(e => e.name)`),
					"against the policy":  browser.Eval[[]string](t, page.Page, `() => window.violations`),
					"that comments bring": browser.Eval[[]string](t, page.Page, `() => [...document.querySelectorAll('img, iframe, main script, .text b, a[href^=javascript]')].map(e => e.outerHTML)`),
					"that nobody caught":  page.Uncaught(),
				} {
					if len(found) > 0 {
						t.Errorf("%s: %q", what, found)
					}
				}
				if browser.Eval[bool](t, page.Page, `() => 'hacked' in window`) {
					t.Error("a comment of a proto was run")
				}
			})
		}
	}
	page.Load(t, g.URL+"/docs")
	page.Type(t, "/")
	browser.Eval[any](t, page.Page, `() => document.activeElement.select()`)
	page.Type(t, "getshelf")
	shown := `() => [...document.querySelectorAll('.method:not([hidden]) b')].map(e => e.textContent)`
	poll.Until(t, "GetShelf alone is shown", func() bool {
		found := browser.Eval[[]string](t, page.Page, shown)
		return len(found) == 1 && found[0] == "GetShelf"
	})
	page.Click(t, ".method:not([hidden]) a")
	page.awaits(t, "article:target h2", "GetShelf")
	page.Type(t, "/")
	browser.Eval[any](t, page.Page, `() => document.activeElement.select()`)
	page.Type(t, "zzz")
	poll.Until(t, "the page says that nothing is found", func() bool {
		return browser.Eval[bool](t, page.Page, `() => !document.querySelector('.none').hidden`)
	})
}
