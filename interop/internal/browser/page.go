package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// Page is one tab. One goroutine at a time may use it.
type Page struct {
	ctx    context.Context
	closed sync.Once

	mu       sync.Mutex
	uncaught []string
}

// Load leaves for another address and waits for its load event. Cookies stay.
func (p *Page) Load(t testing.TB, address string) {
	t.Helper()
	p.do(t, "loading "+address, chromedp.Navigate(address))
}

// Leave calls a JavaScript function that makes the page leave for another
// address, by a form or a link, waits for the load event there, and returns the
// HTTP status of the answer. To load an address while the page is still leaving
// is an error of the browser's.
func (p *Page) Leave(t testing.TB, function string) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	leave := func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Evaluate[*struct{}]("("+function+")(), null")(ctx, target)
		return chromedp.Void{}, err
	}
	answer, err := chromedp.RunResponse(ctx, leave)
	if err != nil {
		t.Fatalf("leaving the page: %v\nby %s", err, function)
	}
	return answer.Status
}

// Close closes the page: what it had open, connections too, is gone when Close
// returns. Closing it again does nothing.
func (p *Page) Close(t testing.TB) {
	t.Helper()
	p.closed.Do(func() {
		ctx, cancel := context.WithTimeout(p.ctx, patience)
		defer cancel()
		if err := chromedp.Cancel(ctx); err != nil {
			t.Errorf("closing the page: %v", err)
		}
	})
}

// Resize makes the page so large, in CSS pixels.
func (p *Page) Resize(t testing.TB, width, height int64) {
	t.Helper()
	p.do(t, "resizing", chromedp.EmulateViewport(width, height))
}

// Prefer sets a preference of the user, such as "prefers-color-scheme" to "dark".
func (p *Page) Prefer(t testing.TB, feature, value string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	media := emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: feature, Value: value}}}
	if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, media); err != nil {
		t.Fatalf("preferring %s: %v", value, err)
	}
}

// Zone moves the page to a time zone, such as "Asia/Kolkata".
func (p *Page) Zone(t testing.TB, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if _, err := chromedp.Call(ctx, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: name}); err != nil {
		t.Fatalf("moving to %s: %v", name, err)
	}
}

// Type presses keys, such as "hello" or "\r" for Enter, where the focus is.
func (p *Page) Type(t testing.TB, keys string) {
	t.Helper()
	p.do(t, "typing", chromedp.KeyEvent(keys))
}

// Click clicks on the first element of a CSS selector as soon as it is visible.
func (p *Page) Click(t testing.TB, selector string) {
	t.Helper()
	p.do(t, "clicking on "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// Screenshot writes the whole page to a file, as PNG.
func (p *Page) Screenshot(t testing.TB, file string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(file, picture, 0o644)
	}
	if err != nil {
		t.Fatalf("taking a picture of the page: %v", err)
	}
}

// Heap returns how many bytes the JavaScript objects of the page have when those that nothing needs any
// more are gone.
func (p *Page) Heap(t testing.TB) float64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if _, err := chromedp.Call(ctx, heapprofiler.CollectGarbage, cdp.Empty{}); err != nil {
		t.Fatalf("collecting garbage: %v", err)
	}
	usage, err := chromedp.Call(ctx, runtime.GetHeapUsage, cdp.Empty{})
	if err != nil {
		t.Fatalf("asking for the heap: %v", err)
	}
	return usage.UsedSize
}

// Uncaught returns the exceptions that nothing in the page caught so far.
func (p *Page) Uncaught() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.uncaught)
}

// note is told all events of the page.
func (p *Page) note(event any) {
	thrown, ok := event.(*runtime.EventExceptionThrown)
	if !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	exception := chromedp.ExceptionError{ExceptionDetails: thrown.ExceptionDetails}
	p.uncaught = append(p.uncaught, exception.Error())
}

func (p *Page) do(t testing.TB, what string, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// Eval calls a JavaScript function in the page and returns what it returns, by
// JSON; a promise is awaited, nothing and null are the zero value. Arguments are
// handed over by JSON. The test fails when the function throws or takes a
// minute. Functions may share values as properties of `window`.
func Eval[T any](t testing.TB, p *Page, function string, arguments ...any) T {
	t.Helper()
	encoded := make([]string, len(arguments))
	for i, argument := range arguments {
		text, err := json.Marshal(argument)
		if err != nil {
			t.Fatalf("argument %d: %v", i+1, err)
		}
		encoded[i] = string(text)
	}
	call := fmt.Sprintf("(async () => JSON.stringify((await (%s)(%s)) ?? null))()", function, strings.Join(encoded, ", "))
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](call, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("%v\nin %s", err, function)
	}
	var result T
	if err := json.Unmarshal([]byte(text), &result); err != nil {
		t.Fatalf("the page returned %s: %v\nin %s", text, err, function)
	}
	return result
}
