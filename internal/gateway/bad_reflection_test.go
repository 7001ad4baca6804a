package gateway

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/observe"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/poll"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

type (
	question  = reflectionv1.ServerReflectionRequest
	answer    = reflectionv1.ServerReflectionResponse
	questions = reflectionv1.ServerReflection_ServerReflectionInfoServer
)

// scriptedReflection is a reflection service that does what a test says.
type scriptedReflection struct {
	reflectionv1.UnimplementedServerReflectionServer
	play func(questions) error
}

func (s scriptedReflection) ServerReflectionInfo(stream questions) error { return s.play(stream) }

// answering answers each question with what a function says.
func answering(say func(*question) *answer) func(questions) error {
	return func(stream questions) error {
		for {
			q, err := stream.Recv()
			if err != nil {
				return nil
			}
			if err := stream.Send(say(q)); err != nil {
				return err
			}
		}
	}
}

func listed(names ...string) *answer {
	list := new(reflectionv1.ListServiceResponse)
	for _, name := range names {
		list.Service = append(list.Service, &reflectionv1.ServiceResponse{Name: name})
	}
	return &answer{MessageResponse: &reflectionv1.ServerReflectionResponse_ListServicesResponse{ListServicesResponse: list}}
}

func sent(files ...[]byte) *answer {
	return &answer{MessageResponse: &reflectionv1.ServerReflectionResponse_FileDescriptorResponse{
		FileDescriptorResponse: &reflectionv1.FileDescriptorResponse{FileDescriptorProto: files},
	}}
}

func refusedQuestion() *answer {
	return &answer{MessageResponse: &reflectionv1.ServerReflectionResponse_ErrorResponse{
		ErrorResponse: &reflectionv1.ErrorResponse{ErrorCode: int32(codes.NotFound), ErrorMessage: "never heard of it"},
	}}
}

// badFile declares the service bad.NAME, whose method takes and gives the message
// bad.NAMEMessage, and imports files.
func badFile(path, name string, imports ...string) []byte {
	message := name + "Message"
	wire, err := proto.Marshal(&descriptorpb.FileDescriptorProto{
		Name: proto.String(path), Package: proto.String("bad"), Syntax: proto.String("proto3"), Dependency: imports,
		MessageType: []*descriptorpb.DescriptorProto{{Name: &message}},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: &name, Method: []*descriptorpb.MethodDescriptorProto{{
			Name: proto.String("Get"), InputType: proto.String(".bad." + message), OutputType: proto.String(".bad." + message),
		}}}},
	})
	if err != nil {
		panic(err)
	}
	return wire
}

// badSymbol lists bad.S and answers all else with one answer.
func badSymbol(a *answer) func(questions) error {
	return answering(func(q *question) *answer {
		if q.GetListServices() != "" {
			return listed("bad.S")
		}
		return a
	})
}

