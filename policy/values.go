package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/internal/rpccode"
	"github.com/transom-gateway/transom/internal/span"
)

// settings are the fields of a policy that are no Kind's: those who carry a call read
// them from Set.Effective.
var settings = []protoreflect.Name{"timeout", "idle_timeout", "json", "status", "response_metadata", "hidden"}

// refuseUnknown refuses what has no effect, for there is no Kind of it. Silence
// would be worse: a method would be thought protected.
func (s *Scope) refuseUnknown(kinds []Kind) {
	fields := s.Policy.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		name := fields.Get(i).Name()
		_, set := s.origin[name]
		if !set || slices.Contains(settings, name) || slices.ContainsFunc(kinds, func(k Kind) bool { return k.Field == string(name) }) {
			continue
		}
		s.Refuse(string(name), "found %s, which this version of Transom does not have: remove it", name)
	}
}

// checkValues checks the fields that are no decisions and that others apply.
func (s *Scope) checkValues() {
	s.refuseZeros(s.Policy.ProtoReflect(), "")
	s.CheckDuration("timeout", s.Policy.GetTimeout())
	s.CheckDuration("idle_timeout", s.Policy.GetIdleTimeout())
	s.checkStatus()
	for n, name := range s.Policy.GetResponseMetadata().GetHeaders() {
		if problem := responseHeaderProblem(name); problem != "" {
			s.Refuse(fmt.Sprintf("response_metadata.headers[%d]", n), "response_metadata.headers: found %q, %s", name, problem)
		}
	}
}

// CheckDuration returns a duration, 0 for one that is not set, and refuses one that is
// not positive, or that no time.Duration can hold.
func (s *Scope) CheckDuration(path string, d *durationpb.Duration) time.Duration {
	if d == nil {
		return 0
	}
	value := d.AsDuration()
	if d.CheckValid() != nil || value <= 0 || value.Seconds() > 365*24*3600 {
		s.Refuse(path, "%s: found %s, expected a time above 0s and up to 8760h (365 days)", path, span.Text(value))
	}
	return value
}

func (s *Scope) checkStatus() {
	seen := map[codes.Code]bool{}
	for n, mapping := range s.Policy.GetStatus() {
		path := fmt.Sprintf("status[%d]", n)
		code, ok := rpccode.Parse(mapping.GetCode())
		switch {
		case !ok:
			s.Refuse(path+".code", "%s.code: found %q, expected a gRPC code, %s, or a number above 16", path, mapping.GetCode(), strings.Join(slices.Sorted(slices.Values(rpccode.Names())), ", "))
		case code == codes.OK:
			s.Refuse(path+".code", "%s.code: found %q, but errors alone are mapped; with response_metadata.http_status the method says its own status", path, mapping.GetCode())
		case seen[code]:
			s.Refuse(path+".code", "%s.code: %q stands here a second time", path, mapping.GetCode())
		}
		seen[code] = ok || seen[code]
		if h := mapping.GetHttpStatus(); h < 200 || h > 599 {
			s.Refuse(path+".http_status", "%s.http_status: found %d, expected 200 to 599", path, h)
		}
	}
}

// ofBody reports whether a header of this name, in lower case, says how the body is written,
// so that it never crosses, as those of a connection do not (Semantics 31).
func ofBody(name string) bool {
	switch name {
	case "content-length", "content-type", "content-encoding":
		return true
	}
	return false
}

// HeaderProblem tells why no policy may set or remove a header, on its way to the backend
// or to the client; empty if it may.
func (s *Scope) HeaderProblem(name string, toBackend bool) string {
	lower := strings.ToLower(name)
	switch {
	case !isToken(name):
		return "which is no name of a header"
	case toBackend && strings.Trim(lower, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "":
		return "which gRPC cannot carry to the backend; expected letters, digits, \"-\", \"_\" and \".\""
	case strings.HasPrefix(lower, "grpc-"):
		return "which belongs to gRPC; expected another name"
	case lower == "host" && toBackend && s.PlainHTTP():
		return "which rewrite.host of the route says; remove it here"
	case field.HopByHop(lower) && (toBackend || field.HopByHopInAnswers(lower)), ofBody(lower), lower == "host":
		return "which the gateway sets itself; expected another name"
	case toBackend && strings.HasPrefix(lower, field.OwnPrefix):
		return "which tells backends who calls; only auth may set it"
	}
	return ""
}

// responseHeaderProblem tells why response metadata of this name cannot become
// a header; empty if it can.
func responseHeaderProblem(name string) string {
	lower := strings.ToLower(name)
	switch {
	case !isToken(name):
		return "expected the name of a header"
	case field.HopByHopInAnswers(lower), ofBody(lower):
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
