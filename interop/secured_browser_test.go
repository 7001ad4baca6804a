package interop

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/examples/secured/securedtest"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/internal/testing/walkthrough"
	"github.com/transom-gateway/transom/interop/internal/browser"
)

// startPages serves an empty page, and returns its address under the name
// localhost and under the number: two origins, and two sites.
func startPages(t *testing.T) (byName, byNumber string) {
	t.Helper()
	pages := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte("<!doctype html><title>page</title>"))
	}))
	t.Cleanup(pages.Close)
	u, err := url.Parse(pages.URL)
	if err != nil {
		t.Fatal(err)
	}
	return "http://localhost:" + u.Port(), pages.URL
}

// securedPages is the secured example with the workshop's own pages, and those
// of somebody else.
type securedPages struct {
	*securedtest.Stack
	own              string
	other, elsewhere string // another origin of the same site; another site
	browser          *browser.Browser
}

func startSecuredPages(t *testing.T, bin string) *securedPages {
	t.Helper()
	s := &securedPages{}
	s.own, _ = startPages(t)
	s.other, s.elsewhere = startPages(t)
	s.Stack = securedtest.Start(t, securedtest.Options{Bin: bin, Env: []string{"DESK_PAGES=" + s.own}})
	s.browser = browser.Start(t)
	return s
}

// run runs the body of an async function in a page, with the addresses of this
// test in place of the README's.
func (s *securedPages) run(t *testing.T, page *browser.Page, body string) any {
	t.Helper()
	body = strings.NewReplacer("localhost:8080", s.Host, "http://localhost:3000", s.own).Replace(body)
	return browser.Eval[any](t, page, "async () => {"+body+"\n}")
}

// logIn opens a page of the workshop's own and logs a member in.
func (s *securedPages) logIn(t *testing.T) *browser.Page {
	t.Helper()
	page := s.browser.Open(t, s.own)
	s.want(t, page, `
		const answer = await fetch("http://localhost:8080/v1/session", {
			method: "POST", credentials: "include", headers: { "Content-Type": "application/json" },
			body: JSON.stringify({ user: "ada", password: "sawdust-and-glue" }),
		});
		return answer.status; // 200`)
	return page
}

var result = regexp.MustCompile(`(?m); // (.*)$`)

// want runs a script and compares what it returns with the comment behind its
// last statement, which is JSON.
func (s *securedPages) want(t *testing.T, page *browser.Page, script string) {
	t.Helper()
	ends := result.FindAllStringSubmatch(script, -1)
	if ends == nil {
		t.Fatalf("the script does not say what it returns:\n%s", script)
	}
	var want any
	if err := json.Unmarshal([]byte(ends[len(ends)-1][1]), &want); err != nil {
		t.Fatalf("%v in\n%s", err, script)
	}
	if got := s.run(t, page, script); !reflect.DeepEqual(got, want) {
		t.Errorf("%s\nreturns %v, want %v", script, got, want)
	}
}

// wantLogged waits for a line of the access log that has all the texts.
func (s *securedPages) wantLogged(t *testing.T, texts ...string) {
	t.Helper()
	poll.Until(t, fmt.Sprintf("a line of the log with %q", texts), func() bool {
		for line := range strings.Lines(s.Log()) {
			lacks := func(text string) bool { return !strings.Contains(line, text) }
			if !slices.ContainsFunc(texts, lacks) {
				return true
			}
		}
		return false
	})
}

// testSecuredInABrowser runs the scripts of the README in Chromium, on a page of
// the origin that transom.yaml names.
func testSecuredInABrowser(t *testing.T, s *securedPages) {
	page := s.browser.Open(t, s.own)
	ran := 0
	for _, block := range walkthrough.Blocks(securedPart(t, "browser: own")) {
		if block.Language == "js" {
			ran++
			t.Run(fmt.Sprintf("line %d", block.Line), func(t *testing.T) { s.want(t, page, block.Text) })
		}
	}
	if ran == 0 {
		t.Fatal("the README has no scripts")
	}
	s.want(t, page, `
		const json = { "Content-Type": "application/json" };
		for (let n = 0; n < 20; n++) {
			const answer = await fetch("http://localhost:8080/v1/tools/drill:borrow", { method: "POST", credentials: "include", headers: json, body: '{"days":3}' });
			if (answer.status === 429) return [answer.headers.get("Retry-After") > 0, answer.headers.get("RateLimit").includes('"borrow";r=0')]; // [true, true]
		}
		return "never refused"; // [true, true]`)
	s.want(t, page, `
		const out = await fetch("http://localhost:8080/v1/session", { method: "DELETE", credentials: "include" });
		const after = await fetch("http://localhost:8080/v1/me", { credentials: "include" });
		return [out.status, after.status]; // [204, 401]`)
}

