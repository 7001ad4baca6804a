package rule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/transom-gateway/transom/events"
	"github.com/transom-gateway/transom/internal/testing/eventtest"
	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// bench is a method with rules, and what it publishes.
type bench struct {
	*eventtest.Recorder
	set    *policy.Set
	target policy.Target
}

func newBench(t testing.TB, c *transomv1.Config, text string) *bench {
	t.Helper()
	b := &bench{Recorder: new(eventtest.Recorder), target: targetOf(t, "Put", text)}
	b.set = policytest.MustCompile(t, policytest.NewAuthBench(t, c, kindsOf(b)...).Compiler, b.target)
	return b
}

// book is a message of the method.
func (b *bench) book(t testing.TB, text string) []byte {
	t.Helper()
	m := dynamicpb.NewMessage(b.target.Method.Input())
	if err := protojson.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	wire, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

// run runs a call that ends with err.
func (b *bench) run(ctx context.Context, r *policy.Request, request, response []byte, err error) error {
	ctx, refused := b.set.Admit(ctx, r)
	if refused == nil {
		refused = b.set.Message(ctx, r, request)
	}
	if refused != nil {
		err = refused
	} else if err == nil {
		_, err = b.set.Reply(ctx, r, response)
	}
	err = b.set.Conclude(ctx, r, &policy.Outcome{Code: status.Code(err)}, err)
	b.set.Done(r, &policy.Outcome{Code: status.Code(err)})
	return err
}

func callBy(principal string) *policy.Request {
	return policytest.NewCall(func(r *policy.Request) {
		r.RequestID = "req-1"
		if principal != "" {
			r.Identity = &policy.Identity{Principal: principal, Mechanism: "jwt"}
		}
	})
}

// TestAttributes: Events 121, 122 and 127: what an event says of its call.
func TestAttributes(t *testing.T) {
	c := config()
	c.Events.Extensions, c.Events.Source = []transomv1.Events_Extension{transomv1.Events_AUTH}, "https://shop.example/events"
	b := newBench(t, c, `events { type: "a" subject: "request.name" sample: 1 }`)
	r := callBy("ada\n")
	r.Metadata.Add("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	r.Metadata.Add("tracestate", "x=y")
	if err := b.run(t.Context(), r, b.book(t, `{"name":"n"}`), nil, nil); err != nil {
		t.Fatal(err)
	}
	e := b.Wait(t, 1)[0].Event
	want := []events.Extension{
		{Name: "authid", Value: "ada\uFFFD"}, {Name: "authtype", Value: "jwt"}, {Name: "correlationid", Value: "req-1"},
		{Name: "partitionkey", Value: "ada\uFFFD"}, {Name: "sampledrate", Value: "1"},
		{Name: "traceparent", Value: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, {Name: "tracestate", Value: "x=y"},
	}
	if fmt.Sprint(e.Extensions) != fmt.Sprint(want) || e.Subject != "n" || e.Source != "https://shop.example/events/rules.v1.Books/Put" || string(e.Data) != "{}" {
		t.Errorf("%+v", e)
	}
	r = callBy("")
	r.HTTP.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0\n")
	if err := b.run(t.Context(), r, nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	if e := b.Wait(t, 2)[1].Event; e.Key != "" || e.Extension("traceparent") != "" || e.Extension("authtype") != "unauthenticated" || e.Extension("authid") != "" {
		t.Errorf("%+v", e)
	}
}

// TestSamples: Events 132: a caller is in or out as a whole, and errors are never out.
func TestSamples(t *testing.T) {
	b := newBench(t, config(), `events { type: "a" on: [REQUEST, RESPONSE, ERROR] sample: 0.25 }`)
	in := 0
	for n := range 400 {
		b.Reset()
		r := callBy(fmt.Sprint("user-", n))
		if err := errors.Join(b.run(t.Context(), r, nil, nil, nil), b.run(t.Context(), callBy(r.Identity.Principal), nil, nil, nil)); err != nil {
			t.Fatal(err)
		}
		switch len(b.All()) {
		case 4:
			in++
			if b.All()[0].Extension("sampledrate") != "4" {
				t.Errorf("%+v", b.All()[0].Event)
			}
		case 0:
		default:
			t.Fatalf("user %d is in with %d of 4 events", n, len(b.All()))
		}
		b.Reset()
		_ = b.run(t.Context(), callBy(r.Identity.Principal), nil, nil, status.Error(codes.NotFound, "none"))
		if all := b.All(); len(all) == 0 || all[len(all)-1].Extension("code") != "NOT_FOUND" || all[len(all)-1].Extension("sampledrate") != "" {
			t.Fatalf("user %d: %v", n, all)
		}
	}
	if in < 60 || in > 140 { // of 100 that are expected, by the same keys each time
		t.Errorf("%d of 400 are in", in)
	}
}

// TestSampledErrors: Events 132: errors are sampled where the rule says so, and calls without a key one by one.
func TestSampledErrors(t *testing.T) {
	b := newBench(t, config(), `events { type: "a" on: [RESPONSE, ERROR] sample: 0.25 sample_errors: true }`)
	failed := status.Error(codes.NotFound, "none")
	for n := range 400 {
		by := fmt.Sprint("user-", n)
		b.Reset()
		if err := b.run(t.Context(), callBy(by), nil, nil, nil); err != nil {
			t.Fatal(err)
		}
		in := len(b.All())
		b.Reset()
		_ = b.run(t.Context(), callBy(by), nil, nil, failed)
		if all := b.All(); len(all) != in || in == 1 && all[0].Extension("sampledrate") != "4" {
			t.Fatalf("user %d is in with %d answers and %v", n, in, all)
		}
	}
	b.Reset()
	const nobody = 2000
	for range nobody {
		_ = b.run(t.Context(), callBy(""), nil, nil, nil)
	}
	if in := len(b.All()); in < nobody/8 || in > nobody/2 { // of 500 that are expected; by chance it is never so far off
		t.Errorf("%d of %d calls of nobody are in", in, nobody)
	}
}

// TestConditions: Events 132: only what is true is published, and nothing where that cannot be told.
func TestConditions(t *testing.T) {
	unknown := newBench(t, config(), `events { type: "a" when: "12 / (request.pages - 4) > 1" }`)
	for pages, want := range map[string]int{"8": 1, "4": 0, "40": 0} {
		unknown.Reset()
		if err := unknown.run(t.Context(), callBy("ada"), unknown.book(t, `{"pages":`+pages+`}`), nil, nil); err != nil || len(unknown.All()) != want {
			t.Errorf("%s pages published %d, %v", pages, len(unknown.All()), err)
		}
	}
	b := newBench(t, config(), `events { type: "a" on: [RESPONSE, ERROR] when: "request.pages > 3 && response.name != 'no'" }`)
	for _, test := range []struct {
		request, response string
		err               error
		want              int
	}{
		{`{"pages":4}`, `{"name":"yes"}`, nil, 1}, {`{"pages":3}`, `{"name":"yes"}`, nil, 0}, {`{"pages":4}`, `{"name":"no"}`, nil, 0},
		{`{"pages":4}`, `{}`, status.Error(codes.Internal, "x"), 1},
	} {
		b.Reset()
		_ = b.run(t.Context(), callBy("ada"), b.book(t, test.request), b.book(t, test.response), test.err)
		if len(b.All()) != test.want {
			t.Errorf("%+v published %d", test, len(b.All()))
		}
	}
}

// TestData: Events 123, 124 and 150: data as JSON, as bytes, and too large.
func TestData(t *testing.T) {
	const large = 300 << 10
	for _, test := range []struct{ rule, response, data, kind, mark string }{
		{`fields: "*"`, `{"name":"n","secret":"s","pages":"1","tags":["t"]}`, `{"name":"n","pages":"1","tags":["t"]}`, events.JSON, ""},
		{`fields: ["request.name", "name"]`, `{"name":"n"}`, `{"request":{"name":"r"},"response":{"name":"n"}}`, events.JSON, ""},
		{`fields: "name" encoding: PROTOBUF`, `{"name":"n","secret":"s"}`, "\x0a\x01n", events.Protobuf, ""},
		{`fields: "name"`, `{"name":"` + strings.Repeat("x", large) + `"}`, `{}`, events.JSON, "datatruncated"},
		{`fields: "name" encoding: PROTOBUF`, `{"name":"` + strings.Repeat("x", large) + `"}`, ``, events.Protobuf, "datatruncated"},
	} {
		b := newBench(t, config(), `events { type: "a" `+test.rule+` } json { omit_defaults: true }`)
		if err := b.run(t.Context(), callBy("ada"), b.book(t, `{"name":"r"}`), b.book(t, test.response), nil); err != nil {
			t.Fatal(err)
		}
		e := b.Wait(t, 1)[0].Event
		if !sameData(e, test.data) || e.DataContentType != test.kind || e.Data == nil || test.mark != "" && e.Extension(test.mark) != "true" {
			t.Errorf("%s: %.200s, %v", test.rule, e.Data, e.Extensions)
		}
		if test.mark == "" && e.Extension("datatruncated") != "" {
			t.Errorf("%s: %v", test.rule, e.Extensions)
		}
		if test.kind == events.Protobuf && e.DataSchema != "https://type.googleapis.com/rules.v1.Book" {
			t.Error(e.DataSchema)
		}
	}
	c := config()
	c.Events.MaxEventBytes = 64 << 10
	for size, cut := range map[int]bool{32 << 10: false, 80 << 10: true} {
		b := newBench(t, c, `events { type: "a" fields: "name" }`)
		if err := b.run(t.Context(), callBy("ada"), nil, b.book(t, `{"name":"`+strings.Repeat("x", size)+`"}`), nil); err != nil {
			t.Fatal(err)
		}
		if e := b.Wait(t, 1)[0].Event; (e.Extension("datatruncated") == "true") != cut || (len(e.Data) < size) != cut {
			t.Errorf("%d bytes with a bound of 64 KiB: %d bytes of data, %v", size, len(e.Data), e.Extensions)
		}
	}
	b := newBench(t, config(), `events { type: "a" fields: "name" }`)
	if err := b.run(t.Context(), callBy("ada"), nil, protowire.AppendTag(nil, 1, protowire.BytesType), nil); err != nil {
		t.Fatal(err)
	}
	if e := b.Wait(t, 1)[0].Event; e.Extension("datainvalid") != "true" || string(e.Data) != "{}" {
		t.Errorf("%+v", e)
	}
}

func sameData(e *events.Event, want string) bool {
	if e.DataContentType != events.JSON {
		return string(e.Data) == want
	}
	var a, b any
	return json.Unmarshal(e.Data, &a) == nil && json.Unmarshal([]byte(want), &b) == nil && reflect.DeepEqual(a, b)
}

// TestClientGone: Events 139: the event of a call whose backend has answered is stored though the client
// is gone, and that of one whose client left before is an error.
func TestClientGone(t *testing.T) {
	b := newBench(t, config(), `events { type: "a" on: [RESPONSE, ERROR] delivery: AT_LEAST_ONCE }`)
	ctx, leave := context.WithCancel(t.Context())
	leave()
	if err := b.run(ctx, callBy("ada"), nil, nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.run(ctx, callBy("ada"), nil, nil, status.FromContextError(ctx.Err()).Err()); status.Code(err) != codes.Canceled {
		t.Fatal(err)
	}
	if all := b.All(); len(all) != 2 || all[0].How != "store" || all[1].How != "store" || all[1].Extension("code") != "CANCELLED" {
		t.Errorf("%v", all)
	}
}

// TestRefuseAnswer: Events 137: by setting, an answer whose event cannot be stored is none.
func TestRefuseAnswer(t *testing.T) {
	c := config()
	c.Events.Log = &transomv1.EventLog{OnAppendFailure: transomv1.EventLog_REFUSE_ANSWER}
	b := newBench(t, c, `events { type: "a" on: [RESPONSE, ERROR] delivery: AT_LEAST_ONCE }`)
	b.Fail = errors.New("full")
	for _, err := range []error{nil, status.Error(codes.NotFound, "none")} {
		r := callBy("ada")
		got := b.run(t.Context(), r, nil, nil, err)
		if status.Code(got) != codes.Unavailable || len(status.Convert(got).Details()) != 1 || r.RefusedBy != name {
			t.Errorf("%v is %v, refused by %q", err, got, r.RefusedBy)
		}
	}
	if all := b.All(); len(all) != 2 || all[0].How != "lost" {
		t.Errorf("%v", all)
	}
}
