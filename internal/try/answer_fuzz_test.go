package try

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// trialOf is a call whose events are kept.
func trialOf(t testing.TB, asked Asked) (*Trial, *[]Event) {
	t.Helper()
	asked.URL = "/"
	trial, err := New(asked, Options{})
	if err != nil {
		t.Fatal(err)
	}
	events := &[]Event{}
	trial.began, trial.tell = time.Now(), func(e Event) error {
		*events = append(*events, e)
		return nil
	}
	return trial, events
}

// kinds are the answers that are read, by protocol and media type.
var kinds = []struct {
	asked Asked
	media string
}{
	{Asked{Protocol: REST, Method: "GET"}, "application/json"},
	{Asked{Protocol: REST, Method: "GET", Stream: serverStream}, "application/x-ndjson"},
	{Asked{Protocol: REST, Method: "GET", Stream: serverStream}, "image/png"},
	{Asked{Protocol: SSE, Method: "GET", Stream: serverStream}, "text/event-stream"},
	{Asked{Protocol: Connect}, "application/json"},
	{Asked{Protocol: Connect, Stream: serverStream}, "application/connect+json"},
	{Asked{Protocol: GRPCWeb}, "application/grpc-web+json"},
}

// read is the end of an answer that is read, and what was told of it.
func read(t testing.TB, kind, status int, body string) (Event, []Event) {
	t.Helper()
	trial, events := trialOf(t, kinds[kind].asked)
	end := trial.answer(&http.Response{StatusCode: status, Header: http.Header{"Content-Type": {kinds[kind].media}}, Body: io.NopCloser(strings.NewReader(body))})
	return end, *events
}

// FuzzAnswer: whatever a server answers is told in texts that JSON can have, and no longer than the bound.
func FuzzAnswer(f *testing.F) {
	f.Add(uint8(0), true, `{"code":5,"message":"no","details":[{"@type":"x"}]}`)
	f.Add(uint8(1), false, "{\"a\":1}\n\n{\"error\":{\"code\":14}}")
	f.Add(uint8(2), false, "\x89PNG\x00")
	f.Add(uint8(3), false, "id: 1\ndata: a\ndata: b\n\nevent: error\ndata: {\"code\":3}\n\n: ping\n\n")
	f.Add(uint8(4), true, `{"code":"not_found","details":[{"type":"a.B","value":"AA"}]}`)
	f.Add(uint8(5), false, "\x00\x00\x00\x00\x02{}\x02\x00\x00\x00\x20{\"error\":{\"code\":\"internal\"}}   ")
	f.Add(uint8(6), false, "\x00\x00\x00\x00\x02{}\x80\x00\x00\x00\x0fgrpc-status: 0\r")
	f.Add(uint8(6), false, "\x01\xff\xff\xff\xff")
	f.Fuzz(func(t *testing.T, kind uint8, failed bool, body string) {
		status := 200
		if failed {
			status = 500
		}
		_, events := read(t, int(kind)%len(kinds), status, body)
		told := int64(0)
		for _, e := range events {
			if len(e.Text) > maxShown || len(e.Base64) > maxShown || e.Text != strings.ToValidUTF8(e.Text, "") {
				t.Errorf("%q tells %+v", body, e)
			}
			told += e.Bytes
		}
		if told > int64(len(body)) {
			t.Errorf("%q has %d bytes, and %d are told", body, len(body), told)
		}
	})
}

// TestStreamedBytes: what a client streams as JSON has a line for each message; bytes of another type stay as they are.
func TestStreamedBytes(t *testing.T) {
	for want, headers := range map[string][]string{
		"{}\n": nil, "{} \n": {"Content-Type: application/x-ndjson"}, "{}": {"content-type: application/octet-stream"},
	} {
		trial, _ := trialOf(t, Asked{Protocol: REST, Method: "POST", Stream: clientStream, Headers: headers})
		text := strings.TrimRight(want, "\n")
		if got := string(trial.encoded(Message{Text: text})); got != want {
			t.Errorf("%q: %q, want %q", headers, got, want)
		}
	}
}

// TestBrokenAnswers: an answer that is none, or breaks off, is told as such and never as a success.
func TestBrokenAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		kind int
		body string
		want string
	}{
		"a stream of Connect without its end": {5, "\x00\x00\x00\x00\x02{}", "broke off"},
		"half a message":                      {5, "\x00\x00\x00\x00\x09{}", "unexpected EOF"},
		"half a head":                         {5, "\x00\x00", "unexpected EOF"},
		"a compressed message":                {5, "\x01\x00\x00\x00\x02{}", "compressed"},
		"an end of Connect that is no JSON":   {5, "\x02\x00\x00\x00\x01{", "the last message"},
		"gRPC-Web without a status":           {6, "\x00\x00\x00\x00\x02{}", "no grpc-status"},
	} {
		t.Run(name, func(t *testing.T) {
			if end, events := read(t, test.kind, 200, test.body); !strings.Contains(end.Failure, test.want) || end.Code != "" {
				t.Errorf("%+v %+v, want %s", end, events, test.want)
			}
		})
	}
}

// TestLongAnswers: of a message the first part is told, and how long it was.
func TestLongAnswers(t *testing.T) {
	long := strings.Repeat("ü", maxShown)
	for kind := range 4 {
		body := long
		if kind == 3 {
			body = "data: " + long + "\n\n"
		}
		_, events := read(t, kind, 200, body)
		if kind == 2 { // in parts, as they come
			if len(events) < 2 {
				t.Errorf("%d: %d events", kind, len(events))
			}
			continue
		}
		if len(events) != 1 || !events[0].Cut || len(events[0].Text) > maxShown || len(events[0].Text) < maxShown-4 {
			t.Errorf("%d: %d events", kind, len(events))
		}
	}
}

// TestTooMuch: a call that tells more than the console takes is ended.
func TestTooMuch(t *testing.T) {
	trial, events := trialOf(t, Asked{Protocol: REST, Method: "GET"})
	for range maxEvents + 10 {
		trial.say(Event{Name: "message", Text: "a"})
	}
	if cause := context.Cause(trial.ctx); len(*events) != maxEvents || cause == nil || !strings.Contains(cause.Error(), "more than") {
		t.Errorf("%d events, %v", len(*events), cause)
	}
}
