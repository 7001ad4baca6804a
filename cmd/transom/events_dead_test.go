package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/transom-gateway/transom/internal/admin"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// visits is a server that takes events of pages, but for those of visitors whom it does not like.
type visits struct {
	mu       sync.Mutex
	disliked string
	taken    []string
}

func (v *visits) serve(_ any, stream grpc.ServerStream) error {
	event := new(structpb.Struct)
	if err := stream.RecvMsg(event); err != nil {
		return err
	}
	who := event.GetFields()["anonymousId"].GetStringValue()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.disliked != "" && strings.HasPrefix(who, v.disliked) {
		return status.Error(codes.FailedPrecondition, "not "+who)
	}
	v.taken = append(v.taken, who)
	return stream.SendMsg(&emptypb.Empty{})
}

func (v *visits) have(names string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return strings.Join(v.taken, " ") == names
}

// TestDeadLettersByHand: Events 170, 174 and 175: subscriptions are paused, resumed and moved on the admin listener, and
// their dead letters listed, filtered, sent again and dropped there and by the command, however many there are.
func TestDeadLettersByHand(t *testing.T) {
	server := &visits{disliked: "bad"}
	dir := folder(t, map[string]string{
		"protos/v.proto": "syntax = \"proto3\";\npackage v.v1;\nimport \"google/protobuf/empty.proto\";\nimport \"google/protobuf/struct.proto\";\nservice Visits { rpc Take(google.protobuf.Struct) returns (google.protobuf.Empty); }\n",
		"transom.yaml": fmt.Sprintf(`schemas: [{ directory: protos }]
upstreams: { v: { grpc: { target: %q } } }
data_directory: data
events:
  behaviour: { delivery: AT_LEAST_ONCE }
  subscriptions: [{ name: visits, topic: user_behaviors, method: v.v1.Visits/Take, order: PARTITION }]
`, grpctest.ServeAny(t, server.serve)),
	})
	gateway := startProcess(t, buildTransom(t), "--config", filepath.Join(dir, "transom.yaml"))
	send := func(kind, who string) {
		t.Helper()
		response, err := http.Post(gateway.url+"/v1/events", "application/json", strings.NewReader(fmt.Sprintf(`{"type":%q,"anonymousId":%q}`, kind, who)))
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatal(err, response)
		}
		_ = response.Body.Close()
	}
	ask := func(method, path string, want int) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, gateway.admin+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		text, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != want {
			t.Errorf("%s %s: %v %s %s", method, path, err, response.Status, text)
		}
		return string(text)
	}
	dead := func(args ...string) []admin.DeadLetter {
		t.Helper()
		code, out, said := command(t, append([]string{"events", "dead", "list", "visits", "--json", "--admin", gateway.admin}, args...)...)
		var page struct{ Dead []admin.DeadLetter }
		if err := json.Unmarshal([]byte(out), &page); code != 0 || err != nil {
			t.Fatalf("%v: %d %s %s", args, code, out, said)
		}
		return page.Dead
	}
	send("user.click", "ann")
	send("user.click", "bad1")
	send("user.view", "bad2")
	poll.Until(t, "two dead letters", func() bool { return len(dead()) == 2 && server.have("ann") })
	for filter, want := range map[string]int{
		"letter.code == 'FAILED_PRECONDITION'": 2, "event.type == 'user.view'": 1, "event.data.anonymousId == 'bad1' && letter.attempts == 1": 1,
		"letter.message.contains('bad2')": 1, "event.nothing == 1": 0, "event.type.startsWith('user.') && letter.offset >= 0": 2,
	} {
		if got := dead("--filter", filter); len(got) != want {
			t.Errorf("%s: got %d dead letters, want %d", filter, len(got), want)
		}
	}
	for filter, want := range map[string]string{"event.type ==": "Syntax error", "event.type + 'a'": "gives string, expected bool", "nothing": "undeclared reference to 'nothing'"} {
		if code, _, said := command(t, "events", "dead", "list", "visits", "--admin", gateway.admin, "--filter", filter); code != exitProblem || !strings.Contains(said, want) {
			t.Errorf("%s: %d %s, want %s", filter, code, said, want)
		}
	}
	first := dead()[0].ID
	if page := ask(http.MethodGet, "/events/dead/visits?after="+first, 200); strings.Contains(page, first) || strings.Count(page, `"code":`) != 1 {
		t.Errorf("behind the first are %s", page)
	}

	ask(http.MethodPost, "/events/dead/visits/"+first+"/retry", http.StatusConflict)
	for want, args := range map[string][]string{
		`there is no such subscription: "none"; groups lists those that there are` + "\n":                                          {"pause", "none"},
		"the subscription has no dead letter of that ID\n":                                                                         {"dead", "show", "visits", "zz"},
		"the subscription is not moved: found the offset 9999 of partition 0, but the log has 0 to 3, and the partition 0 alone\n": {"seek", "visits", "9999"},
		"the subscription is not moved: found the offset 1 of partition 7, but the log has 0 to 3, and the partition 0 alone\n":    {"seek", "visits", "1", "--partition", "7"},
		"to: found \"yesterday\", expected earliest, latest, an offset, or a time such as 2026-01-31T12:00:00Z\n":                  {"seek", "visits", "yesterday"},
		"there is no such sink: found \"none\", expected one of log\n":                                                             {"rejected", "list", "--sink", "none"},
		"there is no such sink: found \"no\", expected one of log\n":                                                               {"rejected", "drop", "no", "zz"},
		"the sink has no rejected event of that ID\n":                                                                              {"rejected", "retry", "log", "zz"},
		`nothing publishes to that topic: found "user_behaviour", expected one of misc_events, user_behaviors` + "\n":              {"tail", "--topic", "user_behaviour"},
		`nothing publishes to that topic: found "old", expected one of misc_events, user_behaviors` + "\n":                         {"tail", "--topic", "old", "--from-earliest"},
		`type: found "us..*", expected a type, such as "user.click", or "user.*", or "*"` + "\n":                                   {"tail", "--type", "us..*"},
	} {
		if code, _, said := command(t, append(append([]string{"events"}, args...), "--admin", gateway.admin)...); code != exitProblem || said != want {
			t.Errorf("%v: %d %q, want %q", args, code, said, want)
		}
	}
	server.mu.Lock()
	server.disliked = ""
	server.mu.Unlock()
	if code, out, said := command(t, "events", "dead", "retry", "visits", "--all", "--filter", "event.type == 'user.view'", "--rate", "1000", "--admin", gateway.admin); code != 0 || !strings.Contains(out, ": done") {
		t.Errorf("%d %s %s", code, out, said)
	}
	if got := dead(); len(got) != 1 || got[0].ID != first || !server.have("ann bad2") {
		t.Errorf("there are %v", got)
	}
	ask(http.MethodPost, "/events/dead/visits/"+first+"/drop", 200)
	ask(http.MethodPost, "/events/dead/visits/"+first+"/drop", 404)
	ask(http.MethodGet, "/events/dead/visits/"+first, 404)
	if code, _, said := command(t, "events", "dead", "retry", "visits", first, "--filter", "true", "--admin", gateway.admin); code != exitProblem || !strings.Contains(said, "--filter goes with --all") {
		t.Errorf("%d %s", code, said)
	}

	ask(http.MethodPost, "/events/groups/visits/pause", 200)
	send("user.click", "eve")
	poll.Until(t, "the event that waits", func() bool {
		groups := strings.ReplaceAll(ask(http.MethodGet, "/events/groups", 200), " ", "")
		return strings.Contains(groups, `"paused"`) && strings.Contains(groups, `"lag":1`)
	})
	ask(http.MethodPost, "/events/groups/visits/seek?to=nowhere", 400)
	ask(http.MethodPost, "/events/groups/none/pause", 404)
	ask(http.MethodPost, "/events/groups/visits/resume", 200)
	poll.Until(t, "the event", func() bool { return server.have("ann bad2 eve") })
	for _, to := range [][3]string{
		{"latest", "4", "ann bad2 eve"}, {"2", "2", "ann bad2 eve bad2 eve"}, {"2026-01-31T12:00:00Z", "0", "ann bad2 eve bad2 eve ann bad1 bad2 eve"},
		{"earliest", "0", "ann bad2 eve bad2 eve ann bad1 bad2 eve ann bad1 bad2 eve"},
	} {
		if code, out, said := command(t, "events", "seek", "visits", to[0], "--admin", gateway.admin); code != 0 || out != "partition 0 goes on at offset "+to[1]+"\n" {
			t.Errorf("to %s: %d %q %s", to[0], code, out, said)
		}
		poll.Until(t, "those from "+to[0], func() bool { return server.have(to[2]) })
	}
}
