package main

import (
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"

	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/internal/testing/redis"
)

const sharedProto = `syntax = "proto3";
package accounts.v1;
import "google/protobuf/empty.proto";
import "transom/v1/annotations.proto";
service AccountService {
  rpc SignIn(SignInRequest) returns (SignInResponse) {
    option (transom.v1.method) = { login: { subject: "user" roles: "groups" session: {} } };
  }
  rpc IssueToken(SignInRequest) returns (SignInResponse) {
    option (transom.v1.method) = { login: { subject: "user" token: { issuer: "us" field: "token" } } };
  }
  rpc SignOut(google.protobuf.Empty) returns (google.protobuf.Empty) {
    option (transom.v1.method) = { auth: { mixed: {} } logout: {} };
  }
  rpc SignOutAll(google.protobuf.Empty) returns (google.protobuf.Empty) {
    option (transom.v1.method) = { auth: { mixed: {} } logout: { all: true } };
  }
  rpc WhoAmI(google.protobuf.Empty) returns (google.protobuf.Empty) {
    option (transom.v1.method) = { auth: { mixed: {} } };
  }
  rpc Allow(google.protobuf.Empty) returns (google.protobuf.Empty) {
    option (transom.v1.method) = { rate_limit: { requests: 6 per: { seconds: 86400 } key: ROUTE on_unavailable: ALLOW } };
  }
  rpc Deny(google.protobuf.Empty) returns (google.protobuf.Empty) {
    option (transom.v1.method) = { rate_limit: { requests: 6 per: { seconds: 86400 } key: ROUTE on_unavailable: DENY } };
  }
  rpc Local(google.protobuf.Empty) returns (google.protobuf.Empty) {
    option (transom.v1.method) = { rate_limit: { requests: 6 per: { seconds: 86400 } key: ROUTE on_unavailable: LOCAL } };
  }
  rpc Wait(google.protobuf.Empty) returns (google.protobuf.Empty);
}
message SignInRequest { string name = 1; string password = 2; }
message SignInResponse { string user = 1; repeated string groups = 2; string token = 7; }
`

// startWaiting starts the backend of sharedProto: that of the pages, with a
// method Wait that tells when it is called and answers when it is let.
func startWaiting(t *testing.T) (address string, called, let chan struct{}) {
	t.Helper()
	called, let = make(chan struct{}, 1), make(chan struct{}, 1)
	address = startRaw(t, func(server any, stream grpc.ServerStream) error {
		if path, _ := grpc.MethodFromServerStream(stream); strings.HasSuffix(path, "/Wait") {
			called <- struct{}{}
			select {
			case <-let:
			case <-stream.Context().Done():
			}
		}
		return serveAccounts(server, stream)
	})
	return address, called, let
}

// shared are two gateways that share a Redis.
type shared struct {
	t    *testing.T
	a, b *process
	args []string
	bin  string
}

// call calls a method at one of them, with a cookie or a token if given.
func (s *shared) call(p *process, method, credential string) (int, http.Header, string) {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, p.url+"/accounts.v1.AccountService/"+method,
		strings.NewReader(`{}`))
	if method == "SignIn" || method == "IssueToken" {
		r.Body = io.NopCloser(strings.NewReader(`{"name":"ada","password":"lighthouse"}`))
		r.ContentLength = -1
	}
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if strings.HasPrefix(credential, "Bearer ") {
		r.Header.Set("Authorization", credential)
	} else if credential != "" {
		r.Header.Set("Cookie", credential)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Error(err)
		return 0, nil, ""
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Error(err)
	}
	return response.StatusCode, response.Header, string(text)
}

// want wants a call to be answered so.
func (s *shared) want(status int, p *process, method, credential string) {
	s.t.Helper()
	if got, _, text := s.call(p, method, credential); got != status {
		s.t.Errorf("%s at %s: %d %s, want %d", method, p.url, got, text, status)
	}
}

// until waits until a call is answered so.
func (s *shared) until(status int, p *process, method, credential string) {
	s.t.Helper()
	var got int
	poll.Until(s.t, method+" to be answered "+strconv.Itoa(status), func() bool {
		got, _, _ = s.call(p, method, credential)
		return got == status
	})
}

// login gives a cookie, as it is sent.
func (s *shared) login(p *process) string {
	s.t.Helper()
	_, header, text := s.call(p, "SignIn", "")
	cookie, _, _ := strings.Cut(header.Get("Set-Cookie"), ";")
	if cookie == "" {
		s.t.Fatalf("no session was opened: %s", text)
	}
	return cookie
}

// token gives a token, as it is sent.
func (s *shared) token(p *process) string {
	s.t.Helper()
	_, _, text := s.call(p, "IssueToken", "")
	token := regexp.MustCompile(`eyJ[^"]+`).FindString(text)
	if token == "" {
		s.t.Fatalf("no token was issued: %s", text)
	}
	return "Bearer " + token
}

// away is how many decisions a process has taken without the store.
func (s *shared) away(p *process, policy, method string) int {
	s.t.Helper()
	_, metrics := get(s.t, p.admin+"/metrics")
	line := regexp.MustCompile(`(?m)^transom_policy_decisions_total\{policy="` + policy + `",result="unavailable_store",rpc="accounts.v1.AccountService/` +
		method + `"\} (\d+)$`).FindStringSubmatch(metrics)
	if line == nil {
		return 0
	}
	n, err := strconv.Atoi(line[1])
	if err != nil {
		s.t.Error(err)
	}
	return n
}