// testSecuredAgainstOtherPages tries what the pages of others can do with a
// browser that is logged in.
func testSecuredAgainstOtherPages(t *testing.T, s *securedPages) {
	for name, origin := range map[string]string{"another origin": s.other, "another site": s.elsewhere} {
		t.Run(name, func(t *testing.T) {
			page := s.logIn(t)
			page.Load(t, origin)
			for _, script := range []string{
				// It reads nothing, with the cookie or without.
				`return await fetch("http://localhost:8080/v1/tools").catch(e => e.name); // "TypeError"`,
				`return await fetch("http://localhost:8080/v1/me", { credentials: "include" }).catch(e => e.name); // "TypeError"`,
				// A write that needs a preflight is not sent.
				`return await fetch("http://localhost:8080/v1/tools/sander:borrow", { method: "POST", credentials: "include",
					headers: { "Content-Type": "application/json" }, body: '{"days":3}' }).catch(e => e.name); // "TypeError"`,
				// One that needs none is sent, and refused.
				`return (await fetch("http://localhost:8080/v1/tools/clamps:borrow", { method: "POST", mode: "no-cors", credentials: "include",
					body: '{"days":3}' })).type; // "opaque"`,
				`const events = new EventSource("http://localhost:8080/v1/desk:watch", { withCredentials: true });
				await new Promise(done => { events.onerror = done; });
				return events.readyState; // 2`,
				`const socket = new WebSocket("ws://localhost:8080/v1/desk:watch", ["transom.json"]);
				let opened = false;
				socket.onopen = () => { opened = true; };
				const end = await new Promise(done => { socket.onclose = done; });
				return [opened, end.code]; // [false, 1006]`,
			} {
				s.want(t, page, script)
			}
			if strings.Contains(s.Log(), `"method":"POST","path":"/v1/tools/sander:borrow"`) {
				t.Error("the browser sent what needs a preflight")
			}
			page.Load(t, s.own)
			s.want(t, page, `return (await (await fetch("http://localhost:8080/v1/members/ada/loans", { credentials: "include" })).json()).loans; // []`)
		})
	}
	s.wantLogged(t, `"path":"/v1/tools/clamps:borrow"`, `"status":403`) // the same site: with the cookie
	s.wantLogged(t, `"path":"/v1/tools/clamps:borrow"`, `"status":401`) // another site: SameSite keeps it back
	s.wantLogged(t, `"protocol":"websocket"`, `"status":403`)
}

// testSecuredAgainstForms has a page of somebody else submit a form: no script
// of theirs, no preflight.
func testSecuredAgainstForms(t *testing.T, s *securedPages) {
	for _, test := range []struct {
		name, origin string
		status       int64
	}{
		{"another origin", s.other, http.StatusForbidden},      // with the cookie: it is the same site
		{"another site", s.elsewhere, http.StatusUnauthorized}, // SameSite keeps the cookie back
	} {
		t.Run(test.name, func(t *testing.T) {
			page := s.logIn(t)
			page.Load(t, test.origin)
			status := page.Leave(t, `() => {
				const form = document.createElement("form");
				form.method = "post";
				form.action = "http://`+s.Host+`/v1/session:endAll";
				document.body.append(form);
				form.submit();
			}`)
			if status != test.status {
				t.Errorf("the form is answered with %d, want %d", status, test.status)
			}
			page.Load(t, s.own)
			s.want(t, page, `return (await fetch("http://localhost:8080/v1/me", { credentials: "include" })).status; // 200`)
		})
	}
}
