// Package idempotency is the field idempotency_key: the answer to the first call under a key
// is kept, and given to all that follow. What the backend has done is done at most once,
// also where nobody knows whether it has: such a key is answered with that.
//
// A call under a key does not end with its client, for what it does at the backend is
// done whoever waits for it (Traffic 87).
package idempotency

import (
	"crypto/rand"
	"fmt"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/transom-gateway/transom/internal/canonical"
	"github.com/transom-gateway/transom/internal/keptkey"
	"github.com/transom-gateway/transom/internal/nearest"
	"github.com/transom-gateway/transom/internal/span"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/idempotency/keys"
	"github.com/transom-gateway/transom/policy/store"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/proxy"
)

const (
	name = "idempotency_key"

	defaultTTL    = 24 * time.Hour
	minTTL        = time.Second
	maxTTL        = 30 * 24 * time.Hour
	defaultAnswer = 256 << 10
	maxAnswer     = 16 << 20
	// defaultTimeout is that of a call whose method has none.
	defaultTimeout = time.Minute
	// fullFor is after what time a caller is to try again who has found no memory for its key.
	fullFor = time.Minute
	// maxWait is how long a call waits for another one under its key.
	maxWait = 30 * time.Second
)

// Kind is the policy idempotency_key.
func Kind() policy.Kind {
	return policy.Kind{Field: name, Compile: compile, Needs: []policy.Need{{Field: "idempotency_key.store", Config: "stores"}}}
}

// part is the policy of one method or route.
type part struct {
	rpc     string
	rule    *transomv1.IdempotencyKey
	ttl     time.Duration
	timeout time.Duration
	limit   int // of an answer, in bytes
	store   keys.Store
	shared  bool                // the store is one that may be away
	issuer  string              // whose callers those with sessions are, where they may have its tokens and no other's; "" for nobody's
	named   map[string]string   // by which claims issuers name callers, but for "sub"
	count   func(result string) // what became of a call under a key
	lost    func()              // counts that what became of one could not be written
}

// method keeps the answers of one method.
type method struct {
	*part
	field *keyField       // nil: the header
	form  *canonical.Form // of requests
	load  string          // tells this load of the schema from all others
	known keys.Rememberer // has answers by what clients wrote; nil where they are judged by their messages alone
}

var _ policy.Wrapper = (*method)(nil)

func compile(s *policy.Scope) policy.Part {
	rule := s.Policy.GetIdempotencyKey()
	if rule == nil || !applies(s, rule) {
		return nil
	}
	before := s.Noted()
	if rule.GetScope() != transomv1.IdempotencyKey_METHOD && anonymous(s.Policy.GetAuth()) && refuse(s, "the method is open to callers who prove nothing, "+
		"so that whoever knows a key gets its answer: set auth, or scope: METHOD if that is right") {
		return nil
	}
	p := newPart(s, rule)
	if s.PlainHTTP() {
		return p.compileRoute(s, before)
	}
	m := &method{part: p, form: canonical.New(s.Method.Input()), load: rand.Text()}
	m.checkField(s)
	if !p.open(s, before) {
		return nil
	}
	if m.field == nil {
		m.known, _ = p.store.(keys.Rememberer)
	}
	return m
}

