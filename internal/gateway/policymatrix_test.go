package gateway_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// doorCase is one call that must end in the same way in every protocol.
type doorCase struct {
	name, service, query  string
	headers, subprotocols []string
	texts                 []string // default: "hello"
	hold                  bool
	// in tells which protocols can make the call; nil for all.
	in func(*doorDriver) bool

	code codes.Code
	// status is the HTTP status where the table would say another.
	status int
	// inside: what is refused is a message, so a client's stream is open already
	// and the backend may know of it.
	inside bool
	// called: the backend is called, although the call fails.
	called bool
	// header must stand in the answer's header; a value ending in "*" is a prefix.
	header map[string]string
	fields []string
	words  []string // default: texts
	// sees is what the backend must have been told; "" for nothing.
	sees map[string]string
}

func bearer(token string) []string { return []string{"Authorization", "Bearer " + token} }

// TestPolicyMatrix holds every policy against every protocol: the same calls
// pass, and those that do not are refused in the protocol's own form, before
// the backend hears of them.
func TestPolicyMatrix(t *testing.T) {
	keeper, g := startDoors(t)
	cases := slices.Concat(authCases(t, doorSession(t, g)), rightCases(t), boundCases(), headerCases(t))
	for _, d := range doorDrivers() {
		t.Run(d.name, func(t *testing.T) {
			for _, c := range cases {
				if c.in == nil || c.in(d) {
					t.Run(c.name, func(t *testing.T) { c.run(t, keeper, g, d) })
				}
			}
			t.Run("rate_limit", func(t *testing.T) { rateCase(t, keeper, g, d) })
			t.Run("concurrency", func(t *testing.T) { concurrencyCase(t, keeper, g, d) })
		})
	}
}

// run makes the call and looks at both ends of it.
func (c doorCase) run(t *testing.T, keeper *doorBackend, g *gatewaytest.Gateway, d *doorDriver) *doorAnswer {
	t.Helper()
	if c.texts == nil {
		c.texts = []string{"hello"}
	}
	a := d.call(t, &doorCall{g: g, service: c.service, query: c.query, subprotocols: c.subprotocols, texts: c.texts, hold: c.hold,
		headers: append([]string{"X-Client", d.name, "X-Case", t.Name() + c.name}, c.headers...)})
	c.checkAnswer(t, d, a)
	told := keeper.of(t.Name() + c.name)
	calls, saw := len(told), metadata.MD{}
	if calls > 0 {
		saw = told[0]
	}
	switch open := c.inside && d.several(); {
	case c.code == codes.OK && calls != 1:
		t.Errorf("the backend was called %d times", calls)
	case c.code != codes.OK && calls > 0 && !open && !c.called:
		t.Errorf("the backend was called with %v", saw)
	}
	for name, want := range c.sees {
		if got := strings.Join(saw.Get(name), " and "); !matches(got, want) {
			t.Errorf("the backend is told %s: %q, want %q", name, got, want)
		}
	}
	return a
}

// matches compares with a value, or with a prefix and "*".
func matches(got, want string) bool {
	prefix, ok := strings.CutSuffix(want, "*")
	return got == want || ok && strings.HasPrefix(got, prefix)
}

func (c doorCase) checkAnswer(t *testing.T, d *doorDriver, a *doorAnswer) {
	t.Helper()
	if a.code != c.code {
		t.Fatalf("the code is %v (%q, HTTP %d), want %v", a.code, a.message, a.status, c.code)
	}
	for name, want := range c.header {
		if got := strings.Join(a.header.Values(name), " and "); !matches(got, want) {
			t.Errorf("the header %s is %q, want %q", name, got, want)
		}
	}
	if c.code == codes.OK {
		want := c.words
		if want == nil {
			want = c.texts
		}
		if !slices.Equal(a.words, want) {
			t.Errorf("answered %q, want %q", a.words, want)
		}
		return
	}
	open := (c.inside || c.called) && d.several()
	if a.midway && !open && !d.webSocket() {
		t.Errorf("refused behind the header of an answer")
	}
	if d.json && !a.midway {
		if !tableStatus(c.code, a.status) || c.status != 0 && a.status != c.status {
			t.Errorf("HTTP status %d for %v", a.status, c.code)
		}
	}
	if !slices.Equal(a.fields, c.fields) {
		t.Errorf("violations of %q, want %q", a.fields, c.fields)
	}
	if d.webSocket() {
		c.checkClose(t, a)
	}
}

