package split

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

func upstreams() *transomv1.Config {
	plain := &transomv1.Upstream{Kind: &transomv1.Upstream_Http{Http: &transomv1.HttpUpstream{}}}
	grpc := &transomv1.Upstream{Kind: &transomv1.Upstream_Grpc{Grpc: &transomv1.GrpcUpstream{}}}
	return &transomv1.Config{Upstreams: map[string]*transomv1.Upstream{"old": plain, "new": plain, "third": plain, "grpc": grpc}}
}

func target(t testing.TB, text string) policy.Target {
	layers := policytest.LayersOf(t, text)
	layers[0].Exact = true
	return policy.Target{RPC: "/**", PlainHTTP: true, Upstream: "old", Layers: layers}
}

// partOf compiles a policy. Its random numbers are the same each time.
func partOf(t testing.TB, text string) *Part {
	t.Helper()
	set := policytest.MustCompile(t, policytest.NewAuthBench(t, upstreams(), Kind()).Compiler, target(t, text))
	p, ok := policy.Find[*Part](set)
	if !ok {
		t.Fatalf("%s: there is no part", text)
	}
	p.random = rand.New(rand.NewPCG(1, 2)).Uint64
	return p
}

func allReady(int) bool { return true }

// caller is a request of a principal.
func caller(n int) *policy.Request {
	r := policytest.Request("192.0.2.1")
	r.Identity = &policy.Identity{Principal: fmt.Sprint("user-", n)}
	return r
}

