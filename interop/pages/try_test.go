package pages

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/interop/internal/browser"
)

// TestTryPage: Surface 238: a call is filled in, sent and its answer shown, for each protocol.
func TestTryPage(t *testing.T) {
	_, page := startConsole(t)
	page.at(t, "#/try?rule=GET%20/v1/%7Bname%3Dshelves/*%7D", "Try GET /v1/{name=shelves/*}")
	for _, protocol := range []string{"REST", "Connect", "gRPC-Web", "WebSocket"} {
		page.choose(t, protocol)
		page.Click(t, "main form button.main")
		page.awaits(t, "[aria-label=Answer]", "UNAUTHENTICATED")
		page.picture(t, "try-refused-"+strings.ToLower(protocol))
	}
	page.at(t, "#/try?rule=POST%20/v1/discuss:stream", "Try POST /v1/discuss:stream")
	page.awaits(t, ".form", "text")
	page.set(t, "[aria-label=text]", "Is it any good?")
	page.Click(t, "main form button.main")
	page.awaits(t, ".flow", "You said: Is it any good?")
	page.set(t, "[aria-label=text]", "I like it")
	page.Click(t, "main form button.main")
	page.awaits(t, ".flow", "You said: I like it")
	page.picture(t, "try-stream")
	browser.Eval[any](t, page.Page, `() => document.querySelector('main form .danger').click()`)
}

// TestTryWebSocketOfTwo: Surface 238: where GET leads to another method at the path of a stream, a WebSocket of Try is opened at
// the path of the RPC, and what is sent as bytes has nothing between its messages.
func TestTryWebSocketOfTwo(t *testing.T) {
	_, page := startConsole(t)
	page.at(t, "#/try?rule="+url.QueryEscape("POST /v1/{name=shelves/*/books/*}:content")+"&message="+url.QueryEscape(`{"name":"shelves/1/books/1","content":{"contentType":"text/plain","data":"YWJj"}}`), "Try POST")
	page.choose(t, "WebSocket")
	page.awaits(t, "[aria-label='Request line']", "GET /bookstore.v1.BookstoreService/WriteContent")
	page.awaits(t, ".copies", "does not speak WebSocket")
	for _, protocol := range []string{"WebSocket", "REST", "Connect"} {
		page.choose(t, protocol)
		page.awaits(t, "main form button.main", "Open and send")
		page.Click(t, "main form button.main")
		page.awaits(t, "main form button.main", "Send the next message")
		page.Click(t, "main form button.main")
		page.awaits(t, ".flow", "sent 2")
		page.Click(t, "main form .actions button:nth-child(2)")
		page.awaits(t, ".flow .message", `"size": "6"`)
	}
}

// choose takes a protocol or a tool.
func (d demo) choose(t *testing.T, name string) {
	t.Helper()
	if !browser.Eval[bool](t, d.Page, `name => { const of = [...document.querySelectorAll('.choice label')].find(l => l.textContent === name); of?.querySelector('input').click(); return !!of }`, name) {
		t.Fatalf("there is no %s to choose", name)
	}
}

// set replaces the value of a field.
func (d demo) set(t *testing.T, selector, text string) {
	t.Helper()
	browser.Eval[any](t, d.Page, `s => { document.querySelector(s).focus(); document.querySelector(s).select() }`, selector)
	d.Type(t, text)
}

// built is the folder of what programs builds, once for all tests.
var built struct {
	sync.Once
	folder string
	err    error
}