// badReflection are the ways in which a reflection service can be bad.
var badReflection = map[string]func(questions) error{
	"a file that imports itself":   badSymbol(sent(badFile("s.proto", "S", "s.proto"))),
	"files that import each other": badSymbol(sent(badFile("s.proto", "S", "t.proto"), badFile("t.proto", "T", "s.proto"))),
	"garbage for a file":           badSymbol(sent([]byte{0xff, 0xff, 0xff, 1, 2, 3})),
	"a file without a name":        badSymbol(sent(badFile("", "S"))),
	"an empty file":                badSymbol(sent([]byte{})),
	"no file":                      badSymbol(sent()),
	"an empty answer":              answering(func(*question) *answer { return &answer{} }),
	"an empty list":                answering(func(*question) *answer { return listed() }),
	"a list for a file":            badSymbol(listed("bad.S")),
	"a file for a list":            answering(func(*question) *answer { return sent(badFile("s.proto", "S")) }),
	"the file of another service":  badSymbol(sent(badFile("t.proto", "T"))),
	"two files of one name":        badSymbol(sent(badFile("s.proto", "T"), badFile("s.proto", "S"))),
	"a name twice in two files":    badSymbol(sent(badFile("s.proto", "S"), badFile("t.proto", "S"))),
	"an import that is missing":    badSymbol(sent(badFile("s.proto", "S", "gone.proto"))),
	"an error for everything":      answering(func(*question) *answer { return refusedQuestion() }),
	"an error for one service":     badSymbol(refusedQuestion()),
	"a name that is none":          answering(func(q *question) *answer { return listed("", "..", "bad..S", "\u00e9") }),
	"a huge name": answering(func(q *question) *answer {
		if q.GetListServices() != "" {
			return listed(strings.Repeat("x", 1<<20))
		}
		return refusedQuestion()
	}),
	"too many services": answering(func(*question) *answer {
		names := make([]string, 10_001)
		for i := range names {
			names[i] = fmt.Sprintf("bad.S%d", i)
		}
		return listed(names...)
	}),
	"imports without end": func(stream questions) error {
		n := 0
		return answering(func(q *question) *answer {
			if q.GetListServices() != "" {
				return listed("bad.S")
			}
			// As many as end soon: the bound is one of files, not of answers.
			files := make([][]byte, 250)
			for i := range files {
				n++
				files[i] = badFile(fmt.Sprintf("s%d.proto", n-1), fmt.Sprintf("S%d", n), fmt.Sprintf("s%d.proto", n))
			}
			return sent(files...)
		})(stream)
	},
	"answers without end": func(stream questions) error {
		for {
			if err := stream.Send(listed("bad.S")); err != nil {
				return err
			}
		}
	},
	"a stream that closes at once": func(questions) error { return nil },
	"a stream that breaks":         func(questions) error { return status.Error(codes.Internal, "broken") },
	"neither v1 nor v1alpha":       func(questions) error { return status.Error(codes.Unimplemented, "no reflection") },
	"one who is not let in":        func(questions) error { return status.Error(codes.PermissionDenied, "who are you?") },
}

// soundReflection tells bad.Sound, which is none.
var soundReflection = answering(func(q *question) *answer {
	if q.GetListServices() != "" {
		return listed("bad.Sound")
	}
	return sent(badFile("sound.proto", "Sound"))
})

// serveReflection starts a server whose reflection plays a script, and returns
// its address.
func serveReflection(t *testing.T, play func(questions) error) string {
	t.Helper()
	s := grpc.NewServer()
	reflectionv1.RegisterServerReflectionServer(s, scriptedReflection{play: play})
	return grpctest.Serve(t, s)
}

// startAsking starts a gateway that asks servers, by name, for their schemas.
func startAsking(t *testing.T, patience time.Duration, addresses map[string]string) *Gateway {
	t.Helper()
	return startAskingWithLog(t, patience, io.Discard, addresses)
}

func startAskingWithLog(t *testing.T, patience time.Duration, log io.Writer, addresses map[string]string) *Gateway {
	t.Helper()
	var schemas, upstreams strings.Builder
	for name, address := range addresses {
		fmt.Fprintf(&schemas, "  - reflection: { upstream: %s }\n", name)
		fmt.Fprintf(&upstreams, "  %s: { services: [bad.%s], grpc: { target: %q } }\n", name, name, address)
	}
	return startConfiguredWithLog(t, patience, log, "schemas:\n"+schemas.String()+"upstreams:\n"+upstreams.String())
}

// startConfigured starts a gateway of a configuration that waits for servers no longer.
func startConfigured(t *testing.T, patience time.Duration, text string) *Gateway {
	t.Helper()
	return startConfiguredWithLog(t, patience, io.Discard, text)
}

