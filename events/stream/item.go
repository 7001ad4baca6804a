package stream

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/transom-gateway/transom/events"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// Item is what a stream gives its client. It is shared by clients, and is not to be changed.
type Item struct {
	// Cursor is where the stream is behind it.
	Cursor string
	// Name is "" for an event; else "begin", "reset", "reconnect" or "lagged".
	Name string
	// Message is a SubscribeResponse in wire format.
	Message []byte
	// JSON is the event, or what else is told, as JSON; nil where there is the cursor alone.
	JSON []byte
	// Outer is what Options.Outer has made of it.
	Outer any
}

// entry is an event of the log in memory.
type entry struct {
	offset uint64
	size   int
	event  *events.Event

	mu    sync.Mutex
	forms []form
	// all are the attributes for `allow`, made when the first class asks.
	all map[string]any
}

// form is an event as clients of one rule get it.
type form struct {
	fields string // of the rule
	item   *Item
	// variables are those of filters, made when the first one asks.
	variables map[string]any
}

// overhead is what an entry takes in memory beside its texts, roughly.
const overhead = 512

// newEntry keeps an event. It is counted with what it becomes when it is encoded: a message and
// JSON.
func newEntry(offset uint64, e *events.Event) *entry {
	n := overhead + len(e.ID) + len(e.Source) + len(e.Type) + len(e.Subject) + len(e.Key)
	for _, x := range e.Extensions {
		n += 2 * (len(x.Name) + len(x.Value))
	}
	return &entry{offset: offset, event: e, size: n + 4*len(e.Data)}
}

// value is the data, where that is JSON. It is not kept: as a tree it takes several times what it takes as text, for as
// long as the event is in memory, and most streams look at it once.
func (e *entry) value() (data any, isJSON bool) {
	media, _, _ := strings.Cut(e.event.DataContentType, ";")
	if media = strings.TrimSpace(media); media == events.JSON || strings.HasSuffix(media, "+json") {
		isJSON = json.Unmarshal(e.event.Data, &data) == nil
	}
	return data, isJSON
}

// picked is value as clients of a rule get it.
func (e *entry) picked(r *rule) (data any, isJSON bool) {
	data, isJSON = e.value()
	if isJSON && len(r.fields) > 0 {
		data = pick(data, r.fields)
	}
	return data, isJSON
}

// everything is what `allow` sees.
func (e *entry) everything() map[string]any {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.all == nil {
		e.all = e.attributes(e.value())
	}
	return e.all
}

// attributes are those of the event, with data, for expressions.
func (e *entry) attributes(data any, isJSON bool) map[string]any {
	v := e.event
	all := map[string]any{"id": v.ID, "source": v.Source, "type": v.Type, "subject": v.Subject, "time": v.Time.UTC().Format(time.RFC3339Nano)}
	for _, x := range v.Extensions {
		all[x.Name] = x.Value
	}
	delete(all, "data")
	if isJSON {
		all["data"] = data
	}
	return all
}

// form returns the event as clients of a rule get it, which is made once.
func (e *entry) form(r *rule) *form {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.forms {
		if e.forms[i].fields == r.fieldsKey {
			return &e.forms[i]
		}
	}
	data, isJSON := e.picked(r)
	raw := e.event.Data
	if len(r.fields) > 0 {
		raw = nil
		if isJSON {
			raw, _ = json.Marshal(data) // it comes of JSON
		}
	}
	f := form{fields: r.fieldsKey, item: e.encode(r, data, isJSON, raw)}
	r.hub.stats.encoded.Add(1)
	if r.hub.options.Outer != nil {
		f.item.Outer = r.hub.options.Outer(f.item)
	}
	e.forms = append(e.forms[:len(e.forms):len(e.forms)], f) // pointers into the one before stay
	return &e.forms[len(e.forms)-1]
}

// variables are those of the filters of clients of a rule.
func (e *entry) variables(r *rule) map[string]any {
	f := e.form(r)
	e.mu.Lock()
	defer e.mu.Unlock()
	if f.variables == nil {
		f.variables = e.attributes(e.picked(r))
	}
	return f.variables
}

