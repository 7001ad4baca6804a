package server_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	gatewaytest "github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/internal/try"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

const bookService = "/bookstore.v1.BookstoreService/"

// trial is a call that a test makes by the admin listener.
type trial struct {
	t      *testing.T
	g      *gatewaytest.Gateway
	lines  *bufio.Scanner
	events []try.Event
}

// begin asks for a call.
func begin(t *testing.T, g *gatewaytest.Gateway, asked try.Asked) *trial {
	t.Helper()
	body, err := json.Marshal(asked)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.Post(g.Admin+"/try", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(answer.Body)
		t.Fatalf("%d: %s", answer.StatusCode, text)
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 8<<20)
	return &trial{t: t, g: g, lines: lines}
}

// next waits for the next event of a name.
func (c *trial) next(name string) try.Event {
	c.t.Helper()
	for c.lines.Scan() {
		var e try.Event
		if err := json.Unmarshal(c.lines.Bytes(), &e); err != nil {
			c.t.Fatal(err)
		}
		c.events = append(c.events, e)
		if e.Name == name {
			return e
		}
	}
	c.t.Fatalf("no %s came: %v, %+v", name, c.lines.Err(), c.events)
	return try.Event{}
}

// tell does something with the call: message, half-close or cancel.
func (c *trial) tell(what, body string) int {
	c.t.Helper()
	answer, err := http.Post(c.g.Admin+"/try/"+c.events[0].ID+"/"+what, "application/json", strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// field is the value of a field of an event.
func field(e try.Event, name string) string {
	for _, f := range e.Fields {
		if f[0] == name {
			return f[1]
		}
	}
	return ""
}

func messages(list ...string) (all []try.Message) {
	for _, text := range list {
		all = append(all, try.Message{Text: text})
	}
	return all
}

// TestTryUnary: Surface 238, 241: a call by each protocol goes through the gateway and tells header,
// message, code and trace; an error has its details decoded.
func TestTryUnary(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Admin: true})
	for name, asked := range map[string]try.Asked{
		"rest":     {Protocol: try.REST, Method: "get", URL: "/v1/shelves/1"},
		"connect":  {Protocol: try.Connect, URL: bookService + "GetShelf", Messages: messages(`{"name":"shelves/1"}`)},
		"grpc-web": {Protocol: try.GRPCWeb, URL: bookService + "GetShelf", Messages: messages(`{"name":"shelves/1"}`)},
	} {
		t.Run(name, func(t *testing.T) {
			c := begin(t, g, asked)
			if open := c.next("open"); len(open.TraceID) != 32 || len(open.ID) < 20 {
				t.Errorf("open: %+v", open)
			}
			head := c.next("head")
			if head.Status != 200 || head.HTTP != "HTTP/2.0" || field(head, "x-request-id") == "" {
				t.Errorf("head: %+v", head)
			}
			if m := c.next("message"); !strings.Contains(m.Text, `"name":"shelves/1"`) || m.Number != 1 || m.Bytes != int64(len(m.Text)) {
				t.Errorf("message: %+v", m)
			}
			if end := c.next("end"); end.Failure != "" || name != "rest" && end.Code != "OK" {
				t.Errorf("end: %+v", end)
			}
		})
	}
	for name, asked := range map[string]try.Asked{
		"rest":             {Protocol: try.REST, Method: "POST", URL: "/v1/fail", Messages: messages(`{"code":5,"message":"no such thing","rich":true}`)},
		"connect":          {Protocol: try.Connect, URL: bookService + "Fail", Messages: messages(`{"code":5,"message":"no such thing","rich":true}`)},
		"grpc-web":         {Protocol: try.GRPCWeb, URL: bookService + "Fail", Messages: messages(`{"code":5,"message":"no such thing","rich":true}`)},
		"websocket":        {Protocol: try.WebSocket, URL: bookService + "Fail", Messages: messages(`{"code":5,"message":"no such thing","rich":true}`)},
		"a stream's error": {Protocol: try.SSE, Method: "GET", URL: "/v1/shelves/9/books:watch", Stream: "server_streaming"},
	} {
		t.Run("an error by "+name, func(t *testing.T) {
			end := begin(t, g, asked).next("end")
			if end.Code != "NOT_FOUND" {
				t.Errorf("end: %+v", end)
			}
			if asked.Protocol != try.SSE && (end.Message != "no such thing" || !strings.Contains(string(end.Details), `"@type":"type.googleapis.com/google.rpc.ErrorInfo"`)) {
				t.Errorf("end: %+v, %s", end, end.Details)
			}
		})
	}
}

