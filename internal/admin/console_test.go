package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// exploredGateway is a gateway that a console looks at.
type exploredGateway struct{ *fakeGateway }

var _ Explored = exploredGateway{}

func (exploredGateway) Explain(_ *http.Request, question []byte) (any, error) {
	if strings.Contains(string(question), "wrong") {
		return nil, errors.New("that is no request")
	}
	return json.RawMessage(`{"accepted":true,"asked":` + string(question) + `}`), nil
}

func (exploredGateway) Detail(rule string) any {
	if rule != "GET /v1/{name=shelves/*}" {
		return nil
	}
	return map[string]string{"where": "a.proto:1:2"}
}

func (exploredGateway) Reloads() []ReloadRecord {
	return []ReloadRecord{{At: noon, Generation: 3, Refused: true, Problems: broken[:1]}}
}

func (exploredGateway) Symbols() []string { return []string{"a.B"} }

func (exploredGateway) Describe(symbol string) (string, error) {
	if symbol != "a.B" {
		return "", errors.New("there is no " + symbol)
	}
	return "message a.B", nil
}

func (exploredGateway) RouteHistory(rule string) any {
	if rule != "GET /v1/{name=shelves/*}" {
		return nil
	}
	return map[string]int{"step": 6}
}

func (exploredGateway) Policies() any      { return map[string]int{"decisions": 2} }
func (exploredGateway) History() any       { return map[string]int{"step": 5} }
func (exploredGateway) Configuration() any { return map[string]int{"lines": 1} }
func (exploredGateway) Started() time.Time { return noon }

// consoled are options with a console whose files are their own paths.
func consoled() Options {
	o := withTokens(exploredGateway{newGateway()}, nil)
	o.Console = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "file "+r.URL.Path) })
	return o
}

