package storefront

import (
	"context"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// pages are the site's templates.
//
//go:embed pages/*.html
var pages embed.FS

var templates = template.Must(template.ParseFS(pages, "pages/*.html"))

// principal is the header by which the gateway tells who has logged in.
const principal = "X-Transom-Principal"

// site is the shop's pages and its chat, below /site: the gateway shows them at the root.
type site struct{ room room }

func newSite() http.Handler {
	s := new(site)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /site/{$}", s.home)
	mux.HandleFunc("GET /site/account/{$}", s.account)
	mux.HandleFunc("GET /site/account", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/site/account/", http.StatusFound)
	})
	mux.HandleFunc("GET /site/search", s.search)
	mux.HandleFunc("GET /site/chat", s.chat)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "well") }) // who asks has an answer by then
	return mux
}

func render(w http.ResponseWriter, page string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := templates.ExecuteTemplate(w, page, data); err != nil {
		http.Error(w, "the page cannot be written", http.StatusInternalServerError)
	}
}

func (s *site) home(w http.ResponseWriter, _ *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: "seen", Value: "yes", Path: "/site/", SameSite: http.SameSiteLaxMode})
	render(w, "home.html", nil)
}

func (s *site) account(w http.ResponseWriter, r *http.Request) {
	render(w, "account.html", r.Header.Get(principal))
}

func (s *site) search(w http.ResponseWriter, r *http.Request) {
	render(w, "search.html", r.FormValue("q"))
}

// chat has all who are in the room read what one of them says.
func (s *site) chat(w http.ResponseWriter, r *http.Request) {
	who := r.Header.Get(principal)
	if who == "" {
		http.Error(w, "log in first", http.StatusForbidden)
		return
	}
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // it has told the client
	}
	defer func() { _ = c.CloseNow() }()
	leave := s.room.enter(c)
	defer leave()
	s.room.say(r.Context(), who+" is here")
	for {
		_, text, err := c.Read(r.Context())
		if err != nil {
			return
		}
		s.room.say(r.Context(), who+": "+string(text))
	}
}

// room is who takes part in the chat.
type room struct {
	mu  sync.Mutex
	all map[*websocket.Conn]bool
}

func (r *room) enter(c *websocket.Conn) (leave func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = map[*websocket.Conn]bool{}
	}
	r.all[c] = true
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.all, c)
	}
}

func (r *room) say(ctx context.Context, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for c := range r.all {
		if c.Write(ctx, websocket.MessageText, []byte(text)) != nil {
			delete(r.all, c)
		}
	}
}
