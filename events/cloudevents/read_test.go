package cloudevents

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/transom-gateway/transom/events"
)

// TestReadWhatIsWritten: Events 161: what is written by a binding is read as it was.
func TestReadWhatIsWritten(t *testing.T) {
	e := sample()
	protobuf := *e
	protobuf.DataContentType, protobuf.DataSchema, protobuf.Data = events.Protobuf, "http://a/b", []byte{0, 0xff, 8}
	for _, e := range []*events.Event{e, &protobuf} {
		for _, mode := range []Mode{Binary, Structured} {
			for name, binding := range map[string]struct {
				write func(*events.Event, Mode) (Message, error)
				read  func([]Header, []byte) (*events.Event, error)
			}{"Kafka": {Kafka, FromKafka}, "NATS": {NATS, FromNATS}} {
				m, err := binding.write(e, mode)
				if err != nil {
					t.Fatal(err)
				}
				got, err := binding.read(m.Headers, m.Body)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				want := *e
				want.Topic, want.Key = "", ""
				want.SetExtension("partitionkey", e.Key)
				if !got.Time.Equal(want.Time) {
					t.Errorf("%s: %v", name, got.Time)
				}
				got.Time = want.Time
				if !reflect.DeepEqual(got, &want) {
					t.Errorf("%s, %v: got %+v, want %+v", name, mode, got, &want)
				}
			}
		}
	}
}

// attributesOf are headers of Kafka: those that each event has, and others.
func attributesOf(more ...string) []Header {
	all := []Header{{"ce_specversion", "1.0"}, {"ce_id", "1"}, {"ce_source", "/a"}, {"ce_type", "t"}}
	for i := 0; i < len(more); i += 2 {
		all = append(all, Header{more[i], more[i+1]})
	}
	return all
}

// TestReadBad: Events 161: a message that would be an event, and is none, says why.
func TestReadBad(t *testing.T) {
	structured := []Header{{"content-type", "application/cloudevents+json; charset=utf-8"}}
	for name, test := range map[string]struct {
		headers []Header
		body    string
		want    string
	}{
		"no id":         {attributesOf()[2:], "", "without id"},
		"no version":    {attributesOf()[1:], "", "without specversion"},
		"old":           {append(attributesOf()[1:], Header{"ce_specversion", "0.3"}), "", `specversion "0.3", expected 1.0`},
		"twice":         {attributesOf("ce_id", "2"), "", `"id" is there twice`},
		"time":          {attributesOf("ce_time", "yesterday"), "", `time "yesterday"`},
		"UTF-8":         {attributesOf("ce_subject", "\xff"), "", "no UTF-8"},
		"batch":         {[]Header{{"content-type", BatchType}}, "[]", "expected application/cloudevents+json"},
		"other format":  {[]Header{{"content-type", "application/cloudevents+avro"}}, "", "expected application/cloudevents+json"},
		"no JSON":       {structured, "{", "no JSON object"},
		"null":          {structured, "null", "no JSON object"},
		"list":          {structured, `{"specversion":["1.0"]}`, "expected a text"},
		"base64":        {structured, `{"specversion":"1.0","id":"1","source":"a","type":"t","data_base64":"%"}`, "no text in base64"},
		"two data":      {structured, `{"specversion":"1.0","id":"1","source":"a","type":"t","data_base64":"","data":1}`, "beside data_base64"},
		"empty":         {structured, `{"specversion":"1.0","id":"","source":"a","type":"t"}`, "without id"},
		"many":          {attributesOf(manyExtensions()...), "", "more than 256 extensions"},
		"only a prefix": {[]Header{{"ce_", "x"}}, "", ErrPlain.Error()},
		"plain":         {[]Header{{"content-type", "application/json"}, {"trace", "x"}}, "{}", ErrPlain.Error()},
	} {
		_, err := FromKafka(test.headers, []byte(test.body))
		if test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: got %v, want %s", name, err, test.want)
		}
		if plain := errors.Is(err, ErrPlain); plain != (test.want == ErrPlain.Error()) {
			t.Errorf("%s: plain %t", name, plain)
		}
	}
	if _, err := FromNATS([]Header{{"CE-Id", "%zz"}}, nil); err == nil || !strings.Contains(err.Error(), "no encoded byte") {
		t.Error(err)
	}
}

func manyExtensions() (all []string) {
	for i := range 300 {
		all = append(all, "ce_x"+string(rune('a'+i/26))+string(rune('a'+i%26)), "v")
	}
	return all
}

// TestReadData holds what the data of a document is.
func TestReadData(t *testing.T) {
	for members, want := range map[string]string{
		``: ``, `,"data":{"a": 1}`: `{"a": 1}`, `,"data":"text"`: `"text"`, `,"data":"a\nb","datacontenttype":"text/plain"`: "a\nb",
		`,"data_base64":"AP8="`: "\x00\xff", `,"data":null`: "null", `,"x":true,"y":5,"z":null`: ``,
	} {
		e, err := FromKafka([]Header{{"content-type", "application/cloudevents+json"}}, []byte(`{"specversion":"1.0","id":"1","source":"/a","type":"t"`+members+"}"))
		if err != nil || string(e.Data) != want {
			t.Errorf("%s: got %+v, %v; want %q", members, e, err, want)
		}
	}
}

// FuzzRead holds that no message does harm, and that what is read can be written.
func FuzzRead(f *testing.F) {
	f.Add("application/cloudevents+json", "ce_id", "1", []byte(`{"specversion":"1.0","id":"1","source":"/a","type":"t","data":[1]}`))
	f.Add("text/plain", "ce_time", "2026-11-29T12:00:00Z", []byte("x"))
	f.Fuzz(func(t *testing.T, contentType, name, value string, body []byte) {
		headers := attributesOf("content-type", contentType)
		if name != "content-type" && !strings.HasSuffix(name, "d") {
			headers = append(headers, Header{name, value})
		}
		for _, read := range []func([]Header, []byte) (*events.Event, error){FromKafka, FromNATS} {
			e, err := read(headers, body)
			if err != nil {
				continue
			}
			if e.ID == "" || e.Type == "" || e.Source == "" || e.Data == nil || !utf8.ValidString(e.Subject) {
				t.Errorf("%+v", e)
			}
			for _, x := range e.Extensions {
				if !isExtension(x.Name) {
					t.Errorf("the extension %q", x.Name)
				}
			}
			AppendJSON(nil, e)
		}
	})
}