// checkClose checks how a WebSocket ends: with an HTTP answer in place of the
// upgrade, or with a code that says why (Semantics 38).
func (c doorCase) checkClose(t *testing.T, a *doorAnswer) {
	t.Helper()
	var want websocket.StatusCode
	switch {
	case !c.inside && !c.called:
		if a.status == http.StatusSwitchingProtocols {
			t.Error("Semantics 38: refused behind the upgrade")
		}
		return
	case c.called:
		want = 4000 + websocket.StatusCode(c.code)
	case c.code == codes.ResourceExhausted && c.service == "Small":
		want = websocket.StatusMessageTooBig
	default:
		want = websocket.StatusPolicyViolation
	}
	if a.closed != want {
		t.Errorf("Semantics 38: closed with %d, want %d", a.closed, want)
	}
}

// authCases: who calls.
func authCases(t *testing.T, session string) []doorCase {
	good := doorToken(t, nil)
	expired := doorToken(t, jwt.MapClaims{"exp": 1})
	notYet := doorToken(t, jwt.MapClaims{"nbf": 1 << 40})
	foreign := doorToken(t, jwt.MapClaims{"aud": "windows"})
	long := strings.Repeat("x", 100<<10)
	none := "eyJhbGciOiJub25lIn0." + strings.Split(good, ".")[1] + "."
	const refused, asked = codes.Unauthenticated, `Bearer realm="transom"`
	bad := map[string]string{"WWW-Authenticate": `Bearer realm="transom", error="invalid_token"`}
	ada := map[string]string{"x-transom-principal": "ada", "x-transom-roles": "keeper", "x-transom-claim-team": "blue"}
	grace := map[string]string{"x-transom-principal": "grace", "x-transom-roles": "", "x-transom-claim-team": ""}
	return []doorCase{
		{name: "auth: none is needed", service: "Open", sees: map[string]string{"x-transom-principal": ""}},
		{name: "jwt: nothing", service: "Jwt", code: refused, header: map[string]string{"WWW-Authenticate": asked}},
		{name: "jwt: another scheme", service: "Jwt", headers: []string{"Authorization", "Basic YTpi"}, code: refused},
		{name: "jwt: no token at all", service: "Jwt", headers: bearer("x.y.z"), code: refused, header: bad},
		{name: "jwt: expired", service: "Jwt", headers: bearer(expired), code: refused, header: bad},
		{name: "jwt: not yet valid", service: "Jwt", headers: bearer(notYet), code: refused, header: bad},
		{name: "jwt: of another audience", service: "Jwt", headers: bearer(foreign), code: refused, header: bad},
		{name: "jwt: unsigned", service: "Jwt", headers: bearer(none), code: refused, header: bad},
		{name: "jwt: signed otherwise", service: "Jwt", headers: bearer(good[:len(good)-4] + "AAAA"), code: refused, header: bad},
		{name: "jwt: two headers", service: "Jwt", headers: append(bearer(good), bearer(good)...), code: refused, header: bad},
		{name: "jwt: by header", service: "Jwt", headers: bearer(good), sees: ada},
		{name: "jwt: by cookie", service: "Jwt", headers: []string{"Cookie", "token=" + good}, sees: ada},
		{name: "jwt: by a cookie that is not named", service: "Roles", headers: []string{"Cookie", "token=" + good}, code: refused},
		{name: "jwt: by query", service: "Jwt", query: "access_token=" + good, sees: ada},
		{name: "jwt: by a query that is not allowed", service: "Roles", query: "access_token=" + good, code: refused,
			in: func(d *doorDriver) bool { return d.webSocket() || !d.json || d.method == "Talk" }}, // REST asks the message for such a field
		{name: "jwt: by subprotocol", service: "Jwt", subprotocols: []string{"transom.json", "bearer." + good}, sees: ada, in: (*doorDriver).webSocket},
		{name: "jwt: by a bad subprotocol", service: "Jwt", subprotocols: []string{"transom.json", "bearer.x.y.z"}, code: refused, in: (*doorDriver).webSocket},
		{name: "jwt: 100 KB by header", service: "Jwt", headers: bearer(good + long), code: refused, header: bad},
		{name: "jwt: 100 KB by cookie", service: "Jwt", headers: []string{"Cookie", "token=" + good + long}, code: refused, header: bad},
		{name: "jwt: 100 KB by query", service: "Jwt", query: "access_token=" + good + long, code: refused, header: bad},
		{name: "jwt: 100 KB by subprotocol", service: "Jwt", subprotocols: []string{"transom.json", "bearer." + good + long}, code: refused, in: (*doorDriver).webSocket},
		{name: "session: nothing", service: "Session", code: refused},
		{name: "session: 100 KB", service: "Session", headers: []string{"Cookie", session + long}, code: refused},
		{name: "session: unknown", service: "Session", headers: []string{"Cookie", "transom-session=" + strings.Repeat("A", 43)}, code: refused},
		{name: "session: a token in its place", service: "Session", headers: bearer(good), code: refused},
		{name: "session: by cookie", service: "Session", headers: []string{"Cookie", session}, sees: grace},
		{name: "session: from another site", service: "Session", headers: []string{"Cookie", session, "Origin", "https://evil.example"}, code: codes.PermissionDenied,
			in: func(d *doorDriver) bool {
				return d.name != "Connect GET" && (d.method != "Watch" || d.webSocket() || !d.json)
			}}, // those read, and a page cannot read the answer
		{name: "mixed: a session without the role", service: "Mixed", headers: []string{"Cookie", session}, code: codes.PermissionDenied},
		{name: "mixed: a token", service: "Mixed", headers: append(bearer(good), "Cookie", session), sees: ada},
		{name: "mixed: 100 KB beside a session", service: "Mixed", headers: append(bearer(good+long), "Cookie", session), code: refused, header: bad},
		{name: "mixed: a bad token beside a session", service: "Mixed", headers: append(bearer(expired), "Cookie", session), code: refused, header: bad},
	}
}