// TestTryStreams: Surface 238: streams of each shape, a message at a time, with half-close and
// cancel.
func TestTryStreams(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Admin: true})
	for name, asked := range map[string]try.Asked{
		"rest":      {Protocol: try.REST, Method: "POST", URL: "/v1/discuss:stream"},
		"connect":   {Protocol: try.Connect, URL: bookService + "Discuss"},
		"grpc-web":  {Protocol: try.GRPCWeb, URL: bookService + "Discuss"},
		"websocket": {Protocol: try.WebSocket, URL: "/v1/discuss:stream"},
	} {
		asked.Stream, asked.Open, asked.Messages = "bidi_streaming", true, messages(`{"text":"a"}`)
		t.Run("both ways by "+name, func(t *testing.T) {
			c := begin(t, g, asked)
			if sent := c.next("sent"); sent.Number != 1 || sent.Bytes != int64(len(`{"text":"a"}`)) {
				t.Errorf("sent: %+v", sent)
			}
			if m := c.next("message"); !strings.Contains(m.Text, "You said: a") {
				t.Errorf("message: %+v", m)
			}
			if got := c.tell("message", `{"text":"{\"text\":\"b\"}"}`); got != http.StatusNoContent {
				t.Errorf("a message: %d", got)
			}
			if m := c.next("message"); !strings.Contains(m.Text, "You said: b") || m.Number != 2 {
				t.Errorf("message: %+v", m)
			}
			if got := c.tell("half-close", ""); got != http.StatusNoContent {
				t.Errorf("half-close: %d", got)
			}
			if end := c.next("end"); end.Failure != "" || name != "rest" && end.Code != "OK" {
				t.Errorf("end: %+v", end)
			}
		})
		t.Run("cancelled by "+name, func(t *testing.T) {
			c := begin(t, g, asked)
			c.next("message")
			if got := c.tell("cancel", ""); got != http.StatusNoContent {
				t.Errorf("cancel: %d", got)
			}
			if end := c.next("end"); end.Failure != "cancelled" {
				t.Errorf("end: %+v", end)
			}
			poll.Until(t, "the gateway has no call of it", func() bool { all, _ := g.Server.InFlight(); return all == 0 })
		})
	}
	for name, asked := range map[string]try.Asked{
		"connect":   {Protocol: try.Connect, URL: bookService + "ImportBooks"},
		"grpc-web":  {Protocol: try.GRPCWeb, URL: bookService + "ImportBooks"},
		"websocket": {Protocol: try.WebSocket, URL: bookService + "ImportBooks"},
	} {
		t.Run("a client's by "+name, func(t *testing.T) {
			asked.Stream = "client_streaming"
			asked.Messages = messages(`{"parent":"shelves/3","book":{"title":"a"}}`, `{"parent":"shelves/3","book":{"title":"b"}}`)
			c := begin(t, g, asked)
			if m := c.next("message"); !strings.Contains(m.Text, `"count":2`) {
				t.Errorf("message: %+v", m)
			}
			if end := c.next("end"); end.Code != "OK" {
				t.Errorf("end: %+v", end)
			}
		})
	}
	for name, asked := range map[string]try.Asked{
		"sse":       {Protocol: try.SSE, Method: "GET", URL: "/v1/shelves/3/books:watch?count=2&interval=0s"},
		"rest":      {Protocol: try.REST, Method: "GET", URL: "/v1/shelves/3/books:watch?count=2&interval=0s"},
		"connect":   {Protocol: try.Connect, URL: bookService + "WatchBooks", Messages: messages(`{"parent":"shelves/3","count":2,"interval":"0s"}`)},
		"grpc-web":  {Protocol: try.GRPCWeb, URL: bookService + "WatchBooks", Messages: messages(`{"parent":"shelves/3","count":2,"interval":"0s"}`)},
		"websocket": {Protocol: try.WebSocket, URL: "/v1/shelves/3/books:watch?count=2&interval=0s"},
	} {
		t.Run("a server's by "+name, func(t *testing.T) {
			asked.Stream = "server_streaming"
			c := begin(t, g, asked)
			for i := 1; i <= 2; i++ {
				if m := c.next("message"); !strings.Contains(m.Text, `"sequence":"`) || m.Number != i {
					t.Errorf("message: %+v", m)
				}
			}
			if end := c.next("end"); end.Failure != "" {
				t.Errorf("end: %+v", end)
			}
		})
	}
}

