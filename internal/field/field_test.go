package field

import (
	"strings"
	"testing"
)

func TestReserved(t *testing.T) {
	for _, name := range []string{"authorization", "accept-language", "traceparent", "tracestate", "baggage", "idempotency-key", "last-event-id",
		"x-forwarded-for", "x-forwarded-host", "x-forwarded-anything", "x-request-id", "x-transom-principal", "x-real-ip", "forwarded", "user-agent"} {
		for _, spelling := range []string{name, strings.ToUpper(name), strings.ReplaceAll(name, "-", "_"), strings.ReplaceAll(name, "-", "."), strings.Replace(name, "-", "_", 1)} {
			for _, prefix := range []string{"", "Grpc-Metadata-", "grpc_metadata.", "Grpcgateway-", "grpcgateway.grpc-metadata-", "own-", "Own-Grpcgateway-"} {
				if !Reserved(prefix+spelling, "own-") {
					t.Errorf("Semantics 305: %s is not reserved", prefix+spelling)
				}
			}
		}
	}
	for _, name := range []string{"x-tenant", "grpc-metadata-x-tenant", "authorizations", "x-authorization", "x-forwarded", "cookie", ""} {
		if Reserved(name) {
			t.Errorf("Semantics 305: %s is reserved", name)
		}
	}
}

func TestSameAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { Same("x-tenant", "x-user") }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func TestProtocol(t *testing.T) {
	for name, want := range map[string]bool{
		"connect-timeout-ms": true, "connect-protocol-version": true, "grpc-timeout": true, "x-grpc-web": true, "x-user-agent": true,
		"sec-websocket-protocol": true, ":path": true, "connection-id": false, "x-tenant": false, "user-agent": false,
	} {
		if Protocol(name) != want {
			t.Errorf("Semantics 326: Protocol(%q) is %v", name, !want)
		}
	}
}

func TestWithoutCookies(t *testing.T) {
	for value, want := range map[string]string{
		"":                        "",
		"a=b":                     "a=b",
		"sid=1":                   "",
		"a=b; sid=1; c=d":         "a=b; c=d",
		"sid=1;sid=2;a=b":         "a=b",
		" sid =1; a=b":            "a=b",
		"sid; a=b":                "a=b",
		"a=sid; tok=x":            "a=sid",
		`a="b; sid=1"; c=d`:       `a="b; c=d`,
		"sid2=1; xsid=2":          "sid2=1; xsid=2",
		"a=b;;sid=\t1;  tok=sid=": "a=b; ",
	} {
		if got := WithoutCookies(value, []string{"sid", "tok"}); got != want {
			t.Errorf("Semantics 306: %q becomes %q, want %q", value, got, want)
		}
	}
}

func TestHasOtherCookies(t *testing.T) {
	for _, test := range []struct {
		lines string
		want  bool
	}{
		{"", false}, {"sid=1", false}, {" sid = 1;tok=2 ; sid", false}, {"; ;", false}, {"sid=1; other=2", true}, {"other", true}, {"=1", true}, {"sid2=1", true}, {"sid=1|tok=2", false}, {"sid=1|a=b", true},
	} {
		if got := HasOtherCookies(strings.Split(test.lines, "|"), []string{"sid", "tok"}); got != test.want {
			t.Errorf("%q: %v", test.lines, got)
		}
	}
	if n := testing.AllocsPerRun(100, func() { HasOtherCookies([]string{"sid=1; tok=2; sid=3"}, []string{"sid", "tok"}) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzWithoutCookies: no cookie of the names is left, read in whatever way.
func FuzzWithoutCookies(f *testing.F) {
	for _, seed := range []string{"sid=1", "a=b; sid=1", "sid", ";;sid = x;", "a=\"; sid=1\""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		left := WithoutCookies(value, []string{"sid"})
		for pair := range strings.SplitSeq(left, ";") {
			if name, _, _ := strings.Cut(pair, "="); strings.TrimSpace(name) == "sid" {
				t.Errorf("%q leaves %q", value, left)
			}
		}
		if again := WithoutCookies(left, []string{"sid"}); again != left {
			t.Errorf("%q becomes %q, and that %q", value, left, again)
		}
	})
}
