package fault

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

func bench(t *testing.T) *policytest.Bench {
	b := policytest.NewBench(t, policy.StateOptions{}, Kind())
	b.Config = &transomv1.Config{Faults: true}
	return b
}

// TestAborts pins Traffic 209: a call fails with the code or the HTTP status that the
// policy names.
func TestAborts(t *testing.T) {
	for text, want := range map[string]struct {
		code       codes.Code
		httpStatus int
	}{
		`fault { abort { code: "UNAVAILABLE" } }`:                                 {codes.Unavailable, 503},
		`fault { abort { code: "NOT_FOUND" } }`:                                   {codes.NotFound, 404},
		`fault { abort { http_status: 418 } }`:                                    {codes.Unknown, 418},
		`fault { abort { http_status: 503 } }`:                                    {codes.Unavailable, 503},
		`fault { abort { http_status: 429 } when: "headers['x-test'] == 'yes'" }`: {codes.Unavailable, 429},
		`fault { abort { http_status: 429 } when: "headers['x-test'] == 'no'" }`:  {codes.OK, 0},
		`fault { abort { http_status: 429 } when: "headers['x-away'] == 'no'" }`:  {codes.OK, 0},
	} {
		t.Run("Traffic 209: "+text, func(t *testing.T) {
			err := policytest.Admit(bench(t).Set(text), policytest.Request("192.0.2.1", "X-Test: yes"))
			if status.Code(err) != want.code {
				t.Fatalf("%v, want %s", err, want.code)
			}
			if err == nil {
				return
			}
			if _, httpStatus := rpcerror.Of(err, nil); httpStatus != want.httpStatus {
				t.Errorf("HTTP status %d, want %d", httpStatus, want.httpStatus)
			}
		})
	}
}

// TestDelay: a call waits, and no longer than its client does.
func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := bench(t).Set(`fault { delay { seconds: 3 } }`)
		start := time.Now()
		if err := policytest.Admit(s, policytest.Request("192.0.2.1")); err != nil || time.Since(start) != 3*time.Second {
			t.Errorf("%v after %v, want none after 3s", err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		if _, err := s.Admit(ctx, policytest.Request("192.0.2.1")); status.Code(err) != codes.DeadlineExceeded || time.Since(start) != time.Second {
			t.Errorf("%v after %v, want DEADLINE_EXCEEDED after 1s", err, time.Since(start))
		}
	})
}

// TestShare: so many of the calls fail as the policy says.
func TestShare(t *testing.T) {
	s := bench(t).Set(`fault { percent: 20 abort { code: "INTERNAL" } }`)
	const calls = 10_000
	failed := calls - policytest.CountAdmitted(s, calls, func() *policy.Request { return policytest.Request("192.0.2.1") })
	if failed < 1_700 || failed > 2_300 { // 7 standard deviations
		t.Errorf("%d of %d calls failed, want 20 %%", failed, calls)
	}
}

// TestOff: without faults: true nothing happens, and explain says why.
func TestOff(t *testing.T) {
	s := policytest.NewBench(t, policy.StateOptions{}, Kind()).Set(`fault { abort { code: "INTERNAL" } }`)
	if err := policytest.Admit(s, policytest.Request("192.0.2.1")); err != nil {
		t.Error(err)
	}
	if e := s.Explain(); len(e) != 1 || !strings.HasPrefix(e[0].Summary, "off") {
		t.Errorf("explained as %v", e)
	}
}

func TestWhatIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		`fault { }`:                                        "fault: found neither delay nor abort",
		`fault { delay { } }`:                              "fault.delay: found 0s",
		`fault { delay { seconds: 301 } }`:                 "fault.delay: found 5m1s, expected at most 5m",
		`fault { abort { } }`:                              "fault.abort: found nothing, expected code or http_status",
		`fault { abort { code: "OK" } }`:                   `fault.abort.code: found "OK"`,
		`fault { abort { code: "AWAY" } }`:                 `fault.abort.code: found "AWAY"`,
		`fault { abort { http_status: 200 } }`:             "fault.abort.http_status: found 200, expected 400 to 599",
		`fault { delay { seconds: 1 } percent: 0 }`:        "fault.percent: found 0",
		`fault { delay { seconds: 1 } percent: 100.5 }`:    "fault.percent: found 100.5",
		`fault { delay { seconds: 1 } percent: nan }`:      "fault.percent: found NaN",
		`fault { delay { seconds: 1 } when: "1" }`:         "fault.when: the expression gives int, expected bool",
		`fault { delay { seconds: 1 } when: "request.x" }`: "fault.when: found `request`",
	} {
		c, _ := policy.New([]policy.Kind{Kind()}, policy.Environment{Config: &transomv1.Config{Faults: true}, State: policy.NewState(policy.StateOptions{})})
		_, problems := c.Compile(policy.Target{Layers: policytest.LayersOf(t, text)})
		c.Close()
		if len(problems) != 1 || !strings.Contains(problems[0].Message, want) {
			t.Errorf("%s: got %v, want %q", text, problems, want)
		}
	}
}
