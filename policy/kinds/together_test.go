package kinds_test

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/kinds"
)

func TestCorsIsReadableBesideARefusal(t *testing.T) {
	s := policytest.NewBench(t, policy.StateOptions{}, kinds.All()...).Set(`cors { allowed_origins: "https://a.example" } limits { max_header_bytes: 1 }`)
	r := policytest.Request("192.0.2.1", "Origin: https://a.example")
	if err := policytest.Admit(s, r); status.Code(err) != codes.ResourceExhausted {
		t.Fatal(err)
	}
	if r.ResponseHeader.Get("Access-Control-Allow-Origin") != "https://a.example" {
		t.Error("the page cannot read the refusal")
	}
}

func TestLimitsByAddressComeBeforeAuth(t *testing.T) {
	b := policytest.NewBench(t, policy.StateOptions{}, kinds.All()...)
	s := b.Set(`
		auth { anonymous {} }
		rate_limit { requests: 1 key: CLIENT_IP }
		rate_limit { requests: 5 key: PRINCIPAL }`)
	if n := len(s.Parts()); n < 2 {
		t.Fatalf("%d policies, want one before and one after auth", n)
	}
	r := policytest.Request("192.0.2.1")
	if err := policytest.Admit(s, r); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(r.ResponseHeader.Values("RateLimit"), " | "); !strings.HasPrefix(got, `"client_ip";r=0`) || !strings.Contains(got, ` | "principal";r=4`) {
		t.Errorf("RateLimit: %s", got)
	}
}

func TestLimitsExplainThemselves(t *testing.T) {
	b := policytest.NewBench(t, policy.StateOptions{}, kinds.All()...)
	b.Method = policytest.TestMethod("StreamingInputCall")
	s := b.Set(`
		cors { allowed_origins: "https://a.example" allow_credentials: true }
		rate_limit { requests: 100 per { seconds: 60 } burst: 20 key: PRINCIPAL per_message: true }
		rate_limit { requests: 5 per { seconds: 90 } key: ROUTE }
		rate_limit { requests: 6 key: HEADER header: "x-team" }
		rate_limit { requests: 7 key: CEL cel: "headers['a']" }
		concurrency { max: 8 queue: 4 }
		headers { request { set { key: "x-a" value: "b" } remove: "X-B" } security { hsts {} } }
		limits { max_header_bytes: 500 max_body_bytes: 7 }`)
	want := map[string]string{
		"cors":        "pages of https://a.example may call, with credentials",
		"rate_limit":  "100 per minute, 20 at once by principal, messages too; 5 per 1m30s by route; 6 per second by the header X-Team; 7 per second by headers['a']",
		"concurrency": "at most 8 at once, 4 more wait up to 1s",
		"headers": "request sets x-a, request removes x-b, x-frame-options, x-content-type-options, referrer-policy, " +
			"strict-transport-security",
		"limits": "max_body_bytes 7, max_header_bytes 500",
	}
	for _, line := range s.Explain() {
		if line.Summary != want[line.Name] {
			t.Errorf("%s: %q, want %q", line.Name, line.Summary, want[line.Name])
		}
		delete(want, line.Name)
	}
	if len(want) > 0 {
		t.Errorf("nothing is said of %v", want)
	}
}
