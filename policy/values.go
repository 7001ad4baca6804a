package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/rpccode"
)

// notYet are fields of the policy that this version does nothing with. Silence
// would be worse than a refusal: a method would be thought protected.
var notYet = []protoreflect.Name{"retry", "idempotency_key", "circuit_breaker", "cache", "events"}

// refuseNotYet refuses what has no effect.
func (b *build) refuseNotYet() {
	for _, field := range notYet {
		if _, ok := b.origin[field]; ok {
			b.refuse(string(field), "found %s, which this version of Transom does not have: remove it", field)
		}
	}
}

// checkValues checks the fields that are no decisions and that others apply.
func (b *build) checkValues() {
	b.checkDuration("timeout", b.policy.GetTimeout())
	b.checkDuration("idle_timeout", b.policy.GetIdleTimeout())
	b.checkStatus()
	for n, name := range b.policy.GetResponseMetadata().GetHeaders() {
		if problem := responseHeaderProblem(name); problem != "" {
			b.refuse(fmt.Sprintf("response_metadata.headers[%d]", n), "response_metadata.headers: found %q, %s", name, problem)
		}
	}
}

// checkDuration refuses a duration that is set and not positive, or that no
// time.Duration can hold.
func (b *build) checkDuration(path string, d *durationpb.Duration) time.Duration {
	if d == nil {
		return 0
	}
	value := d.AsDuration()
	if d.CheckValid() != nil || value <= 0 || value.Seconds() > 365*24*3600 {
		b.refuse(path, "%s: found %v, expected a time above 0s and up to a year", path, value)
	}
	return value
}

func (b *build) checkStatus() {
	seen := map[codes.Code]bool{}
	for n, mapping := range b.policy.GetStatus() {
		path := fmt.Sprintf("status[%d]", n)
		code, ok := rpccode.Parse(mapping.GetCode())
		switch {
		case !ok:
			b.refuse(path+".code", "%s.code: found %q, expected a gRPC code, %s, or a number above 16", path, mapping.GetCode(), strings.Join(slices.Sorted(slices.Values(rpccode.Names())), ", "))
		case code == codes.OK:
			b.refuse(path+".code", "%s.code: found %q, but errors alone are mapped; with response_metadata.http_status the method says its own status", path, mapping.GetCode())
		case seen[code]:
			b.refuse(path+".code", "%s.code: %q stands here a second time", path, mapping.GetCode())
		}
		seen[code] = ok || seen[code]
		if s := mapping.GetHttpStatus(); s < 200 || s > 599 {
			b.refuse(path+".http_status", "%s.http_status: found %d, expected 200 to 599", path, s)
		}
	}
}

// hopHeaders never cross (Semantics 31).
var hopHeaders = []string{"connection", "keep-alive", "proxy-connection", "transfer-encoding", "te", "trailer", "upgrade",
	"content-length", "content-type", "content-encoding", "proxy-authenticate", "proxy-authorization"}

// responseHeaderProblem tells why response metadata of this name cannot become
// a header; empty if it can.
func responseHeaderProblem(name string) string {
	lower := strings.ToLower(name)
	switch {
	case !isToken(name):
		return "expected the name of a header"
	case slices.Contains(hopHeaders, lower):
		return "which the gateway sets itself"
	case strings.HasPrefix(lower, "grpc-"):
		return "which belongs to gRPC"
	}
	return ""
}

// isToken reports whether s is a token of RFC 9110 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte("\"(),/:;<=>?@[\\]{}", c) >= 0 {
			return false
		}
	}
	return s != ""
}