// programs builds what calls are copied for, and is a PATH with them.
func programs(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		if built.folder, built.err = os.MkdirTemp("", "transom-pages-"); built.err != nil {
			return
		}
		for from, name := range map[string]string{".": "github.com/fullstorydev/grpcurl/cmd/grpcurl", "../..": "./cmd/transom"} {
			command := exec.Command("go", "build", "-o", built.folder+"/", name)
			command.Dir = from
			if out, err := command.CombinedOutput(); err != nil {
				built.err = fmt.Errorf("%s: %w\n%s", name, err, out)
			}
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.folder + ":" + os.Getenv("PATH")
}

// TestMain removes what programs has built.
func TestMain(m *testing.M) {
	code := m.Run()
	if built.folder != "" {
		_ = os.RemoveAll(built.folder) // a temporary folder
	}
	os.Exit(code)
}

// consoleToken is a token that consolePolicies let in.
func consoleToken(t *testing.T) string {
	t.Helper()
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := part(map[string]string{"alg": "HS256", "typ": "JWT"}) + "." + part(map[string]any{"iss": "console", "aud": "bookstore", "sub": "ada", "scope": "shelves.read", "exp": time.Now().Add(time.Hour).Unix()})
	mac := hmac.New(sha256.New, []byte("0123456789abcdef0123456789abcdef"))
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// TestTryKeepsNoSecrets: Surface 239, 240: neither the page's address nor the history has a secret; the
// history is off at first, is kept for the tab, and ends with its switch.
func TestTryKeepsNoSecrets(t *testing.T) {
	_, page := startConsole(t)
	stored := func() string {
		return browser.Eval[string](t, page.Page, `() => JSON.stringify(sessionStorage) + JSON.stringify(localStorage) + location.hash`)
	}
	page.at(t, "#/try?rule=GET%20/v1/%7Bname%3Dshelves/*%7D", "Try GET /v1/{name=shelves/*}")
	page.awaits(t, "[aria-label=History]", "Nothing is kept.")
	page.set(t, "main textarea[placeholder^=authorization]", "Authorization: Bearer first-secret\rx-api-key: second-secret\rx-plain: plain-value")
	page.Click(t, "main form button.main")
	page.awaits(t, "[aria-label=Answer]", "UNAUTHENTICATED")
	if got := stored(); strings.Contains(got, "secret") || strings.Contains(got, "transom-try") || !strings.Contains(got, "plain-value") {
		t.Errorf("before the history is on: %s", got)
	}
	page.Click(t, "[aria-label=History] input")
	for n := range 52 {
		page.Click(t, "main form button.main")
		poll.Until(t, "the call is in the history", func() bool {
			return browser.Eval[int](t, page.Page, `() => document.querySelectorAll('[aria-label=History] li').length`) == min(50, n+1) &&
				browser.Eval[bool](t, page.Page, `() => !document.querySelector('main form button.main').disabled`)
		})
	}
	if got := stored(); strings.Contains(got, "secret") || !strings.Contains(got, "x-api-key: …") || !strings.Contains(got, "x-plain: plain-value") {
		t.Errorf("the history: %s", got)
	}
	page.Click(t, "[aria-label=History] li a")
	poll.Until(t, "the call of the history has no header that was a secret", func() bool {
		text := page.copied(t, "curl")
		return strings.Contains(text, "x-plain: plain-value") && !strings.Contains(text, "Authorization") && !strings.Contains(text, "x-api-key")
	})
	page.Click(t, "[aria-label=History] input")
	page.awaits(t, "[aria-label=History]", "Nothing is kept.")
	if got := stored(); strings.Contains(got, "transom-try") {
		t.Errorf("after the history is off: %s", got)
	}
}

// TestTryLink: Surface 239: the page's address opens the same call again.
func TestTryLink(t *testing.T) {
	g, page := startConsole(t)
	page.at(t, "#/try?rule=POST%20/v1/discuss:stream", "Try POST /v1/discuss:stream")
	page.choose(t, "gRPC-Web")
	page.set(t, "[aria-label=text]", "a & b = ü")
	page.set(t, "main input[placeholder='3s']", "2s")
	page.Click(t, "main form button.main")
	page.awaits(t, ".flow", "You said: a & b = ü")
	page.awaits(t, "[aria-label=Answer]", "DEADLINE_EXCEEDED")
	hash := browser.Eval[string](t, page.Page, `() => location.hash`)
	page.Load(t, g.Admin+"/console/"+hash)
	page.awaits(t, ".copies .command", "a & b = ü")
	got := browser.Eval[[]string](t, page.Page, `() => [document.querySelector('[aria-label=text]').value, document.querySelector('[name=protocol]:checked + span').textContent, document.querySelector('main input[placeholder="3s"]').value]`)
	if want := []string{"a & b = ü", "gRPC-Web", "2s"}; !slices.Equal(got, want) {
		t.Errorf("%s opens %q, want %q", hash, got, want)
	}
}