// TestTryRawBodies: Surface 238: bytes of a file go as they are, and come as they are.
func TestTryRawBodies(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Admin: true})
	c := begin(t, g, try.Asked{Protocol: try.REST, Method: "POST", URL: "/v1/shelves/1/books/1/cover", Headers: []string{"Content-Type: image/png"},
		Messages: []try.Message{{Base64: "iVBORwD/AA=="}}})
	if end := c.next("end"); c.events[2].Status != 200 {
		t.Fatalf("%+v %+v", end, c.events)
	}
	c = begin(t, g, try.Asked{Protocol: try.REST, Method: "GET", URL: "/v1/shelves/1/books/1/cover"})
	if head := c.next("head"); field(head, "content-type") != "image/png" {
		t.Errorf("head: %+v", head)
	}
	if m := c.next("message"); !bytes.Equal(m.Base64, []byte("\x89PNG\x00\xff\x00")) {
		t.Errorf("message: %+v", m)
	}
}

// TestTryGoesRoundNoPolicy: Surface 241: a call of the console is refused as a client's is, counts
// where a client's does, and is marked in the access log, as no client can be.
func TestTryGoesRoundNoPolicy(t *testing.T) {
	log := new(logtext.Text)
	g := gatewaytest.Start(t, gatewaytest.Options{Admin: true, Log: log, Config: `
auth: { jwt: [{ issuer: console, audience: bookstore, secret: "0123456789abcdef0123456789abcdef" }] }
policies:
  - selector: bookstore.v1.BookstoreService.GetShelf
    policy: { auth: { jwt: {} } }
  - selector: bookstore.v1.BookstoreService.ListShelves
    policy: { rate_limit: [{ requests: 1, per: 3600s, key: CLIENT_IP }] }
`})
	c := begin(t, g, try.Asked{Protocol: try.Connect, URL: bookService + "GetShelf", Messages: messages(`{"name":"shelves/1"}`)})
	if head, end := c.next("head"), c.next("end"); head.Status != 401 || field(head, "www-authenticate") == "" || end.Code != "UNAUTHENTICATED" {
		t.Errorf("without a token: %+v", c.events)
	}
	c = begin(t, g, try.Asked{Protocol: try.WebSocket, URL: bookService + "GetShelf"})
	if head, end := c.next("head"), c.next("end"); head.Status != 401 || end.Code != "UNAUTHENTICATED" {
		t.Errorf("a WebSocket without a token: %+v", c.events)
	}
	if a := g.Do(t, "GET", "/v1/shelves", "", "X-Transom-Console", "token ops", "X_Transom_Console", "token ops"); a.Status != 200 {
		t.Fatal(a)
	}
	c = begin(t, g, try.Asked{Protocol: try.REST, Method: "GET", URL: "/v1/shelves?pageSize=1"})
	if head := c.next("head"); head.Status != 429 {
		t.Errorf("a second call from the same address: %+v", head)
	}
	c.next("end")
	trace := c.events[0].TraceID
	type line struct {
		Who     *string `json:"x_transom_console"`
		Event   string  `json:"event"`
		What    string  `json:"what"`
		Result  string  `json:"result"`
		Route   string  `json:"route"`
		Status  int     `json:"status"`
		Client  string  `json:"client_ip"`
		TraceID string  `json:"trace_id"`
	}
	lines := func() (all []line) {
		for text := range strings.Lines(log.String()) {
			var l line
			if json.Unmarshal([]byte(text), &l) == nil && (l.Route != "" || l.Event == "try") {
				all = append(all, l)
			}
		}
		return all
	}
	poll.Until(t, "four lines of the access log, three of the audit log", func() bool { return len(lines()) == 7 })
	marked, audited := 0, []string{}
	for _, l := range lines() {
		switch {
		case l.Event == "try":
			audited = append(audited, l.What+": "+l.Result)
			continue
		case l.Who != nil:
			marked++
			if *l.Who != "anybody on this machine" || l.Client != "127.0.0.1" {
				t.Errorf("%+v", l)
			}
		}
		if l.Status == 200 != (l.Who == nil) || l.Status == 429 != (l.TraceID == trace) {
			t.Errorf("%+v", l)
		}
	}
	slices.Sort(audited)
	want := []string{
		"connect POST " + bookService + "GetShelf: status 401, UNAUTHENTICATED",
		"rest GET /v1/shelves: status 429, RESOURCE_EXHAUSTED",
		"websocket POST " + bookService + "GetShelf: status 401, UNAUTHENTICATED",
	}
	if marked != 3 || !slices.Equal(audited, want) {
		t.Errorf("%d are marked, the audit log has %q, want %q", marked, audited, want)
	}
}

