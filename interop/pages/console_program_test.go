package pages

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/interop/internal/browser"
)

// program is a gateway that runs as a process of its own, behind an address of the admin listener that
// stays when it is killed and started again.
type program struct {
	t           *testing.T
	bin, config string
	command     *exec.Cmd
	url         string                 // of clients
	admin       string                 // the address that stays
	now         atomic.Pointer[string] // host and port of the process's own; nil while there is none
}

// runProgram starts a gateway with a configuration.
func runProgram(t *testing.T, config string, files map[string]string) *program {
	t.Helper()
	p := &program{t: t, bin: filepath.Join(strings.Split(programs(t), ":")[0], "transom"), config: filepath.Join(t.TempDir(), "transom.yaml")}
	for name, text := range files {
		at := filepath.Join(filepath.Dir(p.config), name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.write(config)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	p.admin = "http://" + l.Addr().String()
	go p.forward(l)
	p.start()
	t.Cleanup(p.kill)
	return p
}

// write replaces the configuration.
func (p *program) write(config string) {
	p.t.Helper()
	if err := os.WriteFile(p.config, []byte(config), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// start starts the process, and waits until it listens.
func (p *program) start() {
	p.t.Helper()
	p.command = exec.CommandContext(p.t.Context(), p.bin, "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config", p.config)
	p.command.Dir = filepath.Dir(p.config)
	log, err := p.command.StderrPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.command.Start(); err != nil {
		p.t.Fatal(err)
	}
	var said []string
	for lines := bufio.NewScanner(log); lines.Scan(); {
		said = append(said, lines.Text())
		var line struct{ Msg, Address string }
		_ = json.Unmarshal(lines.Bytes(), &line) // other lines say nothing of where
		switch line.Msg {
		case "listening":
			p.url = "http://" + line.Address
		case "admin":
			at := strings.TrimPrefix(line.Address, "http://")
			p.now.Store(&at)
		}
		if p.url != "" && p.now.Load() != nil {
			go func() { _, _ = io.Copy(io.Discard, log) }() // whatever else it says
			return
		}
	}
	p.t.Fatalf("the gateway does not listen:\n%s", strings.Join(said, "\n"))
}

// kill ends the process at once.
func (p *program) kill() {
	p.now.Store(nil)
	p.url = ""
	_ = p.command.Process.Kill() // it may have ended
	_ = p.command.Wait()
}

// forward connects those who come to the process that runs, if one does.
func (p *program) forward(l net.Listener) {
	for {
		from, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = from.Close() }()
			at := p.now.Load()
			if at == nil {
				return
			}
			to, err := net.Dial("tcp", *at)
			if err != nil {
				return
			}
			defer func() { _ = to.Close() }()
			go func() { _, _ = io.Copy(to, from); _ = to.Close() }() // either side ends both
			_, _ = io.Copy(from, to)
		}()
	}
}

// TestConsoleSurvivesRestart: Surface 236 and 244: while the gateway is away the page says so and keeps what it shows; when it is back, the
// page goes on by itself; a reload that is refused is shown, also to a page that comes later, until it is mended.
func TestConsoleSurvivesRestart(t *testing.T) {
	config := "schemas: [{ directory: protos }]\nupstreams: { v: { grpc: { target: \"127.0.0.1:1\" } } }\n"
	p := runProgram(t, config, map[string]string{"protos/v.proto": visitsProto})
	page := demo{browser.Start(t).Open(t, p.admin+"/")}
	const line = "header.top [role=status]"
	page.awaits(t, line, "ready")
	page.at(t, "#/routes?q=visits", "Routes")
	page.awaits(t, ".window", "/v.v1.Visits/Take")
	reload := func(config string, want int) {
		t.Helper()
		p.write(config)
		answer, err := http.Post(p.admin+"/reload", "", nil)
		if err != nil || answer.StatusCode != want {
			t.Fatalf("reloading: %v, %v", answer, err)
		}
		_ = answer.Body.Close()
	}

	p.kill()
	page.awaits(t, line, "reconnecting")
	page.awaits(t, ".window", "/v.v1.Visits/Take")
	page.awaits(t, "h1", "Routes")
	page.picture(t, "console-reconnecting")
	p.write(strings.ReplaceAll(config, "v: {", "elsewhere: {"))
	p.start()
	page.awaits(t, line, "ready")
	page.awaits(t, ".window", "elsewhere")
	if got := browser.Eval[string](t, page.Page, `() => document.querySelector('main input[type=search]').value`); got != "visits" {
		t.Errorf("the filter is %q", got)
	}

	reload(config+"nonsense: true\n", 422)
	later := demo{browser.Start(t).Open(t, p.admin+"/")}
	for _, d := range []demo{page, later} {
		d.awaits(t, ".banner", "transom.yaml:3")
		d.awaits(t, ".banner", "nonsense")
	}
	reload(config, 200)
	for _, d := range []demo{page, later} {
		poll.Until(t, "the banner is gone", func() bool {
			return browser.Eval[bool](t, d.Page, `() => !document.querySelector('.banner')`)
		})
	}
	if thrown := page.Uncaught(); len(thrown) > 0 {
		t.Errorf("nobody caught %q", thrown)
	}
}

const visitsProto = `syntax = "proto3";
package v.v1;
import "google/protobuf/empty.proto";
import "google/protobuf/struct.proto";
service Visits { rpc Take(google.protobuf.Struct) returns (google.protobuf.Empty); }
`

// TestConsoleEvents: Surface 234 and 267: events that a sink has rejected and dead letters are seen, with what is wrong and what they are,
// tried again and dropped; a subscription is paused. Each is a line of the audit log.
func TestConsoleEvents(t *testing.T) {
	var kind atomic.Bool // takes events
	backend := grpctest.ServeAny(t, func(_ any, stream grpc.ServerStream) error {
		if err := stream.RecvMsg(new(structpb.Struct)); err != nil {
			return err
		}
		if !kind.Load() {
			return status.Error(codes.FailedPrecondition, "no <b>visits</b> yet")
		}
		return stream.SendMsg(&emptypb.Empty{})
	})
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !kind.Load() {
			w.WriteHeader(http.StatusGone)
		}
	}))
	t.Cleanup(hook.Close)
	p := runProgram(t, fmt.Sprintf(`schemas: [{ directory: protos }]
upstreams: { v: { grpc: { target: %q } } }
data_directory: data
admin: { audit: { file: audit.log } }
events:
  sinks: { hook: { webhook: { url: %q, insecure: true, allow: ["127.0.0.1/32"], secrets: ["whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="] } } }
  behaviour: { delivery: AT_LEAST_ONCE }
  subscriptions: [{ name: visits, topic: user_behaviors, method: v.v1.Visits/Take }]
`, backend, hook.URL), map[string]string{"protos/v.proto": visitsProto})
	answer, err := http.Post(p.url+"/v1/events", "application/json", strings.NewReader(`{"type":"user.click","anonymousId":"<img src=x onerror=hacked=1>\u202e"}`))
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatal(err, answer)
	}
	_ = answer.Body.Close()

	page := demo{browser.Start(t).Open(t, p.admin+"/")}
	page.Resize(t, 1440, 900)
	page.awaits(t, "h1", "Overview")
	page.at(t, "#/events", "Events")
	const rejected, dead, subscriptions = "[aria-label='Rejected events']", "[aria-label='Dead letters of visits']", "[aria-label=Subscriptions]"
	page.awaits(t, rejected, "410")
	page.awaits(t, dead, "FAILED_PRECONDITION, no <b>visits</b> yet")
	for _, of := range []string{rejected, dead} {
		page.Click(t, of+" summary")
		page.awaits(t, of+" pre", `"anonymousId": "<img src=x onerror=hacked=1>\u202e"`)
	}
	page.picture(t, "console-events-aside")
	page.Click(t, dead+" .actions button")
	page.awaits(t, dead+" [role=alert]", "FAILED_PRECONDITION")
	kind.Store(true)
	page.Click(t, dead+" .actions button")
	poll.Until(t, "the dead letter is gone", func() bool {
		return browser.Eval[bool](t, page.Page, `s => !document.querySelector(s)`, dead)
	})
	drop := rejected + " .actions button.danger"
	page.Click(t, drop)
	page.awaits(t, drop, "sure?")
	page.Click(t, drop)
	page.awaits(t, rejected, "No sink has refused an event for good.")
	page.Click(t, subscriptions+" td button")
	page.awaits(t, subscriptions, "paused")
	page.awaits(t, subscriptions+" td button", "Resume")
	const seek = subscriptions + " .seek button"
	page.Click(t, subscriptions+" .seek summary")
	for _, to := range []struct{ text, selector, want string }{
		{"77", ".seek [role=alert]", "77"}, {"yesterday", ".seek [role=alert]", `found "yesterday", expected earliest, latest`}, {"earliest", ".seek [role=status]", "goes on at earliest"},
	} {
		page.fill(t, subscriptions+" .seek input", to.text)
		page.Click(t, seek)
		page.awaits(t, seek, "sure?")
		page.Click(t, seek)
		page.awaits(t, subscriptions+" "+to.selector, to.want)
	}
	for _, violation := range page.violations(t) {
		t.Error(violation)
	}
	page.picture(t, "console-events-seek")
	audit, err := os.ReadFile(filepath.Join(filepath.Dir(p.config), "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"event":"subscription_seek"`, `"event":"dead_letter_retry"`, `"event":"event_drop"`, `"event":"subscription_pause"`} {
		if !strings.Contains(string(audit), want) {
			t.Errorf("the audit log has no %s:\n%s", want, audit)
		}
	}
	if thrown := page.Uncaught(); len(thrown) > 0 || browser.Eval[bool](t, page.Page, `() => 'hacked' in window`) {
		t.Errorf("nobody caught %q, or an event was run", thrown)
	}
}
