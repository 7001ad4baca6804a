package behaviour

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/internal/testing/eventtest"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

var now = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// collected is a Collector of a test, and what it publishes and counts.
type collected struct {
	*Collector
	*eventtest.Recorder
	counts map[string]int
}

func collect(t testing.TB, config *transomv1.Behaviour) *collected {
	t.Helper()
	c := &collected{Recorder: new(eventtest.Recorder), counts: map[string]int{}}
	c.Collector = New(Options{
		Config: config, Source: "/transom/transom.v1.EventService/Publish", Topics: events.NewTopics(nil), Publisher: c.Recorder, Memory: NewMemory(),
		Count: func(result, reason string, n int) { c.counts[strings.TrimSuffix(result+" "+reason, " ")] += n },
		Own:   func(kind string) bool { return kind == "book.read" }, Now: func() time.Time { return now },
	})
	return c
}

// take takes the events of a JSON text, and returns those that were published.
func (c *collected) take(t testing.TB, from *Client, body string) (Result, []*transomv1.UserEvent) {
	t.Helper()
	batch, err := Decode("text/plain", false, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	c.Reset()
	if from.Header == nil {
		from.Header = http.Header{}
	}
	result := c.Take(t.Context(), from, batch)
	var got []*transomv1.UserEvent
	for _, e := range c.All() {
		u := new(transomv1.UserEvent)
		if err := protojson.Unmarshal(e.Data, u); err != nil {
			t.Fatal(err)
		}
		got = append(got, u)
	}
	return result, got
}

func (c *collected) one(t testing.TB, from *Client, body string) *transomv1.UserEvent {
	t.Helper()
	result, got := c.take(t, from, body)
	if len(got) != 1 || len(result.Rejected) != 0 {
		t.Fatalf("%s: got %v and %v", body, got, result)
	}
	return got[0]
}

// TestSchema: Events 192: what an event has, and where it goes.
func TestSchema(t *testing.T) {
	c := collect(t, &transomv1.Behaviour{})
	got := c.one(t, &Client{RequestID: "r1", TraceParent: "00-1", Address: netip.MustParseAddr("198.51.100.77")}, `{
		"messageId": "m1", "anonymous_id": "a1", "userId": "u1", "sessionId": "s1", "type": "user.search", "timestamp": "2026-05-04T11:59:59Z",
		"context": {"page": {"url": "https://shop.example/a", "path": "/a", "referrer": "https://o.example/", "title": "A"}, "screen": "390x844", "locale": "de", "timezone": "Europe/Berlin", "campaign": {"utm_source": "x"}},
		"properties": {"n": 1, "list": [true, null]}, "search": {"query": "tea", "results": 3, "filters": {"kind": "green"}}, "laterField": 1,
		"observed": {"bot": true, "address": "203.0.113.9"}}`)
	if got.GetSearch().GetResults() != 3 || got.GetContext().GetCampaign()["utm_source"] != "x" || got.GetProperties().GetFields()["n"].GetNumberValue() != 1 ||
		got.GetObserved().GetBot() || got.GetObserved().GetAddress() != "198.51.100.0" || got.GetUserId() != "u1" || !got.GetObserved().GetReceivedAt().AsTime().Equal(now) {
		t.Error(got)
	}
	e := c.All()[0]
	if e.ID != "bb4db6a7-efb0-8adc-81bd-3c4a4be199ce" || e.Topic != "user_behaviors" || e.Key != "u1" || e.Type != "user.search" || !e.Time.Equal(now.Add(-time.Second)) || e.How != "publish" ||
		fmt.Sprint(e.Extensions) != "[{correlationid r1} {partitionkey u1} {traceparent 00-1}]" || e.DataContentType != events.JSON {
		t.Errorf("%+v", e.Event)
	}
	c.one(t, &Client{}, `{"type": "shop.order", "anonymousId": "a2"}`)
	if e := c.All()[0]; len(e.ID) != 36 || e.Topic != "misc_events" || e.Key != "a2" || !e.Time.Equal(now) {
		t.Errorf("%+v", e.Event)
	}
}

// TestRejected: Events 129, 189 and 191: what is wrong is told by its place and counted, and the others
// are taken.
func TestRejected(t *testing.T) {
	c := collect(t, &transomv1.Behaviour{})
	long := strings.Repeat("x", 33<<10)
	result, got := c.take(t, &Client{}, `{"events": [
		{"type": "user.click"}, {"type": "api.request"}, {"type": "auth.login"}, {"type": "book.read"}, {"type": ""}, {"type": "a b"},
		{"type": 7}, {"type": "user.view", "properties": {"a": "`+long+`"}}, "text", null, {"type": "user.view", "messageId": "a\u0007"}, {bad}, {"type": "user.view"}]}`)
	if len(got) != 2 || result.Accepted != 2 || !result.Forged || result.Unavailable {
		t.Fatal(got, result)
	}
	var told []string
	for _, r := range result.Rejected {
		word, _, _ := strings.Cut(r.GetReason(), ":")
		told = append(told, fmt.Sprint(r.GetIndex(), " ", word))
	}
	want := "1 forged, 2 forged, 3 forged, 4 invalid, 5 invalid, 6 malformed, 7 malformed, 8 malformed, 9 malformed, 10 invalid, 11 malformed"
	if strings.Join(told, ", ") != want {
		t.Errorf("got %v\nwant %v", strings.Join(told, ", "), want)
	}
	if c.counts["rejected forged"] != 3 || c.counts["rejected malformed"] != 5 || c.counts["rejected invalid"] != 3 || c.counts["accepted"] != 2 {
		t.Error(c.counts)
	}
	many := `[` + strings.Repeat(`{"type":"user.view"},`, 501) + `{"type":"user.view"}]`
	if result, got = c.take(t, &Client{}, many); len(got) != 500 || len(result.Rejected) != 1 || result.Rejected[0].GetIndex() != 500 {
		t.Error(len(got), result)
	}
}

// TestReservedTypes: Events 129: the gateway's own types are in whatever case, and alone, as one word.
func TestReservedTypes(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"api", "API", "API.x", "Api.request", "auth", "aUTH.login", "transom", "transom.x", "TRANSOM.v1.CallEvent"} {
		c := collect(t, &transomv1.Behaviour{})
		if result, got := c.take(t, &Client{}, `{"type": "`+kind+`"}`); len(got) != 0 || !result.Forged || c.counts["rejected forged"] != 1 {
			t.Errorf("%s: published %v, %v, counted %v", kind, got, result, c.counts)
		}
	}
	for _, kind := range []string{"apis", "api-x.y", "authors.read", "user.api", "transoms.x"} {
		collect(t, &transomv1.Behaviour{}).one(t, &Client{}, `{"type": "`+kind+`"}`)
	}
}

