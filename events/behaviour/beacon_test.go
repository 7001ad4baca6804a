package behaviour

import (
	"bytes"
	"compress/gzip"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/events"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

func gzipped(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// types are those of a batch, "-" for what could not be read.
func (b *Batch) types() string {
	var all []string
	for _, e := range b.Events {
		if e == nil {
			all = append(all, "-")
		} else {
			all = append(all, e.GetType())
		}
	}
	return strings.Join(all, " ")
}

const (
	one        = `{"type": "user.click", "messageId": "m"}`
	cloudEvent = `{"specversion": "1.0", "id": "m", "source": "/page", "type": "user.click", "time": "2026-05-04T12:00:00Z", "data": {"messageId": "other", "type": "other", "anonymousId": "a"}}`
)

// TestDecode: Events 189: the forms of bodies.
func TestDecode(t *testing.T) {
	for _, test := range []struct {
		contentType, body string
		zip               bool
		want              string
	}{
		{"text/plain;charset=UTF-8", one, false, "user.click"},
		{"", one, false, "user.click"},
		{"application/json", `[` + one + `,` + one + `]`, false, "user.click user.click"},
		{"application/json", ` { "events" : [ ` + one + ` , {} ] , "sentAt" : "2026-05-04T12:00:00Z" } `, false, "user.click "},
		{"text/plain", `{"batch": []}`, false, ""},
		{"text/plain", `[]`, false, ""},
		{"text/plain", one, true, "user.click"},
		{"application/x-www-form-urlencoded", "data=" + url.QueryEscape("["+one+"]"), false, "user.click"},
		{"application/cloudevents+json", cloudEvent, false, "user.click"},
		{"application/cloudevents-batch+json; charset=utf-8", "[" + cloudEvent + "," + one + "]", false, "user.click -"},
		{"application/json", cloudEvent, false, "user.click"},
		{"text/plain", `[{"type": "a", "x": "\"]}"}, {"type": }, 7, {"type": "b\u0063"}]`, false, "a - - bc"},
		{"text/plain", `[{"type": "a"}, {"timestamp": "soon"}]`, false, "a -"},
	} {
		body := []byte(test.body)
		if test.zip {
			body = gzipped(t, test.body)
		}
		batch, err := Decode(test.contentType, test.zip, body)
		if err != nil || batch.types() != test.want {
			t.Errorf("%s: %s: got %v, %v", test.contentType, test.body, batch, err)
		}
	}
	batch, err := Decode("application/cloudevents+json", false, []byte(cloudEvent))
	if e := batch.Events[0]; err != nil || e.GetMessageId() != "m" || e.GetAnonymousId() != "a" || e.GetTimestamp().AsTime() != now {
		t.Error(batch, err)
	}
	if batch, err = Decode("", false, []byte(`{"events": [{}], "sent_at": "2026-05-04T12:00:00Z"}`)); err != nil || batch.SentAt.AsTime() != now {
		t.Error(batch, err)
	}
}

// TestDecodeNothing: Events 189: bodies that are none, and those that are too large, also when they are
// inflated.
func TestDecodeNothing(t *testing.T) {
	bomb := gzipped(t, strings.Repeat(" ", 64<<20))
	for _, test := range []struct {
		contentType string
		body        []byte
		zip         bool
		want        error
	}{
		{"image/png", []byte(one), false, ErrType}, {"multipart/form-data; boundary=a", []byte(one), false, ErrType},
		{"text/plain", bytes.Repeat([]byte(" "), MaxBody+1), false, ErrTooLarge}, {"text/plain", bomb, true, ErrTooLarge},
		{"text/plain", []byte(one), true, nil}, {"text/plain", bomb[:len(bomb)/2], true, nil}, {"application/x-www-form-urlencoded", []byte("a=" + one), false, nil},
		{"text/plain", nil, false, errObject}, {"text/plain", []byte("x"), false, errObject}, {"text/plain", []byte(one + "x"), false, errObject},
		{"text/plain", []byte("[" + one), false, errArray}, {"text/plain", []byte("[" + one + "]]"), false, errArray}, {"text/plain", []byte(`{"events": 7}`), false, errArray},
		{"text/plain", []byte(`{"events": [], "sentAt": "soon"}`), false, nil}, {"application/cloudevents+json", []byte(`7`), false, errObject},
	} {
		if batch, err := Decode(test.contentType, test.zip, test.body); err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s, %.30q: got %v, %v", test.contentType, test.body, batch, err)
		}
	}
}

// TestAdmits: Events 190: which pages may send, and who besides.
func TestAdmits(t *testing.T) {
	c := collect(t, &transomv1.Behaviour{Origins: []string{"https://shop.example"}})
	c.WriteKeys = []string{"k1", "k2"}
	for _, test := range []struct {
		name string
		h    http.Header
		key  string
		want bool
	}{
		{"its origin", http.Header{"Origin": {"https://shop.example"}}, "", true},
		{"the gateway's own", http.Header{"Origin": {"https://api.example"}}, "", true},
		{"another", http.Header{"Origin": {"https://evil.example"}}, "k1", false},
		{"one that begins as it", http.Header{"Origin": {"https://shop.example.evil.example"}}, "", false},
		{"null", http.Header{"Origin": {"null"}}, "", false},
		{"two", http.Header{"Origin": {"https://shop.example", "https://shop.example"}}, "", false},
		{"none", http.Header{}, "", false},
		{"same origin", http.Header{"Sec-Fetch-Site": {"same-origin"}}, "", true},
		{"same site", http.Header{"Sec-Fetch-Site": {"same-site"}}, "", true},
		{"cross site", http.Header{"Sec-Fetch-Site": {"cross-site"}}, "", false},
		{"a key", http.Header{}, "k2", true},
		{"a key in the header", http.Header{"X-Write-Key": {"k1"}}, "", true},
		{"another key", http.Header{}, "k3", false},
	} {
		if got := c.Admits(&Page{Header: test.h, Own: "https://api.example", Key: test.key}); got != test.want {
			t.Errorf("%s: got %v", test.name, got)
		}
	}
}

// TestSession: Events 194: the gateway sets a cookie where the settings say so, and the client does not
// object.
func TestSession(t *testing.T) {
	if id, cookie := collect(t, nil).Session(http.Header{}, true); id != "" || cookie != nil {
		t.Error(cookie)
	}
	c := collect(t, &transomv1.Behaviour{Session: &transomv1.BehaviourSession{Cookie: "visit"}})
	id, cookie := c.Session(http.Header{}, true)
	if len(id) != 26 || cookie.String() != "visit="+id+"; Path=/; Max-Age=1800; HttpOnly; Secure; SameSite=Lax" {
		t.Error(cookie)
	}
	if again, cookie := c.Session(http.Header{"Cookie": {"a=b; visit=" + id}}, false); again != id || cookie.Value != id || cookie.Secure {
		t.Error(cookie)
	}
	for _, bad := range []string{"ann@mail.example", strings.Repeat("a", 26), strings.Repeat("A", 27)} {
		if other, _ := c.Session(http.Header{"Cookie": {"visit=" + bad}}, false); other == bad || len(other) != 26 {
			t.Error(other)
		}
	}
	for _, name := range []string{"Sec-Gpc", "Sp-Anonymous"} {
		if id, cookie := c.Session(http.Header{name: {map[string]string{"Sec-Gpc": "1", "Sp-Anonymous": "*"}[name]}}, false); id != "" || cookie != nil {
			t.Error(name, cookie)
		}
	}
	c.Config.Session.Idle = durationpb.New(time.Hour)
	if _, cookie := c.Session(http.Header{}, false); cookie.MaxAge != 3600 {
		t.Error(cookie)
	}
}

// FuzzBeacon: whatever a body is, it is read or refused, and what comes of it can be published.
func FuzzBeacon(f *testing.F) {
	for _, body := range []string{one, cloudEvent, "[" + one + "]", "data=" + url.QueryEscape(one), `{"events": [{"type": "user.view", "properties": {"a": [1, "x@y.de", null]}}], "sentAt": "2026-05-04T12:00:00Z"}`} {
		for kind := range byte(3) {
			f.Add(kind, false, []byte(body))
		}
	}
	f.Add(byte(0), true, gzipped(f, one))
	c := collect(f, &transomv1.Behaviour{Scrub: true, Address: transomv1.Behaviour_HASH})
	f.Fuzz(func(t *testing.T, kind byte, zip bool, body []byte) {
		types := [...]string{"text/plain", "application/x-www-form-urlencoded", "application/cloudevents-batch+json"}
		batch, err := Decode(types[int(kind)%len(types)], zip, body)
		if err != nil {
			return
		}
		c.Reset()
		n := min(len(batch.Events), MaxEvents+1)
		result := c.Take(t.Context(), &Client{Header: http.Header{}}, batch)
		if result.Accepted+len(result.Rejected) != n {
			t.Errorf("%d events became %+v", n, result)
		}
		for _, e := range c.All() {
			if len(e.Data) < 2 || e.Data[0] != '{' || e.Topic == "" || strings.HasPrefix(e.Type, "api.") {
				t.Errorf("%+v", e.Event)
			}
		}
	})
}

// beaconOf is a body of n events as pages send them.
func beaconOf(n int) []byte {
	var b strings.Builder
	b.WriteString(`{"sentAt":"2026-05-04T12:00:00Z","events":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`{"messageId":"4b2f0c5e-7d1a-4a0e-9a7f-` + strconv.Itoa(100000+i) + `","anonymousId":"0f8fad5b-d9cb-469f-a165-70867728950e","sessionId":"7c9e6679-7425-40de-944b-e07fc1f90ae7","type":"user.click","timestamp":"2026-05-04T11:59:58.5Z","context":{"page":{"url":"https://shop.example/teas/green?utm_source=news&sid=1","path":"/teas/green","referrer":"https://search.example/","title":"Green teas"},"screen":"390x844","locale":"de-DE","timezone":"Europe/Berlin"},"properties":{"position":3,"list":"teas"},"click":{"target":"button.buy","x":120,"y":640}}`)
	}
	b.WriteString(`]}`)
	return []byte(b.String())
}

// BenchmarkBeacon takes beacons of 20 events.
func BenchmarkBeacon(b *testing.B) {
	c := collect(b, &transomv1.Behaviour{})
	c.Publisher = events.Discard
	c.Count = func(string, string, int) {}
	at := now
	c.Now = func() time.Time { // no event comes again within ten minutes
		at = at.Add(Window)
		return at
	}
	body := beaconOf(20)
	from := &Client{Header: http.Header{"User-Agent": {"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"}}}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		batch, err := Decode("text/plain;charset=UTF-8", false, body)
		if err != nil {
			b.Fatal(err)
		}
		if r := c.Take(b.Context(), from, batch); r.Accepted != 20 {
			b.Fatal(r)
		}
	}
	b.ReportMetric(float64(20*b.N)/b.Elapsed().Seconds(), "events/s")
}
