package gateway

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/events"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestSubscriptionBody: Events 161: what an event's data are decides how the method's message is made of it, and what is no
// message says why.
func TestSubscriptionBody(t *testing.T) {
	const input = "a.v1.Book"
	for name, test := range map[string]struct {
		input                       protoreflect.FullName
		kind, media, schema, data   string
		contentType, body, problems string
	}{
		"JSON":                           {input, "t", "application/json; charset=utf-8", "", `{"a":1}`, "application/json", `{"a":1}`, ""},
		"a type of JSON":                 {input, "t", "application/vnd.a+json", "", `{"a":1}`, "application/json", `{"a":1}`, ""},
		"no data":                        {input, "t", "application/json", "", "", "application/json", "{}", ""},
		"no JSON":                        {input, "t", "application/json", "", "{", "", "", "the data is said to be JSON, and is not"},
		"protobuf":                       {input, "t", "application/protobuf", "https://a.example/a.v1.Book", "\x0a\x01x", "application/proto", "\x0a\x01x", ""},
		"protobuf without a schema":      {input, "t", "application/x-protobuf", "", "\x0a\x01x", "application/proto", "\x0a\x01x", ""},
		"protobuf of another message":    {input, "t", "application/protobuf", "https://a.example/a.v1.Shelf", "\x0a\x01x", "", "", "and the method takes a.v1.Book"},
		"text":                           {input, "t", "text/plain", "", "a", "", "", `the data is of the media type`},
		"data alone, JSON":               {input, "", "", "", `{"a":1}`, "application/json", `{"a":1}`, ""},
		"data alone, no JSON":            {input, "", "", "", "\x0a\x01x", "application/proto", "\x0a\x01x", ""},
		"data alone, for events":         {cloudEvent, "", "", "", `{"a":1}`, "", "", "the message has no attributes of CloudEvents"},
		"an event whose data are a text": {cloudEvent, "t", "text/plain", "", "a", "application/proto", "whole", ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := &events.Event{ID: "1", Source: "/s", Type: test.kind, DataContentType: test.media, DataSchema: test.schema, Data: []byte(test.data)}
			contentType, body, err := new(subscribed).body(test.input, e)
			if test.problems != "" {
				if err == nil || !strings.Contains(err.Error(), test.problems) {
					t.Errorf("got %q, %v", body, err)
				}
				return
			}
			if test.body == "whole" {
				test.body = string(events.AppendCloudEvent(nil, e))
			}
			if err != nil || contentType != test.contentType || string(body) != test.body {
				t.Errorf("got %s %q, %v", contentType, body, err)
			}
		})
	}
}

// TestGroups: Events 160: the group of a subscription has its name, unless another is set.
func TestGroups(t *testing.T) {
	for want, s := range map[string]*transomv1.Subscription{"transom.a": {Name: "a"}, "own": {Name: "a", Group: "own"}} {
		if got := groupOf(s, false); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := groupOf(&transomv1.Subscription{Name: "a"}, true); got != "transom-a" {
		t.Errorf("a durable consumer has no dots in its name: got %s", got)
	}
}
