package gateway_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

const watchedProto = `syntax = "proto3";
package shown.v1;
import "google/api/annotations.proto";
import "transom/v1/annotations.proto";
service Shown {
  rpc Say(Message) returns (Message) { option (google.api.http) = { post: "/say" body: "*" }; }
  rpc Talk(stream Message) returns (stream Message) { option (google.api.http) = { post: "/talk" body: "*" }; }
  rpc Quiet(Message) returns (Message) { option (google.api.http) = { post: "/quiet" body: "*" }; }
}
message Message { string text = 1; string other = 2; string pin = 3 [(transom.v1.field).sensitive = true]; Inner inner = 4; }
message Inner { string pin = 1 [debug_redact = true]; int64 n = 2; }
`

const sayAll = "admin: { capture: [{ selector: shown.v1.Shown.Say, fields: [\"*\"] }, { selector: shown.v1.Shown.Talk, fields: [request.text, response.inner.n] }] }\n"

// startShown starts a gateway in front of a server that answers with what it gets.
func startShown(t *testing.T, config string) *gatewaytest.Gateway {
	t.Helper()
	echo := grpctest.ServeAny(t, func(_ any, stream grpc.ServerStream) error {
		for {
			m := new(emptypb.Empty)
			if err := stream.RecvMsg(m); err != nil {
				if errors.Is(err, io.EOF) {
					return nil
				}
				return err
			}
			if err := stream.SendMsg(m); err != nil {
				return err
			}
		}
	})
	return gatewaytest.Start(t, gatewaytest.Options{NoBookstore: true, Admin: true, Backend: echo, Protos: map[string]string{"shown.proto": watchedProto}, Config: config})
}

// watch reads /live, and returns what gives the next event.
func watch(t *testing.T, g *gatewaytest.Gateway, query string) func() string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", g.Admin+"/live?"+query, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); _ = answer.Body.Close() })
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	next := func() string {
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				return data
			}
			if strings.HasPrefix(lines.Text(), ": watching") {
				return ""
			}
		}
		t.Fatalf("%d, %v", answer.StatusCode, lines.Err())
		return ""
	}
	next()
	return next
}

// TestLiveMessages: Surface 242: who asks for messages sees the fields that admin.capture shows, in every protocol and shape, never those
// that are sensitive, and no more than the bound; who does not ask sees none.
func TestLiveMessages(t *testing.T) {
	g := startShown(t, sayAll)
	plain, full := watch(t, g, ""), watch(t, g, "messages=true")
	for _, test := range []struct{ path, body, want string }{
		{"/say", `{"text":"a","pin":"hunter2","inner":{"pin":"hunter2","n":"7"}}`,
			`"messages":{"request":["{\"text\":\"a\",\"inner\":{\"n\":\"7\"}}"],"response":["{\"text\":\"a\",\"inner\":{\"n\":\"7\"}}"]}`},
		{"/shown.v1.Shown/Say", `{"other":"b","pin":"hunter2"}`, `"messages":{"request":["{\"other\":\"b\"}"],"response":["{\"other\":\"b\"}"]}`},
		{"/talk", `{"text":"a","other":"x","inner":{"n":"1","pin":"hunter2"}} {"text":"b","pin":"hunter2"}`,
			`"messages":{"request":["{\"text\":\"a\"}","{\"text\":\"b\"}"],"response":["{\"inner\":{\"n\":\"1\"}}","{}"]}`},
		{"/quiet", `{"text":"a"}`, ""},
		{"/say", `{"text":"` + strings.Repeat("ü", 20_000) + `"}`, `"cut":true`},
		{"/say", `{"text":"` + strings.Repeat("x", 100_000) + `"}`, `"messages":{"cut":true}`},
		{"/say", `{"text":7}`, ""},
	} {
		g.Do(t, "POST", test.path, test.body)
		got, less := full(), plain()
		if !strings.Contains(got, test.want) || test.want == "" && strings.Contains(got, "messages\":{") || len(got) > 18_000 {
			t.Errorf("%s: %d bytes %.1000s\nwant %s", test.path, len(got), got, test.want)
		}
		if strings.Contains(less, `"messages":{`) || strings.Contains(got+less, "hunter2") {
			t.Errorf("%s: %s\nand %s", test.path, less, got)
		}
	}
}

// TestLiveMessagesOfNone: Surface 242: where admin.capture shows none, to ask for messages is an error that says what to do.
func TestLiveMessagesOfNone(t *testing.T) {
	g := startShown(t, "")
	g.URL = g.Admin
	got := g.Do(t, "GET", "/live?messages=true", "")
	if got.Status != 400 || !strings.Contains(got.Body, "admin.capture shows messages of no method") {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

// TestCaptureRefuses: a rule that fits no method, or names a field that there is not or that is sensitive, is refused with its place.
func TestCaptureRefuses(t *testing.T) {
	g := startShown(t, sayAll)
	good, err := os.ReadFile(g.Config)
	if err != nil {
		t.Fatal(err)
	}
	for config, want := range map[string]string{
		`{ selector: shown.v1.Shown.Sey, fields: ["*"] }`:                     "admin.capture[0]: no method is shown.v1.Shown.Sey; did you mean",
		`{ selector: shown.v1.Shown.Say, fields: [request.txt] }`:             `admin.capture[0].fields[0]: found "request.txt": `,
		`{ selector: shown.v1.Shown.Say, fields: [response.pin] }`:            `marked sensitive`,
		`{ selector: shown.v1.Shown.Say, fields: ["*", response.inner.pin] }`: `marked sensitive`,
	} {
		text := strings.Replace(string(good), sayAll, "admin: { capture: ["+config+"] }\n", 1)
		if err := os.WriteFile(g.Config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := g.Reload(t.Context()); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), ".yaml:") {
			t.Errorf("%s: %v, want %s", config, err, want)
		}
	}
}