// newPart reads what all of them have.
func newPart(s *policy.Scope, rule *transomv1.IdempotencyKey) *part {
	before := s.Noted()
	p := &part{
		rpc: s.RPC, rule: rule, ttl: defaultTTL, limit: defaultAnswer, timeout: s.Policy.GetTimeout().AsDuration(), count: s.Decisions(name),
	}
	p.lost = func() { p.count("lost") }
	if p.timeout <= 0 {
		p.timeout = defaultTimeout
	}
	p.issuer, p.named = onlyIssuer(s), s.PrincipalClaims()
	if rule.Ttl != nil {
		if p.ttl = s.CheckDuration("idempotency_key.ttl", rule.Ttl); s.Noted() == before && (p.ttl < minTTL || p.ttl > maxTTL) {
			s.Refuse("idempotency_key.ttl", "idempotency_key.ttl: found %s, expected 1s to 720h (30 days)", span.Text(p.ttl))
		}
	}
	if n := rule.GetMaxAnswerBytes(); n > maxAnswer {
		s.Refuse("idempotency_key.max_answer_bytes", "idempotency_key.max_answer_bytes: found %d, expected up to %d", n, maxAnswer)
	} else if n > 0 {
		p.limit = int(n)
	}
	checkEnums(s, rule)
	if rule.GetStore() == transomv1.IdempotencyKey_REDIS && !store.Configured(s.Generation) {
		s.Refuse("idempotency_key.store", "idempotency_key.store: found REDIS, but the configuration has no stores.redis: set its url, or store MEMORY")
	}
	return p
}

// applies reports whether answers of the target can be kept. What is inherited and cannot
// hold is left out.
func applies(s *policy.Scope, rule *transomv1.IdempotencyKey) bool {
	var why string
	switch {
	case s.PlainHTTP() && routeHasNone(s, rule) != "":
		why = routeHasNone(s, rule)
	case s.Stream():
		why = "it is for unary methods, and this one streams: remove it"
	case s.Policy.GetLogin() != nil || s.Policy.GetLogout() != nil:
		why = "the method has login or logout, whose answer is for one caller once: remove it"
	case s.Method != nil && level(s) == descriptorpb.MethodOptions_NO_SIDE_EFFECTS:
		why = "the method is NO_SIDE_EFFECTS, which can be called as often as one likes: remove it, or see cache"
	default:
		return true
	}
	refuse(s, why)
	return false
}

// refuse says why the policy cannot hold, or leaves it out where it is inherited, and reports
// whether it has left it out.
func refuse(s *policy.Scope, why string) (left bool) {
	if s.Exact(name) {
		s.Refuse(name, "idempotency_key: %s", why)
		return false
	}
	s.Leave(name)
	return true
}

func level(s *policy.Scope) descriptorpb.MethodOptions_IdempotencyLevel {
	options, _ := s.Method.Options().(*descriptorpb.MethodOptions)
	return options.GetIdempotencyLevel()
}

// onlyIssuer is the one of whom callers may have tokens beside sessions; "" where there are several, or
// none: the two name callers alike then.
func onlyIssuer(s *policy.Scope) string {
	mixed := s.Policy.GetAuth().GetMixed()
	if mixed == nil {
		return ""
	}
	accepted := mixed.GetJwt().GetIssuers()
	if len(accepted) == 0 {
		for _, issuer := range s.Config.GetAuth().GetJwt() {
			accepted = append(accepted, issuer.GetIssuer())
		}
	}
	if len(accepted) != 1 {
		return ""
	}
	return accepted[0]
}

// anonymous reports whether a method is open to callers who prove nothing.
func anonymous(a *transomv1.Auth) bool { return a.GetMechanism() == nil || a.GetAnonymous() != nil }

// checkEnums refuses numbers that have no name.
func checkEnums(s *policy.Scope, rule *transomv1.IdempotencyKey) {
	m := rule.ProtoReflect()
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		if fd.Enum() == nil || fd.Enum().Values().ByNumber(m.Get(fd).Enum()) != nil {
			continue
		}
		s.Refuse(fmt.Sprintf("%s.%s", name, fd.Name()), "%s.%s: found %d, which is none of its values", name, fd.Name(), m.Get(fd).Enum())
	}
}

