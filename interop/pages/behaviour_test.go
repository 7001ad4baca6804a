package pages

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/eventtest"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/interop/internal/browser"
)

// tabs is how many tabs TestClosedTabs closes; the large form has 1,000.
var tabs = flag.Int("tabs", 20, "how many tabs are closed")

// shop is a site of another origin than the gateway's, whose pages load the gateway's script.
type shop struct {
	url      string
	recorder *eventtest.Recorder
}

func openShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{recorder: new(eventtest.Recorder)}
	var gateway string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		before := ""
		if r.URL.Path == "/private" {
			before = `<script>Object.defineProperty(Navigator.prototype, "globalPrivacyControl", { value: true })</script>`
		}
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, `<!doctype html><title>Shop</title>%s<script src="%s/transom.js" data-auto></script><button id="buy">Buy</button>
			<script>addEventListener("load", () => window.opener?.postMessage("loaded", "*"))</script>`, before, gateway)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	gateway = gatewaytest.Start(t, gatewaytest.Options{
		Events: s.recorder, Config: "events: { behaviour: { beacon: /e, script: /transom.js, origins: [\"" + s.url + "\"] } }\n",
	}).URL
	return s
}

// told is what an event says.
type told struct {
	MessageID   string `json:"messageId"`
	AnonymousID string `json:"anonymousId"`
	UserID      string `json:"userId"`
	Type        string `json:"type"`
	Context     struct {
		Page struct{ URL, Title string } `json:"page"`
	} `json:"context"`
	Click struct{ Target string } `json:"click"`
}

func (s *shop) told(t *testing.T, n int) (all []told) {
	t.Helper()
	for _, e := range s.recorder.Wait(t, n) {
		var one told
		if err := json.Unmarshal(e.Data, &one); err != nil {
			t.Fatal(err)
		}
		all = append(all, one)
	}
	return all
}

// TestScriptOfPages: Events 190 and 202: a page of another origin sends what happens there by the
// gateway's script: by fetch, and by sendBeacon when it is left.
func TestScriptOfPages(t *testing.T) {
	s := openShop(t)
	page := browser.Start(t).Open(t, s.url+"/teas?token=t&utm_source=news")
	browser.Eval[any](t, page, `() => transom.flush()`)
	got := s.told(t, 1)
	if got[0].Type != "user.view" || got[0].Context.Page.Title != "Shop" || got[0].Context.Page.URL != s.url+"/teas?utm_source=news" || len(got[0].MessageID) != 36 || got[0].AnonymousID == "" {
		t.Errorf("%+v", got[0])
	}
	browser.Eval[any](t, page, `() => { transom.identify("u1"); window.transom.track("user.search", { page: 1 }, { search: { query: "tea" } }) }`)
	page.Click(t, "#buy")
	page.Load(t, s.url+"/next") // what waits goes by sendBeacon
	got = s.told(t, 3)
	if got[1].Type != "user.search" || got[1].UserID != "u1" || got[2].Type != "user.click" || got[2].Click.Target != "buy" || got[2].AnonymousID != got[0].AnonymousID {
		t.Errorf("%+v", got)
	}
	if uncaught := page.Uncaught(); len(uncaught) > 0 {
		t.Error(uncaught)
	}
}

// TestScriptOfPrivatePages: Events 196 and 202: with Global Privacy Control the script sends nothing and
// keeps nothing.
func TestScriptOfPrivatePages(t *testing.T) {
	s := openShop(t)
	chromium := browser.Start(t)
	private := chromium.Open(t, s.url+"/private")
	kept := browser.Eval[int](t, private, `() => { transom.track("user.search"); transom.flush(); return localStorage.length + sessionStorage.length }`)
	private.Load(t, s.url+"/private?again")
	// What the other page sends afterwards comes alone.
	page := chromium.Open(t, s.url+"/")
	browser.Eval[any](t, page, `() => transom.flush()`)
	if got := s.told(t, 1); kept != 0 || len(got) != 1 || strings.Contains(got[0].Context.Page.URL, "private") {
		t.Errorf("%d are kept, %+v", kept, got)
	}
}

// closeTabs opens tabs and closes each when it has loaded.
const closeTabs = `async (address, from, to) => {
	for (let i = from; i < to; i++) {
		const loaded = new Promise(resolve => addEventListener("message", resolve, { once: true }));
		const tab = window.open(address + i);
		await loaded;
		tab.close();
	}
}`

// TestClosedTabs: Events 202: what happened in a tab arrives though the tab is closed at once. With
// -tabs 1000 at least 99.5 % must arrive, and so with fewer.
func TestClosedTabs(t *testing.T) {
	s := openShop(t)
	opener := browser.Start(t).Open(t, s.url+"/private")
	const atOnce = 20
	for from := 0; from < *tabs; from += atOnce {
		browser.Eval[any](t, opener, closeTabs, s.url+"/tab?page=", from, min(from+atOnce, *tabs))
	}
	want := (*tabs*995 + 999) / 1000
	seen := map[string]bool{}
	for _, one := range s.told(t, want) {
		seen[one.MessageID] = true
	}
	if len(seen) < want {
		t.Errorf("of %d tabs %d were told of, want %d", *tabs, len(seen), want)
	}
	t.Logf("%d tabs were closed, %d of their events arrived", *tabs, len(s.recorder.All()))
}