// admitted makes many calls at once, at both, and says how many got in.
func (s *shared) admitted(method string, at ...*process) int {
	var in atomic.Int64
	var all sync.WaitGroup
	for n := range 30 {
		all.Go(func() {
			switch status, _, text := s.call(at[n%len(at)], method, ""); status {
			case http.StatusOK:
				in.Add(1)
			case http.StatusTooManyRequests:
			default:
				s.t.Errorf("%s: %d %s", method, status, text)
			}
		})
	}
	all.Wait()
	return int(in.Load())
}

// TestTwoProcesses runs the program twice, with one Redis: what one knows holds
// at the other, over the death of each part.
func TestTwoProcesses(t *testing.T) {
	redis := redistest.Start(t)
	backend, called, let := startWaiting(t)
	dir := folder(t, map[string]string{
		"p/p.proto": sharedProto,
		"transom.yaml": `schemas: [{ directory: p }]
upstreams: { s: { grpc: { target: "` + backend + `" } } }
stores: { redis: { url: "` + redis.URL + `", timeout: 2s } }
auth: { session: { insecure: true }, jwt: [{ issuer: us, secret: ` + strings.Repeat("s", 32) + ` }] }
`})
	s := &shared{t: t, bin: buildTransom(t), args: []string{"--config", filepath.Join(dir, "transom.yaml")}}
	s.a, s.b = startProcess(t, s.bin, s.args...), startProcess(t, s.bin, s.args...)

	t.Run("one limit", func(t *testing.T) {
		for _, method := range []string{"Deny", "Local"} {
			if n := s.admitted(method, s.a, s.b); n != 6 {
				t.Errorf("%s: %d calls got in, want 6", method, n)
			}
		}
	})
	t.Run("one store of sessions", func(t *testing.T) {
		cookie := s.login(s.a)
		s.want(200, s.b, "WhoAmI", cookie)
		s.want(200, s.b, "SignOut", cookie)
		s.want(401, s.a, "WhoAmI", cookie)
		first, second := s.login(s.a), s.login(s.b)
		s.want(200, s.a, "SignOutAll", second)
		s.want(401, s.a, "WhoAmI", first)
		s.want(401, s.b, "WhoAmI", first)
		s.want(401, s.b, "WhoAmI", second)
	})
	t.Run("one list of revoked tokens", func(t *testing.T) {
		token, other := s.token(s.a), s.token(s.a)
		s.want(200, s.a, "WhoAmI", token)
		s.want(200, s.b, "WhoAmI", token)
		s.want(200, s.b, "SignOut", token)
		s.want(401, s.b, "WhoAmI", token)
		s.until(401, s.a, "WhoAmI", token)
		s.want(200, s.a, "WhoAmI", other)
		s.want(200, s.a, "SignOutAll", other)
		s.until(401, s.b, "WhoAmI", other)
	})
	cookie := s.login(s.a)
	t.Run("a Redis that died", func(t *testing.T) {
		redis.Kill()
		s.want(503, s.a, "WhoAmI", cookie)
		s.want(503, s.b, "SignIn", "")
		for range 10 {
			s.want(200, s.a, "Allow", "")
			s.want(503, s.b, "Deny", "")
		}
		for _, p := range []*process{s.a, s.b} { // each for itself meanwhile
			if n := s.admitted("Local", p); n != 6 {
				t.Errorf("%d calls got in by the local limit, want 6", n)
			}
		}
		for _, c := range []struct {
			p              *process
			policy, method string
			least          int
		}{{s.a, "rate_limit", "Allow", 10}, {s.b, "rate_limit", "Deny", 10}, {s.a, "rate_limit", "Local", 30}, {s.a, "auth", "WhoAmI", 1}, {s.b, "login", "SignIn", 1}} {
			if n := s.away(c.p, c.policy, c.method); n < c.least {
				t.Errorf("the metrics tell of %d decisions of %s for %s without the store, want %d at least", n, c.policy, c.method, c.least)
			}
		}
		redis.Restart()
		s.until(200, s.a, "WhoAmI", cookie)
		s.until(200, s.b, "WhoAmI", cookie)
		s.until(429, s.b, "Deny", "") // what was counted is known
		s.until(429, s.a, "Deny", "")
	})
	t.Run("a Redis that hangs", func(t *testing.T) {
		redis.Pause()
		before := s.away(s.a, "rate_limit", "Allow")
		s.want(200, s.a, "Allow", "")
		s.want(503, s.b, "Deny", "")
		s.want(503, s.b, "WhoAmI", cookie)
		if n := s.away(s.a, "rate_limit", "Allow"); n != before+1 {
			t.Errorf("the metrics tell of %d decisions, want %d", n, before+1)
		}
		redis.Resume()
		s.until(200, s.b, "WhoAmI", cookie)
		s.until(429, s.b, "Deny", "")
	})
	t.Run("a gateway that ends and comes back", func(t *testing.T) {
		token := s.token(s.a)
		s.want(200, s.a, "SignOut", token)
		waiting := make(chan int, 1)
		go func() {
			status, _, _ := s.call(s.a, "Wait", "")
			waiting <- status
		}()
		<-called
		s.a.terminate()
		poll.Until(t, "the gateway to say that it drains", func() bool {
			status, _ := get(t, s.a.admin+"/readyz")
			return status == http.StatusServiceUnavailable
		})
		let <- struct{}{}
		if status := <-waiting; status != 200 {
			t.Errorf("the call under way was answered %d", status)
		}
		s.a.stop()
		s.want(200, s.b, "WhoAmI", cookie)
		s.a = startProcess(t, s.bin, s.args...)
		s.want(200, s.a, "WhoAmI", cookie)
		s.want(429, s.a, "Deny", "")
		s.want(401, s.a, "WhoAmI", token)
	})
}
