package split

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// defaultSalt keeps the calls of a branch from those of an endpoint: both are chosen by
// hashes of the same keys.
const defaultSalt = "split"

func compile(s *policy.Scope) policy.Part {
	rule := s.Policy.GetSplit()
	if rule == nil || !applies(s, rule) {
		return nil
	}
	before := s.Noted()
	p := &Part{strict: rule.GetStrict(), none: nowhere(), random: rand.Uint64}
	p.salt = uint64(upstream.CallKeyOf(cmp.Or(rule.GetSalt(), defaultSalt)))
	p.readKey(s, rule)
	if n := len(rule.GetBranches()); n == 0 || n > maxBranches {
		s.Refuse("split.branches", "split.branches: found %d, expected 1 to %d", n, maxBranches)
		return nil
	}
	seen := map[string]int{}
	for i, one := range rule.GetBranches() {
		at := policy.Index("split.branches", i)
		b := readBranch(s, at, one)
		if first, twice := seen[b.name]; twice {
			s.Refuse(at+".name", "%s: found %q, which is the name of split.branches[%d], too; expected name to tell them apart", at, b.name, first)
		}
		seen[b.name] = i
		p.branches = append(p.branches, b)
		p.total += b.weight
		p.byHand = p.byHand || b.header != "" || b.cookie != ""
	}
	if s.Noted() > before || s.Suppresses("split.branches.upstream") {
		return nil
	}
	p.text = p.summary()
	return p
}

// applies reports whether the policy can hold for the target. It leaves what is inherited
// and cannot.
func applies(s *policy.Scope, rule *transomv1.Split) bool {
	switch {
	case s.Method != nil:
		return s.Upstream != "" || len(s.Config.GetUpstreams()) == 0 // not for services of the gateway's own
	case s.PlainHTTP() && s.Upstream != "":
		own := func(b *transomv1.SplitBranch) bool {
			u := s.Config.GetUpstreams()[b.GetUpstream()]
			return u != nil && u.GetHttp() == nil
		}
		if s.Exact(name) || len(rule.GetBranches()) == 0 || !slices.ContainsFunc(rule.GetBranches(), own) {
			return true
		}
		s.Leave(name) // it is that of methods
		return false
	case s.Exact(name):
		s.Refuse(name, "split: the route has no upstream, as the gateway answers its requests: remove it")
	default:
		s.Leave(name)
	}
	return false
}

// readKey reads what calls have in common that go to the same branch.
func (p *Part) readKey(s *policy.Scope, rule *transomv1.Split) {
	p.by = rule.GetBy()
	header, cookie := rule.GetHeader(), rule.GetCookie()
	if p.by == transomv1.Split_BY_UNSPECIFIED {
		switch {
		case header != "":
			p.by = transomv1.Split_HEADER
		case cookie != "":
			p.by = transomv1.Split_COOKIE
		}
	}
	switch {
	case p.by == transomv1.Split_HEADER && header == "":
		s.Refuse("split.by", "split.by: found HEADER without split.header, expected the header's name there")
	case p.by == transomv1.Split_COOKIE && cookie == "":
		s.Refuse("split.by", "split.by: found COOKIE without split.cookie, expected the cookie's name there")
	case header != "" && p.by != transomv1.Split_HEADER:
		s.Refuse("split.header", "split.header: found %q, which has no effect beside the other key; expected one of them", header)
	case cookie != "" && p.by != transomv1.Split_COOKIE:
		s.Refuse("split.cookie", "split.cookie: found %q, which has no effect beside the other key; expected one of them", cookie)
	}
	checkName(s, "split.header", header)
	checkName(s, "split.cookie", cookie)
	if rule.GetSalt() != "" && p.by == transomv1.Split_BY_UNSPECIFIED {
		s.Refuse("split.salt", "split.salt: found it without split.by, so that nothing is hashed; remove it, or set by")
	}
	if p.from = cookie; header != "" {
		p.from = http.CanonicalHeaderKey(header)
	}
}

// checkName holds that the name of a header or cookie is one.
func checkName(s *policy.Scope, path, text string) {
	if text != "" && !httpguts.ValidHeaderFieldName(text) {
		s.Refuse(path, "%s: found %q, which cannot be a name", path, text)
	}
}

// readBranch reads one branch.
func readBranch(s *policy.Scope, at string, rule *transomv1.SplitBranch) branch {
	b := branch{name: cmp.Or(rule.GetName(), rule.GetUpstream()), upstream: rule.GetUpstream(), weight: 1}
	if rule.Weight != nil {
		if b.weight = uint64(rule.GetWeight()); b.weight > maxWeight {
			s.Refuse(at+".weight", "%s.weight: found %d, expected 0 to %d", at, b.weight, maxWeight)
		}
	}
	checkUpstream(s, at+".upstream", b.upstream)
	if m := rule.GetMatch(); m != nil {
		b.cookie, b.value = m.GetCookie(), m.GetValue()
		if m.GetHeader() != "" {
			b.header = http.CanonicalHeaderKey(m.GetHeader())
		}
		if (b.header == "") == (b.cookie == "") {
			s.Refuse(at+".match", "%s.match: expected one of header and cookie", at)
		}
		checkName(s, at+".match.header", m.GetHeader())
		checkName(s, at+".match.cookie", m.GetCookie())
	}
	for _, name := range slices.Sorted(maps.Keys(rule.GetHeaders())) {
		value, problem := rule.GetHeaders()[name], s.HeaderProblem(name, true)
		if problem == "" && strings.HasSuffix(strings.ToLower(name), "-bin") {
			problem = "which holds bytes, not text; expected another name"
		}
		if problem == "" && (value == "" || strings.Trim(value, " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~") != "") {
			problem = fmt.Sprintf("whose value is %q; expected printable ASCII", value)
		}
		if problem != "" {
			s.Refuse(at+".headers", "%s.headers has %q, %s", at, name, problem)
			continue
		}
		lower := strings.ToLower(name)
		b.headers = append(b.headers, header{lower, field.Fold(lower), value})
	}
	return b
}

// checkUpstream holds that an upstream is there, and of the kind that the target needs.
func checkUpstream(s *policy.Scope, path, name string) {
	u, there := s.Config.GetUpstreams()[name]
	switch {
	case !there:
		s.Refuse(path, "%s: found %q, expected the name of an upstream%s", path, name, s.KnownUpstreams(name))
	case s.Method != nil && u.GetGrpc() == nil:
		s.Refuse(path, "%s: found %q, which is a plain HTTP upstream; expected a gRPC one, as %s is a method", path, name, s.RPC)
	case s.PlainHTTP() && u.GetHttp() == nil:
		s.Refuse(path, "%s: found %q, which is a gRPC upstream; expected a plain HTTP one, as this is a route", path, name)
	}
}
