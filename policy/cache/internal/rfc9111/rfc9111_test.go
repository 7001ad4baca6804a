package rfc9111

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/cachecontrol"
	"github.com/transom-gateway/transom/policy/cache/internal/sharing"
)

var noon = time.Date(2020, 1, 1, 12, 0, 0, 0, time.UTC)

// headOf reads lines "Name: value".
func headOf(status int, lines ...string) *Head {
	h := &Head{Status: status, Header: http.Header{}, Sent: noon, Came: noon}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Header.Add(name, value)
	}
	return h
}

func at(d time.Duration) string { return noon.Add(d).Format(http.TimeFormat) }

// TestJudge: Traffic 131: what is kept of answers, and for how long they are fresh. What the
// table of cases shows at a whole gateway is not repeated.
func TestJudge(t *testing.T) {
	const not = -time.Hour
	for _, test := range []struct {
		name  string
		rule  Rule
		head  *Head
		fresh time.Duration // from noon; not: it is not kept
	}{
		{"the rule's time", Rule{TTL: time.Minute}, headOf(200), time.Minute},
		{"the answer's time before the rule's", Rule{TTL: time.Minute}, headOf(200, "Cache-Control: max-age=5"), 5 * time.Second},
		{"an answer that is stale before the rule's", Rule{TTL: time.Minute}, headOf(200, "Cache-Control: max-age=0"), not},
		{"the rule's time, of an answer that is older", Rule{TTL: time.Minute}, headOf(200, "Age: 40"), 20 * time.Second},
		{"a status that says its time alone", Rule{TTL: time.Minute}, headOf(302), not},
		{"an error", Rule{TTL: time.Minute, NotFoundTTL: time.Minute}, headOf(503), not},
		{"part of one", Rule{TTL: time.Minute}, headOf(206, "Cache-Control: max-age=60"), not},
		{"a cookie", Rule{TTL: time.Minute}, headOf(200, "Set-Cookie: a=b"), not},
		{"no-cache", Rule{TTL: time.Minute}, headOf(200, "Cache-Control: no-cache"), not},
		{"private of all", Rule{TTL: time.Minute}, headOf(200, "Cache-Control: private, max-age=60"), not},
		{"what varies by everything", Rule{TTL: time.Minute}, headOf(200, "Vary: *"), not},
		{"what varies by the proxies on the way", Rule{TTL: time.Minute}, headOf(200, "Vary: Via"), not},
		{"an error that says its time", Rule{}, headOf(503, "Cache-Control: max-age=60"), time.Minute},
		{"no-store, separated by a semicolon", Rule{TTL: time.Minute}, headOf(200, "Cache-Control: no-store; max-age=60"), not},
		{"404", Rule{TTL: time.Minute}, headOf(404), not},
		{"404 with a time of its own", Rule{NotFoundTTL: time.Second}, headOf(404), time.Second},
		{"410 with a time of its own", Rule{NotFoundTTL: time.Second}, headOf(410), time.Second},
		{"Date before the clock", Rule{}, headOf(200, "Cache-Control: max-age=60", "Date: "+at(-20*time.Second)), 40 * time.Second},
		{"Date behind the clock", Rule{}, headOf(200, "Cache-Control: max-age=60", "Date: "+at(20*time.Second)), time.Minute},
		{"Age beside Date", Rule{}, headOf(200, "Cache-Control: max-age=60", "Date: "+at(-20*time.Second), "Age: 30"), 30 * time.Second},
		{"Expires from Date", Rule{}, headOf(200, "Expires: "+at(50*time.Second), "Date: "+at(10*time.Second)), 40 * time.Second},
		{"Expires without Date", Rule{}, headOf(200, "Expires: "+at(50*time.Second)), 50 * time.Second},
		{"private of one principal", Rule{Scope: sharing.Scope{Principal: true}}, headOf(200, "Cache-Control: private, max-age=60"), time.Minute},
		{"events", Rule{TTL: time.Minute}, headOf(200, "Content-Type: text/event-stream; charset=utf-8"), not},
		{"a trailer", Rule{TTL: time.Minute}, headOf(200, "Trailer: X-T"), not},
		{"what varies by the client's address", Rule{TTL: time.Minute}, headOf(200, "Vary: X-Forwarded-For"), not},
		{"what varies by a connection", Rule{TTL: time.Minute}, headOf(200, "Vary: Connection"), not},
		{"what varies by what is in the key", Rule{TTL: time.Minute}, headOf(200, "Vary: Host, X-Forwarded-Proto"), time.Minute},
		{"stale, with a validator", Rule{}, headOf(200, "Cache-Control: max-age=0", `Etag: "a"`), 0},
		{"stale, with two tags", Rule{}, headOf(200, "Cache-Control: max-age=0", `Etag: "a"`, `Etag: "b"`), not},
		{"stale, with a time for errors", Rule{IfError: time.Hour}, headOf(200, "Cache-Control: max-age=0"), 0},
		{"stale, which must not be given", Rule{IfError: time.Hour}, headOf(200, "Cache-Control: max-age=0, must-revalidate"), not},
	} {
		t.Run(test.name, func(t *testing.T) {
			k := test.rule.Judge(test.head, sharing.Caller{})
			switch {
			case k == nil && test.fresh != not:
				t.Errorf("it is not kept; want it fresh for %v", test.fresh)
			case k != nil && test.fresh == not:
				t.Errorf("it is fresh for %v; want it not kept", k.FreshUntil().Sub(noon))
			case k != nil && k.FreshUntil().Sub(noon) != test.fresh:
				t.Errorf("it is fresh for %v, want %v", k.FreshUntil().Sub(noon), test.fresh)
			}
		})
	}
}