// TestConsoleAccess: Surface 231: the files of the console are there for everybody, since they tell
// nothing; a token that is pasted becomes a cookie with the token's role, until it ends.
func TestConsoleAccess(t *testing.T) {
	o := consoled()
	for path, want := range map[string]string{"/console/": "file /", "/console/main.js": "file /main.js"} {
		if w := served(o, "GET", path); w.Code != 200 || w.Body.String() != want {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := served(o, "GET", "/"); w.Code != 302 || w.Header().Get("Location") != "console/" {
		t.Errorf("/: %d to %q", w.Code, w.Header().Get("Location"))
	}
	for _, path := range []string{"/page", "/status", "/console/stream", "/reloads", "/describe", "/history", "/config", "/policies", "/routes/detail?rule=x", "/routes/history?rule=x"} {
		if w := served(o, "GET", path); w.Code != 401 {
			t.Errorf("%s without a token: %d", path, w.Code)
		}
	}
	signIn := func(token string) *httptest.ResponseRecorder {
		body, err := json.Marshal(map[string]string{"token": token})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("POST", "http://127.0.0.1/console/session", strings.NewReader(string(body)))
		w := httptest.NewRecorder()
		New(o).ServeHTTP(w, r)
		return w
	}
	if w := signIn("a token that guesses"); w.Code != 401 || w.Header().Get("Set-Cookie") != "" {
		t.Errorf("another token: %d %v", w.Code, w.Header())
	}
	for token, reloads := range map[string]int{"a token that reads": 403, "a token that operates": 200} {
		w := signIn(token)
		set := w.Header().Get("Set-Cookie")
		for _, want := range []string{"HttpOnly", "Secure", "SameSite=Strict"} {
			if !strings.Contains(set, want) {
				t.Errorf("%q is not %s", set, want)
			}
		}
		if strings.Contains(set, token) {
			t.Errorf("the cookie has the token: %s", set)
		}
		cookie, _, _ := strings.Cut(set, ";")
		if got := served(o, "GET", "/status", "Cookie", cookie).Code; got != 200 {
			t.Errorf("%s: looking: %d", token, got)
		}
		if got := served(o, "POST", "/reload", "Cookie", cookie).Code; got != reloads {
			t.Errorf("%s: reloading: %d", token, got)
		}
		if got := served(o, "POST", "/reload", "Cookie", cookie, "Sec-Fetch-Site", "cross-site").Code; got != 403 {
			t.Errorf("%s: reloading from elsewhere: %d", token, got)
		}
		for _, forged := range []string{cookie + "x", strings.Replace(cookie, ".1", ".2", 1), sessionCookie + "=YWRh.99999999999.", sessionCookie + "=", sessionCookie + "=a.b.c"} {
			if got := served(o, "GET", "/status", "Cookie", forged).Code; got != 401 {
				t.Errorf("%s: %d", forged, got)
			}
		}
	}
	ada := &o.Access.Tokens[0]
	r := httptest.NewRequest("GET", "/", http.NoBody)
	r.AddCookie(cookie(ada.session(noon), 1))
	if o.Access.ofSession(r, noon.Add(-time.Second)) != ada || o.Access.ofSession(r, noon) != nil {
		t.Error("a session does not end when it should")
	}
	other := Access{Tokens: []Token{{"ada", "another token by then", Reader}}}
	if other.ofSession(r, noon.Add(-time.Second)) != nil {
		t.Error("a session outlives its token")
	}
}

// TestConsoleIsOff: Surface 230: without a console there is none of its paths, and the page is at /.
func TestConsoleIsOff(t *testing.T) {
	o := consoled()
	o.Console, o.Access = nil, Access{}
	for path, want := range map[string]int{"/": 200, "/page": 200, "/console/": 404, "/console/stream": 404, "/console/session": 404} {
		if w := served(o, "GET", path); w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
}

// TestConsoleAnswers: Surface 234, 235: what the pages ask for.
func TestConsoleAnswers(t *testing.T) {
	o := consoled()
	ask := func(method, target, body string) (int, string) {
		r := httptest.NewRequest(method, "http://127.0.0.1"+target, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer a token that reads")
		w := httptest.NewRecorder()
		New(o).ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	for _, test := range []struct {
		method, target, body string
		code                 int
		want                 string
	}{
		{"POST", "/explain", `{"method":"GET"}`, 200, `{"accepted":true,"asked":{"method":"GET"}}`},
		{"POST", "/explain", `{"wrong":1}`, 400, ""},
		{"POST", "/explain", `{`, 400, ""},
		{"POST", "/explain", `{"body":"` + strings.Repeat("x", maxQuestion) + `"}`, 413, ""},
		{"GET", "/routes/detail?rule=GET+/v1/%7Bname%3Dshelves/*%7D", "", 200, `{"where":"a.proto:1:2"}`},
		{"GET", "/routes/detail?rule=GET+/", "", 404, ""},
		{"GET", "/routes/history?rule=GET+/v1/%7Bname%3Dshelves/*%7D", "", 200, `{"step":6}`},
		{"GET", "/routes/history?rule=GET+/", "", 404, ""},
		{"GET", "/policies", "", 200, `{"decisions":2}`},
		{"GET", "/describe", "", 200, `{"symbols":["a.B"]}`},
		{"GET", "/describe?symbol=a.B", "", 200, `{"symbol":"a.B","text":"message a.B"}`},
		{"GET", "/describe?symbol=a.C", "", 404, ""},
		{"GET", "/history", "", 200, `{"step":5}`},
		{"GET", "/config", "", 200, `{"lines":1}`},
		{"GET", "/reloads", "", 200, `{"reloads":[{"at":"2026-11-01T12:00:00Z","took_ms":0,"generation":3,"refused":true,"counts":[0,0,0],
			"problems":[{"file":"a.proto","line":3,"column":7,"message":"unknown type <Book>"}]}]}`},
	} {
		code, body := ask(test.method, test.target, test.body)
		if code != test.code {
			t.Errorf("%s %s: %d %s", test.method, test.target, code, body)
		} else if test.want != "" {
			wantJSON(t, body, test.want)
		}
	}
}

// TestConsoleStream: Surface 244: a page is told the whole state first.
func TestConsoleStream(t *testing.T) {
	o := consoled()
	o.Access = Access{}
	server := httptest.NewServer(New(o))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/console/stream", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if got := answer.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("the stream is %s", got)
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	for _, want := range []string{"event: who", `data: {"role":"operate"`, "event: status", `"problems":[]`, "event: history", `data: {"step":5}`} {
		for lines.Scan() && lines.Text() == "" {
			continue
		}
		if !strings.Contains(lines.Text(), want) {
			t.Fatalf("found %s, want %s", lines.Text(), want)
		}
	}
	if w := served(o, "GET", "/console/stream", "Sec-Fetch-Site", "cross-site"); w.Code != 403 {
		t.Errorf("for a page from elsewhere: %d", w.Code)
	}
}

// TestConsoleTellsChanges: Surface 244: what has not changed is not told again.
func TestConsoleTellsChanges(t *testing.T) {
	w := httptest.NewRecorder()
	v := viewer{w: w, c: http.NewResponseController(w)}
	for _, body := range []int{1, 1, 2} {
		if err := v.changed("a", body); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.Body.String(); got != "event: a\ndata: 1\n\nevent: a\ndata: 2\n\n" {
		t.Errorf("%q", got)
	}
}

// TestState: Surface 236: the console's word is that of /readyz.
func TestState(t *testing.T) {
	g := newGateway()
	g.status.Problems, g.status.FailedAt, g.ready = broken, noon, "draining"
	o := consoled()
	o.Gateway, o.Access = exploredGateway{g}, Access{}
	w := served(o, "GET", "/status")
	var state State
	if err := json.Unmarshal(w.Body.Bytes(), &state); err != nil {
		t.Fatal(err)
	}
	if state.Ready || state.Reason != "draining" || len(state.Problems) != 3 || state.Problems[0] != broken[0] || !state.FailedAt.Equal(noon) || len(state.Upstreams) != 2 {
		t.Errorf("%s", w.Body)
	}
	for _, never := range []string{"null", "0001-01-01"} {
		if strings.Contains(w.Body.String(), never) {
			t.Errorf("%s in %s", never, w.Body)
		}
	}
}
