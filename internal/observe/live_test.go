package observe

import (
	"bytes"
	"encoding/json"
	"maps"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestLiveIsTheAccessLog: Surface 242: those who watch are told what the access log says, by the
// same names, also where there is no log; and no more.
func TestLiveIsTheAccessLog(t *testing.T) {
	for name, test := range map[string]struct {
		change  func(*policy.Request)
		outcome policy.Outcome
	}{
		"plain": {func(*policy.Request) {}, policy.Outcome{HTTPStatus: 200, RequestBytes: 20}},
		"refused": {func(r *policy.Request) { r.RefusedBy = "auth" }, policy.Outcome{
			Code: codes.Unauthenticated, HTTPStatus: 401, Own: true, Message: "the token has expired",
		}},
		"failed": {func(r *policy.Request) { r.Branch, r.BranchMeant = "a", "b" }, policy.Outcome{
			Code: codes.Unavailable, HTTPStatus: 503, Cause: "connection refused", Endpoint: "10.0.0.1:50051", Attempts: 3, Hedged: 1, RetryDenied: "budget",
		}},
		"kept": {func(r *policy.Request) {
			r.Replayed, r.Cache.Result, r.Identity = true, "hit", &policy.Identity{Principal: "alice"}
			r.HTTP.Header.Set("User-Agent", "curl/8")
			r.HTTP.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
		}, policy.Outcome{HTTPStatus: 200, RequestMessages: 1, ResponseMessages: 1, RequestBody: 2, ResponseBody: 3, ResponseBytes: 4}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			telemetry := setup(t, &transomv1.Telemetry{}, &out)
			watch, err := telemetry.Live.Watch(`rpc.endsWith("/GetBook")`)
			if err != nil {
				t.Fatal(err)
			}
			defer watch.Close()
			r := request("/v1/shelves/1/books/2?access_token=hunter2")
			test.change(r)
			play(t, policy.NewSet(nil, telemetry.Policies(routes(telemetry))...), r, &test.outcome)
			batch, _ := watch.Next(t.Context())
			if len(batch.Calls) != 1 {
				t.Fatalf("got %d calls, expected 1", len(batch.Calls))
			}
			text, err := json.Marshal(batch.Calls[0])
			if err != nil {
				t.Fatal(err)
			}
			var line, told map[string]any
			if err := json.Unmarshal(out.Bytes(), &line); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(text, &told); err != nil {
				t.Fatal(err)
			}
			for _, own := range []string{"level", "msg", "time"} {
				delete(line, own)
			}
			delete(told, "time")
			if !maps.Equal(line, told) {
				t.Errorf("the access log says %v\nwho watches gets  %v", line, told)
			}
		})
	}
}
