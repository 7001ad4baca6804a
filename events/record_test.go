package events_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/transom-gateway/transom/events"
)

// format is the message CloudEvent of the CloudEvents protobuf format.
const format = `syntax = "proto3";
package io.cloudevents.v1;
import "google/protobuf/timestamp.proto";
message CloudEvent {
  string id = 1;
  string source = 2;
  string spec_version = 3;
  string type = 4;
  map<string, CloudEventAttributeValue> attributes = 5;
  oneof data {
    bytes binary_data = 6;
    string text_data = 7;
  }
  message CloudEventAttributeValue {
    oneof attr {
      bool ce_boolean = 1;
      int32 ce_integer = 2;
      string ce_string = 3;
      bytes ce_bytes = 4;
      string ce_uri = 5;
      string ce_uri_ref = 6;
      google.protobuf.Timestamp ce_timestamp = 7;
    }
  }
}
`

func cloudEvent(t testing.TB) protoreflect.MessageDescriptor {
	t.Helper()
	compiler := protocompile.Compiler{Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(map[string]string{"e.proto": format}),
	})}
	files, err := compiler.Compile(context.Background(), "e.proto")
	if err != nil {
		t.Fatal(err)
	}
	return files[0].Messages().ByName("CloudEvent")
}

var at = time.Date(2026, 3, 4, 5, 6, 7, 891234567, time.UTC)

func whole() *events.Event {
	return &events.Event{
		ID: "0195-1", Source: "/transom/shop.Carts/Add", Type: "cart.added", Subject: "carts/7", Time: at,
		DataContentType: events.JSON, DataSchema: "https://example.com/cart",
		Extensions: []events.Extension{{"partitionkey", "ada"}, {"traceparent", "00-1-2-01"}},
		Data:       []byte(`{"name":"Žluťoučký"}`),
		Topic:      "misc_events", Key: "ada", Sinks: []string{"kafka", "audit"},
	}
}

func samples() map[string]*events.Event {
	binary := whole()
	binary.DataContentType, binary.Data = events.Protobuf, []byte{0, 0xff, 0xfe}
	return map[string]*events.Event{
		"whole":                  whole(),
		"binary":                 binary,
		"small":                  {ID: "1", Source: "/", Type: "a", Topic: "t", Data: []byte{}},
		"no data":                {ID: "1", Source: "/", Type: "a", Time: time.Unix(0, 0).UTC()},
		"text that is not UTF-8": {ID: "1", Source: "/", Type: "a", DataContentType: events.JSON, Data: []byte{0xff}},
		"before 1970":            {ID: "1", Source: "/", Type: "a", Time: time.Date(1914, 1, 1, 0, 0, 0, 5, time.UTC), Data: []byte("x")},
	}
}

func TestRecordsAreReadAsWritten(t *testing.T) {
	for name, e := range samples() {
		t.Run(name, func(t *testing.T) {
			got, err := events.ParseRecord(events.AppendRecord([]byte(nil), e))
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, events.Record{Event: e}) {
				t.Errorf("got  %+v\nwant %+v", got.Event, e)
			}
			got, err = events.ParseRecord(events.AppendIntent(nil, e))
			if err != nil || !reflect.DeepEqual(got, events.Record{Intent: e}) {
				t.Errorf("as an intent: got %+v, %v", got, err)
			}
		})
	}
	if got, err := events.ParseRecord(events.AppendDone(nil, "7")); err != nil || got != (events.Record{Done: "7"}) {
		t.Errorf("done: got %+v, %v", got, err)
	}
}

