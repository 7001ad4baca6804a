// Package browser runs a real browser, headless Chromium, for tests: it opens
// pages and runs JavaScript in them, so that the browser's own fetch,
// EventSource and WebSocket are what calls a gateway. It knows nothing of
// gateways. What it starts ends with the test.
//
//	page := browser.Start(t).Open(t, gateway.URL+"/v1/shelves")
//	n := browser.Eval[int](t, page, `async path => (await (await fetch(path)).json()).shelves.length`, "/v1/shelves")
package browser

import (
	"context"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// patience bounds the start, each load and each call: a test that hangs fails
// and says where.
const patience = time.Minute

// Browser is one Chromium with a profile of its own. Make one with Start; it is
// safe for concurrent use.
type Browser struct {
	ctx context.Context
}

// Start starts Chromium, the program `chromium` of PATH, and stops it with all
// its processes at the end of the test. The test fails where there is none: a
// test must not pass because its counterpart is absent. Certificates are not
// checked, so that pages of an httptest.Server with TLS load too.
func Start(t testing.TB) *Browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("the test needs the program chromium (Debian's package of that name): %v", err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // containers and root cannot have one
		chromedp.Flag("headless", "new"),
		chromedp.Flag("disable-gpu", true),
		chromedp.IgnoreCertErrors,
	)
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, _ := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		polite, cancel := context.WithTimeout(ctx, patience)
		defer cancel()
		_ = chromedp.Cancel(polite) // what is left after it is killed
		stop()
	})
	if err := begin(ctx, stop); err != nil {
		t.Fatalf("starting %s: %v", path, err)
	}
	return &Browser{ctx: ctx}
}

// begin does what the first use of a context does: it starts the program, or
// opens the page. That lives as long as the context handed over then, so the
// deadline is a timer beside it.
func begin(ctx context.Context, stop func()) error {
	late := time.AfterFunc(patience, stop)
	defer late.Stop()
	return chromedp.Do(ctx)
}

// Open loads an address in a new page and waits for its load event. The page
// has cookies and connections of its own, as a private window has, and closes
// with the test. Its origin is that of the address.
func (b *Browser) Open(t testing.TB, address string) *Page {
	t.Helper()
	p := &Page{}
	ctx, stop := chromedp.NewContext(b.ctx, chromedp.WithNewBrowserContext(), chromedp.WithListener(p.note))
	p.ctx = ctx
	t.Cleanup(func() { p.Close(t) })
	if err := begin(ctx, stop); err != nil {
		t.Fatalf("opening a page: %v", err)
	}
	p.Load(t, address)
	return p
}