// TestIDs: Events 198: an event has the same id whenever it comes, and no other one has that, be the pages
// that count their messages as many as they like.
func TestIDs(t *testing.T) {
	t.Parallel()
	id := func(body string, header ...string) string {
		c, from := collect(t, &transomv1.Behaviour{}), &Client{Header: http.Header{}}
		for i := 0; i < len(header); i += 2 {
			from.Header.Set(header[i], header[i+1])
		}
		c.one(t, from, body)
		return c.All()[0].ID
	}
	const body = `{"type": "shop.order", "messageId": "1", "anonymousId": "a"}`
	first := id(body)
	if first != id(body) || first != id(body, "Sec-Gpc", "1") || len(first) != 36 || first[14] != '8' {
		t.Errorf("the same message has the ids %s and %s", first, id(body))
	}
	other := id(`{"type": "shop.order", "messageId": "1", "anonymousId": "b"}`)
	moved := id(`{"type": "shop.order", "messageId": "a1", "anonymousId": ""}`)
	if first == other || moved != "a1" {
		t.Errorf("two messages have the ids %s and %s, one without a page's id %s", first, other, moved)
	}
}

// TestTime: Events 193: the time of a device whose clock is wrong is corrected, and both its times stay.
func TestTime(t *testing.T) {
	c := collect(t, &transomv1.Behaviour{})
	for _, test := range []struct {
		name, timestamp, sentAt string
		want                    time.Duration // from now
		corrected, clipped      bool
	}{
		{"right", "2026-05-04T11:59:30Z", "2026-05-04T11:59:59Z", -30 * time.Second, false, false},
		{"a minute off", "2026-05-04T11:58:30Z", "2026-05-04T11:59:00Z", -90 * time.Second, false, false},
		{"an hour behind", "2026-05-04T10:59:30Z", "2026-05-04T11:00:00Z", -30 * time.Second, true, false},
		{"a year ahead", "2027-05-04T11:59:50Z", "2027-05-04T12:00:00Z", -10 * time.Second, true, false},
		{"sent later", "2026-05-01T12:00:00Z", "2026-05-04T12:00:00Z", -72 * time.Hour, false, false},
		{"ahead, not sent", "2026-05-06T12:00:00Z", "", 0, false, true},
		{"a little ahead", "2026-05-05T11:00:00Z", "", 23 * time.Hour, false, false},
		{"senseless", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", 0, true, true},
		{"no time", "", "", 0, false, false},
	} {
		body := `{"type": "user.click"`
		if test.timestamp != "" {
			body += `, "timestamp": "` + test.timestamp + `"`
		}
		if test.sentAt != "" {
			body += `, "sentAt": "` + test.sentAt + `"`
		}
		got := c.one(t, &Client{}, body+"}")
		e := c.All()[0]
		if !e.Time.Equal(now.Add(test.want)) || got.GetObserved().GetClockCorrected() != test.corrected || got.GetObserved().GetTimeClipped() != test.clipped {
			t.Errorf("%s: got %v %v", test.name, e.Time, got)
		}
		if test.timestamp != "" && got.GetTimestamp().AsTime().Format(time.RFC3339) != test.timestamp || test.sentAt != "" && got.GetSentAt().AsTime().Format(time.RFC3339) != test.sentAt {
			t.Errorf("%s: the device's times are %v and %v", test.name, got.GetTimestamp(), got.GetSentAt())
		}
	}
}

// TestPrincipal: Events 194: who is logged in is who the event is of, whatever the client says.
func TestPrincipal(t *testing.T) {
	c := collect(t, &transomv1.Behaviour{})
	c.Auth = true
	got := c.one(t, &Client{Principal: "ann", Mechanism: "jwt"}, `{"type": "user.click", "userId": "bob", "anonymousId": "a1"}`)
	e := c.All()[0]
	if got.GetUserId() != "ann" || got.GetAnonymousId() != "a1" || !got.GetObserved().GetAuthenticated() || e.Key != "ann" || c.counts["corrected user_id"] != 1 ||
		e.Extension("authid") != "ann" || e.Extension("authtype") != "jwt" {
		t.Error(got, e.Event, c.counts)
	}
	got = c.one(t, &Client{}, `{"type": "user.click", "userId": "bob"}`)
	if got.GetUserId() != "bob" || got.GetObserved().GetAuthenticated() || c.All()[0].Extension("authtype") != "unauthenticated" {
		t.Error(got)
	}
}

// TestAddress: Events 195: by default an address is told without its last part.
func TestAddress(t *testing.T) {
	v4, v6 := netip.MustParseAddr("::ffff:198.51.100.77"), netip.MustParseAddr("2001:db8:1:2::77")
	for mode, want := range map[transomv1.Behaviour_Address][2]string{
		transomv1.Behaviour_ADDRESS_UNSPECIFIED: {"198.51.100.0", "2001:db8:1::"},
		transomv1.Behaviour_TRUNCATE:            {"198.51.100.0", "2001:db8:1::"},
		transomv1.Behaviour_FULL:                {"198.51.100.77", "2001:db8:1:2::77"},
		transomv1.Behaviour_NONE:                {"", ""},
	} {
		c := collect(t, &transomv1.Behaviour{Address: mode})
		for i, a := range []netip.Addr{v4, v6} {
			if got := c.one(t, &Client{Address: a}, `{"type": "user.click"}`).GetObserved().GetAddress(); got != want[i] {
				t.Errorf("%v of %v: got %q, want %q", mode, a, got, want[i])
			}
		}
	}
	c := collect(t, &transomv1.Behaviour{Address: transomv1.Behaviour_HASH})
	hash := func(at time.Time, a netip.Addr) string { return c.addressOf(a, at) }
	today := hash(now, v4)
	if len(today) != 32 || hash(now.Add(time.Hour), v4.Unmap()) != today || hash(now, v6) == today || hash(now.Add(24*time.Hour), v4) == today {
		t.Error(today)
	}
	if other := NewMemory().hash(v4, now); other == today {
		t.Error("two gateways have one salt")
	}
}

// TestWishes: Events 196: who does not want to be followed is not.
func TestWishes(t *testing.T) {
	const body = `{"type": "%s", "userId": "u", "anonymousId": "a", "sessionId": "s", "context": {"userAgentData": {"platform": "Linux"}}}`
	from := func(h ...string) *Client {
		c := &Client{Header: http.Header{"User-Agent": {"Mozilla/5.0 (Windows NT 10.0) Firefox/140.0"}}, Address: netip.MustParseAddr("198.51.100.77"), Principal: "ann", Session: "s2"}
		for i := 0; i < len(h); i += 2 {
			c.Header.Set(h[i], h[i+1])
		}
		return c
	}
	dnt := &transomv1.Behaviour{HonorDnt: true}
	consent := &transomv1.Behaviour{Consent: &transomv1.Consent{Where: &transomv1.Consent_Cookie{Cookie: "consent"}, Value: "yes"}}
	header := &transomv1.Behaviour{Consent: &transomv1.Consent{Where: &transomv1.Consent_Header{Header: "X-Consent"}}}
	for _, test := range []struct {
		name    string
		config  *transomv1.Behaviour
		from    *Client
		dropped string // why user.click is
		known   bool   // who shop.order is of
	}{
		{"nothing said", nil, from(), "", true},
		{"GPC", nil, from("Sec-GPC", "1"), "opted_out", false},
		{"no GPC", nil, from("Sec-GPC", "0"), "", true},
		{"DNT", nil, from("DNT", "1"), "", true},
		{"DNT that is honoured", dnt, from("DNT", "1"), "opted_out", false},
		{"no consent", consent, from(), "consent", false},
		{"other consent", consent, from("Cookie", "consent=no"), "consent", false},
		{"consent", consent, from("Cookie", "a=b; consent=yes"), "", true},
		{"consent by a header", header, from("X-Consent", "1"), "", true},
	} {
		c := collect(t, test.config)
		result, got := c.take(t, test.from, fmt.Sprintf(body, "user.click"))
		if result.Accepted != 1 || (len(got) == 0) != (test.dropped != "") || test.dropped != "" && c.counts["dropped "+test.dropped] != 1 {
			t.Errorf("%s: got %v, %v", test.name, got, c.counts)
		}
		if test.dropped == "consent" {
			continue
		}
		u := c.one(t, test.from, fmt.Sprintf(body, "shop.order"))
		known := u.GetUserId() == "ann" && u.GetAnonymousId() == "a" && u.GetSessionId() == "s2" && u.GetObserved().GetAddress() != "" && u.GetObserved().GetUserAgent() != ""
		unknown := u.GetUserId()+u.GetAnonymousId()+u.GetSessionId()+u.GetObserved().GetAddress()+u.GetObserved().GetUserAgent()+c.All()[0].Key == "" &&
			u.GetObserved().GetAnonymized() && u.GetObserved().GetDevice().GetFamily() == "desktop" && u.GetObserved().GetDevice().GetOs() == "" && u.GetContext().GetUserAgentData() == nil
		if known != test.known || unknown == test.known {
			t.Errorf("%s: %v", test.name, u)
		}
	}
	c := collect(t, nil)
	if u := c.one(t, from("SP-Anonymous", "*"), fmt.Sprintf(body, "user.click")); u.GetUserId() != "" || !u.GetObserved().GetAnonymized() {
		t.Errorf("SP-Anonymous: %v", u)
	}
}

// TestBots: Events 197: programs are tagged, dropped or as others.
func TestBots(t *testing.T) {
	for _, from := range []http.Header{
		{"User-Agent": {"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"}},
		{"User-Agent": {"Mozilla/5.0 Firefox/140.0"}, "Sec-Purpose": {"prefetch;prerender"}},
		nil, // by navigator.webdriver
	} {
		body := `{"type": "user.view"}`
		if from == nil {
			body = `{"type": "user.view", "context": {"webdriver": true}}`
		}
		for mode, want := range map[transomv1.Behaviour_Bots]int{transomv1.Behaviour_BOTS_UNSPECIFIED: 2, transomv1.Behaviour_TAG: 2, transomv1.Behaviour_KEEP: 1, transomv1.Behaviour_DROP: 0} {
			c := collect(t, &transomv1.Behaviour{Bots: mode})
			result, got := c.take(t, &Client{Header: from.Clone()}, body)
			is := 0
			if len(got) == 1 {
				if is = 1; got[0].GetObserved().GetBot() {
					is = 2
				}
			}
			if is != want || result.Accepted != 1 {
				t.Errorf("%v, %v: got %v", from, mode, got)
			}
		}
	}
	c := collect(t, nil)
	if got := c.one(t, &Client{Header: http.Header{"User-Agent": {"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}}}, `{"type": "user.view"}`); got.GetObserved().GetBot() {
		t.Error(got)
	}
}

// TestDuplicates: Events 198: an event that comes again within ten minutes is dropped.
func TestDuplicates(t *testing.T) {
	c := collect(t, nil)
	at := now
	c.Now = func() time.Time { return at }
	n := func(body string) int {
		result, got := c.take(t, &Client{}, body)
		if result.Accepted == 0 || len(result.Rejected) > 0 {
			t.Error(result)
		}
		return len(got)
	}
	const first = `{"type": "user.click", "messageId": "m1", "anonymousId": "a"}`
	if n(first) != 1 || n(first) != 0 || n(`[`+first+`,`+first+`]`) != 0 {
		t.Error("an event that came again was published")
	}
	if n(`{"type": "user.click", "messageId": "m1", "anonymousId": "b"}`) != 1 || n(`{"type": "user.click"}`) != 1 || n(`{"type": "user.click"}`) != 1 {
		t.Error("another event was dropped")
	}
	at = at.Add(9*time.Minute + 59*time.Second)
	if n(first) != 0 {
		t.Error("it was forgotten too early")
	}
	at = at.Add(time.Second)
	if n(first) != 1 || n(first) != 0 {
		t.Error("it was not forgotten")
	}
	if c.counts["dropped duplicate"] != 5 {
		t.Error(c.counts)
	}
	m := NewMemory()
	m.most = 100
	for i := range 1000 {
		m.seen(&transomv1.UserEvent{MessageId: fmt.Sprint(i)}, now)
		if len(m.newer)+len(m.older) > 200 {
			t.Fatal("there is no bound")
		}
	}
	if _, again := m.seen(&transomv1.UserEvent{MessageId: "999"}, now); !again {
		t.Error("the last one was forgotten")
	}
}

// TestScrub: Events 199: URLs lose what may tell who somebody is, and e-mail addresses are masked where
// that is asked for.
func TestScrub(t *testing.T) {
	plain, custom, mails := newScrubber(nil), newScrubber(&transomv1.Behaviour{Query: []string{"page", "x_*"}}), newScrubber(&transomv1.Behaviour{Scrub: true})
	for _, test := range []struct {
		s        *scrubber
		in, want string
	}{
		{&plain, "https://u:p@shop.example/a?token=t&utm_source=x&gclid=1#access_token=q", "https://shop.example/a?utm_source=x&gclid=1"},
		{&plain, "https://shop.example/a", "https://shop.example/a"},
		{&plain, "https://shop.example/a#", "https://shop.example/a"},
		{&plain, "/reset?token=t", "/reset"},
		{&plain, "https://shop.example/a?utm%5Fterm=x&tok%65n=1&&=2", "https://shop.example/a?utm%5Fterm=x"},
		{&plain, "http://[bad?token=t", "http://[bad"},
		{&plain, "", ""},
		{&custom, "https://shop.example/a?page=2&utm_source=x&x_y=1", "https://shop.example/a?page=2&x_y=1"},
		{&mails, "https://shop.example/u/ann%40mail.example/orders?utm_content=a@b.example", "https://shop.example/u/[email]/orders?utm_content=[email]"},
	} {
		if got := test.s.url(test.in); got != test.want {
			t.Errorf("%q: got %q, want %q", test.in, got, test.want)
		}
	}
	for in, want := range map[string]string{
		"write to ann.b+c@mail.example, now": "write to [email], now", "a@b": "a@b", "@x.de": "@x.de", "a@b.de@c.de": "[email]@c.de", "jürgen@bücher.example!": "[email]!",
		"no": "no", "<a@b.c>": "<[email]>", "a@.b": "a@.b", "x%40y.org": "[email]", "two a@b.de, c@d.de": "two [email], [email]",
	} {
		if got := mails.text(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
	c := collect(t, &transomv1.Behaviour{Scrub: true})
	c.one(t, &Client{}, `{"type": "user.search", "context": {"page": {"url": "https://a.example/?token=secret", "referrer": "https://a.example/#secret", "path": "/x?secret", "title": "ann@mail.example"},
		"campaign": {"utm_term": "ann@mail.example"}}, "properties": {"a": ["ann@mail.example", {"b": "https://a.example/?q=secret"}]}, "search": {"query": "ann@mail.example", "filters": {"a": "ann@mail.example"}}}`)
	if data := string(c.All()[0].Data); strings.Contains(data, "ann@") || strings.Contains(data, "secret") {
		t.Error(data)
	}
}

// TestStored: Events 191 and 201: best effort is the default; at least once the events of a batch are on disk in their order, or told to be
// sent again, and then no duplicate.
func TestStored(t *testing.T) {
	c := collect(t, &transomv1.Behaviour{Delivery: transomv1.EventRule_AT_LEAST_ONCE})
	var views strings.Builder
	for n := range 99 {
		_, _ = fmt.Fprintf(&views, `{"type": "user.view", "properties": {"n": %d}},`, n) // into memory
	}
	body := `[` + views.String() + `{"type": "user.view", "messageId": "m"}]`
	c.Fail = fmt.Errorf("the disk is full")
	result, got := c.take(t, &Client{}, body)
	if len(got) != 0 || !result.Unavailable || result.Accepted != 0 || len(result.Rejected) != 100 {
		t.Error(result)
	}
	c.Fail = nil
	if result, got = c.take(t, &Client{}, body); len(got) != 100 || result.Unavailable || result.Accepted != 100 || c.All()[0].How != "store" {
		t.Error(len(got), result)
	}
	c = collect(t, &transomv1.Behaviour{})
	if c.take(t, &Client{}, `{"type": "user.view"}`); len(c.All()) != 1 || c.All()[0].How != "publish" {
		t.Errorf("where nothing is said: %+v", c.All())
	}
	for n, e := range got[:99] {
		if at := e.GetProperties().GetFields()["n"].GetNumberValue(); int(at) != n {
			t.Fatalf("event %v came at the place %d", at, n)
		}
	}
}