// rightCases: who may call.
func rightCases(t *testing.T) []doorCase {
	good, cook := bearer(doorToken(t, nil)), bearer(doorToken(t, jwt.MapClaims{"roles": []string{"cook"}}))
	owner := bearer(doorToken(t, jwt.MapClaims{"roles": []string{"cook", "owner"}}))
	half, red := bearer(doorToken(t, jwt.MapClaims{"scope": "doors.open"})), bearer(doorToken(t, jwt.MapClaims{"team": "red"}))
	challenge := map[string]string{"WWW-Authenticate": `Bearer realm="transom", error="insufficient_scope", scope="doors.open doors.shut"`}
	const refused = codes.PermissionDenied
	return []doorCase{
		{name: "roles: nobody", service: "Roles", code: codes.Unauthenticated},
		{name: "roles: another", service: "Roles", headers: cook, code: refused},
		{name: "auth: a token of 100 KB", service: "Roles", headers: bearer(good[1] + strings.Repeat("x", 100<<10)), code: codes.Unauthenticated},
		{name: "auth: a token of 100 KB that nobody asked for", service: "Open", headers: bearer(strings.Repeat("x", 100<<10)), code: codes.ResourceExhausted, status: 431},
		{name: "auth: a large header beside a good token", service: "Claims", headers: append(good, "X-Long", strings.Repeat("x", 100<<10)), code: codes.ResourceExhausted, status: 431},
		{name: "roles: another, that says it has the role", service: "Roles", headers: append(cook, "X-Transom-Roles", "keeper"), code: refused},
		{name: "roles: one of two", service: "Roles", headers: owner, sees: map[string]string{"x-transom-roles": "cook,owner"}},
		{name: "scopes: one of two", service: "Scopes", headers: half, code: refused, header: challenge},
		{name: "scopes: both", service: "Scopes", headers: good},
		{name: "allow: false of the claims", service: "Claims", headers: red, code: refused},
		{name: "allow: true of the claims", service: "Claims", headers: good},
		{name: "allow: false of the message", service: "Message", headers: good, texts: []string{"forbidden"}, code: refused, inside: true},
		{name: "allow: false of the message of nobody", service: "Message", texts: []string{"forbidden"}, code: codes.Unauthenticated},
		{name: "allow: true of the message", service: "Message", headers: good},
		{name: "allow: false of the second message", service: "Message", headers: good, texts: []string{"hello", "forbidden", "never"}, code: refused, inside: true, hold: true, in: (*doorDriver).several},
	}
}

