package ratelimit

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

func TestRateLimitRefusesAndTellsTheClient(t *testing.T) {
	now := policytest.NewClock()
	b := policytest.NewBench(t, policy.StateOptions{Now: now.Now}, Early(), Late())
	s := b.Set(`rate_limit { requests: 3 per { seconds: 60 } }`)
	for i := range 3 {
		r := policytest.Request("192.0.2.1")
		if err := policytest.Admit(s, r); err != nil {
			t.Fatal(err)
		}
		want := `"client_ip";r=` + strconv.Itoa(2-i) + `;t=` + strconv.Itoa(20*(i+1))
		if got := r.ResponseHeader.Get("RateLimit"); got != want {
			t.Errorf("call %d: RateLimit: %s, want %s", i, got, want)
		}
		if got, want := r.ResponseHeader.Get("RateLimit-Policy"), `"client_ip";q=3;w=60`; got != want {
			t.Errorf("RateLimit-Policy: %s, want %s", got, want)
		}
	}
	now.Advance(500 * time.Millisecond)
	r := policytest.Request("192.0.2.1")
	err := policytest.Admit(s, r)
	if status.Code(err) != codes.ResourceExhausted {
		t.Fatalf("the fourth call: %v, want RESOURCE_EXHAUSTED", err)
	}
	if r.RefusedBy != "rate_limit" {
		t.Errorf("refused by %q", r.RefusedBy)
	}
	if got := r.ResponseHeader.Get("Retry-After"); got != "20" {
		t.Errorf("Retry-After: %s, want 19.5 seconds rounded up", got)
	}
	if got := r.ResponseHeader.Get("RateLimit"); got != `"client_ip";r=0;t=60` {
		t.Errorf("RateLimit: %s", got)
	}
	var retry *errdetails.RetryInfo
	var quota *errdetails.QuotaFailure
	for _, detail := range status.Convert(err).Details() {
		switch d := detail.(type) {
		case *errdetails.RetryInfo:
			retry = d
		case *errdetails.QuotaFailure:
			quota = d
		}
	}
	if retry.GetRetryDelay().AsDuration() != 19500*time.Millisecond {
		t.Errorf("retry in %v, want 19.5 s", retry.GetRetryDelay().AsDuration())
	}
	if v := quota.GetViolations(); len(v) != 1 || v[0].Subject != "client_ip" || v[0].Description != "3 per minute" {
		t.Errorf("quota failure %v", v)
	}
	if err := policytest.Admit(s, policytest.Request("192.0.2.2")); err != nil {
		t.Errorf("another client: %v", err)
	}
	now.Advance(19500 * time.Millisecond)
	if err := policytest.Admit(s, policytest.Request("192.0.2.1")); err != nil {
		t.Errorf("after the time of Retry-After: %v", err)
	}
}

func TestRateLimitKeys(t *testing.T) {
	as := func(principal string, r *policy.Request) *policy.Request {
		r.Identity = &policy.Identity{Principal: principal, Mechanism: "jwt", Claims: map[string]any{"tenant": principal[:1]}}
		return r
	}
	for _, test := range []struct {
		name, rule string
		calls      []*policy.Request // each is let in, or not
		want       string
	}{
		{"client address", "key: CLIENT_IP", []*policy.Request{policytest.Request("192.0.2.1"), policytest.Request("192.0.2.1"), policytest.Request("192.0.2.9")}, "yny"},
		{"IPv6 by /64", "", []*policy.Request{policytest.Request("2001:db8::1"), policytest.Request("2001:db8::2"), policytest.Request("2001:db8:0:1::1")}, "yny"},
		{"principal", "key: PRINCIPAL", []*policy.Request{
			as("ann", policytest.Request("192.0.2.1")), as("ann", policytest.Request("192.0.2.2")), as("bob", policytest.Request("192.0.2.1")),
			policytest.Request("192.0.2.1"), policytest.Request("192.0.2.1"),
		}, "ynyyn"},
		{"header", `key: HEADER header: "x-api-key"`, []*policy.Request{
			policytest.Request("192.0.2.1", "X-Api-Key: a"), policytest.Request("192.0.2.2", "X-Api-Key: a"), policytest.Request("192.0.2.1", "X-Api-Key: b"),
			policytest.Request("192.0.2.1"), policytest.Request("192.0.2.1"), policytest.Request("192.0.2.2"),
		}, "ynyyny"},
		{"route", "key: ROUTE", []*policy.Request{policytest.Request("192.0.2.1"), policytest.Request("192.0.2.2")}, "yn"},
		{"CEL", `key: CEL cel: "'tenant' in claims ? claims.tenant : 'none'"`, []*policy.Request{
			as("ann", policytest.Request("192.0.2.1")), as("abe", policytest.Request("192.0.2.2")), as("bob", policytest.Request("192.0.2.1")), policytest.Request("192.0.2.1"),
		}, "ynyy"},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := policytest.NewBench(t, policy.StateOptions{Now: policytest.NewClock().Now}, Early(), Late())
			s := b.Set(`rate_limit { requests: 1 per { seconds: 60 } ` + test.rule + ` }`)
			got := ""
			for _, r := range test.calls {
				if policytest.Admit(s, r) == nil {
					got += "y"
				} else {
					got += "n"
				}
			}
			if got != test.want {
				t.Errorf("admitted %s, want %s", got, test.want)
			}
		})
	}
}

