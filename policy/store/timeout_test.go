package store

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/testing/policytest"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestTimeout: Traffic 129: a Redis that does not answer within 50 ms counts as slow where the configuration says nothing.
func TestTimeout(t *testing.T) {
	for _, test := range []struct {
		said *durationpb.Duration
		want time.Duration
	}{{nil, 50 * time.Millisecond}, {durationpb.New(time.Second), time.Second}} {
		var g *policy.Generation
		b := policytest.NewBench(t, policy.StateOptions{}, policytest.GenerationOf(&g))
		b.Config.Stores = &transomv1.Stores{Redis: &transomv1.RedisStore{Url: "redis://redis.example", Timeout: test.said}}
		b.Set("")
		if s, err := Of(g); err != nil || s.Timeout != test.want {
			t.Errorf("%v: %+v, %v, want %v", test.said, s, err, test.want)
		}
	}
}
