package config

import (
	"time"

	"github.com/transom-gateway/transom/internal/span"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// maxEjection bounds how long a server is ejected at first: more than the longest makes
// no sense.
const maxEjection = 5 * time.Minute

// outlier checks when servers get no calls.
func (c *checker) outlier(path string, g *transomv1.GrpcUpstream) {
	c.percent(join(path, "min_healthy_percent"), g.MinHealthyPercent)
	o := g.Outlier
	if o == nil {
		return
	}
	path = join(path, "outlier")
	c.percent(join(path, "failure_percent"), o.FailurePercent)
	c.percent(join(path, "max_ejection_percent"), o.MaxEjectionPercent)
	c.positive(join(path, "interval"), o.Interval)
	c.positive(join(path, "base_ejection"), o.BaseEjection)
	if d := o.BaseEjection.AsDuration(); d > maxEjection {
		c.fail(join(path, "base_ejection"), "found %s, expected at most %s, which is the longest there is", span.Text(d), span.Text(maxEjection))
	}
	if BalancingPolicy(g) == "pick_first" {
		c.fail(path, "has no effect with the policy pick_first, which has one server in use: remove one of them")
	}
}

// percent holds that a share is one.
func (c *checker) percent(path string, n uint32) {
	if n > 100 {
		c.fail(path, "found %d, expected at most 100", n)
	}
}
