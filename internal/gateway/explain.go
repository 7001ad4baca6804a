package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/exchange"
	"github.com/transom-gateway/transom/transcoder/websocket"
)

// Verdict is what the gateway makes of a request. Its JSON is what `transom explain --json`
// prints and the admin listener answers.
type Verdict struct {
	// Accepted says that the request would go to the backend if its policies admit
	// it, or has an answer of the gateway that is no error.
	Accepted bool `json:"accepted"`
	// Status is the HTTP status of a refusal; with gRPC's protocols it may be 200.
	Status int `json:"status,omitempty"`
	// Steps say which route the request takes, what its variables bind and which policies
	// it meets, and why it is refused, if it is, in the order in which that is found out.
	Steps []Step `json:"steps"`
	// Report is the same as text.
	Report string `json:"-"`
}

// Step is one thing that is found out about a request.
type Step struct {
	// Name is what it is about: route, rule, rpc, upstream, variable, policy, refused
	// and others.
	Name string `json:"name"`
	// Policy is the field of transom.v1.Policy, for the name policy.
	Policy string `json:"policy,omitempty"`
	Text   string `json:"text"`
	// Where is the place that a policy comes from, as file:line:column.
	Where string `json:"where,omitempty"`
}

// verdictOf writes the report of the steps.
func verdictOf(accepted bool, status int, steps ...Step) Verdict {
	var b strings.Builder
	policies := 0
	for _, s := range steps {
		name, text := s.Name, s.Text
		if s.Name == "policy" {
			policies++
			name, text = "policies", fmt.Sprintf("%d. %s: %s (%s)", policies, s.Policy, s.Text, dash(s.Where))
			if policies > 1 {
				name = ""
			}
		}
		fmt.Fprintf(&b, "%-10s %s\n", name, text)
	}
	return Verdict{Accepted: accepted, Status: status, Steps: steps, Report: b.String()}
}

// refusal is the step that says why a request is refused.
func refusal(httpStatus int, err error) Step {
	st := status.Convert(err)
	return Step{Name: "refused", Text: fmt.Sprintf("%d %s: %s", httpStatus, codeName(st.Code()), st.Message())}
}

// Explain gives the verdict on a request by the code that serves it: the route is
// found, the header and the message are read as for a call. No policy is asked and
// no backend called.
func (g *Gateway) Explain(r *http.Request) Verdict {
	s := g.acquire()
	if s == nil {
		const none = "no configuration has been loaded yet"
		return Verdict{Status: http.StatusServiceUnavailable, Steps: []Step{{Name: "refused", Text: none}}, Report: none + "\n"}
	}
	defer s.release()
	c, ok := calls.Get().(*call)
	if !ok {
		return Verdict{} // the pool holds nothing else
	}
	defer c.recycle()
	answer := &answerRecorder{header: http.Header{}}
	c.snapshot, c.w, c.r = s, exchange.FrontOf(answer), r
	route, err := s.find(r, &c.match)
	if route == nil {
		return s.explainUnmatched(answer, r, c, err)
	}
	c.route = route
	c.findOrigin()
	steps := route.explain(c)
	if route.drops(r, c.match.protocol) {
		steps = append(steps, Step{Name: "body", Text: "dropped: the rule takes none; all that counts is in path and query"})
	}
	if err = c.try(answer, err); err != nil {
		steps = append(steps, refusal(answer.status, err))
	}
	return verdictOf(err == nil, answer.status, steps...)
}

// drops reports whether the request has a body that is nothing to the route
// (Semantics 311).
func (r *Route) drops(request *http.Request, p *transcoder.Protocol) bool {
	if request.Body == nil || !r.endpoint.dropsBody(request, p) {
		return false
	}
	body := bufio.NewReader(request.Body)
	_, err := body.Peek(1)
	request.Body = io.NopCloser(body)
	return err == nil
}