// TestCloudEventsProtobufFormat has protobuf-go read and write the format.
func TestCloudEventsProtobufFormat(t *testing.T) {
	descriptor := cloudEvent(t)
	for name, e := range samples() {
		t.Run(name, func(t *testing.T) {
			m := dynamicpb.NewMessage(descriptor)
			if err := proto.Unmarshal(events.AppendCloudEvent(nil, e), m); err != nil {
				t.Fatal(err)
			}
			field := func(name protoreflect.Name) protoreflect.Value { return m.Get(descriptor.Fields().ByName(name)) }
			if field("id").String() != e.ID || field("source").String() != e.Source || field("type").String() != e.Type || field("spec_version").String() != "1.0" {
				t.Errorf("protobuf-go reads %v", m)
			}
			text, data := field("text_data").String(), field("binary_data").Bytes()
			if text+string(data) != string(e.Data) || text != "" && e.DataContentType != events.JSON {
				t.Errorf("the data are text %q and bytes %q", text, data)
			}
			if m.ProtoReflect().GetUnknown() != nil {
				t.Errorf("unknown fields: %x", m.ProtoReflect().GetUnknown())
			}
			attributes := field("attributes").Map()
			for _, x := range e.Extensions {
				value := attributes.Get(protoreflect.ValueOfString(x.Name).MapKey()).Message()
				if got := value.Get(value.Descriptor().Fields().ByName("ce_string")).String(); got != x.Value {
					t.Errorf("%s is %q", x.Name, got)
				}
			}
			written, err := proto.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			again, err := events.ParseCloudEvent(written)
			if err != nil {
				t.Fatal(err)
			}
			want := *e
			want.Topic, want.Key, want.Sinks = "", "", nil
			sortExtensions(again)
			if !reflect.DeepEqual(again, &want) {
				t.Errorf("got  %+v\nwant %+v", again, &want)
			}
		})
	}
}

func sortExtensions(e *events.Event) {
	for i := range e.Extensions {
		for j := i; j > 0 && e.Extensions[j].Name < e.Extensions[j-1].Name; j-- {
			e.Extensions[j], e.Extensions[j-1] = e.Extensions[j-1], e.Extensions[j]
		}
	}
}

func TestRecordsThatAreNone(t *testing.T) {
	good := events.AppendRecord(nil, whole())
	for name, record := range map[string][]byte{
		"nothing":       nil,
		"no event":      {0x0a, 1, 'x'},
		"cut":           good[:len(good)-1],
		"other version": {0x22, 5, 0x1a, 3, '0', '.', '3'},
		"group":         {0x0b},
		"two":           append(events.AppendDone(nil, "1"), good...),
		"an empty one":  events.AppendDone(nil, ""),
		"huge length":   {0x22, 0xff, 0xff, 0xff, 0xff, 0x0f},
	} {
		if e, err := events.ParseRecord(record); !errors.Is(err, events.ErrRecord) {
			t.Errorf("%s: got %+v and %v", name, e, err)
		}
	}
}

// FuzzParseRecord holds that any bytes are read as an event that is written and read the
// same, or refused.
func FuzzParseRecord(f *testing.F) {
	for _, e := range samples() {
		f.Add(events.AppendRecord(nil, e))
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		r, err := events.ParseRecord(record)
		switch {
		case err != nil, r.Done != "":
			return
		case r.Event == nil:
			r.Event = r.Intent
		}
		again, err := events.ParseRecord(events.AppendRecord(nil, r.Event))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := normal(again.Event), normal(r.Event); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	})
}

// normal is an event as text, without what the format does not keep: attributes without a
// value.
func normal(e *events.Event) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %q %q %q %v %q %q %q %q %q", e.ID, e.Source, e.Type, e.Subject, e.Time, e.DataContentType, e.DataSchema, e.Data, e.Topic, e.Key)
	for _, x := range e.Extensions {
		if x.Value != "" {
			fmt.Fprintf(&b, " %q=%q", x.Name, x.Value)
		}
	}
	for _, s := range e.Sinks {
		if s != "" {
			fmt.Fprintf(&b, " %q", s)
		}
	}
	return b.String()
}

func TestIDs(t *testing.T) {
	earlier, later := events.NewID(at), events.NewID(at.Add(time.Microsecond))
	if len(earlier) != 36 || earlier[14] != '7' || !strings.ContainsRune("89ab", rune(earlier[19])) || earlier[8] != '-' || earlier[23] != '-' {
		t.Errorf("%s is no UUID of version 7", earlier)
	}
	if earlier >= later || earlier == events.NewID(at) {
		t.Errorf("%s and %s", earlier, later)
	}
}

func TestRecordAllocations(t *testing.T) {
	e, buffer := whole(), make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { buffer = events.AppendRecord(buffer[:0], e) }); n != 0 {
		t.Errorf("a record makes %v allocations", n)
	}
}
