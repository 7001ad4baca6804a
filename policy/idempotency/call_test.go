package idempotency

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	grpcmetadata "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/transport"
)

// answering is a backend that a test makes of a function.
type answering struct {
	proxy.Backend
	answer func(ctx context.Context, md proxy.Metadata) (proxy.Reply, error)
}

// Call implements proxy.Backend.
func (b *answering) Call(ctx context.Context, _ string, md proxy.Metadata, request proxy.Frame) (proxy.Reply, error) {
	request.Free()
	return b.answer(ctx, md)
}

// ask makes a call as the gateway does.
func ask(ctx context.Context, t *testing.T, set *policy.Set, backend proxy.Backend, r *policy.Request, body []byte) (proxy.Reply, error) {
	t.Helper()
	ctx, err := set.Admit(ctx, r)
	defer set.Done(r, &policy.Outcome{})
	if err != nil {
		t.Fatal(err)
	}
	return set.Wrap(backend).Call(policy.NewContext(ctx, r), "/grpc.testing.TestService/UnaryCall", r.Metadata, proxy.WrapFrame(body))
}

// reasonOf is the reason of a refusal, "" for none.
func reasonOf(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// withoutSideEffects is a method of which the proto says so.
func withoutSideEffects(t *testing.T) protoreflect.MethodDescriptor {
	t.Helper()
	buy := policytest.ShopMethod("Buy")
	file := protodesc.ToFileDescriptorProto(buy.ParentFile())
	file.GetService()[0].GetMethod()[buy.Index()].Options = &descriptorpb.MethodOptions{IdempotencyLevel: descriptorpb.MethodOptions_NO_SIDE_EFFECTS.Enum()}
	made, err := protodesc.NewFile(file, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	return made.Services().Get(0).Methods().Get(buy.Index())
}

// TestMethodsWithoutKeys: Traffic 82: methods that can have no keys are refused with their place where the policy was
// written for them, and have none where it is inherited.
func TestMethodsWithoutKeys(t *testing.T) {
	const keyed = `idempotency_key { scope: METHOD }`
	var others []policy.Kind // that the policies name
	for _, field := range []string{"auth", "login", "logout"} {
		others = append(others, policy.Kind{Field: field, Compile: func(*policy.Scope) policy.Part { return nil }})
	}
	for name, test := range map[string]struct {
		method       protoreflect.MethodDescriptor
		policy, want string
	}{
		"streams":            {policytest.TestMethod("StreamingOutputCall"), keyed, "idempotency_key: it is for unary methods, and this one streams"},
		"logs in":            {policytest.TestMethod("UnaryCall"), `login { subject: "user" session {} } ` + keyed, "idempotency_key: the method has login or logout"},
		"logs out":           {policytest.TestMethod("UnaryCall"), `logout { all: true } ` + keyed, "idempotency_key: the method has login or logout"},
		"NO_SIDE_EFFECTS":    {withoutSideEffects(t), keyed, "idempotency_key: the method is NO_SIDE_EFFECTS"},
		"anybody may call":   {policytest.TestMethod("UnaryCall"), `auth { anonymous {} } idempotency_key {}`, "idempotency_key: the method is open to callers who prove nothing"},
		"nobody is asked":    {policytest.TestMethod("UnaryCall"), `idempotency_key {}`, "idempotency_key: the method is open to callers who prove nothing"},
		"has side effects":   {policytest.TestMethod("UnaryCall"), keyed, ""},
		"callers are proven": {policytest.TestMethod("UnaryCall"), `auth { session {} } idempotency_key {}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := policytest.NewBench(t, policy.StateOptions{}, append(others, Kind())...)
			b.Method = test.method
			if test.want == "" {
				if set := b.Set(test.policy); len(set.Parts()) != 1 {
					t.Errorf("it has the policies %v", set.Parts())
				}
				return
			}
			b.Refused(test.policy, test.want)
			b.Inherited = true
			if set := b.Set(test.policy); len(set.Parts()) != 0 {
				t.Errorf("where it is inherited, it has %v", set.Parts())
			}
		})
	}
}

// TestLongestKey: Traffic 83: a key may have 255 characters, and every visible one of ASCII.
func TestLongestKey(t *testing.T) {
	visible := ""
	for c := byte('!'); c <= '~'; c++ {
		visible += string(c)
	}
	m := &method{part: &part{}}
	for _, key := range []string{strings.Repeat("x", 255), strings.TrimPrefix(visible, "!\"") + `"`} {
		got, err := m.key(policytest.Request("192.0.2.1", header+": "+key), nil)
		if err != nil || got != key {
			t.Errorf("%q is the key %q, %v", key, got, err)
		}
	}
}

// TestKeyForTheBackend: Traffic 84, 98: the backend gets the key by its name, however it came, and no other one; a call
// without a key reaches it as it is.
func TestKeyForTheBackend(t *testing.T) {
	of := func(owner string) []byte { return policytest.WireOf(t, "Order", `owner: "`+owner+`"`) }
	for name, test := range map[string]struct {
		policy string
		header string
		body   []byte
		want   []string
	}{
		"as it is":                  {"", "k", nil, []string{"k"}},
		"in quotes":                 {"", `"k"`, nil, []string{"k"}},
		"a field":                   {`field: "owner"`, "another", of("k"), []string{"k"}},
		"the field is not set":      {`field: "owner"`, "another", of(""), []string{"another"}},
		"the field is in no header": {`field: "owner"`, "", of("k"), []string{"k"}},
		"neither":                   {`field: "owner"`, "", of(""), nil},
		"no header":                 {"", "", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := policytest.NewBench(t, policy.StateOptions{}, Kind())
			b.Method = policytest.ShopMethod("Buy")
			set := b.Set(`idempotency_key { scope: METHOD ` + test.policy + ` }`)
			r := policytest.Request("192.0.2.1")
			if test.header != "" {
				r.HTTP.Header.Set(header, test.header)
				r.Metadata.Set(metadata, test.header) // as all headers that cross
			}
			var got []string
			_, err := ask(t.Context(), t, set, &answering{answer: func(_ context.Context, md proxy.Metadata) (proxy.Reply, error) {
				for i := 0; i+1 < len(md); i += 2 {
					if md[i] == metadata {
						got = append(got, md[i+1])
					}
				}
				return proxy.Reply{}, nil
			}}, r, test.body)
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("the backend gets the keys %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

// TestWaitEnds: Traffic 86: with WAIT a call waits for another one under its key up to its own deadline, and 30 s at
// most.
func TestWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		set := policytest.NewBench(t, policy.StateOptions{Now: time.Now}, Kind()).Set(`timeout { seconds: 100 } idempotency_key { scope: METHOD in_flight: WAIT }`)
		backend := &answering{answer: func(ctx context.Context, _ proxy.Metadata) (proxy.Reply, error) {
			<-ctx.Done()
			return proxy.Reply{Tries: proxy.Tries{Attempts: 1}}, status.FromContextError(ctx.Err()).Err()
		}}
		first := make(chan error, 1)
		go func() {
			_, err := ask(t.Context(), t, set, backend, policytest.Request("192.0.2.1", header+": k"), nil)
			first <- err
		}()
		synctest.Wait()
		for _, test := range []struct {
			deadline, ends time.Duration
			code           codes.Code
			reason         string
		}{
			{time.Hour, 30 * time.Second, codes.Aborted, "IDEMPOTENCY_KEY_IN_USE"},
			{5 * time.Second, 5 * time.Second, codes.DeadlineExceeded, ""},
		} {
			ctx, cancel := context.WithTimeout(t.Context(), test.deadline)
			r, begun := policytest.Request("192.0.2.1", header+": k"), time.Now()
			_, err := ask(ctx, t, set, backend, r, nil)
			cancel()
			if status.Code(err) != test.code || reasonOf(err) != test.reason || time.Since(begun) != test.ends {
				t.Errorf("with a deadline of %v: %v after %v, want %+v", test.deadline, err, time.Since(begun), test)
			}
			if test.code == codes.Aborted && r.ResponseHeader.Get("Retry-After") != "1" {
				t.Errorf("Retry-After is %q", r.ResponseHeader.Get("Retry-After"))
			}
		}
		if err := <-first; status.Code(err) != codes.DeadlineExceeded {
			t.Error(err)
		}
	})
}

// TestTimeUnderAKey: Traffic 87: a call under a key ends with the method's timeout, or after 60 s, and not with its client,
// who has its answer even when its own time is over.
func TestTimeUnderAKey(t *testing.T) {
	for text, want := range map[string]time.Duration{"timeout { seconds: 20 }": 20 * time.Second, "": time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			set := policytest.NewBench(t, policy.StateOptions{Now: time.Now}, Kind()).Set(text + ` idempotency_key { scope: METHOD }`)
			begun := time.Now()
			var ended time.Duration
			hangs := &answering{answer: func(ctx context.Context, _ proxy.Metadata) (proxy.Reply, error) {
				<-ctx.Done()
				ended = time.Since(begun)
				return proxy.Reply{Tries: proxy.Tries{Attempts: 1}}, status.FromContextError(ctx.Err()).Err()
			}}
			late := &answering{answer: func(context.Context, proxy.Metadata) (proxy.Reply, error) {
				time.Sleep(5 * time.Second)
				return proxy.Reply{Message: proxy.WrapFrame([]byte("late"))}, nil
			}}
			short := func() context.Context {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				context.AfterFunc(ctx, cancel)
				return ctx
			}
			if _, err := ask(short(), t, set, hangs, policytest.Request("192.0.2.1", header+": one"), nil); status.Code(err) != codes.DeadlineExceeded || ended != want {
				t.Errorf("%q: %v after %v, want %v", text, err, ended, want)
			}
			reply, err := ask(short(), t, set, late, policytest.Request("192.0.2.1", header+": two"), nil)
			if err != nil || string(reply.Message.Bytes()) != "late" {
				t.Errorf("%q: a client whose time is over gets %q, %v", text, reply.Message.Bytes(), err)
			}
		})
	}
}

// TestWhatIsKept: Traffic 91: the metadata that crossed is kept, but not what is of one call or one connection, and an
// error with its details.
func TestWhatIsKept(t *testing.T) {
	once := []string{
		"set-cookie", "date", "x-request-id", "traceparent", "tracestate", "retry-after", "ratelimit", "ratelimit-policy", "ratelimit-limit", "ratelimit-remaining",
		"ratelimit-reset", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "connection", "keep-alive", "proxy-connection", "te", "trailer",
		"transfer-encoding", "upgrade",
	}
	kept := []string{"ledger", "etag", "x-request-identity", "rate", "ledger-bin", "idempotent-replayed"}
	all := grpcmetadata.MD{}
	for _, name := range slices.Concat(once, kept) {
		all[name] = []string{"one", "two"}
	}
	failed, err := status.New(codes.FailedPrecondition, "no money").WithDetails(&errdetails.ErrorInfo{Reason: "POOR", Domain: "bank"})
	if err != nil {
		t.Fatal(err)
	}
	for name, ends := range map[string]error{"OK": nil, "an error": transport.Told(failed)} {
		t.Run(name, func(t *testing.T) {
			set := policytest.NewBench(t, policy.StateOptions{}, Kind()).Set(`idempotency_key { scope: METHOD }`)
			calls := 0
			backend := &answering{answer: func(context.Context, proxy.Metadata) (proxy.Reply, error) {
				calls++
				return proxy.Reply{Header: all.Copy(), Trailer: all.Copy(), Message: proxy.WrapFrame([]byte("paid"))}, ends
			}}
			for call := range 2 {
				r := policytest.Request("192.0.2.1", header+": k")
				reply, err := ask(t.Context(), t, set, backend, r, nil)
				if !proto.Equal(status.Convert(err).Proto(), status.Convert(ends).Proto()) || ends == nil && string(reply.Message.Bytes()) != "paid" {
					t.Errorf("call %d: %q, %v", call, reply.Message.Bytes(), err)
				}
				if again := r.ResponseHeader.Get(replayed) == "true"; again != (call == 1) {
					t.Errorf("call %d is said to be replayed: %v", call, again)
				}
				want := len(kept)
				if call == 0 {
					want += len(once)
				}
				for what, md := range map[string]grpcmetadata.MD{"header": reply.Header, "trailer": reply.Trailer} {
					if len(md) != want {
						t.Errorf("call %d: the %s has %d fields, want %d: %v", call, what, len(md), want, md)
					}
					for _, name := range kept {
						if !slices.Equal(md[name], all[name]) {
							t.Errorf("call %d: the %s has %s: %q", call, what, name, md[name])
						}
					}
				}
			}
			if calls != 1 {
				t.Errorf("%d calls reached the backend", calls)
			}
		})
	}
}

// TestLargestAnswer: Traffic 94: answers of up to 256 KiB are kept where the policy says nothing.
func TestLargestAnswer(t *testing.T) {
	for text, largest := range map[string]int{"": 256 << 10, "max_answer_bytes: 1000": 1000} {
		set := policytest.NewBench(t, policy.StateOptions{}, Kind()).Set(`idempotency_key { scope: METHOD ` + text + ` }`)
		for size, want := range map[int]string{largest: "", largest + 1: "ANSWER_NOT_KEPT"} {
			backend := &answering{answer: func(context.Context, proxy.Metadata) (proxy.Reply, error) {
				return proxy.Reply{Message: proxy.WrapFrame(make([]byte, size))}, nil
			}}
			for call, want := range []string{"", want} {
				reply, err := ask(t.Context(), t, set, backend, policytest.Request("192.0.2.1", fmt.Sprint(header, ": ", size)), nil)
				if reasonOf(err) != want || want == "" && reply.Message.Len() != size || want != "" && status.Code(err) != codes.AlreadyExists {
					t.Errorf("%q, %d bytes, call %d: %v, want %q", text, size, call, err, want)
				}
			}
		}
	}
}

// TestFullStore: Traffic 95: a new key that does not fit is UNAVAILABLE with a reason and with Retry-After, and its call is not
// made; those that are there have their answers.
func TestFullStore(t *testing.T) {
	b := policytest.NewBench(t, policy.StateOptions{Log: slog.New(slog.DiscardHandler)}, Kind())
	b.Config.Idempotency = &transomv1.IdempotencyMemory{MaxBytes: 20_000}
	set, backend := b.Set(`idempotency_key { scope: METHOD }`), &counting{}
	for i := 0; ; i++ {
		r := policytest.Request("192.0.2.1", fmt.Sprint(header, ": ", i))
		_, err := ask(t.Context(), t, set, backend, r, nil)
		if err == nil && i < 100 {
			continue
		}
		if status.Code(err) != codes.Unavailable || reasonOf(err) != "STORE_FULL" || r.ResponseHeader.Get("Retry-After") != "60" || backend.calls != i || i == 0 {
			t.Errorf("key %d: %v, Retry-After %q, %d calls", i, err, r.ResponseHeader.Get("Retry-After"), backend.calls)
		}
		break
	}
	if reply, err := ask(t.Context(), t, set, backend, policytest.Request("192.0.2.1", header+": 0"), nil); err != nil || string(reply.Message.Bytes()) != "call 1" {
		t.Errorf("a key that is there: %q, %v", reply.Message.Bytes(), err)
	}
	if _, err := ask(t.Context(), t, set, backend, policytest.Request("192.0.2.2", header+": 100"), nil); err != nil {
		t.Errorf("another caller: %v", err)
	}
}

// decided is an Observer that notes what a policy decided.
type decided struct{ results []string }

// Decision implements policy.Observer.
func (d *decided) Decision(_, _, result string) { d.results = append(d.results, result) }

// TestPassesAreCounted: Traffic 97: without its Redis a call with a key is UNAVAILABLE with Retry-After, or passes, and that is
// counted.
func TestPassesAreCounted(t *testing.T) {
	for text, want := range map[string]string{"": "unavailable_store", "on_unavailable: ALLOW": "passed"} {
		d := &decided{}
		b := policytest.NewBench(t, policy.StateOptions{Log: slog.New(slog.DiscardHandler)}, Kind())
		b.Observer = d
		b.Config.Stores = &transomv1.Stores{Redis: &transomv1.RedisStore{Url: "redis://" + loopback.Address(t)}}
		set, backend := b.Set(`idempotency_key { scope: METHOD `+text+` }`), &counting{}
		r := policytest.Request("192.0.2.1", header+": k")
		_, err := ask(t.Context(), t, set, backend, r, nil)
		passed := want == "passed"
		if (err == nil) != passed || (backend.calls == 1) != passed || !slices.Contains(d.results, want) {
			t.Errorf("%q: %v, %d calls, decisions %q", text, err, backend.calls, d.results)
		}
		if !passed && (!errors.Is(err, policy.ErrStoreAway) || status.Code(err) != codes.Unavailable || r.ResponseHeader.Get("Retry-After") == "") {
			t.Errorf("%q: %v, Retry-After %q", text, err, r.ResponseHeader.Get("Retry-After"))
		}
	}
}

// TestOutcomeOfAnError: Traffic 90: a key whose outcome nobody knows is answered with the code of the first answer and a reason of
// its own, up to the end of ttl.
func TestOutcomeOfAnError(t *testing.T) {
	for _, first := range []codes.Code{codes.DeadlineExceeded, codes.Canceled} {
		clock := policytest.NewClock()
		set := policytest.NewBench(t, policy.StateOptions{Now: clock.Now}, Kind()).Set(`idempotency_key { scope: METHOD ttl { seconds: 60 } }`)
		backend := &counting{err: transport.Told(status.New(first, "perhaps"))}
		tell := func() string {
			_, err := ask(t.Context(), t, set, backend, policytest.Request("192.0.2.1", header+": k"), protowire.AppendVarint(nil, 8))
			return strings.TrimSpace(status.Code(err).String() + " " + reasonOf(err))
		}
		got := []string{tell(), tell()}
		clock.Advance(time.Minute - 1)
		got = append(got, tell())
		clock.Advance(1)
		got = append(got, tell())
		if code := first.String(); !slices.Equal(got, []string{code, code + " OUTCOME_UNKNOWN", code + " OUTCOME_UNKNOWN", code}) {
			t.Errorf("the answers are %q", got)
		}
	}
}