// pick asks for the branch of a request that has one.
func pick(t testing.TB, p *Part, r *policy.Request, ready func(int) bool) int {
	t.Helper()
	i, err := p.Pick(r, ready)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// TestCompile: Traffic 203, 204: what a policy means, and what is refused.
func TestCompile(t *testing.T) {
	const two = `branches { upstream: "old" weight: 95 } branches { upstream: "new" weight: 5 }`
	for text, want := range map[string]string{
		two:                             "old 95 %, new 5 %",
		two + ` strict: true`:           "old 95 %, new 5 %; strict",
		two + ` by: PRINCIPAL`:          "old 95 %, new 5 %; by the principal",
		two + ` header: "X-User"`:       "old 95 %, new 5 %; by the header x-user",
		two + ` cookie: "id" salt: "x"`: "old 95 %, new 5 %; by the cookie id",
		two + ` by: CLIENT_IP`:          "old 95 %, new 5 %; by the client's address",
		`branches { upstream: "old" } branches { upstream: "new" name: "canary" weight: 0 match { header: "x-canary" value: "always" } }`: "old 100 %, canary (new) 0 % and those with the header x-canary: always",
		`branches { upstream: "old" weight: 0 } branches { upstream: "new" weight: 0 match { cookie: "beta" } }`:                          "old, new and those with the cookie beta",
		`disabled: true`: "",

		`strict: true`:                "!split.branches: found 0, expected 1 to 64",
		`branches { upstream: "ne" }`: `!split.branches[0].upstream: found "ne", expected the name of an upstream: grpc, new, old, third; did you mean new?`,
		`branches { upstream: "old" } branches { upstream: "grpc" }`:                        `!split.branches[1].upstream: found "grpc", which is a gRPC upstream; expected a plain HTTP one`,
		`branches { upstream: "old" } branches { upstream: "old" }`:                         `!split.branches[1]: found "old", which is the name of split.branches[0], too`,
		`branches { upstream: "old" weight: 1000001 }`:                                      "!split.branches[0].weight: found 1000001, expected 0 to 1000000",
		`branches { upstream: "old" match {} }`:                                             "!split.branches[0].match: expected one of header and cookie",
		`branches { upstream: "old" match { header: "a b" } }`:                              `!split.branches[0].match.header: found "a b", which cannot be a name`,
		`branches { upstream: "old" headers { key: "x-transom-principal" value: "root" } }`: `!split.branches[0].headers has "x-transom-principal", which tells backends who calls`,
		`branches { upstream: "old" headers { key: "x-a" value: "b\nc" } }`:                 `!split.branches[0].headers has "x-a", whose value is "b\nc"`,
		two + ` by: HEADER`:                "!split.by: found HEADER without split.header",
		two + ` by: COOKIE`:                "!split.by: found COOKIE without split.cookie",
		two + ` by: PRINCIPAL header: "x"`: `!split.header: found "x", which has no effect beside the other key`,
		two + ` salt: "x"`:                 "!split.salt: found it without split.by",
	} {
		t.Run(text, func(t *testing.T) {
			policytest.NewAuthBench(t, upstreams(), Kind()).CheckExplained(t, target(t, "split { "+text+" }"), want)
		})
	}
}

// TestShares: Traffic 203: over 10,000 calls, each branch gets its share, whether callers
// are spread at random or by who they are.
func TestShares(t *testing.T) {
	const calls = 10_000
	for _, by := range []string{"", "by: PRINCIPAL"} {
		p := partOf(t, `split { branches { upstream: "old" weight: 70 } branches { upstream: "new" weight: 25 } branches { upstream: "third" weight: 5 } `+by+` }`)
		var got [3]float64
		for n := range calls {
			got[pick(t, p, caller(n), allReady)]++
		}
		var chi float64
		for i, weight := range []float64{70, 25, 5} {
			want := calls * weight / 100
			chi += (got[i] - want) * (got[i] - want) / want
			if off := (got[i] - want) / calls; off > .01 || off < -.01 {
				t.Errorf("%q: branch %d got %v of %d calls, want %v", by, i, got[i], calls, want)
			}
		}
		if chi > 13.8 { // two degrees of freedom, one in a thousand
			t.Errorf("%q: chi-square is %.1f for %v", by, chi, got)
		}
	}
}

// TestSticky: Traffic 204: who was in the first 5 % is there at 10 %, after a reload, and
// nobody else is; another salt spreads callers another way.
func TestSticky(t *testing.T) {
	const text = `split { branches { upstream: "new" weight: %d } branches { upstream: "old" weight: %d } by: PRINCIPAL %s }`
	five, again := partOf(t, fmt.Sprintf(text, 5, 95, "")), partOf(t, fmt.Sprintf(text, 5, 95, ""))
	ten := partOf(t, fmt.Sprintf(text, 10, 90, ""))
	ratio, salted := partOf(t, fmt.Sprintf(text, 1, 19, "")), partOf(t, fmt.Sprintf(text, 5, 95, `salt: "other"`))
	var first, more, both int
	for n := range 10_000 {
		before := pick(t, five, caller(n), allReady)
		if pick(t, again, caller(n), allReady) != before || pick(t, ratio, caller(n), allReady) != before {
			t.Fatalf("caller %d changes its branch at a reload", n)
		}
		after := pick(t, ten, caller(n), allReady)
		if before == 0 {
			first++
			if after != 0 {
				t.Fatalf("caller %d loses its branch as that gets more", n)
			}
			if pick(t, salted, caller(n), allReady) == 0 {
				both++
			}
		}
		if after == 0 {
			more++
		}
	}
	if first < 400 || first > 600 || more < 900 || more > 1100 {
		t.Errorf("%d callers at 5 %%, %d at 10 %%", first, more)
	}
	if both > first/5 {
		t.Errorf("%d of %d callers are in both, in spite of the salt", both, first)
	}
}

// TestKeys: Traffic 204: callers with the same key share a branch whatever the key is of.
func TestKeys(t *testing.T) {
	for by, edit := range map[string]func(r *policy.Request, n int){
		`header: "X-User"`: func(r *policy.Request, n int) { r.HTTP.Header["X-User"] = []string{fmt.Sprint(n)} },
		`cookie: "id"`:     func(r *policy.Request, n int) { r.HTTP.Header["Cookie"] = []string{fmt.Sprint("id=", n)} },
		`by: CLIENT_IP`:    func(r *policy.Request, n int) { r.ClientIP = netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}) },
	} {
		p := partOf(t, `split { branches { upstream: "new" } branches { upstream: "old" } `+by+` }`)
		var seen [2]int
		for n := range 100 {
			var here [2]int
			for range 5 {
				r := policytest.Request("192.0.2.1")
				edit(r, n)
				here[pick(t, p, r, allReady)]++
			}
			if here[0] != 0 && here[1] != 0 {
				t.Errorf("%s: the calls of %d go here and there", by, n)
			}
			seen[min(here[1], 1)]++
		}
		if seen[0] < 25 || seen[1] < 25 {
			t.Errorf("%s: %v", by, seen)
		}
	}
}

