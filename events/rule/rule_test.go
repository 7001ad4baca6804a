package rule

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/internal/testing/eventtest"
	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestMain fails if any goroutine outlives the tests.
func TestMain(m *testing.M) { policytest.Main(m) }

const booksProto = `
syntax = "proto3";
package rules.v1;
import "google/protobuf/timestamp.proto";
import "transom/v1/annotations.proto";
message Book {
  string name = 1;
  string secret = 2 [(transom.v1.field).sensitive = true];
  int64 pages = 3;
  Book next = 4;
  repeated string tags = 5;
  google.protobuf.Timestamp at = 6;
  Book hidden = 7 [(transom.v1.field).sensitive = true];
}
service Books {
  rpc Put(Book) returns (Book);
  rpc Watch(Book) returns (stream Book);
  rpc Upload(stream Book) returns (Book);
}
`

func kindsOf(p events.Publisher) []policy.Kind {
	first, last := Kinds(Options{Open: kindsOpen(p)})
	return append(first, last...)
}

func kindsOpen(p events.Publisher) func(*policy.Generation) (events.Publisher, error) {
	return func(*policy.Generation) (events.Publisher, error) { return p, nil }
}

func config() *transomv1.Config {
	return &transomv1.Config{Events: &transomv1.Events{
		Kafka: &transomv1.KafkaSink{}, Sinks: map[string]*transomv1.EventSink{"hook": nil}, HashKey: strings.Repeat("k", 32),
		Topics: []*transomv1.EventTopic{{Types: "book.*", Topic: "books"}, {Types: "book.page.*", Topic: "pages"}, {Types: "book.page.turned", Topic: "turned"}},
	}}
}

func targetOf(t testing.TB, method protoreflect.Name, text string) policy.Target {
	t.Helper()
	d, err := policytest.Load(t, booksProto).Files().FindDescriptorByName("rules.v1.Books")
	if err != nil {
		t.Fatal(err)
	}
	layers := policytest.LayersOf(t, text)
	layers[0].Exact = true
	m := d.(protoreflect.ServiceDescriptor).Methods().ByName(method) //nolint:forcetypeassert // it is one
	return policy.Target{Method: m, RPC: "rules.v1.Books/" + string(method), Layers: layers}
}

// TestCompile: Events 120, 124, 127, 128, 131, 132 and 138: what rules mean, and what is refused.
func TestCompile(t *testing.T) {
	for _, test := range []struct {
		method     protoreflect.Name
		text, want string
	}{
		{"Put", `type: "book.read"`, "book.read on RESPONSE to books"},
		{"Put", `type: "book.read" topic: "x"`, "book.read on RESPONSE to x"},
		{"Put", `type: "book.page.turned"`, "book.page.turned on RESPONSE to turned"},
		{"Put", `type: "book.page.torn"`, "book.page.torn on RESPONSE to pages"},
		{"Put", `type: "user.click"`, "user.click on RESPONSE to user_behaviors"},
		{"Put", `type: "other"`, "other on RESPONSE to misc_events"},
		{"Put", `type: "a" on: [REQUEST, ERROR] fields: "name" delivery: AT_LEAST_ONCE sample: 0.25`,
			"a on REQUEST to misc_events, at least once, of 25 %; a on ERROR to misc_events, at least once, of 25 %"},
		{"Put", `type: "a" fields: ["request.next.name", "response.*"] subject: "request.name" key: "pages" sinks: ["kafka", "hook"]`, "a on RESPONSE to misc_events"},
		{"Put", `type: "a" fields: "secret" sensitive: HASH`, "a on RESPONSE to misc_events"},
		{"Put", `type: "a" fields: "*" encoding: PROTOBUF intent: true delivery: AT_LEAST_ONCE`, "a on RESPONSE to misc_events, at least once"},
		{"Put", `type: "a" when: "request.pages > 3 && response.name != '' && claims.x == 1"`, "a on RESPONSE to misc_events"},
		{"Watch", `type: "a" on: [REQUEST, RESPONSE] fields: "request.name"`, "a on REQUEST to misc_events; a on RESPONSE to misc_events"},
		{"Upload", `type: "a" fields: "name"`, "a on RESPONSE to misc_events"},

		{"Put", ``, `!events[0].type: found "", expected words of letters`},
		{"Put", `type: "a..b"`, `!events[0].type: found "a..b"`},
		{"Put", `type: "api.read"`, `!events[0].type: found "api.read", but api.*, auth.* and transom.* are events of the gateway's own`},
		{"Put", `type: "Transom.read"`, `!events[0].type: found "Transom.read", but api.*, auth.* and transom.* are events of the gateway's own`},
		{"Put", `type: "a" topic: "a b"`, `!events[0].topic: found "a b", expected 1 to 249 of letters`},
		{"Put", `type: "a" on: [REQUEST, REQUEST]`, `!events[0].on[1]: found REQUEST, expected each`},
		{"Put", `type: "a" fields: "nam"`, `!events[0].fields[0]: found "nam": rules.v1.Book has no field "nam"; expected one of at, hidden, name`},
		{"Put", `type: "a" on: [REQUEST, ERROR] fields: "request.nam"`, `!events[0].fields[0]: found "request.nam"`},
		{"Put", `type: "a" fields: ["name", "secret"]`, `!events[0].fields[1]: found "secret": the field "rules.v1.Book.secret" is marked sensitive`},
		{"Put", `type: "a" on: REQUEST fields: "response.name"`, `!events[0].fields[0]: found "response.name", but there is no response at REQUEST`},
		{"Watch", `type: "a" fields: "response.name"`, `!events[0].fields[0]: found "response.name", but rules.v1.Books.Watch answers with a stream`},
		{"Watch", `type: "a" fields: "name"`, `!events[0].fields[0]: found "name", but rules.v1.Books.Watch answers with a stream`},
		{"Upload", `type: "a" fields: "request.name"`, `!events[0].fields[0]: found "request.name", but rules.v1.Books.Upload takes a stream`},
		{"Put", `type: "a" subject: "secret"`, `!events[0].subject: found "secret": the field "rules.v1.Book.secret" is marked sensitive`},
		{"Put", `type: "a" subject: "tags"`, `!events[0].subject: found "tags": the field "rules.v1.Book.tags" has many values, expected one`},
		{"Put", `type: "a" key: "request.at"`, `!events[0].key: found "request.at": the field "rules.v1.Book.at" is of kind message`},
		{"Put", `type: "a" key: "header.Cookie"`, `!events[0].key: found "header.Cookie", which holds what proves who calls`},
		{"Put", `type: "a" key: "header.a b"`, `!events[0].key: found "header.a b", expected the name of a header`},
		{"Put", `type: "a" when: "request.pages"`, `!events[0].when: the expression gives int, expected bool`},
		{"Put", `type: "a" when: "response.nam == ''"`, `!events[0].when: the expression is wrong at 1:9: undefined field 'nam'`},
		{"Put", `type: "a" sample: 1.5`, `!events[0].sample: found 1.5, expected a number above 0 and up to 1`},
		{"Put", `type: "a" sample: nan`, `!events[0].sample: found NaN`},
		{"Put", `type: "a" sample_errors: true`, `!events[0].sample_errors: found it without sample`},
		{"Put", `type: "a" sinks: "kafak"`, `!events[0].sinks[0]: found "kafak", expected one of hook, kafka; did you mean kafka?`},
		{"Put", `type: "a" intent: true`, `!events[0].intent: found true without delivery: AT_LEAST_ONCE`},
		{"Put", `type: "a" on: REQUEST intent: true delivery: AT_LEAST_ONCE`, `!events[0].intent: found true, but the event is published before the call`},
		{"Put", `type: "a" encoding: PROTOBUF`, `!events[0].encoding: found PROTOBUF without fields`},
		{"Put", `type: "a" encoding: PROTOBUF fields: ["request.name", "name"]`, `!events[0].encoding: found PROTOBUF, but fields of the request and of the response`},
		{"Put", `type: "a" fields: "hidden" sensitive: HASH`, `!events[0].fields[0]: found "hidden": the field "rules.v1.Book.hidden" is marked sensitive, and hashes are for text`},
	} {
		t.Run(string(test.method)+" "+test.text, func(t *testing.T) {
			b := policytest.NewAuthBench(t, config(), kindsOf(&eventtest.Recorder{})...)
			b.CheckExplained(t, targetOf(t, test.method, "events { "+test.text+" }"), test.want)
		})
	}
}

