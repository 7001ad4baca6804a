package cache

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/cache/internal/memory"
	"github.com/transom-gateway/transom/policy/cache/internal/sharing"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
)

// TestErrorsNeedTheirTTL: Traffic 112: without not_found_ttl no error is kept, whatever it says of itself.
func TestErrorsNeedTheirTTL(t *testing.T) {
	for _, code := range []codes.Code{codes.NotFound, codes.Internal} {
		s := &server{answer: func(context.Context, int, string) (string, metadata.MD, error) {
			return "", metadata.Pairs("cache-control", "public, max-age=60"), failing(code)
		}}
		m := newBench(t).method("Get", `cache { ttl { seconds: 60 } }`, s)
		expect(t, m.get("a")+m.get("a"), code.String()+code.String())
		if n := s.count(); n != 2 {
			t.Errorf("%v: %d calls, want 2", code, n)
		}
	}
}

// TestWhatAnEntryIs: Traffic 112: header and trailer are kept with the message, but for what is of one call.
func TestWhatAnEntryIs(t *testing.T) {
	md := func(of string) metadata.MD {
		return metadata.Pairs("of", of, "etag", `"v1"`, "x-request-id", "1", "traceparent", "2", "tracestate", "3")
	}
	s := saying()
	s.answer = func(context.Context, int, string) (string, metadata.MD, error) { return "text", md("header"), nil }
	m := newBench(t).method("Get", `cache { ttl { seconds: 60 } }`, &trailing{s, md("trailer")})
	for range 2 {
		ctx := policy.NewContext(t.Context(), policytest.Request("192.0.2.1"))
		reply, err := m.wrapped.Call(ctx, m.path, nil, proxy.WrapFrame(ask("a")))
		if err != nil || string(reply.Message.Bytes()) != string(told("text")) {
			t.Fatalf("%q, %v", reply.Message.Bytes(), err)
		}
		for of, got := range map[string]metadata.MD{"header": reply.Header, "trailer": reply.Trailer} {
			if want := metadata.Pairs("of", of, "etag", `"v1"`); !maps.EqualFunc(got, want, slices.Equal[[]string]) {
				t.Errorf("the %s is %v, want %v", of, got, want)
			}
		}
	}
	if n := s.count(); n != 1 {
		t.Errorf("%d calls", n)
	}
}

// TestPartsOfKeys: Traffic 114: a part of a key stands there as it is below 64 bytes, and is its SHA-256 from there on.
func TestPartsOfKeys(t *testing.T) {
	for size, want := range map[int]int{0: 1, 63: 64, 64: 33, 1000: 33} {
		if got := len(sharing.AppendPart(nil, make([]byte, size))); got != want {
			t.Errorf("a part of %d bytes takes %d, want %d", size, got, want)
		}
	}
}

// TestScopeOfCredentials: Traffic 116: what a principal got with other roles is not theirs, and what comes with cookies from a
// caller with a certificate is never kept.
func TestScopeOfCredentials(t *testing.T) {
	m := newBench(t).method("Get", `auth { jwt {} } cache { ttl { seconds: 60 } }`, saying("cache-control", "public, max-age=60"))
	of := func(edit func(id *policy.Identity), headers ...string) string {
		r := as("ada", edit)
		for i := 0; i < len(headers); i += 2 {
			r.HTTP.Header.Set(headers[i], headers[i+1])
		}
		return m.call(t.Context(), r, ask("a"))
	}
	reader := func(id *policy.Identity) { id.Roles = []string{"reader"} }
	admin := func(id *policy.Identity) { id.Roles = []string{"admin"} }
	service := func(id *policy.Identity) { id.Mechanism = "mtls" }
	expect(t, of(reader)+of(admin)+of(reader)+of(admin), "1212")
	expect(t, of(service)+of(service)+of(service, "Cookie", "user=bob")+of(service, "Cookie", "user=bob")+of(service), "33453")
}

// TestVaryByCookie: Traffic 114, 116: the cookies of a caller who is known by a token are no part of the key but where vary
// names their header.
func TestVaryByCookie(t *testing.T) {
	for policies, want := range map[string]string{
		`auth { jwt {} } cache { ttl { seconds: 60 } }`:                "11111",
		`auth { jwt {} } cache { ttl { seconds: 60 } vary: "cookie" }`: "12132",
	} {
		m, got := newBench(t).method("Get", policies, saying()), ""
		for _, cookie := range []string{"", "user=1", "", "user=2", "user=1"} {
			r := as("ada")
			if cookie != "" {
				r.HTTP.Header.Set("Cookie", cookie)
			}
			got += m.call(t.Context(), r, ask("a"))
		}
		expect(t, got, want)
	}
}

