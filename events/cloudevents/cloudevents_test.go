package cloudevents

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/transom-gateway/transom/events"
)

func sample() *events.Event {
	return &events.Event{
		ID: "01890a5d-ac96-774b-bcce-b302099a8057", Source: "/transom/books.v1.Books/Create", Type: "user.book_created",
		Subject: `the "é" book`, Time: time.Date(2026, 11, 29, 12, 0, 0, 5e6, time.UTC), DataContentType: events.JSON,
		Extensions: []events.Extension{{Name: "correlationid", Value: "r-1"}, {Name: "traceparent", Value: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}},
		Data:       []byte(`{"title":"é"}`), Topic: "user_behaviors", Key: "ann 100%",
	}
}

func byName(t *testing.T, m Message) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, h := range m.Headers {
		if _, twice := all[h.Name]; twice {
			t.Errorf("the header %s is there twice", h.Name)
		}
		all[h.Name] = h.Value
	}
	return all
}

func TestBinary(t *testing.T) {
	type write = func(*events.Event, Mode) (Message, error)
	for name, test := range map[string]struct {
		write write
		want  map[string]string
	}{
		"Kafka": {Kafka, map[string]string{
			"ce_specversion": "1.0", "ce_id": "01890a5d-ac96-774b-bcce-b302099a8057", "ce_source": "/transom/books.v1.Books/Create", "ce_type": "user.book_created",
			"ce_subject": `the "é" book`, "ce_time": "2026-11-29T12:00:00.005Z", "content-type": "application/json",
			"ce_correlationid": "r-1", "ce_traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "ce_partitionkey": "ann 100%",
		}},
		"NATS": {NATS, map[string]string{
			"ce-specversion": "1.0", "ce-id": "01890a5d-ac96-774b-bcce-b302099a8057", "ce-source": "/transom/books.v1.Books/Create", "ce-type": "user.book_created",
			"ce-subject": "the%20%22%C3%A9%22%20book", "ce-time": "2026-11-29T12:00:00.005Z", "content-type": "application/json",
			"ce-correlationid": "r-1", "ce-traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "ce-partitionkey": "ann%20100%25",
		}},
		"HTTP": {HTTP, map[string]string{
			"ce-specversion": "1.0", "ce-id": "01890a5d-ac96-774b-bcce-b302099a8057", "ce-source": "/transom/books.v1.Books/Create", "ce-type": "user.book_created",
			"ce-subject": "the%20%22%C3%A9%22%20book", "ce-time": "2026-11-29T12:00:00.005Z", "Content-Type": "application/json",
			"ce-correlationid": "r-1", "ce-traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "ce-partitionkey": "ann%20100%25",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := test.write(sample(), Binary)
			if err != nil {
				t.Fatal(err)
			}
			if got := byName(t, m); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got headers\n%v\nwant\n%v", got, test.want)
			}
			if string(m.Body) != `{"title":"é"}` || m.Trimmed {
				t.Errorf("got body %s, trimmed %t", m.Body, m.Trimmed)
			}
		})
	}
}

func TestStructured(t *testing.T) {
	const want = `{"specversion":"1.0","id":"01890a5d-ac96-774b-bcce-b302099a8057","source":"/transom/books.v1.Books/Create","type":"user.book_created",` +
		`"time":"2026-11-29T12:00:00.005Z","subject":"the \"é\" book","partitionkey":"ann 100%","correlationid":"r-1",` +
		`"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","datacontenttype":"application/json","data":{"title":"é"}}`
	for name, write := range map[string]func(*events.Event, Mode) (Message, error){"Kafka": Kafka, "NATS": NATS, "HTTP": HTTP} {
		m, err := write(sample(), Structured)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(m.Body); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
		if len(m.Headers) != 1 || !strings.EqualFold(m.Headers[0].Name, "content-type") || m.Headers[0].Value != "application/cloudevents+json; charset=utf-8" {
			t.Errorf("%s: got headers %v", name, m.Headers)
		}
	}
	if got := string(Batch([]*events.Event{sample(), sample()})); got != "["+want+","+want+"]" {
		t.Errorf("got the batch %s", got)
	}
	if got := string(Batch(nil)); got != "[]" {
		t.Errorf("got the empty batch %s", got)
	}
}

