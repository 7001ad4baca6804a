package gateway

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// sameProto is what badFile("s.proto", "S") holds, as text.
const sameProto = `// Comments do not count.
syntax = "proto3";
package bad;
message SMessage {}
service S { rpc Get(SMessage) returns (SMessage); }
`

// askingBeside is a gateway of a folder and of a server that tells bad.S as file has it,
// in both orders of the schemas; extra is added to the entry of the folder.
func askingBeside(t *testing.T, first, text string, file []byte, extra string) (*Gateway, *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "s.proto"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	address := serveReflection(t, answering(func(q *question) *answer {
		if q.GetListServices() != "" {
			return listed("bad.S")
		}
		return sent(file)
	}))
	folder, server := fmt.Sprintf("{ directory: %q%s }", dir, extra), "{ reflection: { upstream: b } }"
	schemas := folder + ", " + server
	if first == "server" {
		schemas = server + ", " + folder
	}
	var log bytes.Buffer
	g := startConfiguredWithLog(t, time.Minute, &log, fmt.Sprintf("schemas: [%s]\nupstreams: { b: { grpc: { target: %q } } }\n", schemas, address))
	g.LogInService()
	return g, &log
}

// TestServiceOfFolderAndServer: a service that a folder has and a server tells is the
// folder's, in whichever order they stand, and something is said only if they differ
// (Semantics 323).
func TestServiceOfFolderAndServer(t *testing.T) {
	wire := badFile("s.proto", "S")
	other := strings.Replace(sameProto, "message SMessage {}", "message SMessage { string more = 1; }", 1)
	for _, first := range []string{"folder", "server"} {
		for name, test := range map[string]struct {
			text, extra, from string
			problems          int
		}{
			"the same":                         {sameProto, "", "folder", 0},
			"another":                          {other, "", "folder", 1},
			"another that is not to be served": {other, ", exclude: [bad.S]", "server", 0},
		} {
			t.Run(name+", "+first+" first", func(t *testing.T) {
				g, log := askingBeside(t, first, test.text, wire, test.extra)
				problems := g.Status().Problems
				if !knows(g, "bad.S/Get") || len(problems) != test.problems {
					t.Errorf("served: %v; %v", knows(g, "bad.S/Get"), problems)
				}
				for _, p := range problems {
					if !p.Warning || !strings.HasPrefix(p.File, "b:") || !strings.Contains(p.Message, "the service bad.S is also in ") ||
						!strings.Contains(p.Message, "and differs there: that one is served; leave it out of one of the two by services or exclude") {
						t.Errorf("%v", p)
					}
				}
				service, err := described{g}.FindDescriptorByName("bad.S")
				if err != nil {
					t.Fatal(err)
				}
				if more := service.ParentFile().Messages().ByName("SMessage").Fields().Len() == 1; more != (test.text == other && test.from == "folder") {
					t.Errorf("reflection shows another file than that of the %s", test.from)
				}
				if told := strings.Contains(log.String(), "by the server's reflection"); told != (test.from == "server") {
					t.Errorf("the log: %s", log)
				}
			})
		}
	}
}

// TestPoliciesTold: the log says how many of the methods that a server tells have a
// policy, once for each thing that it tells (Semantics 323).
func TestPoliciesTold(t *testing.T) {
	var policies atomic.Bool
	address := serveReflection(t, answering(func(q *question) *answer {
		switch {
		case q.GetListServices() != "":
			return listed("bad.S")
		case policies.Load():
			return sent(guarded("s.proto", "S", &transomv1.Policy{Timeout: durationpb.New(time.Second)}))
		}
		return sent(badFile("s.proto", "S"))
	}))
	var log bytes.Buffer
	g := startAskingWithLog(t, time.Minute, &log, map[string]string{"S": address})
	const none, some = "1 methods by the server's reflection, none with a policy: if its protos have policies, its code was made without them", "1 methods by the server's reflection, 1 with a policy"
	g.LogInService()
	if text := log.String(); !strings.Contains(text, none) || !strings.Contains(text, `"source":"S"`) {
		t.Errorf("the log: %s", text)
	}
	log.Reset()
	for _, want := range []string{"", some, ""} {
		if _, err := g.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		if text := log.String(); strings.Contains(text, "by the server's reflection") != (want != "") || !strings.Contains(text, want) {
			t.Errorf("the log: %s, want %q", text, want)
		}
		log.Reset()
		policies.Store(true)
	}
}
