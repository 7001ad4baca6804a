package session_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy/kinds"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// hostileRedis answers what asks for a session with text, and then closes the connection
// or says nothing. Before that it is a Redis.
func hostileRedis(t *testing.T, text string, closes bool) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	ended := make(chan struct{})
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // the test has ended
			}
			all.Go(func() { answerBadly(conn, text, closes, ended) })
		}
	})
	t.Cleanup(func() {
		close(ended)
		_ = l.Close()
		all.Wait()
	})
	return l.Addr().String()
}

func answerBadly(conn net.Conn, text string, closes bool, ended <-chan struct{}) {
	defer func() { _ = conn.Close() }()
	gone := make(chan struct{})
	defer close(gone)
	go func() {
		select {
		case <-ended:
			_ = conn.Close()
		case <-gone:
		}
	}()
	for {
		asked := make([]byte, 64<<10)
		n, err := conn.Read(asked)
		if err != nil {
			return
		}
		asked = bytes.ToLower(asked[:n])
		switch {
		case bytes.Contains(asked, []byte("eval")):
			_, _ = io.WriteString(conn, text) // the client may have had enough
			if closes {
				return
			}
		case bytes.Contains(asked, []byte("hello")):
			_, _ = io.WriteString(conn, "-ERR unknown command 'HELLO'\r\n")
		default:
			_, _ = io.WriteString(conn, strings.Repeat("+OK\r\n", bytes.Count(asked, []byte("*"))))
		}
	}
}

// TestHostileRedis: whatever a Redis answers, a call with a session ends soon with
// UNAVAILABLE, and no memory is taken for what it only announces (Semantics 303).
func TestHostileRedis(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                   "",
		"garbage":                   "HTTP/1.1 200 OK\r\n\r\n<html>\r\n",
		"zeros":                     strings.Repeat("\x00", 1<<20),
		"a string of 2^63 bytes":    "$9223372036854775807\r\n",
		"a string of 200 gigabytes": "$200000000000\r\n",
		"a list of 2^40":            "*1099511627776\r\n",
		"lists without end":         strings.Repeat("*1\r\n", 1<<20),
		"half a string":             "*2\r\n$100\r\nabc",
		"another shape":             "*3\r\n:1\r\n:2\r\n:3\r\n",
		"no JSON":                   "*2\r\n$3\r\n{{{\r\n:1000000\r\n",
		"an error":                  "-LOADING Redis is loading the dataset in memory\r\n",
		"a line without an end":     "+" + strings.Repeat("x", 1<<20),
	} {
		for _, closes := range []bool{false, true} {
			t.Run(name+map[bool]string{true: ", then the end"}[closes], func(t *testing.T) {
				config := &transomv1.Config{
					Auth: &transomv1.AuthConfig{Session: &transomv1.SessionConfig{}},
					Stores: &transomv1.Stores{Redis: &transomv1.RedisStore{
						Url: "redis://" + hostileRedis(t, text, closes), Timeout: durationpb.New(200 * time.Millisecond),
					}},
				}
				b := policytest.NewAuthBench(t, config, kinds.All()...)
				s := policytest.CompileSessionSets(t, b.Compiler)
				cookie := &http.Cookie{Name: "__Host-transom-session", Value: strings.Repeat("A", 43)}
				for range 3 {
					policytest.WantCode(t, policytest.LetIn(s.Call, policytest.WithCookies(cookie)), codes.Unavailable)
				}
			})
		}
	}
}

// TestLoginIsNotFixed: a session that a client brings before it logs in is neither the
// one that it gets nor one that there is afterwards.
func TestLoginIsNotFixed(t *testing.T) {
	eachStore(t, func(t *testing.T, b *policytest.AuthBench, _ *transomv1.Config) {
		s := policytest.CompileSessionSets(t, b.Compiler)
		planted := &http.Cookie{Name: "__Host-transom-session", Value: strings.Repeat("A", 43)}
		for name, brought := range map[string]*http.Cookie{"one that there is not": planted, "another's": s.LogIn(t, policytest.AdaReply)} {
			r := policytest.WithCookies(brought)
			if _, err := policytest.Through(s.Login, r, policytest.WireOf(t, "LoginReply", policytest.AdaReply)); err != nil {
				t.Fatal(err)
			}
			cookie := (&http.Response{Header: r.ResponseHeader}).Cookies()[0]
			if cookie.Value == brought.Value || len(cookie.Value) != 43 {
				t.Errorf("%s: the login gives %v", name, cookie)
			}
			if err := policytest.LetIn(s.Call, policytest.WithCookies(cookie)); err != nil {
				t.Errorf("%s: the new session: %v", name, err)
			}
		}
		policytest.WantCode(t, policytest.LetIn(s.Call, policytest.WithCookies(planted)), codes.Unauthenticated)
	})
}