// encode makes the item of an event, whose data is also raw.
func (e *entry) encode(r *rule, data any, isJSON bool, raw []byte) *Item {
	v := e.event
	m := &transomv1.StreamedEvent{
		Id: valid(v.ID), Source: valid(v.Source), Type: valid(v.Type), Subject: valid(v.Subject), DataContentType: valid(v.DataContentType),
	}
	if !v.Time.IsZero() {
		m.Time = timestamppb.New(v.Time)
	}
	for _, x := range v.Extensions {
		if m.Extensions == nil {
			m.Extensions = map[string]string{}
		}
		m.Extensions[valid(x.Name)] = valid(x.Value)
	}
	if value, err := structpb.NewValue(data); isJSON && err == nil {
		m.Payload = &transomv1.StreamedEvent_Data{Data: value}
	} else if isJSON = false; len(raw) > 0 {
		m.Payload = &transomv1.StreamedEvent_DataBase64{DataBase64: raw}
	}
	cursor := r.hub.signer.cursor(v.Topic, e.offset+1)
	response := &transomv1.SubscribeResponse{Cursor: cursor, Kind: &transomv1.SubscribeResponse_Event{Event: m}}
	return &Item{Cursor: cursor, Message: marshal(response), JSON: eventJSON(m, isJSON, raw)}
}

func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// marshal makes a message whose texts are valid.
func marshal(m *transomv1.SubscribeResponse) []byte {
	wire, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil { // it cannot be; without an event its cursor is still right
		wire, _ = proto.Marshal(&transomv1.SubscribeResponse{Cursor: m.GetCursor()})
	}
	return wire
}

// eventJSON is an event as protojson writes it, on one line and in one way only, with its data as it
// is in the log.
func eventJSON(m *transomv1.StreamedEvent, isJSON bool, raw []byte) []byte {
	var o struct {
		ID         string            `json:"id,omitempty"`
		Source     string            `json:"source,omitempty"`
		Type       string            `json:"type,omitempty"`
		Subject    string            `json:"subject,omitempty"`
		Time       *time.Time        `json:"time,omitempty"`
		Content    string            `json:"dataContentType,omitempty"`
		Extensions map[string]string `json:"extensions,omitempty"`
		Data       json.RawMessage   `json:"data,omitempty"`
		Base64     string            `json:"dataBase64,omitempty"`
	}
	o.ID, o.Source, o.Type, o.Subject, o.Content, o.Extensions = m.GetId(), m.GetSource(), m.GetType(), m.GetSubject(), m.GetDataContentType(), m.GetExtensions()
	if m.GetTime() != nil {
		t := m.GetTime().AsTime()
		o.Time = &t
	}
	switch {
	case isJSON:
		o.Data = raw
	case len(raw) > 0:
		o.Base64 = base64.StdEncoding.EncodeToString(raw)
	}
	document, err := json.Marshal(o)
	if err != nil { // it was parsed before
		return []byte(`{}`)
	}
	return document
}

// pick keeps the fields of a JSON value whose paths are given.
func pick(value any, paths [][]string) any {
	object, ok := value.(map[string]any)
	if !ok {
		return map[string]any{}
	}
	kept := map[string]any{}
	for _, path := range paths {
		pickOne(kept, object, path)
	}
	return kept
}

// pickOne adds one path of an object to another one; in a list it holds for each element.
func pickOne(kept, object map[string]any, path []string) {
	value, has := object[path[0]]
	if !has {
		return
	}
	if len(path) == 1 {
		kept[path[0]] = value
		return
	}
	switch value := value.(type) {
	case map[string]any:
		inner, _ := kept[path[0]].(map[string]any)
		if inner == nil {
			inner = map[string]any{}
		}
		pickOne(inner, value, path[1:])
		kept[path[0]] = inner
	case []any:
		list, _ := kept[path[0]].([]any)
		if len(list) != len(value) {
			list = make([]any, len(value))
		}
		for i, element := range value {
			inner, _ := list[i].(map[string]any)
			if inner == nil {
				inner = map[string]any{}
			}
			if from, ok := element.(map[string]any); ok {
				pickOne(inner, from, path[1:])
			}
			list[i] = inner
		}
		kept[path[0]] = list
	}
}
