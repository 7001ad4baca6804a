package rule

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/events/client"
	"github.com/transom-gateway/transom/internal/testing/eventtest"
	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// standIn is a policy of another package: it refuses calls, or logs somebody in.
type standIn struct {
	name    string
	refusal error
	user    string
}

func (p *standIn) Name() string { return p.name }

func (p *standIn) Admit(ctx context.Context, r *policy.Request) (context.Context, policy.Done, error) {
	if r.HTTP.Header.Get("X-Bad") != "" && p.refusal != nil {
		return ctx, nil, p.refusal
	}
	return ctx, nil, nil
}

func (p *standIn) Reply(_ context.Context, r *policy.Request, message []byte) ([]byte, error) {
	if p.user != "" {
		r.LoggedIn = p.user
	}
	return message, nil
}

// QueryParameters are those of a token.
func (p *standIn) QueryParameters() []string { return []string{"ticket"} }

func standInKind(p *standIn) policy.Kind {
	return policy.Kind{Field: p.name, Compile: func(s *policy.Scope) policy.Part {
		if !s.Policy.ProtoReflect().Has(s.Policy.ProtoReflect().Descriptor().Fields().ByName(protoreflect.Name(p.name))) {
			return nil
		}
		return p
	}}
}

func gatewayBench(t *testing.T, text string, rules ...*transomv1.GatewayEventRule) *bench {
	t.Helper()
	b := &bench{Recorder: new(eventtest.Recorder), target: targetOf(t, "Put", text+" auth { jwt {} }")}
	c := config()
	c.Events.Gateway = rules
	first, last := Kinds(Options{Open: kindsOpen(b)})
	kinds := slices.Concat(first, []policy.Kind{standInKind(&standIn{name: "auth", refusal: status.Error(codes.Unauthenticated, "no")}), standInKind(&standIn{name: "login", user: "eve"}),
		standInKind(&standIn{name: "logout"})}, last)
	b.set = policytest.MustCompile(t, policytest.NewAuthBench(t, c, kinds...).Compiler, b.target)
	b.set.Finish(nil)
	return b
}

func all() (rules []*transomv1.GatewayEventRule) {
	for _, kind := range gatewayTypes {
		rules = append(rules, &transomv1.GatewayEventRule{Type: kind, Query: true})
	}
	return rules
}

func visitor(principal string) *policy.Request {
	r := callBy(principal)
	r.Route, r.Protocol, r.ClientIP = "/v1/{name=books/*}", "rest", netip.MustParseAddr("203.0.113.77")
	r.HTTP.Header.Set("User-Agent", "curl/8")
	r.HTTP.URL.RawQuery = "a=1&Ticket=secret&access_token=secret&b=2"
	return r
}

// TestCalls: Events 130 and 203: what the gateway publishes of calls and logins.
func TestCalls(t *testing.T) {
	for _, test := range []struct {
		name, policy string
		change       func(*policy.Request)
		err          error
		want         string
	}{
		{name: "a call", want: "api.request api.response"},
		{name: "a failed call", err: status.Error(codes.NotFound, "no"), want: "api.request api.error"},
		{name: "a refused call", change: func(r *policy.Request) { r.HTTP.Header.Set("X-Bad", "1") }, want: "api.error auth.failure"},
		{name: "a login", policy: "login { subject: \"name\" }", want: "api.request api.response auth.login"},
		{name: "a failed login", policy: "login { subject: \"name\" }", err: status.Error(codes.Unauthenticated, "no"), want: "api.request api.error auth.failure"},
		{name: "a logout", policy: "logout {}", want: "api.request api.response auth.logout"},
		{name: "OPTIONS", change: func(r *policy.Request) { r.HTTP.Method = http.MethodOptions }},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := gatewayBench(t, test.policy, all()...)
			r := visitor("ada")
			if test.change != nil {
				test.change(r)
			}
			_ = b.run(t.Context(), r, nil, nil, test.err)
			var kinds []string
			for _, e := range b.All() {
				kinds = append(kinds, e.Type)
				if err := protojson.Unmarshal(e.Data, new(transomv1.CallEvent)); err != nil || e.How != "publish" || strings.Contains(string(e.Data), "secret") ||
					strings.Contains(string(e.Data), "113.77") || strings.HasPrefix(e.Type, "api.") && e.Topic != "api_events" {
					t.Errorf("%s: %s, %v", e.How, e.Data, err)
				}
			}
			if strings.Join(kinds, " ") != test.want {
				t.Errorf("got %q, want %q", kinds, test.want)
			}
		})
	}
}