// TestTryIsGuarded: Surface 232, 241: pages of other origins make no calls, nor do those who may only
// look; what is no call is refused with what is wrong.
func TestTryIsGuarded(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Admin: true})
	for name, test := range map[string]struct {
		path, body, site string
		want             int
		says             string
	}{
		"a page of another origin": {"/try", `{}`, "cross-site", 403, ""},
		"no JSON":                  {"/try", `{`, "", 400, "the call"},
		"another field":            {"/try", `{"protocol":"rest","url":"/","via":"x"}`, "", 400, `unknown field "via"`},
		"another protocol":         {"/try", `{"protocol":"soap","url":"/"}`, "", 400, `found "soap", expected one of`},
		"no path":                  {"/try", `{"protocol":"rest","method":"GET","url":"http://elsewhere/"}`, "", 400, "expected a path"},
		"no method":                {"/try", `{"protocol":"rest","method":"G T","url":"/"}`, "", 400, "expected one of HTTP"},
		"a tunnel":                 {"/try", `{"protocol":"rest","method":"connect","url":"/"}`, "", 400, "expected one of HTTP"},
		"a header of its own":      {"/try", `{"protocol":"rest","method":"GET","url":"/","headers":["Transfer-Encoding: chunked"]}`, "", 400, "leave it out"},
		"a header with a break":    {"/try", `{"protocol":"rest","method":"GET","url":"/","headers":["a: b\r\nc: d"]}`, "", 400, "cannot have"},
		"many headers":             {"/try", `{"protocol":"rest","method":"GET","url":"/","headers":["a: ` + strings.Repeat("b", 40<<10) + `"]}`, "", 400, "at most"},
		"two messages of one":      {"/try", `{"protocol":"connect","url":"/","messages":[{},{}]}`, "", 400, "expected one at most"},
		"no base64":                {"/try", `{"protocol":"connect","url":"/","messages":[{"base64":"?"}]}`, "", 400, "messages[0]: base64"},
		"a long time":              {"/try", `{"protocol":"connect","url":"/","timeout":"99h"}`, "", 400, "timeout"},
		"a long body":              {"/try", strings.Repeat(" ", 9<<20), "", 413, "8 MiB"},
		"another's call":           {"/try/AAAA/message", `{}`, "", 404, "no such call"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.Admin+test.path, strings.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			if test.site != "" {
				r.Header.Set("Sec-Fetch-Site", test.site)
			}
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if answer.StatusCode != test.want || !strings.Contains(string(text), test.says) {
				t.Errorf("%d %s, want %d with %q", answer.StatusCode, text, test.want, test.says)
			}
		})
	}
}