func startConfiguredWithLog(t *testing.T, patience time.Duration, log io.Writer, text string) *Gateway {
	t.Helper()
	path := filepath.Join(t.TempDir(), "transom.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	telemetry, err := observe.Setup(&transomv1.Telemetry{}, "test", log)
	if err != nil {
		t.Fatal(err)
	}
	g := New(Options{Telemetry: telemetry, Load: func() (*config.File, error) {
		file, problems := config.Load(path)
		return file, problems.Err()
	}})
	t.Cleanup(g.Close)
	g.sources.patience = patience
	if _, err := g.Reload(t.Context()); err != nil {
		t.Fatalf("the start ended: %v", err)
	}
	return g
}

// knows reports whether the gateway serves a method.
func knows(g *Gateway, rpc string) bool {
	for _, r := range g.Routes() {
		if r.RPC == rpc {
			return true
		}
	}
	return false
}

// TestBadReflection pins Semantics 323: a bad reflection source never stops a
// start, and a sound one beside it is served.
func TestBadReflection(t *testing.T) {
	for name, play := range badReflection {
		t.Run(name, func(t *testing.T) {
			g := startAsking(t, time.Minute, map[string]string{"S": serveReflection(t, play), "Sound": serveReflection(t, soundReflection)})
			if !knows(g, "bad.Sound/Get") {
				t.Errorf("the sound server is not served: %v", g.Status().Problems)
			}
			if ready, reason := g.Ready(); !ready {
				t.Errorf("not ready: %s", reason)
			}
			for _, p := range g.Status().Problems {
				if !p.Warning {
					t.Errorf("%v is no warning", p)
				}
			}
		})
	}
}

// guarded is a file of the service bad.NAME with a policy in its own options.
func guarded(path, name string, policy *transomv1.Policy) []byte {
	file := new(descriptorpb.FileDescriptorProto)
	if err := proto.Unmarshal(badFile(path, name, "transom/v1/annotations.proto"), file); err != nil {
		panic(err)
	}
	options := new(descriptorpb.ServiceOptions)
	proto.SetExtension(options, transomv1.E_Service, policy)
	file.Service[0].Options = options
	wire, err := proto.Marshal(file)
	if err != nil {
		panic(err)
	}
	return wire
}

// TestWrongOptionsOfAServer pins Semantics 323: a policy that is wrong in a server's own
// descriptors takes out that server alone, and one that it gave before stays in service.
func TestWrongOptionsOfAServer(t *testing.T) {
	wrong := guarded("s.proto", "S", &transomv1.Policy{Timeout: durationpb.New(-time.Second)})
	var wrongNow atomic.Bool
	wrongNow.Store(true)
	script := answering(func(q *question) *answer {
		if q.GetListServices() != "" {
			return listed("bad.S")
		}
		if wrongNow.Load() {
			return sent(wrong)
		}
		return sent(badFile("s.proto", "S"))
	})
	g := startAsking(t, time.Minute, map[string]string{"S": serveReflection(t, script), "Sound": serveReflection(t, soundReflection)})
	warned := func(meanwhile string) {
		t.Helper()
		for _, p := range g.Status().Problems {
			if p.Warning && strings.HasPrefix(p.File, "S:s.proto") && strings.Contains(p.Message, "timeout") && strings.HasSuffix(p.Message, meanwhile) {
				return
			}
		}
		t.Errorf("nothing tells %q: %v", meanwhile, g.Status().Problems)
	}
	if knows(g, "bad.S/Get") || !knows(g, "bad.Sound/Get") {
		t.Errorf("the routes are %v", g.Routes())
	}
	warned("none of the server's methods is served until it is mended")
	wrongNow.Store(false)
	if _, err := g.Reload(t.Context()); err != nil || !knows(g, "bad.S/Get") {
		t.Errorf("mended: %v", err)
	}
	wrongNow.Store(true)
	for range 2 {
		if _, err := g.Reload(t.Context()); err != nil || !knows(g, "bad.S/Get") || !knows(g, "bad.Sound/Get") {
			t.Errorf("wrong again: %v", err)
		}
		warned("what the server gave before stays in service")
	}
}

// TestOneServerTwice: each of its schemas adds what it selects.
func TestOneServerTwice(t *testing.T) {
	both := answering(func(q *question) *answer {
		switch {
		case q.GetListServices() != "":
			return listed("bad.A", "bad.B", "bad.C")
		default:
			name := strings.TrimPrefix(q.GetFileContainingSymbol(), "bad.")
			return sent(badFile(name+".proto", name))
		}
	})
	g := startConfigured(t, time.Minute, "schemas:\n  - { reflection: { upstream: u }, services: [bad.A] }\n"+
		"  - { reflection: { upstream: u }, services: [bad.B] }\nupstreams: { u: { grpc: { target: \""+serveReflection(t, both)+"\" } } }\n")
	if !knows(g, "bad.A/Get") || !knows(g, "bad.B/Get") || knows(g, "bad.C/Get") {
		t.Errorf("the routes are %v", g.Routes())
	}
	if problems := g.Status().Problems; len(problems) > 0 {
		t.Error(problems)
	}
}

// TestHugeNameIsShortened: nobody reads a megabyte.
func TestHugeNameIsShortened(t *testing.T) {
	g := startAsking(t, time.Minute, map[string]string{"S": serveReflection(t, badReflection["a huge name"])})
	for _, p := range g.Status().Problems {
		if len(p.String()) > 1000 {
			t.Errorf("a problem of %d bytes", len(p.String()))
		}
	}
	if len(g.Status().Problems) == 0 {
		t.Error("nobody is told")
	}
}

// TestSilentBesideSound pins Semantics 323: who does not answer keeps nobody else's
// methods from being served when the patience is over.
func TestSilentBesideSound(t *testing.T) {
	silent := func(stream questions) error {
		<-stream.Context().Done()
		return nil
	}
	g := startAsking(t, 100*time.Millisecond, map[string]string{"S": serveReflection(t, silent), "Sound": serveReflection(t, soundReflection)})
	// The sound one may be slow to answer on a busy machine: then it is followed.
	defer g.PollReflection(t.Context(), func() { _, _ = g.Reload(t.Context()) })()
	poll.Until(t, "the sound server to be served", func() bool { return knows(g, "bad.Sound/Get") })
	if ready, reason := g.Ready(); !ready {
		t.Error(reason)
	}
	told := func(p Problem) bool {
		return p.Warning && p.File == "S" && strings.Contains(p.Message, "its methods are served once it can")
	}
	if problems := g.Status().Problems; !slices.ContainsFunc(problems, told) {
		t.Errorf("nobody is told of the silent one: %v", problems)
	}
}

// TestSilentReflection pins Semantics 323: a silent source delays the start
// shortly, and is followed when it answers; with no other there is nothing to
// serve, and the gateway is not ready and says why.
func TestSilentReflection(t *testing.T) {
	var speaks atomic.Bool
	silent := func(stream questions) error {
		if !speaks.Load() {
			<-stream.Context().Done()
			return nil
		}
		return soundReflection(stream)
	}
	g := startAsking(t, 100*time.Millisecond, map[string]string{"Sound": serveReflection(t, silent)})
	ready, reason := g.Ready()
	if ready || !strings.Contains(reason, "no route is served: Sound: ") || !strings.Contains(reason, "cannot be asked for its schema") {
		t.Errorf("ready: %t, %s", ready, reason)
	}
	speaks.Store(true)
	// The answer comes however slow it is: what the poll was told is what is loaded.
	defer g.PollReflection(t.Context(), func() { _, _ = g.Reload(t.Context()) })()
	poll.Until(t, "the server to be followed", func() bool {
		ready, _ := g.Ready()
		return ready
	})
	if !knows(g, "bad.Sound/Get") {
		t.Errorf("it is not served: %v", g.Status().Problems)
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/bad.Sound/Get", strings.NewReader("{}")))
	if w.Code == http.StatusNotFound {
		t.Error("its method has no route")
	}
}
