// Package split is the field split: calls are spread over several upstreams, by weight and
// by hand.
package split

import (
	"fmt"
	"math/bits"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/proxy/upstream"
)

const (
	name = "split"

	// maxWeight bounds a weight, and maxBranches how many there are, so that sums stay small.
	maxWeight   = 1_000_000
	maxBranches = 64
)

// Kind is the policy split. Which branch a call goes to is asked for behind all admissions,
// by whoever carries it: Part.Pick.
func Kind() policy.Kind {
	return policy.Kind{Field: name, Compile: compile, Needs: []policy.Need{{Field: "split.branches.upstream", Config: "upstreams"}}}
}

// Part spreads the calls of one method or route.
type Part struct {
	branches []branch
	total    uint64 // of the weights
	byHand   bool   // some branch has calls that match
	strict   bool
	by       transomv1.Split_By
	from     string // the header, canonical, or the cookie
	salt     uint64
	none     error // where nothing is to be picked
	random   func() uint64
	text     string
}

// branch is one of the upstreams.
type branch struct {
	name, upstream string
	weight         uint64
	header, cookie string // what matches; both empty: nothing does
	value          string // "": any
	headers        []header
}

// header is one for the servers of a branch.
type header struct{ name, folded, value string }

var _ policy.Part = (*Part)(nil)

// Name implements policy.Part.
func (*Part) Name() string { return name }

// Summary is one line for explain.
func (p *Part) Summary() string { return p.text }

// Branches are their names, for metrics.
func (p *Part) Branches() []string {
	names := make([]string, len(p.branches))
	for i := range p.branches {
		names[i] = p.branches[i].name
	}
	return names
}

// Upstreams are those of the branches.
func (p *Part) Upstreams() []string {
	names := make([]string, len(p.branches))
	for i := range p.branches {
		names[i] = p.branches[i].upstream
	}
	return names
}

// Idle reports whether the weights sum to 0, so that only calls that match go anywhere.
func (p *Part) Idle() bool { return p.total == 0 }

// Pick decides which branch an admitted call goes to, by its index, and notes that in the
// request (Traffic 203, 204). ready reports whether a branch can take calls. The error is a
// gRPC status error: the call goes nowhere.
func (p *Part) Pick(r *policy.Request, ready func(int) bool) (int, error) {
	i, at := p.meant(r)
	if i < 0 {
		return 0, p.none
	}
	if !p.strict && !ready(i) {
		if other := p.other(at, ready); other >= 0 {
			r.BranchMeant, i = p.branches[i].name, other
		}
	}
	b := &p.branches[i]
	r.Branch = b.name
	for h := range b.headers {
		b.headers[h].write(r)
	}
	return i, nil
}

// meant is the branch that a call goes to if that is ready, -1 for none, and the call's
// number, by which it is spread.
func (p *Part) meant(r *policy.Request) (i int, at uint64) {
	if p.byHand {
		for i := range p.branches {
			if p.branches[i].matches(r) {
				return i, p.number(r)
			}
		}
	}
	if p.total == 0 {
		return -1, 0
	}
	at = p.number(r)
	// The first of the cumulated weights beyond the call's position: what raises the weight
	// of a branch leaves it the calls that it has.
	position, _ := bits.Mul64(at, p.total)
	for i := range p.branches {
		w := p.branches[i].weight
		if position < w {
			return i, at
		}
		position -= w
	}
	return len(p.branches) - 1, at // not reached: position is below the total
}

// other is the branch that takes a call whose own is not ready; -1 where none is. Calls
// with the same number go to the same one.
func (p *Part) other(at uint64, ready func(int) bool) int {
	var total uint64
	var can uint64 // one bit for each branch
	for i := range p.branches {
		if w := p.branches[i].weight; w > 0 && ready(i) {
			can |= 1 << i
			total += w
		}
	}
	position, _ := bits.Mul64(mix(at), total)
	for i := range p.branches {
		if can&(1<<i) == 0 {
			continue
		}
		w := p.branches[i].weight
		if position < w {
			return i
		}
		position -= w
	}
	return -1
}

// number is the same for calls that belong together, and random for others.
func (p *Part) number(r *policy.Request) uint64 {
	var key upstream.CallKey
	switch p.by {
	case transomv1.Split_PRINCIPAL:
		if who := r.Identity; who != nil {
			key = upstream.CallKeyOf(who.Principal)
		}
	case transomv1.Split_HEADER:
		if values := r.HTTP.Header[p.from]; len(values) > 0 && values[0] != "" {
			key = upstream.CallKeyOf(values[0])
		}
	case transomv1.Split_COOKIE:
		if value, _ := field.CookieValue(r.HTTP.Header["Cookie"], p.from); value != "" {
			key = upstream.CallKeyOf(value)
		}
	case transomv1.Split_CLIENT_IP:
		if r.ClientIP.IsValid() {
			address := r.ClientIP.As16()
			key = upstream.CallKeyOf(address[:])
		}
	}
	if key == 0 {
		return p.random()
	}
	return mix(uint64(key) ^ p.salt)
}

// mix spreads each bit over all (SplitMix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// matches reports whether a call is meant for the branch by hand.
func (b *branch) matches(r *policy.Request) bool {
	switch {
	case b.header != "":
		for _, value := range r.HTTP.Header[b.header] {
			if b.value == "" || value == b.value {
				return true
			}
		}
	case b.cookie != "":
		value, there := field.CookieValue(r.HTTP.Header["Cookie"], b.cookie)
		return there && (b.value == "" || value == b.value)
	}
	return false
}

// write tells the servers, in place of what the client says under the name in any spelling.
func (h *header) write(r *policy.Request) {
	if r.PlainHTTP {
		r.Dropped = append(r.Dropped, h.folded)
	}
	r.Metadata.DelFunc(func(n string) bool { return field.Same(n, h.folded) })
	r.Metadata.Add(h.name, h.value)
}

// nowhere is the error of calls that no branch takes.
func nowhere() error {
	return proxy.RefusedBy(name, policy.Refusal(codes.Unavailable, "no upstream takes this call: the weights of the policy split are 0",
		&errdetails.ErrorInfo{Reason: "NO_BRANCH", Domain: policy.ErrorDomain}))
}

// summary is what a rule does, for people.
func (p *Part) summary() string {
	parts := make([]string, len(p.branches))
	for i := range p.branches {
		b := &p.branches[i]
		text := b.name
		if b.upstream != b.name {
			text += " (" + b.upstream + ")"
		}
		if p.total > 0 {
			text += fmt.Sprintf(" %.4g %%", 100*float64(b.weight)/float64(p.total))
		}
		if of := b.header + b.cookie; of != "" {
			what := "header"
			if b.cookie != "" {
				what = "cookie"
			}
			text += " and those with the " + what + " " + strings.ToLower(of)
			if b.value != "" {
				text += ": " + b.value
			}
		}
		parts[i] = text
	}
	text := strings.Join(parts, ", ")
	switch p.by {
	case transomv1.Split_PRINCIPAL:
		text += "; by the principal"
	case transomv1.Split_HEADER:
		text += "; by the header " + strings.ToLower(p.from)
	case transomv1.Split_COOKIE:
		text += "; by the cookie " + p.from
	case transomv1.Split_CLIENT_IP:
		text += "; by the client's address"
	}
	if p.strict {
		text += "; strict"
	}
	return text
}