// TestCallEvent: Events 203: what is told of a call.
func TestCallEvent(t *testing.T) {
	b := gatewayBench(t, "", &transomv1.GatewayEventRule{Type: "api.response", Query: true}, &transomv1.GatewayEventRule{Type: "api.request"})
	for _, principal := range []string{"ada", ""} {
		b.Reset()
		r := visitor(principal)
		if principal != "" {
			r.Identity.Mechanism = "session"
			r.HTTP.Header.Set("Cookie", "session_id=abc")
		}
		if err := b.run(t.Context(), r, nil, nil, nil); err != nil {
			t.Fatal(err)
		}
		got := map[string]any{}
		if err := json.Unmarshal(b.Wait(t, 2)[1].Data, &got); err != nil {
			t.Fatal(err)
		}
		delete(got, "duration")
		want := map[string]any{"method": "rules.v1.Books/Put", "route": "/v1/{name=books/*}", "httpMethod": "POST", "protocol": "rest", "code": "OK", "principal": "anonymous",
			"clientAddress": "203.0.113.0", "userAgent": "curl/8", "device": map[string]any{"family": "bot"}, "query": "a=1&b=2", "requestId": "req-1"}
		if principal != "" {
			want["principal"], want["sessionHash"] = principal, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
		if request := string(b.All()[0].Data); strings.Contains(request, "query") || strings.Contains(request, `"code"`) {
			t.Error(request)
		}
	}
	if a := client.Truncate(netip.MustParseAddr("2001:db8:1:2::3")); a != "2001:db8:1::" {
		t.Error(a)
	}
}

// TestCallEventAnonymous: Events 196 and 203: who does not want to be followed is not told by the events
// of calls; the device is.
func TestCallEventAnonymous(t *testing.T) {
	const agent = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
	for header, known := range map[string]bool{"X-Other: 1": true, "Sec-Gpc: 1": false, "Sp-Anonymous: *": false, "Dnt: 1": true} {
		b := gatewayBench(t, "", &transomv1.GatewayEventRule{Type: "api.response"})
		r := visitor("ada")
		name, value, _ := strings.Cut(header, ": ")
		r.HTTP.Header.Set(name, value)
		r.HTTP.Header.Set("User-Agent", agent)
		if err := b.run(t.Context(), r, nil, nil, nil); err != nil {
			t.Fatal(err)
		}
		got := new(transomv1.CallEvent)
		e := b.Wait(t, 1)[0]
		if err := protojson.Unmarshal(e.Data, got); err != nil {
			t.Fatal(err)
		}
		is := got.GetPrincipal() == "ada" && got.GetClientAddress() != "" && got.GetUserAgent() == agent && got.GetDevice().GetBrowser() == "Safari" && got.GetDevice().GetMobile() && e.Key == "ada"
		not := got.GetPrincipal() == "anonymous" && got.GetClientAddress()+got.GetUserAgent()+got.GetSessionHash()+e.Key == "" && got.GetAnonymized() && got.GetDevice().GetFamily() == "phone" && got.GetDevice().GetOs() == ""
		if is != known || not == known {
			t.Errorf("%s: %v, key %q", header, got, e.Key)
		}
	}
}

// TestCallsStored: Events 136 and 137: the gateway's own events are stored as those of methods are.
func TestCallsStored(t *testing.T) {
	var rules []*transomv1.GatewayEventRule
	for _, kind := range []string{"api.request", "api.response", "api.error"} {
		rules = append(rules, &transomv1.GatewayEventRule{Type: kind, Delivery: transomv1.EventRule_AT_LEAST_ONCE})
	}
	b := gatewayBench(t, "", rules...)
	_ = b.run(t.Context(), visitor("ada"), nil, nil, nil)
	_ = b.run(t.Context(), visitor("ada"), nil, nil, status.Error(codes.NotFound, "no"))
	var got []string
	for _, e := range b.All() {
		got = append(got, e.How+" "+e.Type)
	}
	if strings.Join(got, ", ") != "store api.request, store api.response, store api.request, store api.error" {
		t.Errorf("%q", got)
	}
	b.Reset()
	b.Fail = errors.New("full")
	if err := b.run(t.Context(), visitor("ada"), nil, nil, nil); status.Code(err) != codes.Unavailable {
		t.Error(err)
	}
}

// TestGatewayRulesRefused holds what people are told of wrong rules.
func TestGatewayRulesRefused(t *testing.T) {
	for want, change := range map[string]func(*transomv1.Events){
		`events.gateway[0].type: found "api.call", expected one of api.request`: func(e *transomv1.Events) { e.Gateway = []*transomv1.GatewayEventRule{{Type: "api.call"}} },
		`events.gateway[0].topic: found "a b"`: func(e *transomv1.Events) {
			e.Gateway = []*transomv1.GatewayEventRule{{Type: "api.error", Topic: "a b"}}
		},
		`events.gateway[0].sample: found 2`: func(e *transomv1.Events) { e.Gateway = []*transomv1.GatewayEventRule{{Type: "api.error", Sample: 2}} },
		`events.gateway[0].sinks[0]: found "hok", expected one of hook, kafka; did you mean hook?`: func(e *transomv1.Events) {
			e.Gateway = []*transomv1.GatewayEventRule{{Type: "api.error", Sinks: []string{"hok"}}}
		},
		`events.topics[0].types: found "a*"`:  func(e *transomv1.Events) { e.Topics[0].Types = "a*" },
		`events.topics[0].topic: found "a/b"`: func(e *transomv1.Events) { e.Topics[0].Topic = "a/b" },
		`events.gateway[0].when: expected an expression over claims`: func(e *transomv1.Events) {
			e.Gateway = []*transomv1.GatewayEventRule{{Type: "api.error", When: "request.pages > 1"}}
		},
	} {
		t.Run(want, func(t *testing.T) {
			c := config()
			change(c.Events)
			b := policytest.NewBench(t, policy.StateOptions{})
			compiler, problems := policy.New(kindsOf(&eventtest.Recorder{}), policy.Environment{Config: c, State: b.State})
			defer compiler.Close()
			for range 2 {
				_, more := compiler.Compile(targetOf(t, "Put", ""))
				problems = append(problems, more...)
			}
			if len(problems) != 1 || !strings.Contains(problems.Error(), want) {
				t.Errorf("got %q", problems)
			}
		})
	}
}
