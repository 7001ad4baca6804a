package gateway_test

import (
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/golang-jwt/jwt/v5"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/transom-gateway/transom/internal/testing/eventtest"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/keytest"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestEventServiceRoutes: Events 188: EventService is off until configured, and then has paths below
// a prefix of one's own, and policies as any service.
func TestEventServiceRoutes(t *testing.T) {
	paths := func(g *gatewaytest.Gateway) (all []string) {
		for _, r := range g.Routes() {
			if strings.HasPrefix(r.RPC, "transom.") {
				all = append(all, r.Method+" "+r.Path+" "+strings.Join(r.Policies, ","))
			}
		}
		return all
	}
	off := gatewaytest.Start(t, gatewaytest.Options{})
	if got := paths(off); len(got) != 0 {
		t.Errorf("without events.behaviour there are %v", got)
	}
	if a := off.Do(t, "POST", "/v1/events", `{}`); a.Status != 404 {
		t.Error(a)
	}
	_, err := transomv1.NewEventServiceClient(grpctest.Dial(t, off.Addr)).Publish(t.Context(), &transomv1.PublishRequest{})
	if status.Code(err) != codes.Unimplemented {
		t.Error(err)
	}
	on := gatewaytest.Start(t, gatewaytest.Options{Events: new(eventtest.Recorder), Config: `
events: { prefix: /tracking/v2, behaviour: {} }
policies: [{ selector: transom.v1.EventService.Publish, policy: { rate_limit: [{ requests: 1, per: 86400s, key: ROUTE }] } }]
`})
	want := []string{"POST /tracking/v2/events rate_limit", "POST /tracking/v2/events:batch "}
	if got := paths(on); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q, want %q", got, want)
	}
	if a := on.Do(t, "GET", "/tracking/v2/events/user_behaviors", ""); a.Status != 404 {
		t.Errorf("Subscribe without events.streams: %v", a)
	}
	if a := on.Do(t, "POST", "/tracking/v2/events", `{"type": "user.click"}`); a.Status != 200 {
		t.Error(a)
	}
	if a := on.Do(t, "POST", "/transom.v1.EventService/Publish", `{"event": {"type": "user.click"}}`); a.Status != 429 {
		t.Error(a)
	}
}

// TestPublish: Events 188, 191 and 194: events come in by every protocol, of who has called; what is
// wrong is refused by itself.
func TestPublish(t *testing.T) {
	recorder := new(eventtest.Recorder)
	g := gatewaytest.Start(t, gatewaytest.Options{Events: recorder, Config: `
auth: { jwt: [{ issuer: id, audience: shop, secret: "0123456789abcdef0123456789abcdef" }] }
events: { behaviour: {}, gateway: [{ type: api.request }] }
policies:
  - { selector: transom.v1.EventService.*, policy: { auth: { jwt: {} } } }
  - { selector: bookstore.v1.BookstoreService.GetShelf, policy: { events: [{ type: shelf.read }] } }
`})
	token := "Bearer " + keytest.Token(t, jwt.SigningMethodHS256, []byte("0123456789abcdef0123456789abcdef"), nil, map[string]any{"iss": "id", "aud": "shop", "sub": "ann", "exp": time.Now().Add(time.Hour).Unix()})
	client := transomv1.NewEventServiceClient(grpctest.Dial(t, g.Addr))
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", token)
	const batch = `{"events": [{"type": "user.view"}, {"type": "shelf.read"}, {"type": "user.view", "later": 1}], "sentAt": "2026-05-04T12:00:00Z"}`
	want := func(name string, accepted int32, rejected []*transomv1.RejectedEvent) {
		t.Helper()
		if accepted != 2 || len(rejected) != 1 || rejected[0].GetIndex() != 1 || !strings.HasPrefix(rejected[0].GetReason(), "forged: ") {
			t.Errorf("%s: got %d, %v", name, accepted, rejected)
		}
	}
	for _, path := range []string{"/v1/events:batch", "/transom.v1.EventService/PublishBatch"} {
		a := g.Do(t, "POST", path, batch, "Authorization", token)
		var got transomv1.PublishBatchResponse
		if err := protojson.Unmarshal([]byte(a.Body), &got); err != nil {
			t.Error(path, a, err)
		}
		want(path, got.GetAccepted(), got.GetRejected())
	}
	events := []*transomv1.UserEvent{{Type: "user.view"}, {Type: "shelf.read"}, {Type: "user.view"}}
	got, err := client.PublishBatch(ctx, &transomv1.PublishBatchRequest{Events: events})
	if err != nil {
		t.Fatal(err)
	}
	want("gRPC", got.GetAccepted(), got.GetRejected())
	web, err := connect.NewClient[transomv1.PublishBatchRequest, transomv1.PublishBatchResponse](g.Client, g.URL+"/transom.v1.EventService/PublishBatch", connect.WithGRPCWeb()).
		CallUnary(t.Context(), withToken(&transomv1.PublishBatchRequest{Events: events}, token))
	if err != nil {
		t.Fatal(err)
	}
	want("gRPC-Web", web.Msg.GetAccepted(), web.Msg.GetRejected())
	for _, e := range recorder.Wait(t, 8) {
		if e.Type == "user.view" && (e.Key != "ann" || !strings.Contains(string(e.Data), `"userId":"ann"`)) {
			t.Errorf("%+v %s", e.Event, e.Data)
		}
		if strings.HasPrefix(e.Type, "api.") && !strings.Contains(string(e.Data), "EventService") {
			t.Errorf("%+v", e.Event)
		}
	}
	if a := g.Do(t, "POST", "/v1/events", `{"type": "api.request"}`, "Authorization", token); a.Status != 403 || !strings.Contains(a.Body, "EVENT_FORGED") {
		t.Error(a)
	}
	if _, err := client.Publish(ctx, &transomv1.PublishRequest{Event: &transomv1.UserEvent{Type: "auth.login"}}); status.Code(err) != codes.PermissionDenied {
		t.Error(err)
	}
	if a := g.Do(t, "POST", "/v1/events", `{"type": "a b"}`, "Authorization", token); a.Status != 400 {
		t.Error(a)
	}
	if _, err := client.Publish(ctx, &transomv1.PublishRequest{}); status.Code(err) != codes.InvalidArgument {
		t.Error(err)
	}
	for _, none := range []string{`{}`, `{"events": []}`, `{"event": [{"type": "user.view"}]}`} { // Events 191
		if a := g.Do(t, "POST", "/v1/events:batch", none, "Authorization", token); a.Status != 400 || !strings.Contains(a.Body, "events: found none") || !strings.Contains(a.Body, "EVENT_INVALID") {
			t.Errorf("%s: %v", none, a)
		}
	}
	if a := g.Do(t, "POST", "/v1/events", `{"type": "user.view"}`); a.Status != 401 {
		t.Errorf("without a token: %v", a)
	}
	if a := g.DoWith(t, g.HTTP2, "POST", "/v1/events:batch", `{"events": [{"type": "user.view", "properties": {"a": "`+strings.Repeat("x", 256<<10)+`"}}]}`, "Authorization", token); a.Status != 413 {
		t.Errorf("Events 189: %v", a)
	}
}

func withToken[T any](message *T, token string) *connect.Request[T] {
	r := connect.NewRequest(message)
	r.Header().Set("Authorization", token)
	return r
}