// TestRateLimitIssuers: two issuers may call two callers by one name, and each has a bucket of its own.
func TestRateLimitIssuers(t *testing.T) {
	of := func(principal, issuer string) *policy.Request {
		r := policytest.Request("192.0.2.1")
		r.Identity = &policy.Identity{Principal: principal, Mechanism: "jwt", Claims: map[string]any{"iss": issuer}}
		return r
	}
	for issuers, want := range map[int]string{1: "ynnyy", 2: "yynyy"} {
		b := policytest.NewBench(t, policy.StateOptions{Now: policytest.NewClock().Now}, Early(), Late())
		b.Config.Auth = &transomv1.AuthConfig{Jwt: make([]*transomv1.JwtIssuer, issuers)}
		s, got := b.Set(`rate_limit { requests: 1 per { seconds: 60 } key: PRINCIPAL }`), ""
		for _, r := range []*policy.Request{of("ann", "one"), of("ann", "two"), of("ann", "one"), of("a", "b"), of("b", "a")} {
			if policytest.Admit(s, r) == nil {
				got += "y"
			} else {
				got += "n"
			}
		}
		if got != want {
			t.Errorf("%d issuers: admitted %s, want %s", issuers, got, want)
		}
	}
}

func TestARefusalChargesNoOtherLimit(t *testing.T) {
	now := policytest.NewClock()
	b := policytest.NewBench(t, policy.StateOptions{Now: now.Now}, Early(), Late())
	s := b.Set(`
		rate_limit { requests: 10 per { seconds: 3600 } name: "wide" }
		rate_limit { requests: 1 per { seconds: 1 } name: "narrow" }`)
	for range 5 {
		_ = policytest.Admit(s, policytest.Request("192.0.2.1"))
	}
	now.Advance(time.Second)
	r := policytest.Request("192.0.2.1")
	if err := policytest.Admit(s, r); err != nil {
		t.Fatal(err)
	}
	if got := r.ResponseHeader.Get("RateLimit"); !strings.HasPrefix(got, `"wide";r=8;`) {
		t.Errorf("RateLimit: %s; four refused calls must cost nothing of the wide limit", got)
	}
}

func TestBucketsSurviveAReload(t *testing.T) {
	b := policytest.NewBench(t, policy.StateOptions{Now: policytest.NewClock().Now}, Early(), Late())
	same := `rate_limit { requests: 2 per { seconds: 60 } }`
	_ = policytest.Admit(b.Set(same), policytest.Request("192.0.2.1"))
	s := b.Set(same)
	if n := policytest.CountAdmitted(s, 5, func() *policy.Request { return policytest.Request("192.0.2.1") }); n != 1 {
		t.Errorf("after a reload %d more calls were admitted, want 1", n)
	}
	s = b.Set(`rate_limit { requests: 3 per { seconds: 60 } }`)
	if n := policytest.CountAdmitted(s, 5, func() *policy.Request { return policytest.Request("192.0.2.1") }); n != 3 {
		t.Errorf("a limit with new figures admitted %d, want 3", n)
	}
}