// boundCases: how large, how long, and of what form.
func boundCases() []doorCase {
	long := strings.Repeat("x", 1000)
	get := func(d *doorDriver) bool { return d.json && d.method == "Watch" || d.name == "Connect GET" }
	body := func(d *doorDriver) bool { return !get(d) }
	return []doorCase{
		{name: "validate", service: "Open", texts: []string{"invalid"}, code: codes.InvalidArgument, fields: []string{"text"}, inside: true},
		{name: "validate: the second message", service: "Open", texts: []string{"hello", "invalid", "never"}, code: codes.InvalidArgument, fields: []string{"text"},
			inside: true, hold: true, in: (*doorDriver).several},
		{name: "limits: a header too large", service: "Small", headers: []string{"X-Long", strings.Repeat("x", 3000)}, code: codes.ResourceExhausted, status: 431},
		{name: "limits: a message too large", service: "Small", texts: []string{long}, code: codes.ResourceExhausted, status: 413, inside: true, in: body},
		{name: "limits: the second message too large", service: "Small", texts: []string{"hello", long}, code: codes.ResourceExhausted, inside: true, hold: true,
			in: (*doorDriver).several},
		{name: "timeout", service: "Slow", texts: []string{"silence"}, hold: true, code: codes.DeadlineExceeded, called: true, status: 504},
		{name: "idle_timeout", service: "Idle", texts: []string{"silence"}, hold: true, code: codes.DeadlineExceeded, called: true, status: 504, in: (*doorDriver).streams},
		{name: "idle_timeout: of a unary method", service: "Idle", in: func(d *doorDriver) bool { return !d.streams() }},
	}
}

