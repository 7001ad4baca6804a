package admin

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/poll"
)

// watchedGateway is a gateway of which calls are told.
type watchedGateway struct {
	*fakeGateway
	open atomic.Int32
	told chan toldCalls
}

type toldCalls struct {
	calls           []any
	dropped, missed uint64
}

var _ Watched = (*watchedGateway)(nil)

// full is the error where there is no place.
type full struct{}

func (full) Error() string { return "nobody else" }
func (full) TooMany()      {}

func (g *watchedGateway) Watch(filter string, messages bool) (func(context.Context) ([]any, uint64, uint64, bool), func(), error) {
	switch filter {
	case "wrong":
		return nil, nil, errors.New("filter:1:1: that is wrong")
	case "messages":
		if !messages {
			return nil, nil, errors.New("without messages")
		}
		return nil, nil, errors.New("no messages are shown")
	case "full":
		return nil, nil, full{}
	}
	g.open.Add(1)
	return func(ctx context.Context) ([]any, uint64, uint64, bool) {
		select {
		case c := <-g.told:
			return c.calls, c.dropped, c.missed, true
		case <-ctx.Done():
			return nil, 0, 0, false
		}
	}, func() { g.open.Add(-1) }, nil
}

// TestLive: Surface 242: who may look is told of calls, and how many more there were, until they go;
// what is wrong with a filter is said.
func TestLive(t *testing.T) {
	g := &watchedGateway{fakeGateway: newGateway(), told: make(chan toldCalls, 2)}
	o := withTokens(g, nil)
	for _, test := range []struct {
		name, target string
		header       []string
		code         int
		want         string
	}{
		{"no token", "/live", nil, 401, ""},
		{"a page from elsewhere", "/live", []string{"Sec-Fetch-Site", "cross-site"}, 403, ""},
		{"a wrong filter", "/live?filter=wrong", []string{"Authorization", "Bearer a token that reads"}, 400, "filter:1:1: that is wrong"},
		{"messages without the role", "/live?filter=messages&messages=true", []string{"Authorization", "Bearer a token that reads"}, 403, "expected operate"},
		{"messages that nobody shows", "/live?filter=messages&messages=true", []string{"Authorization", "Bearer a token that operates"}, 400, "no messages are shown"},
		{"no place", "/live?filter=full", []string{"Authorization", "Bearer a token that reads"}, 503, "nobody else"},
	} {
		if w := served(o, "GET", test.target, test.header...); w.Code != test.code || !strings.Contains(w.Body.String(), test.want) {
			t.Errorf("%s: %d %s, expected %d %s", test.name, w.Code, w.Body, test.code, test.want)
		}
	}
	server := httptest.NewServer(New(o))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/live?filter=status+%3E+400", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer a token that reads")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	g.told <- toldCalls{calls: []any{map[string]string{"path": "/a\nb"}, map[string]string{"path": "/c"}}, dropped: 3}
	g.told <- toldCalls{missed: 4}
	lines := bufio.NewScanner(answer.Body)
	for _, want := range []string{
		": watching", "", "event: call", `data: {"path":"/a\nb"}`, "", "event: call", `data: {"path":"/c"}`, "",
		"event: more", `data: {"dropped":3,"missed":0}`, "", "event: more", `data: {"dropped":0,"missed":4}`, "",
	} {
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("found %q, expected %q", lines.Text(), want)
		}
	}
	cancel()
	poll.Until(t, "the watch is closed", func() bool { return g.open.Load() == 0 })
}