func TestANameSharesBucketsBetweenMethods(t *testing.T) {
	b := policytest.NewBench(t, policy.StateOptions{Now: policytest.NewClock().Now}, Early(), Late())
	one := b.Set(`rate_limit { requests: 2 name: "api" }`)
	own := b.Set(`rate_limit { requests: 2 }`)
	b.Method = policytest.TestMethod("EmptyCall")
	two := b.Set(`rate_limit { requests: 2 name: "api" }`)
	other := b.Set(`rate_limit { requests: 2 }`)
	call := func() *policy.Request { return policytest.Request("192.0.2.1") }
	if n := policytest.CountAdmitted(one, 1, call) + policytest.CountAdmitted(two, 5, call); n != 2 {
		t.Errorf("two methods with one name admitted %d, want 2 together", n)
	}
	if n := policytest.CountAdmitted(own, 5, call) + policytest.CountAdmitted(other, 5, call); n != 4 {
		t.Errorf("two methods without a name admitted %d, want 2 each", n)
	}
}

func TestANameStandsForOneLimit(t *testing.T) {
	b := policytest.NewBench(t, policy.StateOptions{}, Early(), Late())
	c, _ := policy.New([]policy.Kind{Early(), Late()}, policy.Environment{State: b.State})
	t.Cleanup(c.Close)
	if _, problems := c.Compile(b.Target(`rate_limit { requests: 2 name: "api" }`)); len(problems) > 0 {
		t.Fatal(problems)
	}
	b.Method = policytest.TestMethod("EmptyCall")
	if _, problems := c.Compile(b.Target(`rate_limit { requests: 2 name: "api" }`)); len(problems) > 0 {
		t.Errorf("the same figures: %v", problems)
	}
	_, problems := c.Compile(b.Target(`rate_limit { requests: 3 name: "api" }`))
	if len(problems) != 1 || !strings.Contains(problems.Error(), `rate_limit[0].name "api"`) || !strings.Contains(problems.Error(), "at test.proto:7:3") {
		t.Errorf("other figures: found %v, want both places", problems)
	}
}

func TestManyLimits(t *testing.T) {
	b := policytest.NewBench(t, policy.StateOptions{Now: policytest.NewClock().Now}, Early(), Late())
	text := ""
	for i := range 2 * maxOnStack {
		text += `rate_limit { requests: ` + strconv.Itoa(5+i) + ` key: ROUTE }`
	}
	s := b.Set(text)
	if n := policytest.CountAdmitted(s, 20, func() *policy.Request { return policytest.Request("192.0.2.1") }); n != 5 {
		t.Errorf("%d calls were admitted, want what the narrowest admits: 5", n)
	}
	r := policytest.Request("192.0.2.1")
	_ = policytest.Admit(s, r)
	if got := r.ResponseHeader.Get("RateLimit"); got != `"route";r=0;t=1` {
		t.Errorf("RateLimit: %s, want the limit that refused", got)
	}
	if got := r.ResponseHeader.Get("RateLimit-Policy"); !strings.HasPrefix(got, `"route";q=5;w=1, "route-2";q=6;w=1, `) {
		t.Errorf("RateLimit-Policy: %s", got)
	}
}