// TestNoData holds that no event is taken for the deletion of its key.
func TestNoData(t *testing.T) {
	for _, test := range []struct{ contentType, want, document string }{
		{"", "{}", `"data":{}`},
		{events.JSON, "{}", `"data":{}`},
		{"application/vnd.book+json; charset=utf-8", "{}", `"data":{}`},
		{events.Protobuf, "", `"data_base64":""`},
	} {
		e := &events.Event{ID: "1", Source: "/s", Type: "t", DataContentType: test.contentType}
		m, err := Kafka(e, Binary)
		if err != nil || m.Body == nil || string(m.Body) != test.want {
			t.Errorf("%q: got %q (nil: %t), %v; want %q", test.contentType, m.Body, m.Body == nil, err, test.want)
		}
		if got := string(AppendJSON(nil, e)); !strings.Contains(got, test.document) {
			t.Errorf("%q: got %s, want %s in it", test.contentType, got, test.document)
		}
	}
}

func TestBinaryDataInDocuments(t *testing.T) {
	for name, e := range map[string]*events.Event{
		"protobuf":     {ID: "1", Source: "/s", Type: "t", DataContentType: events.Protobuf, Data: []byte{0, 1, 0xff}},
		"broken JSON":  {ID: "1", Source: "/s", Type: "t", DataContentType: events.JSON, Data: []byte(`{"a":`)},
		"no UTF-8":     {ID: "1", Source: "/s", Type: "t", DataContentType: events.JSON, Data: []byte("\"\xff\"")},
		"two of JSON":  {ID: "1", Source: "/s", Type: "t", DataContentType: events.JSON, Data: []byte(`{},"id":"2"`)},
		"text of JSON": {ID: "1", Source: "/s", Type: "t", DataContentType: "text/plain", Data: []byte(`{}`)},
	} {
		var document struct {
			Data   json.RawMessage `json:"data"`
			Base64 []byte          `json:"data_base64"`
			ID     string          `json:"id"`
		}
		if err := json.Unmarshal(AppendJSON(nil, e), &document); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if string(document.Base64) != string(e.Data) || document.Data != nil || document.ID != "1" {
			t.Errorf("%s: got %q as base64 and %s, want %q", name, document.Base64, document.Data, e.Data)
		}
	}
}

// TestBounds holds that extensions are left out before attributes, and the longest first.
func TestBounds(t *testing.T) {
	e := sample()
	e.Extensions = append(e.Extensions, events.Extension{Name: "huge", Value: strings.Repeat("x", MaxHeader)})
	for _, name := range []string{"a", "b", "c", "d", "f"} {
		e.Extensions = append(e.Extensions, events.Extension{Name: name, Value: strings.Repeat("x", 7<<10)})
	}
	m, err := Kafka(e, Binary)
	if err != nil {
		t.Fatal(err)
	}
	got, total := byName(t, m), 0
	for name, value := range got {
		total += len(name) + len(value)
	}
	if total > MaxHeaders || !m.Trimmed {
		t.Errorf("got %d bytes of headers, trimmed %t", total, m.Trimmed)
	}
	for _, name := range []string{"ce_subject", "ce_time", "ce_traceparent", "ce_correlationid", "ce_partitionkey", "ce_a", "ce_d"} {
		if got[name] == "" {
			t.Errorf("%s is missing", name)
		}
	}
	for _, name := range []string{"ce_huge", "ce_f"} {
		if got[name] != "" {
			t.Errorf("%s is there", name)
		}
	}

	e = sample()
	e.Subject = strings.Repeat("é", MaxHeader/6+1) // too long for HTTP alone
	if m, err := Kafka(e, Binary); err != nil || m.Trimmed {
		t.Errorf("got trimmed %t, %v", m.Trimmed, err)
	}
	if m, err := HTTP(e, Binary); err != nil || !m.Trimmed || byName(t, m)["ce-subject"] != "" {
		t.Errorf("got trimmed %t, %v, %v", m.Trimmed, err, m.Headers)
	}
	e.Source = strings.Repeat("x", MaxHeader)
	if _, err := Kafka(e, Binary); err == nil || !strings.Contains(err.Error(), "the attribute source has 8192 bytes") {
		t.Errorf("got %v", err)
	}
}