// headerCases: what stands beside the messages.
func headerCases(t *testing.T) []doorCase {
	const origin = "https://shop.example"
	good := bearer(doorToken(t, nil))
	return []doorCase{
		{name: "headers: both ways", service: "Heads", headers: []string{"X-Secret", "s", "X-In", "the client"}, texts: []string{"header"},
			sees: map[string]string{"x-secret": "", "x-in": "in *"},
			header: map[string]string{"X-Said": "door.v1.Heads/*", "Cache-Control": "",
				"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "strict-origin-when-cross-origin"}},
		{name: "headers: of a refusal", service: "Heads", headers: []string{"X-Request-Timeout", "never", "Grpc-Timeout", "never", "Connect-Timeout-Ms", "never"}, code: codes.InvalidArgument,
			header: map[string]string{"X-Said": "door.v1.Heads/*", "X-Content-Type-Options": "nosniff"}},
		{name: "cors: a refusal can be read", service: "Cors", headers: []string{"Origin", origin}, code: codes.Unauthenticated,
			header: map[string]string{"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true", "Vary": "Origin*"},
			in:     func(d *doorDriver) bool { return d.browser }},
		{name: "cors: another origin", service: "Cors", headers: []string{"Origin", "https://evil.example"}, code: codes.Unauthenticated,
			header: map[string]string{"Access-Control-Allow-Origin": "", "Access-Control-Allow-Credentials": ""},
			in:     func(d *doorDriver) bool { return d.browser }},
		{name: "cors: a page that may", service: "Cors", headers: append(good, "Origin", origin)},
		{name: "cors: a page that may not", service: "Cors", headers: append(good, "Origin", "https://evil.example"), code: codes.PermissionDenied, in: (*doorDriver).webSocket},
	}
}

// TestPreflightMatrix asks as a browser does before it sends what its page
// wants.
func TestPreflightMatrix(t *testing.T) {
	_, g := startDoors(t)
	for _, test := range []struct{ name, method, path, headers string }{
		{"REST", "POST", "/Cors/ask", "authorization,content-type"},
		{"NDJSON", "GET", "/Cors/watch", "authorization"},
		{"SSE", "GET", "/Cors/watch", "authorization,last-event-id"},
		{"a timeout", "POST", "/Cors/ask", "authorization,content-type,x-request-timeout"},
		{"gRPC-Web", "POST", "/door.v1.Cors/Watch", "authorization,content-type,grpc-timeout,x-grpc-web,x-user-agent"},
		{"Connect", "POST", "/door.v1.Cors/Ask", "authorization,connect-protocol-version,connect-timeout-ms,content-type"},
		{"Connect GET", "GET", "/door.v1.Cors/Ask", "authorization"},
		{"Connect streams", "POST", "/door.v1.Cors/Watch", "authorization,connect-accept-encoding,connect-content-encoding,connect-protocol-version,content-type"},
	} {
		t.Run(test.name, func(t *testing.T) {
			ask := func(origin string) gatewaytest.Answer {
				return g.Do(t, "OPTIONS", test.path, "", "Origin", origin, "Access-Control-Request-Method", test.method,
					"Access-Control-Request-Headers", test.headers)
			}
			a := ask("https://shop.example")
			if a.Status != 204 || a.Header.Get("Access-Control-Allow-Origin") != "https://shop.example" ||
				!strings.Contains(a.Header.Get("Access-Control-Allow-Methods"), test.method) {
				t.Errorf("answered %d %v", a.Status, a.Header)
			}
			allowed := strings.Split(strings.ReplaceAll(strings.ToLower(a.Header.Get("Access-Control-Allow-Headers")), " ", ""), ",")
			for name := range strings.SplitSeq(test.headers, ",") {
				if !slices.Contains(allowed, name) {
					t.Errorf("the header %s is not among %q", name, allowed)
				}
			}
			if a := ask("https://evil.example"); a.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("another origin is answered %d %v", a.Status, a.Header)
			}
		})
	}
}

// rateCase: one call an hour, and two messages with their admission.
func rateCase(t *testing.T, keeper *doorBackend, g *gatewaytest.Gateway, d *doorDriver) {
	first := doorCase{name: "first", service: "Rate", header: map[string]string{"RateLimit": `"*`, "RateLimit-Policy": `"*`}}
	first.run(t, keeper, g, d)
	second := doorCase{name: "second", service: "Rate", code: codes.ResourceExhausted, status: 429,
		header: map[string]string{"RateLimit": `"*`, "RateLimit-Policy": `"*`}}
	if a := second.run(t, keeper, g, d); a.header.Get("Retry-After") != "3600" {
		t.Errorf("Retry-After: %q, want 3600", a.header.Get("Retry-After"))
	}
	if d.several() {
		many := doorCase{name: "messages", service: "RateMessages", texts: []string{"one", "two", "three"}, hold: true, code: codes.ResourceExhausted, inside: true}
		if a := many.run(t, keeper, g, d); len(a.words) > 1 {
			t.Errorf("answered %q, want one word at most", a.words)
		}
	}
}

// concurrencyCase: a second call while the first one runs.
func concurrencyCase(t *testing.T, keeper *doorBackend, g *gatewaytest.Gateway, d *doorDriver) {
	release := keeper.hold(t, g, "/door.v1.Busy/"+d.method)
	full := doorCase{service: "Busy", code: codes.Unavailable, status: 503, header: map[string]string{"Retry-After": "1"}}
	full.run(t, keeper, g, d)
	release()
}