// TestNotReady: Traffic 203: a branch that is not ready gives its share to the others in
// proportion, noted, and the same caller to the same one; a strict one does not, and where
// none is ready all stay.
func TestNotReady(t *testing.T) {
	const text = `split { branches { upstream: "new" weight: 50 match { header: "x-new" } } branches { upstream: "old" weight: 40 } branches { upstream: "third" weight: 10 } by: PRINCIPAL %s }`
	away := func(i int) bool { return i != 0 }
	p := partOf(t, fmt.Sprintf(text, ""))
	var got [3]int
	for n := range 10_000 {
		r := caller(n)
		i := pick(t, p, r, away)
		if meant := pick(t, p, caller(n), allReady); (meant == 0) != (r.BranchMeant == "new") {
			t.Fatalf("caller %d: branch %d, meant %q", n, meant, r.BranchMeant)
		}
		if pick(t, p, caller(n), away) != i {
			t.Fatalf("caller %d moves", n)
		}
		got[i]++
	}
	if got[0] != 0 || got[1] < 7900 || got[1] > 8100 {
		t.Errorf("%v", got)
	}
	byHand := caller(1)
	byHand.HTTP.Header["X-New"] = []string{"1"}
	if pick(t, p, byHand, away); byHand.Branch == "new" || byHand.BranchMeant != "new" {
		t.Errorf("by hand: %q, meant %q", byHand.Branch, byHand.BranchMeant)
	}
	strict := partOf(t, fmt.Sprintf(text, "strict: true"))
	for n := range 100 {
		none := func(int) bool { return false }
		if want := pick(t, p, caller(n), allReady); pick(t, strict, caller(n), away) != want || pick(t, p, caller(n), none) != want {
			t.Fatalf("caller %d leaves its branch", n)
		}
	}
}

// TestByHand: Traffic 203: a header or cookie picks a branch first, also one of weight 0;
// weight 0 is out for the rest, and where all are 0 there is nowhere to go.
func TestByHand(t *testing.T) {
	const canary = `branches { upstream: "new" weight: 0 match { header: "x-canary" value: "always" } headers { key: "X-Version" value: "2" } }`
	p := partOf(t, `split { branches { upstream: "old" } `+canary+` branches { upstream: "third" weight: 0 match { cookie: "beta" } } }`)
	for header, want := range map[string]int{"": 0, "X-Canary: always": 1, "X-Canary: never": 0, "Cookie: a=b; beta=": 2, "Cookie: alpha=beta": 0} {
		var headers []string
		if header != "" {
			headers = []string{header}
		}
		for range 50 {
			r := policytest.Request("192.0.2.1", headers...)
			r.Metadata.Add("x_version", "1")
			if got := pick(t, p, r, allReady); got != want {
				t.Fatalf("%q: branch %d, want %d", header, got, want)
			}
			if version := r.Metadata.Get("x-version"); (version == "2") != (want == 1) || want == 1 && r.Metadata.Get("x_version") != "" {
				t.Fatalf("%q: metadata %q", header, r.Metadata)
			}
		}
	}
	idle := partOf(t, `split { branches { upstream: "old" weight: 0 } `+canary+` }`)
	if _, err := idle.Pick(policytest.Request("192.0.2.1"), allReady); !idle.Idle() || status.Code(err) != codes.Unavailable {
		t.Errorf("%v", err)
	}
	if i := pick(t, idle, policytest.Request("192.0.2.1", "X-Canary: always"), allReady); i != 1 {
		t.Errorf("branch %d", i)
	}
}

// TestPickAllocates: a pick takes no memory.
func TestPickAllocates(t *testing.T) {
	for _, by := range []string{"", "by: PRINCIPAL", `cookie: "id"`, "by: CLIENT_IP"} {
		p, r := partOf(t, `split { branches { upstream: "old" weight: 95 } branches { upstream: "new" weight: 5 match { header: "x-canary" } } `+by+` }`), caller(1)
		r.HTTP.Header = http.Header{"Cookie": {"a=b; id=c"}}
		if n := testing.AllocsPerRun(100, func() { pick(t, p, r, allReady) }); n != 0 {
			t.Errorf("%q: %v allocations", by, n)
		}
	}
}

func BenchmarkPick(b *testing.B) {
	for _, by := range []string{"", "by: PRINCIPAL"} {
		b.Run(by, func(b *testing.B) {
			p, r := partOf(b, `split { branches { upstream: "old" weight: 95 } branches { upstream: "new" weight: 5 } `+by+` }`), caller(1)
			p.random = rand.Uint64
			for b.Loop() {
				_, _ = p.Pick(r, allReady)
			}
		})
	}
}