// TestStatuses: Traffic 131: the rule's time is for these statuses alone, and that of what is missing for those.
func TestStatuses(t *testing.T) {
	for status := 200; status < 600; status++ {
		var want time.Duration
		switch status {
		case 200, 203, 204, 300, 301, 308:
			want = time.Minute
		case 404, 410:
			want = time.Second
		}
		k := (&Rule{TTL: time.Minute, NotFoundTTL: time.Second}).Judge(headOf(status), sharing.Caller{})
		if (k != nil) != (want > 0) || k != nil && k.FreshUntil().Sub(noon) != want {
			t.Errorf("%d: %+v, want it fresh for %v", status, k, want)
		}
	}
}

// TestApart: Traffic 131: which requests pass by what is kept.
func TestApart(t *testing.T) {
	for name, want := range map[string]bool{
		"Range": true, "If-Range": true, "If-Match": true, "If-Unmodified-Since": true, "Upgrade": true, "X-HTTP-Method-Override": true, "X-HTTP-Method": true,
		"X-Method-Override": true, "X-Original-URL": true, "X-Rewrite-URL": true, "If-None-Match": false, "If-Modified-Since": false, "Accept": false,
	} {
		r := &http.Request{Header: http.Header{}}
		r.Header.Set(name, "x")
		if got := Apart(r); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	for length, want := range map[int64]bool{0: false, 1: true, -1: true} {
		if got := Apart(&http.Request{ContentLength: length}); got != want {
			t.Errorf("a body of %d bytes: %v, want %v", length, got, want)
		}
	}
}

// TestNamed: Traffic 131: what is dropped with a URI: what the answer names of the same origin.
func TestNamed(t *testing.T) {
	const from = "http://site.example/a"
	h := http.Header{"Location": {"/b"}, "Content-Location": {"c"}}
	if got := Named(from, h); !slices.Equal(got, []string{from, "http://site.example/b", "http://site.example/c"}) {
		t.Errorf("%q", got)
	}
	h = http.Header{"Location": {"http://other.example/b"}, "Content-Location": {"https://site.example/c"}}
	if got := Named(from, h); !slices.Equal(got, []string{from}) {
		t.Errorf("of others: %q", got)
	}
}

// TestRenew: Traffic 131, RFC 9111 3.2: a 304 changes the fields of an answer but for those
// that are about its body.
func TestRenew(t *testing.T) {
	r := Rule{}
	k := r.Judge(headOf(200, "Cache-Control: max-age=0", `Etag: "a"`, "Content-Type: text/plain", "Content-Encoding: br", "X-A: 1", "X-B: 1", "Vary: X-V"), sharing.Caller{})
	fresh, kept := r.Renew(k, headOf(304, "Cache-Control: max-age=60", `Etag: "a"`, "Content-Type: text/html", "Content-Encoding: gzip", "Content-Length: 0", "X-A: 2"), sharing.Caller{})
	if !kept || fresh.Status != 200 || fresh.FreshUntil().Sub(noon) != time.Minute {
		t.Fatalf("%+v, kept %t", fresh, kept)
	}
	for name, want := range map[string]string{"Content-Type": "text/plain", "Content-Encoding": "br", "X-A": "2", "X-B": "1", "Cache-Control": "max-age=60", "Content-Length": "", "Vary": "X-V"} {
		if got := fresh.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, more := range []string{"Cache-Control: no-store", "Vary: X-V, X-W", "Set-Cookie: a=b"} {
		if fresh, kept = r.Renew(k, headOf(304, "Cache-Control: max-age=60", more), sharing.Caller{}); kept || fresh.Status != 200 || fresh.Header.Get("X-A") != "1" {
			t.Errorf("with %q it is kept: %t, %+v", more, kept, fresh)
		}
	}
}

// TestResolve: RFC 9111 4.4: which URIs of an answer's header are of its own origin.
func TestResolve(t *testing.T) {
	const from = "http://site.example/a/b?c=d"
	for reference, want := range map[string]string{
		"":                            from,
		"/x":                          "http://site.example/x",
		"x":                           "http://site.example/a/x",
		"../x?y=z#f":                  "http://site.example/x?y=z",
		"?q":                          "http://site.example/a/b?q",
		"http://site.example":         "http://site.example/",
		"http://SITE.example:80/%7Ea": "http://site.example/~a",
		"//site.example/x":            "http://site.example/x",
		"https://site.example/x":      "",
		"http://site.example:81/x":    "",
		"http://site.example.org/x":   "",
		"http://other/x":              "",
		"mailto:a@b":                  "",
		"http://[::1":                 "",
		"/%zz":                        "",
	} {
		if got := Resolve(from, reference); got != want {
			t.Errorf("%q leads to %q, want %q", reference, got, want)
		}
	}
}

// FuzzJudge checks what holds of every answer, whatever its server and the 304 to it say.
func FuzzJudge(f *testing.F) {
	f.Add(200, "Cache-Control: max-age=60\nVary: X-A, accept\nEtag: \"a\"", 304, "Etag: \"a\"\nX-B: 1", "../x")
	f.Add(404, "Expires: Wed, 01 Jan 2020 13:00:00 GMT\nDate: Wed, 01 Jan 2020 12:00:00 GMT\nAge: 5", 304, "Cache-Control: no-store", "http://site.example/x")
	f.Add(206, "Cache-Control: public, s-maxage=99999999999999999999\nContent-Range: bytes 0-1/2", 304, "Set-Cookie: a=b", "//a")
	f.Add(299, "Cache-Control: must-understand, no-store, max-age=1\nLast-Modified: Wed, 01 Jan 2020 11:00:00 GMT", 200, "Vary: *", "%2e%2e")
	f.Fuzz(func(t *testing.T, status int, lines string, nextStatus int, nextLines, reference string) {
		r := Rule{TTL: time.Minute, NotFoundTTL: time.Second, IfError: time.Hour}
		k := r.Judge(headOf(status, strings.Split(lines, "\n")...), sharing.Caller{})
		if got := Resolve("http://site.example/a", reference); got != "" && !strings.HasPrefix(got, "http://site.example/") {
			t.Errorf("%q leads to %q", reference, got)
		}
		if k == nil {
			return
		}
		check := func(k *Kept) {
			for _, name := range []string{"Set-Cookie", "Age", "Content-Length", "Connection", "Transfer-Encoding", "Content-Range", "Trailer"} {
				if len(k.Header[name]) > 0 {
					t.Errorf("%s is kept", name)
				}
			}
			if k.Status < 200 || k.Status > 599 || k.Status == 206 || k.Status == 304 || k.Expired(noon) || k.FreshUntil().After(noon.Add(cachecontrol.Most)) || k.AgeAt(noon) < 0 {
				t.Errorf("%+v is kept", k)
			}
			control := cachecontrol.Parse(k.Header["Cache-Control"])
			if control.Says(cachecontrol.Private | cachecontrol.NoCache) {
				t.Errorf("%v is kept", k.Header)
			}
		}
		check(k)
		if fresh, kept := r.Renew(k, headOf(nextStatus, strings.Split(nextLines, "\n")...), sharing.Caller{}); kept {
			check(fresh)
		} else if fresh == nil || fresh.Header == nil {
			t.Error("there is nothing for those who wait")
		}
		NotModified(httptest.NewRequest("GET", "/", nil), k.Status, k.Header)
	})
}
