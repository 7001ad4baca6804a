package observe

import (
	"math"
	"time"

	"github.com/transom-gateway/transom/internal/live"
	"github.com/transom-gateway/transom/internal/problem"
	"github.com/transom-gateway/transom/policy"
)

// tell tells those who watch of the call, if anybody does.
func (c *call) tell(took time.Duration, o *policy.Outcome) {
	bodies, _ := c.request.Kept(live.Kept{}).(*live.Bodies)
	var l *live.Record
	hub := &c.observer.telemetry.Live
	if hub.Watched() {
		l = c.live(took, o)
	}
	if bodies != nil {
		bodies.End(l)
	}
	if l != nil {
		hub.Tell(l)
	}
}

// live is the call for those who watch: what the access log says of it, whatever its level is.
func (c *call) live(took time.Duration, o *policy.Outcome) *live.Record {
	r := c.request
	l := &live.Record{
		Time: c.start.Add(took).UTC(), Route: c.route.template, RPC: c.observer.rpc, RequestID: r.RequestID, ClientIP: clientIP(r),
		Method: problem.Clip(r.HTTP.Method, maxLoggedAgent), Path: c.route.path(r), Protocol: r.Protocol, HTTPVersion: httpVersion(r.HTTP),
		Code: codeName(o.Code), Status: o.HTTPStatus, DurationMS: math.Round(float64(took)/1e3) / 1e3,
		RequestBytes: o.RequestBytes, ResponseBytes: o.ResponseBytes, RequestBody: o.RequestBody, ResponseBody: o.ResponseBody,
		RequestMessages: o.RequestMessages, ResponseMessages: o.ResponseMessages, TraceID: c.traceID(),
		RefusedBy: r.RefusedBy, Cause: problem.Clip(o.Cause, maxLoggedAgent),
		Endpoint: o.Endpoint, Branch: r.Branch, BranchNotReady: r.BranchMeant, Replayed: r.Replayed, KeyPassed: r.KeyPassed, Cache: r.Cache.Result,
		Hedged: o.Hedged, RetryDenied: o.RetryDenied, Operator: problem.Clip(r.Operator, maxLoggedAgent),
	}
	if r.Identity != nil {
		l.Principal = problem.Clip(r.Identity.Principal, maxLoggedAgent)
	}
	if o.Own {
		l.Reason = problem.Clip(o.Message, maxLoggedAgent)
	}
	if o.Attempts > 1 {
		l.Attempts = o.Attempts
	}
	if agent := r.HTTP.Header["User-Agent"]; len(agent) > 0 {
		l.UserAgent = problem.Clip(agent[0], maxLoggedAgent)
	}
	return l
}
