package events

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/eventtest"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

var natsLedgerSeed = flag.Uint64("nats-ledger-seed", 1, "what the chances of TestNATSLedger begin with")

// TestNATSLedger: Events 148, 164, 167 and 176: the program and its NATS server are killed while visitors click and a
// subscription calls a method with what the stream has: each event that was acknowledged calls it, those of a visitor in
// their order, and what comes twice is what was under way.
func TestNATSLedger(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "transom")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./cmd/transom")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building transom: %v\n%s", err, out)
	}
	for i, order := range []string{"KEY", "PARTITION"} {
		t.Run("order "+order, func(t *testing.T) {
			t.Parallel()                                                    // most of the time they wait for ack_wait
			l := newNATSLedger(t, bin, order, *natsLedgerSeed<<1+uint64(i)) //nolint:gosec // it is not negative
			for range 2 {
				l.round()
			}
			last := l.start()
			all := poll.Within(3*time.Minute, func() bool { return l.missing() == 0 })
			last.end()
			l.tell(all)
		})
	}
}

// natsLedger is one run: visitors that click, and what the service got.
type natsLedger struct {
	t      *testing.T
	bin    string
	config string
	server *natsServer
	random *rand.Rand
	kills  int

	service eventtest.Takings

	mu           sync.Mutex
	sent         map[string]int // the last number of each visitor
	acknowledged map[string][]int
}

func newNATSLedger(t *testing.T, bin, order string, seed uint64) *natsLedger {
	l := &natsLedger{
		t: t, bin: bin, server: startNATS(t, ""), random: rand.New(rand.NewPCG(176, seed)), //nolint:gosec // it is a test's
		sent: map[string]int{}, acknowledged: map[string][]int{},
	}
	dir := t.TempDir()
	l.config = filepath.Join(dir, "transom.yaml")
	for name, text := range map[string]string{"v.proto": eventtest.VisitsProto, "transom.yaml": fmt.Sprintf(`schemas: [{ directory: . }]
upstreams: { v: { grpc: { target: %q } } }
data_directory: data
events:
  nats: { url: "nats://%s", create_stream: EVENTS }
  behaviour: { delivery: AT_LEAST_ONCE }
  subscriptions: [{ name: visits, topic: events.user.click, start: EARLIEST, order: %s, method: v.v1.Visits/Take, max_attempts: 0 }]
`, grpctest.ServeAny(t, l.service.Serve), l.server.address, order)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// round has visitors click by a new gateway while the server is killed, and again once the service has got more than
// before; then the gateway is killed.
func (l *natsLedger) round() {
	g, before := l.start(), l.service.Calls()
	l.clicks(g, 50+l.random.IntN(100), l.server.kill)
	l.clicks(g, 1+l.random.IntN(100), nil) // while it is away
	l.server.start()
	more := before + 1 + l.random.IntN(50)
	if !poll.Within(3*time.Minute, func() bool { return l.service.Calls() >= more }) {
		l.t.Error("the service gets nothing")
	}
	l.clicks(g, 1+l.random.IntN(100), g.end)
	l.kills++
}

// clicks has visitors click, all at once, so often in all that there is an answer. Then happens what shall, in the middle
// of other clicks.
func (l *natsLedger) clicks(g *program, answers int, then func()) {
	var visitors sync.WaitGroup
	answered, enough := make(chan struct{}), make(chan struct{})
	for k := range 8 {
		visitor := fmt.Sprint("visitor-", k)
		visitors.Go(func() {
			for l.click(g.url, visitor) {
				select {
				case answered <- struct{}{}:
				case <-enough:
					return
				}
			}
		})
	}
	for range answers {
		<-answered
	}
	if then != nil {
		then()
	}
	close(enough)
	visitors.Wait()
}

// click publishes the next event of a visitor, and reports whether there was an answer.
func (l *natsLedger) click(url, visitor string) bool {
	l.mu.Lock()
	l.sent[visitor]++
	n := l.sent[visitor]
	l.mu.Unlock()
	a, err := http.Post(url+"/v1/events", "application/json", strings.NewReader(fmt.Sprintf(`{"type":"user.click","anonymousId":%q,"properties":{"n":%d}}`, visitor, n)))
	if err != nil {
		return false
	}
	_ = a.Body.Close()
	if a.StatusCode != http.StatusOK {
		l.t.Errorf("%s: %d", visitor, a.StatusCode)
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acknowledged[visitor] = append(l.acknowledged[visitor], n)
	return true
}

// missing is how many that were acknowledged have not come.
func (l *natsLedger) missing() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.service.Missing(l.acknowledged)
}

// tell prints the ledger, and wants nothing lost and the order kept.
func (l *natsLedger) tell(all bool) {
	lost := l.missing()
	l.mu.Lock()
	defer l.mu.Unlock()
	sent, acknowledged, total, delivered := 0, 0, 0, 0
	for visitor, n := range l.sent {
		sent += n
		acknowledged += len(l.acknowledged[visitor])
		got := l.service.Of(visitor)
		total += len(got)
		delivered += len(slices.Compact(slices.Sorted(slices.Values(got))))
		highest, seen := 0, map[int]bool{}
		for _, n := range got {
			if !seen[n] && n < highest {
				l.t.Errorf("%s: %d came first behind %d: %v", visitor, n, highest, got)
				break
			}
			seen[n], highest = true, max(highest, n)
		}
	}
	l.t.Logf("ledger: sent %d, acknowledged %d, delivered %d, duplicate %d, lost %d; %d gateways and %d servers killed", sent, acknowledged, delivered, total-delivered, lost, l.kills, l.kills)
	if !all || lost > 0 {
		l.t.Errorf("%d events are lost", lost)
	}
}

// program is a gateway as a process of its own.
type program struct {
	url string
	log logtext.Text
	cmd *exec.Cmd
}

func (l *natsLedger) start() *program {
	p := &program{cmd: exec.Command(l.bin, "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--config", l.config)}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		if p.end(); l.t.Failed() {
			l.t.Logf("%.4000s", p.log.String())
		}
	})
	listens := make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			var line struct{ Level, Msg, Address string }
			_ = json.Unmarshal(lines.Bytes(), &line)
			if line.Msg == "listening" {
				listens <- line.Address
			}
			if line.Msg != "request" {
				_, _ = p.log.Write(append(lines.Bytes(), '\n')) // into memory
			}
		}
		close(listens)
	}()
	address, ok := <-listens
	if !ok {
		l.t.Fatalf("transom does not listen: %s", p.log.String())
	}
	p.url = "http://" + address
	return p
}

// end ends the process as a crash does.
func (p *program) end() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}