// open finds where the answers are kept, if no problem was noted but so many before. It
// reports whether it has.
func (p *part) open(s *policy.Scope, before int) bool {
	if s.Noted() > before || s.Suppresses("idempotency_key.store") {
		return false
	}
	var err error
	if p.shared = p.rule.GetStore() != transomv1.IdempotencyKey_MEMORY && store.Configured(s.Generation); p.shared {
		if p.store, err = keys.InRedis(s.Generation); err != nil {
			store.Refuse(s.Generation, err)
		}
		return err == nil
	}
	if p.store, err = keys.InMemory(s.Generation); err != nil {
		s.Refuse(name, "%v", err)
	}
	return err == nil
}

// KeyStore is where the keys are kept, and the name of that.
func (p *part) KeyStore() (name string, s keptkey.Store) {
	s, _ = p.store.(keptkey.Store) // each is one
	if p.shared {
		return "redis", s
	}
	return "memory", s
}

// Name implements policy.Part.
func (*part) Name() string { return name }

// Summary is one line for explain.
func (p *part) Summary() string {
	text := fmt.Sprintf("the answer to each key is kept for %s", span.Text(p.ttl))
	if p.rule.GetRequired() {
		text += "; a key is required"
	}
	if p.rule.GetScope() == transomv1.IdempotencyKey_METHOD {
		text += "; all callers share them"
	}
	if p.rule.GetInFlight() == transomv1.IdempotencyKey_WAIT {
		text += "; while its call is under way others wait for the answer"
	}
	if p.rule.GetBackendHonours() {
		text += "; the backend tells calls of one key apart itself"
	}
	if p.rule.GetStrict() {
		text += "; strict: after UNAVAILABLE, RESOURCE_EXHAUSTED or ABORTED the outcome is not known"
	}
	if n := p.rule.GetMaxAnswerBytes(); n > 0 {
		text += fmt.Sprintf("; answers of up to %d bytes", n)
	}
	if p.shared {
		text += "; in Redis"
		if p.rule.GetOnUnavailable() == transomv1.IdempotencyKey_ALLOW {
			text += ", without which calls are made as if they had no key"
		}
	}
	return text
}

// Summary is one line for explain.
func (m *method) Summary() string {
	text := m.part.Summary()
	if m.field != nil {
		text += "; the key is the field " + string(m.field.name)
	}
	return text
}

// Decides implements policy.Wrapper.
func (*method) Decides() bool { return true }

// Concerns is what policy.Wrapper asks for: a call without a key is made as one of a method
// without the policy, unless its key may be in its message, or has to be there.
func (m *method) Concerns(r *policy.Request) bool {
	return m.field != nil || m.rule.GetRequired() || len(r.HTTP.Header[header]) > 0
}

// Wrap implements policy.Wrapper.
func (m *method) Wrap(next proxy.Backend) proxy.Backend { return &backend{next, m} }

// keyField is the field of requests that holds the key.
type keyField struct {
	name   protoreflect.Name
	number protoreflect.FieldNumber
}

// checkField finds the field of the key.
func (m *method) checkField(s *policy.Scope) {
	text := m.rule.GetField()
	if text == "" {
		return
	}
	fd := s.Method.Input().Fields().ByName(protoreflect.Name(text))
	switch {
	case fd == nil:
		s.Refuse("idempotency_key.field", "idempotency_key.field: found %q, expected a field of %s%s", text, s.Method.Input().FullName(), meant(s.Method.Input(), text))
	case fd.Kind() != protoreflect.StringKind || fd.IsList():
		s.Refuse("idempotency_key.field", "idempotency_key.field: found %q, which is no string", text)
	default:
		m.field = &keyField{fd.Name(), fd.Number()}
	}
}

// meant names the field of strings that was probably meant.
func meant(m protoreflect.MessageDescriptor, text string) string {
	var names []string
	for i := range m.Fields().Len() {
		if fd := m.Fields().Get(i); fd.Kind() == protoreflect.StringKind && !fd.IsList() {
			if fd.JSONName() == text {
				return fmt.Sprintf("; did you mean %q?", fd.Name())
			}
			names = append(names, string(fd.Name()))
		}
	}
	if near := nearest.Of(names, text); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}
