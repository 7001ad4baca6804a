package policy

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/redistest"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// nodeConfig names one server of a cluster, as somebody does who does not know
// that it is one.
func nodeConfig(node *redistest.Server) *transomv1.Config {
	config := redisConfig(node)
	config.Stores.Redis.Url = node.NodeURL
	return config
}

// TestSessionsThroughOneNodeOfACluster goes to a cluster of two by the address of
// either one: half of the keys live at the other.
func TestSessionsThroughOneNodeOfACluster(t *testing.T) {
	nodes := redistest.StartClusterOf(t, 2)
	one := compileSessionSets(t, newAuthBench(t, nodeConfig(nodes[0]), Kinds()...).Compiler)
	two := compileSessionSets(t, newAuthBench(t, nodeConfig(nodes[1]), Kinds()...).Compiler)
	for range 20 { // each session has a slot of its own
		cookie := one.logIn(t, adaReply)
		wantCode(t, letIn(two.call, withCookies(cookie)), codes.OK)
		if _, err := through(two.logout, withCookies(cookie), nil); err != nil {
			t.Fatal(err)
		}
		wantCode(t, letIn(one.call, withCookies(cookie)), codes.Unauthenticated)
	}
	first, second := one.logIn(t, adaReply), two.logIn(t, adaReply)
	if _, err := through(one.logoutAll, withCookies(first), nil); err != nil {
		t.Fatal(err)
	}
	wantCode(t, letIn(one.call, withCookies(second)), codes.Unauthenticated)
}

// TestClusterIsFoundOnce has many calls at the moment when the node says that
// it belongs to a cluster: all of them are answered.
func TestClusterIsFoundOnce(t *testing.T) {
	nodes := redistest.StartClusterOf(t, 2)
	s := compileSessionSets(t, newAuthBench(t, nodeConfig(nodes[1]), Kinds()...).Compiler)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			r := newCall(nil)
			if _, err := through(s.login, r, wireOf(t, "LoginReply", adaReply)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

// TestRateLimitThroughOneNodeOfACluster has two limits a call, whose buckets
// live anywhere: the node refuses to look at both.
func TestRateLimitThroughOneNodeOfACluster(t *testing.T) {
	for name, nodes := range map[string][]*redistest.Server{
		"of one server":  redistest.StartClusterOf(t, 1),
		"of two servers": redistest.StartClusterOf(t, 2),
	} {
		t.Run(name, func(t *testing.T) {
			one := newAuthBench(t, nodeConfig(nodes[0]), Kinds()...)
			limit := func(requests uint32, key transomv1.RateLimit_Key) *transomv1.RateLimit {
				return &transomv1.RateLimit{Requests: requests, Key: key, OnUnavailable: transomv1.RateLimit_DENY,
					Name: fmt.Sprint("limit of ", requests)}
			}
			set := one.set(t, &transomv1.Policy{RateLimit: []*transomv1.RateLimit{
				limit(10, transomv1.RateLimit_ROUTE), limit(2, transomv1.RateLimit_CLIENT_IP)}})
			for _, address := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"} {
				got := ""
				for range 3 {
					err := letIn(set, request(address))
					switch status.Code(err) {
					case codes.OK:
						got += "y"
					case codes.ResourceExhausted:
						got += "n"
					default:
						t.Errorf("%s: %v", address, err)
					}
				}
				if got != "yyn" {
					t.Errorf("%s: admitted %s, want yyn", address, got)
				}
			}
			r := request("192.0.2.4")
			_ = letIn(set, r)
			if got := r.ResponseHeader.Get("RateLimit"); !strings.HasPrefix(got, `"limit of 10";r=3;`) {
				t.Errorf("RateLimit: %s, want 3 left of 10 after 7 calls", got)
			}
		})
	}
}
