package kinds_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/internal/testing/redis"
	"github.com/transom-gateway/transom/policy/kinds"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// nodeConfig names one server of a cluster, as somebody does who does not know
// that it is one.
func nodeConfig(node *redistest.Server) *transomv1.Config {
	config := policytest.RedisConfig(node)
	config.Stores.Redis.Url = node.NodeURL
	return config
}

// TestSessionsThroughOneNodeOfACluster goes to a cluster of two by the address of
// either one: half of the keys live at the other.
func TestSessionsThroughOneNodeOfACluster(t *testing.T) {
	nodes := redistest.StartClusterOf(t, 2)
	one := policytest.CompileSessionSets(t, policytest.NewAuthBench(t, nodeConfig(nodes[0]), kinds.All()...).Compiler)
	two := policytest.CompileSessionSets(t, policytest.NewAuthBench(t, nodeConfig(nodes[1]), kinds.All()...).Compiler)
	for range 20 { // each session has a slot of its own
		cookie := one.LogIn(t, policytest.AdaReply)
		policytest.WantCode(t, policytest.LetIn(two.Call, policytest.WithCookies(cookie)), codes.OK)
		if _, err := policytest.Through(two.Logout, policytest.WithCookies(cookie), nil); err != nil {
			t.Fatal(err)
		}
		policytest.WantCode(t, policytest.LetIn(one.Call, policytest.WithCookies(cookie)), codes.Unauthenticated)
	}
	first, second := one.LogIn(t, policytest.AdaReply), two.LogIn(t, policytest.AdaReply)
	if _, err := policytest.Through(one.LogoutAll, policytest.WithCookies(first), nil); err != nil {
		t.Fatal(err)
	}
	policytest.WantCode(t, policytest.LetIn(one.Call, policytest.WithCookies(second)), codes.Unauthenticated)
}

// TestClusterIsFoundOnce has many calls at the moment when the node says that
// it belongs to a cluster: all of them are answered.
func TestClusterIsFoundOnce(t *testing.T) {
	nodes := redistest.StartClusterOf(t, 2)
	s := policytest.CompileSessionSets(t, policytest.NewAuthBench(t, nodeConfig(nodes[1]), kinds.All()...).Compiler)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			r := policytest.NewCall(nil)
			if _, err := policytest.Through(s.Login, r, policytest.WireOf(t, "LoginReply", policytest.AdaReply)); err != nil {
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
			one := policytest.NewAuthBench(t, nodeConfig(nodes[0]), kinds.All()...)
			limit := func(requests uint32, key transomv1.RateLimit_Key) *transomv1.RateLimit {
				return &transomv1.RateLimit{Requests: requests, Key: key, OnUnavailable: transomv1.RateLimit_DENY,
					Name: fmt.Sprint("limit of ", requests)}
			}
			set := one.Set(t, &transomv1.Policy{RateLimit: []*transomv1.RateLimit{
				limit(10, transomv1.RateLimit_ROUTE), limit(2, transomv1.RateLimit_CLIENT_IP)}})
			for _, address := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"} {
				got := ""
				for range 3 {
					err := policytest.LetIn(set, policytest.Request(address))
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
			r := policytest.Request("192.0.2.4")
			_ = policytest.LetIn(set, r)
			if got := r.ResponseHeader.Get("RateLimit"); !strings.HasPrefix(got, `"limit of 10";r=3;`) {
				t.Errorf("RateLimit: %s, want 3 left of 10 after 7 calls", got)
			}
		})
	}
}