// explainUnmatched is the verdict where no route takes the request.
func (s *Snapshot) explainUnmatched(w *answerRecorder, r *http.Request, c *call, err error) Verdict {
	if err == nil && s.options(w, r, s.preflighted(r)) {
		report := fmt.Sprintf("no route, and an answer: %d with Allow: %s", w.status, w.header.Get("Allow"))
		return Verdict{Accepted: true, Status: w.status, Steps: []Step{{Name: "answer", Text: report}}, Report: report + "\n"}
	}
	if err == nil {
		err = s.noRoute(w, r, c.match.protocol)
	}
	s.errors.Write(w, r, c.match.protocol, err)
	return verdictOf(false, w.status, refusal(w.status, err))
}

// try reads a request as for a call, and writes the refusal, if it is one. A
// WebSocket sends its messages later: its request alone is looked at.
func (c *call) try(w *answerRecorder, err error) error {
	r := c.r
	c.prepare()
	client := c.route.endpoint.downstream(c.match.protocol, exchange.Exchange{W: exchange.FrontOf(w), R: r, Values: c.match.path.Values})
	if err == nil {
		err = c.route.endpoint.begin(c)
	}
	if err == nil {
		_, _, err = c.route.guard.deadline(r.Header)
	}
	if err != nil || c.match.protocol == websocket.Protocol {
		if err != nil {
			client.Finish(err, nil)
		}
		return err
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	_, err = client.Open(ctx)
	for err == nil {
		var frame proxy.Frame
		if frame, err = client.Recv(); err == nil {
			frame.Free()
			if !c.route.endpoint.clientStreams() {
				break
			}
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err != nil {
		client.Finish(err, nil)
		return err
	}
	client.Finish(errExplained, nil)
	w.status = 0 // nobody reads that answer
	return nil
}

var errExplained = status.Error(codes.Canceled, "the call is explained and not made")

// codeName is gRPC's word for a code.
func codeName(c codes.Code) string { return code.Code(c).String() } //nolint:gosec // codes are small

// answerRecorder keeps the status of an answer.
type answerRecorder struct {
	header http.Header
	status int
}

// Header implements http.ResponseWriter.
func (a *answerRecorder) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answerRecorder) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

// Write implements http.ResponseWriter.
func (a *answerRecorder) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return len(p), nil
}

// Flush, SetReadDeadline and SetWriteDeadline are for http.ResponseController.
func (a *answerRecorder) Flush() {}

// SetReadDeadline does nothing: the request is here.
func (a *answerRecorder) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing, too.
func (a *answerRecorder) SetWriteDeadline(time.Time) error { return nil }

// explain says what a request meets on the route.
func (r *Route) explain(c *call) (steps []Step) {
	m := &c.match
	row := func(name, format string, args ...any) {
		steps = append(steps, Step{Name: name, Text: fmt.Sprintf(format, args...)})
	}
	row("route", "%s", r.rule)
	row("rule", "%s", r.endpoint.where())
	if l := r.listing; l.RPC != "" {
		row("rpc", "%s (%s)", l.RPC, l.Stream)
	}
	row("upstream", "%s", dash(r.guard.upstreams()))
	if e, ok := r.endpoint.(*httpEndpoint); ok {
		e.action.explain(row, c)
	}
	for i, v := range r.variables {
		if i < len(m.path.Values) {
			row("variable", "%s = %q", v, m.path.Values[i])
		}
	}
	if part, ok := policy.Find[interface {
		maintained
		Summary() string
	}](r.guard.set); ok {
		row("maintenance", "%s", part.Summary())
	}
	explained := r.guard.explained()
	if len(explained) == 0 {
		row("policies", "none")
	}
	for _, e := range explained {
		steps = append(steps, Step{Name: "policy", Policy: e.Name, Text: r.summary(&e, c.r.Method), Where: e.Where})
	}
	return steps
}

// summary says what a policy does for a request by a method of HTTP.
func (r *Route) summary(e *policy.Explained, httpMethod string) string {
	for _, p := range r.guard.set.Parts() {
		if by, ok := p.(interface {
			PassedBy(httpMethod string) string
		}); ok && p.Name() == e.Name {
			if why := by.PassedBy(httpMethod); why != "" {
				return why
			}
		}
	}
	return e.Summary
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