// TestWordsOfAnswers: Traffic 117, 126: an answer's Expires says how long it is fresh where its Cache-Control does not; private
// keeps it from others, and not from its principal; how long it may be stale the answer says before the policy.
func TestWordsOfAnswers(t *testing.T) {
	const private, own = `cache { ttl { seconds: 60 } }`, `auth { jwt {} } cache { ttl { seconds: 60 } }`
	stale := `cache { ttl { seconds: 60 } stale_while_revalidate { seconds: 30 } }`
	end := policytest.Noon.Add(20 * time.Second).Truncate(time.Second)
	expires, left := end.UTC().Format(http.TimeFormat), end.Sub(policytest.Noon)
	for _, test := range []struct {
		policy, says string // pairs, by "|"
		given        time.Duration
	}{
		{private, "expires|" + expires, left},
		{private, "expires|0", 0},
		{private, "expires|" + expires + "|cache-control|max-age=5", 5 * time.Second},
		{private, "expires|" + expires + "|cache-control|public", left},
		{private, "cache-control|private", 0},
		{own, "cache-control|private", minute},
		{own, "cache-control|private, max-age=5", 5 * time.Second},
		{stale, "cache-control|public", 90 * time.Second},
		{stale, "cache-control|max-age=60, must-revalidate", minute},
		{stale, "cache-control|max-age=60, proxy-revalidate", minute},
		{stale, "cache-control|max-age=60, stale-while-revalidate=5", 65 * time.Second},
		{private, "cache-control|max-age=60, stale-while-revalidate=5", 65 * time.Second},
		{private, "cache-control|max-age=60, stale-if-error=5", minute},
	} {
		t.Run("Traffic 117: "+test.policy+" "+test.says, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for _, over := range []bool{false, true} {
					b := newBench(t)
					m := b.method("Get", test.policy, saying(strings.Split(test.says, "|")...))
					get := func() string {
						if test.policy == own {
							return m.call(t.Context(), as("ada"), ask("a"))
						}
						return m.get("a")
					}
					expect(t, get(), "1")
					want := "1"
					if b.clock.Advance(test.given); over {
						want = "2"
					} else if test.given == 0 {
						continue
					} else {
						b.clock.Advance(-1)
					}
					expect(t, get(), want)
					synctest.Wait()
				}
			})
		})
	}
}

// TestDefaultBounds: Traffic 120: all answers have 64 MiB where the configuration says nothing, and one has 1 MiB.
func TestDefaultBounds(t *testing.T) {
	m := newBench(t).method("Get", `cache { ttl { seconds: 60 } }`, saying())
	part, _ := policy.Find[*part](m.set)
	if got := part.store.memory.Max(); got != 67108864 {
		t.Errorf("the bound is %d", got)
	}
	for more, want := range map[int]int{0: 1, 1: 0} {
		s, m := newStore(memory.New(16<<20)), &method{}
		e := entryOf(m, "key", 0)
		e = entryOf(m, "key", 1048576-int(sizeOf(e))+more)
		if s.putOne(e); s.memory.Len() != want {
			t.Errorf("of %d bytes %d answers are kept, want %d", sizeOf(e), s.memory.Len(), want)
		}
	}
}

// TestCallsEndSoon: Traffic 124: a call that nobody waits for any more ends at once, and not with its own time.
func TestCallsEndSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, ended := time.Now(), make(chan time.Duration, 1)
		s := &server{answer: func(ctx context.Context, _ int, _ string) (string, metadata.MD, error) {
			<-ctx.Done()
			ended <- time.Since(begun)
			return "", nil, ctx.Err()
		}}
		m := newBench(t).method("Get", `cache { ttl { seconds: 60 } }`, s)
		many(m, 3, func(i int) context.Context {
			ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+i)*time.Second)
			context.AfterFunc(ctx, cancel)
			return ctx
		})
		if got := <-ended; got != 3*time.Second {
			t.Errorf("it ended after %v", got)
		}
	})
}

// TestNumbers: Traffic 125, 126: none waits for 10 s where answers are not kept, and 1,000 new ones are fetched at a time.
func TestNumbers(t *testing.T) {
	if sharing.PassFor != 10*time.Second || sharing.MaxRefreshes != 1000 {
		t.Errorf("found %v and %d", sharing.PassFor, sharing.MaxRefreshes)
	}
}

// TestDropsByTheAnswer: Traffic 127: a write drops what its own answer names, too.
func TestDropsByTheAnswer(t *testing.T) {
	b, s := newBench(t), saying()
	get := b.method("Get", `cache { ttl { seconds: 60 } tags: "shelf:{name}" }`, s)
	put := b.method("Put", `cache { invalidates: "shelf:{response.text}" }`, &server{answer: func(context.Context, int, string) (string, metadata.MD, error) {
		return "b", nil, nil
	}})
	expect(t, get.get("a")+get.get("b"), "12")
	put.get("x")
	expect(t, get.get("a")+get.get("b"), "13")
}

// TestReloadOfOthers: Traffic 128: a reload drops the answers of a method whose messages or upstream are others than before.
func TestReloadOfOthers(t *testing.T) {
	const text = `cache { ttl { seconds: 60 } }`
	for name, change := range map[string]func(b *bench){
		"nothing": func(*bench) {},
		"the answer's message": func(b *bench) {
			file := protodesc.ToFileDescriptorProto(b.service.ParentFile())
			file.GetMessageType()[1].GetField()[0].Name = proto.String("title")
			file.GetMessageType()[1].GetField()[0].JsonName = proto.String("title")
			made, err := protodesc.NewFile(file, protoregistry.GlobalFiles)
			if err != nil {
				t.Fatal(err)
			}
			b.Method = made.Services().Get(0).Methods().ByName("Get")
		},
		"the upstream": func(b *bench) {
			b.Config = &transomv1.Config{Upstreams: map[string]*transomv1.Upstream{"shop": {Services: []string{"t.Other"}}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, s := newBench(t), saying()
			b.Config.Upstreams = map[string]*transomv1.Upstream{"shop": {Services: []string{"t.S"}}}
			b.Method = b.service.Methods().ByName("Get")
			load := func() *caching {
				target := b.Target(text)
				target.Upstream = "shop"
				c, _ := policy.New([]policy.Kind{authKind, Kind()}, policy.Environment{Config: b.Config, State: b.State})
				t.Cleanup(c.Close)
				set := policytest.MustCompile(t, c, target)
				return &caching{set, set.Wrap(s), "/t.S/Get"}
			}
			before := load()
			expect(t, before.get("a"), "1")
			change(b)
			want := "2"
			if name == "nothing" {
				want = "1"
			}
			expect(t, load().get("a"), want)
		})
	}
}
