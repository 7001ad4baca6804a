package browser_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/interop/internal/browser"
)

// processes are the ids of the processes that this one started and that live.
func processes(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var children []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it is gone
		}
		// pid (name) state parent …
		rest := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if rest[1] == fmt.Sprint(os.Getpid()) {
			children = append(children, filepath.Base(filepath.Dir(file)))
		}
	}
	return children
}

func TestBrowser(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "seen", Value: "yes"})
		w.Header().Set("Content-Type", "text/html")
		if r.URL.Path == "/missing" {
			w.WriteHeader(http.StatusNotFound)
		}
		_, _ = fmt.Fprintf(w, "<title>%s</title><p id=cookie>%s</p><button onclick='window.pressed=1; nothing.at.all()'>x</button><input>",
			r.URL.Path, r.Header.Get("Cookie"))
	}))
	t.Cleanup(server.Close)
	before := processes(t)
	t.Run("pages", func(t *testing.T) {
		chromium := browser.Start(t)
		page := chromium.Open(t, server.URL+"/a")
		if got := browser.Eval[[]any](t, page, `async (n, s) => [n + 1, s, location.origin, document.title]`, 1, `"\`); fmt.Sprint(got) != fmt.Sprint([]any{2, `"\`, server.URL, "/a"}) {
			t.Errorf("%v", got)
		}
		if got := browser.Eval[*int](t, page, `() => {}`); got != nil {
			t.Errorf("nothing is %v", *got)
		}
		const cookie = `() => document.querySelector('#cookie').textContent`
		page.Load(t, server.URL+"/b")
		if got := browser.Eval[string](t, page, cookie); got != "seen=yes" {
			t.Errorf("the page brought the cookie %q", got)
		}
		if got := browser.Eval[string](t, chromium.Open(t, server.URL), cookie); got != "" {
			t.Errorf("another page brought the cookie %q", got)
		}
		page.Click(t, "button")
		if got := browser.Eval[int](t, page, `() => window.pressed`); got != 1 {
			t.Errorf("pressed %d times", got)
		}
		if got := page.Uncaught(); len(got) != 1 || !strings.Contains(got[0], "nothing is not defined") {
			t.Errorf("uncaught: %q", got)
		}
		page.Click(t, "input")
		page.Type(t, "abc")
		if got := browser.Eval[string](t, page, `() => document.querySelector('input').value`); got != "abc" {
			t.Errorf("typed %q", got)
		}
		if got := page.Leave(t, `() => { location.href = '/missing'; }`); got != http.StatusNotFound {
			t.Errorf("the status behind a link is %d", got)
		}
		if got := browser.Eval[string](t, page, `() => location.pathname`); got != "/missing" {
			t.Errorf("the page left for %q", got)
		}
		page.Load(t, server.URL+"/b")
		page.Resize(t, 300, 200)
		if got := browser.Eval[int](t, page, `() => innerWidth`); got != 300 {
			t.Errorf("%d pixels wide", got)
		}
		picture := filepath.Join(t.TempDir(), "page.png")
		page.Screenshot(t, picture)
		if text, err := os.ReadFile(picture); err != nil || !strings.HasPrefix(string(text), "\x89PNG") {
			t.Errorf("the picture: %.8q, %v", text, err)
		}
		page.Close(t)
		page.Close(t)
	})
	if after := processes(t); !slices.Equal(after, before) {
		t.Errorf("processes left: %v, before: %v", after, before)
	}
}