// TestTryIsBounded: Surface 241: only so many calls run at once; an unread one ends with its reader.
func TestTryIsBounded(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Admin: true})
	asked := try.Asked{Protocol: try.Connect, URL: bookService + "Discuss", Stream: "bidi_streaming", Open: true}
	var calls []*trial
	for range 16 {
		c := begin(t, g, asked)
		c.next("open")
		calls = append(calls, c)
	}
	body, _ := json.Marshal(asked)
	answer, err := http.Post(g.Admin+"/try", "", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusServiceUnavailable || answer.Header.Get("Retry-After") == "" {
		t.Errorf("one too many: %d %v", answer.StatusCode, answer.Header)
	}
	for _, c := range calls {
		if c.tell("cancel", "") != http.StatusNoContent {
			t.Error("a call is not to be cancelled")
		}
		c.next("end")
	}
}

// TestTryWithoutCertificates: Surface 241: where every client needs a certificate, the console makes no
// calls, which would go round that.
func TestTryWithoutCertificates(t *testing.T) {
	secured, _ := gatewaytest.ServeTLS(t)
	for name, listener := range map[string]func(*transomv1.Listener){
		"a redirect to https": func(l *transomv1.Listener) { l.HttpsRedirect = true },
		"certificates of clients": func(l *transomv1.Listener) {
			secured(l)
			l.Tls.ClientCa = l.GetTls().GetCertificate()
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := gatewaytest.Start(t, gatewaytest.Options{Admin: true, Listener: listener})
			answer, err := http.Post(g.Admin+"/try", "", strings.NewReader(`{"protocol":"rest","method":"GET","url":"/"}`))
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if answer.StatusCode != 400 || !strings.Contains(string(text), "asks clients for a certificate") {
				t.Errorf("%d %s", answer.StatusCode, text)
			}
		})
	}
}

// TestConsoleState: Surface 234 and 243: what policies have decided, how full limits are, what calls of a route there were,
// and the rules of the fields of a form.
func TestConsoleState(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Admin: true, Config: "policies:\n  - selector: bookstore.v1.BookstoreService.ListShelves\n    policy: { rate_limit: [{ requests: 2, per: 3600s }], cache: { ttl: 60s } }\n",
		Protos: map[string]string{"ruled/v1/ruled.proto": `syntax = "proto3";
package ruled.v1;
import "buf/validate/validate.proto";
service Ruled { rpc Call(Message) returns (Message); }
message Message {
  string text = 1 [(buf.validate.field).string = {min_len: 1 email: true in: ["a@b.example", "c@d.example"]}];
  repeated int32 sizes = 2 [(buf.validate.field) = {required: true repeated: {max_items: 3 items: {int32: {gt: 0}}}}];
  map<string, string> labels = 3 [(buf.validate.field).cel = {id: "l" message: "labels are few" expression: "size(this) < 3"}];
}
`}})
	for range 3 {
		g.Do(t, "GET", "/v1/shelves", "")
	}
	get := func(path string) string {
		t.Helper()
		answer, err := http.Get(g.Admin + path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		text, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s, %v", path, answer.StatusCode, text, err)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, text); err != nil {
			t.Fatal(err)
		}
		return compact.String()
	}
	for path, wants := range map[string][]string{
		"/policies": {`"policy":"rate_limit","counts":{"admitted":2,"refused":1}`, `"of":"bookstore.v1.BookstoreService/ListShelves","name":"client_ip","text":"2 per hour","by":"client_ip","callers":1,"spent":1,"fullest":0.99`,
			`"limits_total":1`, `"cache":{"bytes":`},
		"/routes/history?rule=GET+/v1/shelves": {`"step":5`, `"points":[`},
		"/describe/fields?symbol=ruled.v1.Message": {`"rules":["min_len 1","in a@b.example, c@d.example","email"]`, `"rules":["required","max_items 3","items: gt 0"]`,
			`"rules":["labels are few"]`},
	} {
		text := get(path)
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("%s: found %s\nwant %s", path, text, want)
			}
		}
	}
}