// TestNoHashKey: Events 131: HASH needs a key.
func TestNoHashKey(t *testing.T) {
	c := config()
	c.Events.HashKey = ""
	b := policytest.NewAuthBench(t, c, kindsOf(&eventtest.Recorder{})...)
	b.CheckExplained(t, targetOf(t, "Put", `events { type: "a" fields: "secret" sensitive: HASH }`),
		"!events[0].sensitive: found HASH, which needs events.hash_key of the configuration, of 32 bytes at least")
}

// TestRoutes: what a plain HTTP route can publish.
func TestRoutes(t *testing.T) {
	for _, test := range []struct {
		text, want string
		inherited  bool
	}{
		{`type: "page.seen" on: [REQUEST, RESPONSE, ERROR] key: "header.X-Shop"`, "page.seen on REQUEST to misc_events; page.seen on RESPONSE to misc_events; page.seen on ERROR to misc_events", false},
		{`type: "page.seen" on: REQUEST delivery: AT_LEAST_ONCE`, "page.seen on REQUEST to misc_events, at least once", false},
		{`type: "a" fields: "name"`, `!events[0].fields: found name, but a plain HTTP route has no message`, false},
		{`type: "a" fields: "name"`, "", true},
		{`type: "a" subject: "name"`, `!events[0].subject: found "name", but a plain HTTP route has no message`, false},
		{`type: "a" key: "name"`, `!events[0].key: found "name", expected "principal"`, false},
		{`type: "a" delivery: AT_LEAST_ONCE`, "a on RESPONSE to misc_events, at least once", false},
	} {
		t.Run(test.text, func(t *testing.T) {
			layers := policytest.LayersOf(t, "events { "+test.text+" }")
			layers[0].Exact = !test.inherited
			b := policytest.NewAuthBench(t, config(), kindsOf(&eventtest.Recorder{})...)
			b.CheckExplained(t, policy.Target{PlainHTTP: true, RPC: "/**", Layers: layers}, test.want)
		})
	}
}

// TestTypes: what calls publish is known to others, too.
func TestTypes(t *testing.T) {
	b := policytest.NewAuthBench(t, config(), kindsOf(&eventtest.Recorder{})...)
	set := policytest.MustCompile(t, b.Compiler, targetOf(t, "Put", `events { type: "b" on: [REQUEST, ERROR] } events { type: "book.a" }`))
	part, ok := policy.Find[interface {
		EventTypes() []string
		EventTopics() []string
	}](set)
	if !ok || strings.Join(part.EventTypes(), " ") != "b book.a" || strings.Join(part.EventTopics(), " ") != "books misc_events" {
		t.Error(part)
	}
}
