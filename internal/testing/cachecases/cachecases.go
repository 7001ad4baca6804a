// Package cachecases is a table of what a shared cache of HTTP does (RFC 9111, 9110, 5861):
// requests one after the other, with what the origin answers where it is asked, and what the
// client has to see. It knows no cache: tests run it before ours, and before others' to see
// that the table is right.
//
//	origin := cachecases.Start(t)
//	… // a cache that forwards to origin.Address
//	for _, c := range cachecases.All() {
//		t.Run(c.Name, func(t *testing.T) { origin.Run(t, client, "http://127.0.0.1:8080", c) })
//	}
package cachecases

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Case is a few requests of one URL, or of others below it.
type Case struct {
	Name  string
	Steps []Step
	// Not names the caches that decide otherwise where RFC 9111 leaves it to them, or that
	// are not built for it, each with why.
	Not map[string]string
}

// Asked says whether the origin has to be asked.
type Asked int

// Whether the origin has to be asked, which "" leaves open.
const (
	Either Asked = iota
	Yes
	No
)

// Step is a request, the origin's answer and what is expected.
type Step struct {
	Method string   // "": GET
	Path   string   // behind the case's own, such as "?a=b"
	Send   []string // "Name: value"

	Status int      // of the origin's answer; 0: 200
	Answer []string // "Name: value"; {URL} is the case's own as the client has it
	Body   string   // "": one that no other step has
	Broken bool     // the body ends before it is whole

	Asked Asked
	// See is what the origin's request has to have, "Name: value", or "!Name" for none.
	See []string
	// Want is the status for the client, 0 for the origin's, and Has what its answer has to
	// have, as See; the value "*" is any. From is the index of the step whose body the client
	// gets, counted from one; 0: this step's own where the origin was asked.
	Want int
	Has  []string
	From int
}

// Origin answers as the steps say.
type Origin struct {
	Address string

	mu    sync.Mutex
	steps map[string]*current
}

// current is where one case is.
type current struct {
	step  Step
	index int
	base  string
	seen  []*http.Request
}

// Start starts an origin, until the end of the test.
func Start(t testing.TB) *Origin {
	t.Helper()
	o := &Origin{steps: map[string]*current{}}
	server := httptest.NewServer(o)
	t.Cleanup(server.Close)
	o.Address = strings.TrimPrefix(server.URL, "http://")
	return o
}

// ServeHTTP implements http.Handler.
func (o *Origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // a body that breaks off is the client's matter
	o.mu.Lock()
	c := o.steps[strings.Split(strings.Trim(r.URL.Path, "/"), "/")[0]]
	if c == nil {
		o.mu.Unlock()
		w.WriteHeader(http.StatusTeapot)
		return
	}
	c.seen = append(c.seen, r)
	step, body, base := c.step, c.step.body(c.index), c.base
	o.mu.Unlock()
	h := w.Header()
	for _, line := range step.Answer {
		name, value, _ := strings.Cut(line, ": ")
		h[http.CanonicalHeaderKey(name)] = append(h[http.CanonicalHeaderKey(name)], strings.ReplaceAll(value, "{URL}", base))
	}
	status := step.Status
	if status == 0 {
		status = http.StatusOK
	}
	if step.Broken {
		h.Set("Content-Length", strconv.Itoa(len(body)+10))
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead && status != http.StatusNotModified && status != http.StatusNoContent {
		_, _ = io.WriteString(w, body) // the client looks
	}
}

func (s *Step) body(index int) string {
	if s.Body != "" {
		return s.Body
	}
	return fmt.Sprintf("body of step %d", index+1)
}

// Run makes the requests of a case at a cache before the origin, which the table knows by a
// name.
func (o *Origin) Run(t *testing.T, cache string, client *http.Client, base string, c *Case) {
	t.Helper()
	if why := c.Not[cache]; why != "" {
		t.Logf("%s decides otherwise: %s", cache, why)
		return
	}
	own := strings.Map(func(r rune) rune {
		if r == ' ' || r == ',' || r == '/' || r == '"' || r == '*' || r == '\'' || r == ';' || r == '=' {
			return '-'
		}
		return r
	}, c.Name)
	state := &current{base: base + "/" + own}
	o.mu.Lock()
	o.steps[own] = state
	o.mu.Unlock()
	for i := range c.Steps {
		o.step(t, client, state, c.Steps, i)
	}
}

// step makes one request.
func (o *Origin) step(t *testing.T, client *http.Client, state *current, steps []Step, i int) {
	t.Helper()
	step := &steps[i]
	o.mu.Lock()
	state.step, state.index, state.seen = *step, i, nil
	o.mu.Unlock()
	status, header, body := ask(t, client, state.base, step)
	o.mu.Lock()
	defer o.mu.Unlock()
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf("step %d: %s", i+1, fmt.Sprintf(format, args...))
	}
	switch asked := len(state.seen) > 0; {
	case step.Asked == Yes && !asked:
		fail("the origin was not asked")
	case step.Asked == No && asked:
		fail("the origin was asked: %v", state.seen[0].Header)
	}
	for _, r := range state.seen {
		check(r.Header, step.See, func(format string, args ...any) { fail("the origin's request: "+format, args...) })
	}
	if step.Broken {
		return // what the client sees of it is no answer
	}
	wanted := step.Want
	if wanted == 0 {
		wanted = max(step.Status, http.StatusOK)
	}
	if status != wanted {
		fail("the status is %d, want %d", status, wanted)
	}
	check(header, step.Has, fail)
	from := step.From
	if from == 0 && len(state.seen) > 0 {
		from = i + 1
	}
	if from == 0 || step.Method == http.MethodHead || wanted == http.StatusNotModified || wanted == http.StatusNoContent || wanted == http.StatusGatewayTimeout {
		if body != "" && (wanted == http.StatusNotModified || step.Method == http.MethodHead) {
			fail("there is a body: %q", body)
		}
		return
	}
	if want := steps[from-1].body(from - 1); body != want {
		fail("the body is %q, want %q", body, want)
	}
}

// ask makes the request.
func ask(t *testing.T, client *http.Client, base string, step *Step) (int, http.Header, string) {
	t.Helper()
	method := step.Method
	if method == "" {
		method = http.MethodGet
	}
	var content io.Reader
	if method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions {
		content = strings.NewReader("content")
	}
	r, err := http.NewRequestWithContext(context.Background(), method, base+step.Path, content)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range step.Send {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header[http.CanonicalHeaderKey(name)] = append(r.Header[http.CanonicalHeaderKey(name)], value)
	}
	response, err := client.Do(r)
	if err != nil {
		if step.Broken {
			return 0, nil, ""
		}
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil && !step.Broken {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(body)
}

// check compares a header.
func check(h http.Header, want []string, fail func(format string, args ...any)) {
	for _, line := range want {
		name, value, _ := strings.Cut(line, ": ")
		not := strings.HasPrefix(name, "!")
		name = http.CanonicalHeaderKey(strings.TrimPrefix(name, "!"))
		switch has := h[name]; {
		case not && len(has) > 0:
			fail("%s is %q, want none", name, has)
		case not:
		case len(has) == 0:
			fail("there is no %s: %v", name, h)
		case value != "*" && !slices.Contains(has, value) && strings.Join(has, ", ") != value:
			fail("%s is %q, want %q", name, has, value)
		}
	}
}