// TestNamesOfExtensions holds that no extension stands for an attribute, nor ends its header.
func TestNamesOfExtensions(t *testing.T) {
	e := &events.Event{ID: "1", Source: "/s", Type: "t"}
	for _, name := range []string{"id", "data", "datacontenttype", "UPPER", "a-b", "a\r\nb", "", "é", strings.Repeat("x", 21)} {
		e.Extensions = append(e.Extensions, events.Extension{Name: name, Value: "v"})
	}
	for _, write := range []func(*events.Event, Mode) (Message, error){Kafka, HTTP} {
		if m, err := write(e, Binary); err != nil || len(m.Headers) != 5 {
			t.Errorf("got %v, %v", m.Headers, err)
		}
	}
	const want = `{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"application/json","data":{}}`
	if got := string(AppendJSON(nil, e)); got != want {
		t.Errorf("got %s", got)
	}
}

// FuzzMessages writes events with any values, and reads them back.
func FuzzMessages(f *testing.F) {
	f.Add("1", "/s", "t", "sub", "key", "ext", "application/json", []byte("{}"))
	f.Add("%41", "/s\r\nce-id: 2", "t\x00", "\xff\"", "é 100%", "\u2028\\", "application/json", []byte(`{"a":`))
	f.Add("\ud7ff", "\x7f", "", strings.Repeat("a", MaxHeader), "", "", "application/protobuf", []byte{0xff})
	f.Fuzz(func(t *testing.T, id, source, kind, subject, key, extension, contentType string, body []byte) {
		e := &events.Event{ID: id, Source: source, Type: kind, Subject: subject, Key: key, DataContentType: contentType, Data: body,
			Extensions: []events.Extension{{Name: "ext", Value: extension}}}
		want := map[string]string{"specversion": "1.0", "id": id, "source": source, "type": kind, "subject": subject, "partitionkey": key, "ext": extension}
		for name, value := range want {
			want[name] = validText(value)
		}
		holdDocument(t, e, want)
		for name, write := range map[string]func(*events.Event, Mode) (Message, error){"ce_": Kafka, "ce-": HTTP} {
			m, err := write(e, Binary)
			if err == nil {
				holdHeaders(t, name, m, want)
			}
		}
	})
}

func holdHeaders(t *testing.T, prefix string, m Message, want map[string]string) {
	t.Helper()
	total, got := 0, byName(t, m)
	for name, value := range got {
		if total += len(name) + len(value); len(name)+len(value) > MaxHeader {
			t.Errorf("%s has %d bytes", name, len(value))
		}
		attribute, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		if prefix == "ce-" {
			if strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > '~' }) {
				t.Errorf("%s: %q cannot stand in a header", name, value)
			}
			plain, err := url.PathUnescape(value)
			if err != nil {
				t.Fatal(err)
			}
			value = plain
		}
		if value != want[attribute] || !utf8.ValidString(value) {
			t.Errorf("%s: got %q, want %q", name, value, want[attribute])
		}
	}
	for attribute, value := range want {
		if _, ok := got[prefix+attribute]; !ok && value != "" && !m.Trimmed {
			t.Errorf("%s is missing", attribute)
		}
	}
	if total > MaxHeaders || m.Body == nil {
		t.Errorf("got %d bytes of headers, and the body %q", total, m.Body)
	}
}

func holdDocument(t *testing.T, e *events.Event, want map[string]string) {
	t.Helper()
	document := AppendJSON(nil, e)
	if !utf8.Valid(document) {
		t.Errorf("%q is not UTF-8", document)
	}
	var got map[string]any
	if err := json.Unmarshal(document, &got); err != nil {
		t.Fatalf("%s: %v", document, err)
	}
	for name, value := range want {
		if text, _ := got[name].(string); text != value {
			t.Errorf("%s: got %q, want %q", name, text, value)
		}
	}
	_, body := data(e)
	if text, ok := got["data_base64"].(string); ok {
		if plain, err := base64.StdEncoding.DecodeString(text); err != nil || string(plain) != string(body) {
			t.Errorf("got data %q, %v; want %q", plain, err, body)
		}
		return
	}
	var plain any
	if err := json.Unmarshal(body, &plain); err != nil || !reflect.DeepEqual(got["data"], plain) {
		t.Errorf("got data %v, want %v (%v)", got["data"], plain, err)
	}
}