func TestMessagesOfAStreamAreCounted(t *testing.T) {
	now := policytest.NewClock()
	b := policytest.NewBench(t, policy.StateOptions{Now: now.Now}, Early(), Late())
	b.Method = policytest.TestMethod("StreamingInputCall")
	s := b.Set(`rate_limit { requests: 3 per { seconds: 60 } per_message: true }`)
	r := policytest.Request("192.0.2.1")
	r.Stream = true
	ctx, err := s.Admit(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	clear(r.ResponseHeader)
	for i := range 3 {
		err = s.Message(ctx, r, nil)
		if want := i == 2; (err != nil) != want {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("found %v, want RESOURCE_EXHAUSTED", err)
	}
	if len(r.ResponseHeader) > 0 {
		t.Errorf("the header %v was changed while the stream's answer may be on its way", r.ResponseHeader)
	}
	b.Method = policytest.TestMethod("UnaryCall")
	b.Inherited = true
	if s := b.Set(`rate_limit { requests: 3 per_message: true }`); s.ReadsMessages() {
		t.Error("a unary method reads its message for per_message")
	}
	b.Inherited = false
	b.Refused(`rate_limit { requests: 3 per_message: true }`, "rate_limit[0].per_message", "takes one message")
}

func TestAKeyInTheRequestWaitsForTheMessage(t *testing.T) {
	b := policytest.NewBench(t, policy.StateOptions{Now: policytest.NewClock().Now}, Early(), Late())
	s := b.Set(`rate_limit { requests: 1 per { seconds: 60 } key: CEL cel: "string(request.response_size)" }`)
	call := func(size int32) (*policy.Request, error) {
		message, err := proto.Marshal(&grpc_testing.SimpleRequest{ResponseSize: size})
		if err != nil {
			t.Fatal(err)
		}
		r := policytest.Request("192.0.2.1")
		ctx, err := s.Admit(context.Background(), r)
		if err != nil {
			t.Fatal(err)
		}
		return r, s.Message(ctx, r, message)
	}
	for i, test := range []struct {
		size int32
		want codes.Code
	}{{1, codes.OK}, {2, codes.OK}, {1, codes.ResourceExhausted}} {
		r, err := call(test.size)
		if status.Code(err) != test.want {
			t.Errorf("call %d: %v, want %v", i, err, test.want)
		}
		if r.ResponseHeader.Get("RateLimit") == "" {
			t.Errorf("call %d: the client is not told", i)
		}
	}
	r := policytest.Request("192.0.2.1")
	ctx, _ := s.Admit(context.Background(), r)
	if err := s.Message(ctx, r, []byte{0xff}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("broken bytes: %v, want INVALID_ARGUMENT", err)
	}
}

func TestWrongRateLimits(t *testing.T) {
	b := policytest.NewBench(t, policy.StateOptions{}, Early(), Late())
	b.Refused(`rate_limit {}`, "rate_limit[0].requests", "at least 1")
	b.Refused(`rate_limit { requests: 1 } rate_limit { requests: 1 per { seconds: -1 } }`, "rate_limit[1].per", "-1s")
	b.Refused(`rate_limit { requests: 1 per { seconds: 999999999 } }`, "366 days")
	b.Refused(`rate_limit { requests: 4000000000 }`, "one a nanosecond")
	b.Refused(`rate_limit { requests: 1 per { seconds: 86400 } burst: 4000000000 }`, "rate_limit[0].burst", "ten years")
	b.Refused(`rate_limit { requests: 1 key: HEADER }`, "rate_limit[0].header", "name of a header")
	b.Refused(`rate_limit { requests: 1 key: HEADER header: "a b" }`, "rate_limit[0].header")
	b.Refused(`rate_limit { requests: 1 key: HEADER header: "X-Transom-Principal" }`, "rate_limit[0].header", "could forge", "key PRINCIPAL")
	b.Refused(`rate_limit { requests: 1 header: "x" }`, "rate_limit[0].header", "CLIENT_IP")
	b.Refused(`rate_limit { requests: 1 key: CEL }`, "rate_limit[0].cel", "empty")
	b.Refused(`rate_limit { requests: 1 key: CEL cel: "1" }`, "rate_limit[0].cel", "string")
	b.Refused(`rate_limit { requests: 1 key: CEL cel: "request.nothing" }`, "rate_limit[0].cel", "nothing")
	b.Refused(`rate_limit { requests: 1 cel: "'a'" }`, "rate_limit[0].cel", "key CEL")
	b.Refused(`rate_limit { requests: 1 key: 99 }`, "rate_limit[0].key")
	b.Refused(`rate_limit { requests: 1 store: REDIS }`, "rate_limit[0].store", "stores.redis.url")
	b.Refused(`rate_limit { requests: 1 store: 99 }`, "rate_limit[0].store")
	b.Refused(`rate_limit { requests: 1 on_unavailable: 99 }`, "rate_limit[0].on_unavailable")
	b.Refused(`rate_limit { requests: 1 name: "a\nb" }`, "rate_limit[0].name", "ASCII")
	b.Refused(`rate_limit { requests: 1 name: "`+strings.Repeat("x", 65)+`" }`, "65 bytes")
}

func BenchmarkRateLimitAdmit(b *testing.B) {
	set := policytest.NewBench(b, policy.StateOptions{}, Early(), Late()).Set(`rate_limit { requests: 1000000000 burst: 1000 }`)
	r := policytest.Request("192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		clear(r.ResponseHeader)
		if err := policytest.Admit(set, r); err != nil {
			b.Fatal(err)
		}
	}
}
