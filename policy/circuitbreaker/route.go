package circuitbreaker

import (
	"fmt"
	"net/http"
	"slices"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy/attempt"
)

// defaultStatuses are failures on a plain HTTP route, besides 502, 503 and 504: those that
// tell of the server, but for the one by which it says what it does not have.
var defaultStatuses = func() (all []codes.Code) {
	for status := codes.Code(500); status <= 599; status++ {
		if status != http.StatusNotImplemented {
			all = append(all, status)
		}
	}
	return all
}()

// statusesOf returns the statuses that are failures on a plain HTTP route (Traffic 99).
func statusesOf(s *policy.Scope, rule *transomv1.CircuitBreaker) []codes.Code {
	if len(rule.GetCodes()) == 0 {
		return defaultStatuses
	}
	all := s.StatusesOf(name, rule.GetCodes(), func(status int) bool {
		return status == http.StatusTooManyRequests || status >= 500 && status <= 599
	}, "429 or 500 to 599")
	if all == nil && !s.Exact(name) {
		return defaultStatuses // the codes are those of gRPC methods
	}
	return all
}

// statusNames are the failures for people.
func statusNames(statuses []codes.Code) []string {
	if len(statuses) == len(defaultStatuses) {
		return []string{"500 to 599 but 501"}
	}
	names := []string{"502", "503", "504"}
	for _, status := range statuses {
		if text := fmt.Sprint(uint32(status)); !slices.Contains(names[:3], text) {
			names = append(names, text)
		}
	}
	return names
}

// refuseKind refuses an upstream of the other kind, or leaves it out where it was said for
// all.
func (p *part) refuseKind(s *policy.Scope, path string) {
	fallback := p.fallback
	p.fallback = ""
	switch {
	case !s.Exact(name):
	case s.PlainHTTP():
		s.Refuse(path, "%s: found %q, which is a gRPC upstream; expected one of plain HTTP, as the route's is", path, fallback)
	default:
		s.Refuse(path, "%s: found %q, which is a plain HTTP upstream; expected one of gRPC, as the method's is", path, fallback)
	}
}

// Circuit is what stands before the attempts of a plain HTTP route, and Fallback the
// upstream that answers while it is open; "" for none.
func (p *part) Circuit() *attempt.Circuit { return &p.circuit }

// Fallback is described with Circuit.
func (p *part) Fallback() string { return p.fallback }
