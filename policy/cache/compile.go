package cache

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/transom-gateway/transom/internal/canonical"
	"github.com/transom-gateway/transom/internal/digest"
	"github.com/transom-gateway/transom/internal/schema"
	"github.com/transom-gateway/transom/internal/span"
	"github.com/transom-gateway/transom/internal/tag"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/cache/internal/memory"
	"github.com/transom-gateway/transom/policy/cache/internal/peers"
	"github.com/transom-gateway/transom/policy/cache/internal/sharing"
	"github.com/transom-gateway/transom/policy/store"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// maxTags is how many templates a policy may have.
const maxTags = 32

func compile(s *policy.Scope) policy.Part {
	rule := s.Policy.GetCache()
	if rule == nil || s.PlainHTTP() {
		return nil
	}
	if why := inapplicable(s, rule); why != "" {
		if s.Exact(name) {
			s.Refuse(name, "cache: %s", why)
		} else {
			s.Leave(name)
		}
		return nil
	}
	before := s.Noted()
	made := compileRead
	if !reads(s) {
		made = compileWrite
	} else if rule.GetValidatorsOnly() {
		refuseBeside(s, rule, "validators_only", "no answer is kept")
		made = func(s *policy.Scope, rule *transomv1.Cache) policy.Part { return validators{sharing.Of(s, rule)} }
	}
	part := made(s, rule)
	if s.Noted() > before || s.Suppresses(name) {
		return nil
	}
	return part
}

// inapplicable says why the policy cannot hold for a method; "" where it can.
func inapplicable(s *policy.Scope, rule *transomv1.Cache) string {
	switch {
	case s.Method == nil, s.Stream():
		return "it is for unary methods, and this one streams: remove it"
	case s.Upstream == "" && len(s.Config.GetUpstreams()) > 0:
		return "the gateway itself answers the method: remove it"
	case s.Policy.GetLogin() != nil || s.Policy.GetLogout() != nil:
		return "the method begins or ends a session, which an answer that is kept cannot do: remove one of the two"
	case !reads(s) && len(rule.GetInvalidates()) == 0:
		return fmt.Sprintf("%s may have side effects, as its proto does not say otherwise, so that each call must reach its backend: "+
			"set its option idempotency_level to NO_SIDE_EFFECTS if it has none, or remove cache; a method that writes may have cache.invalidates alone", s.RPC)
	case rule.GetScope() == transomv1.Cache_PRINCIPAL && !sharing.CallersKnown(s) && !s.Exact(name):
		return "its callers are not known"
	}
	return ""
}

// reads reports whether the method's proto says that it has no side effects.
func reads(s *policy.Scope) bool {
	options, ok := s.Method.Options().(*descriptorpb.MethodOptions)
	return ok && options.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS
}

// refuseBeside refuses all other fields beside one.
func refuseBeside(s *policy.Scope, rule *transomv1.Cache, field protoreflect.Name, why string) {
	rule.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		if f.Name() != field {
			s.Refuse(name+"."+string(f.Name()), "cache.%s: with cache.%s %s: remove one of the two", f.Name(), field, why)
		}
		return true
	})
}

func compileWrite(s *policy.Scope, rule *transomv1.Cache) policy.Part {
	if s.Exact(name) {
		refuseBeside(s, rule, "invalidates", "the method writes, and its answers are not kept")
	}
	w := &writer{request: canonical.New(s.Method.Input())}
	if w.drops = templates(s, "cache.invalidates", rule.GetInvalidates()); answered(w.drops) {
		w.answer = canonical.New(s.Method.Output())
	}
	if w.store = storeOf(s); w.store != nil {
		w.shared = peers.Of(s, w.store)
	}
	return w
}

func compileRead(s *policy.Scope, rule *transomv1.Cache) policy.Part {
	p := &part{rpc: s.RPC, form: canonical.New(s.Method.Input()), count: s.Decisions(name), now: s.State.Now, obeyClient: rule.GetObeyClient()}
	p.timeout = s.Policy.GetTimeout().AsDuration()
	if len(rule.GetInvalidates()) > 0 && s.Exact(name) {
		s.Refuse("cache.invalidates", "cache.invalidates: the method has no side effects, so that nothing is to be dropped: remove it")
	}
	p.ttl = s.CheckDuration("cache.ttl", rule.GetTtl())
	p.notFoundTTL = s.CheckDuration("cache.not_found_ttl", rule.GetNotFoundTtl())
	p.whileRevalidate = s.CheckDuration("cache.stale_while_revalidate", rule.GetStaleWhileRevalidate())
	p.ifError = s.CheckDuration("cache.stale_if_error", rule.GetStaleIfError())
	p.Scope = sharing.Of(s, rule)
	if p.tags = templates(s, "cache.tags", rule.GetTags()); answered(p.tags) {
		p.answers = canonical.New(s.Method.Output())
	}
	if rule.GetStore() > transomv1.Cache_REDIS {
		s.Refuse("cache.store", "cache.store: found %d, expected MEMORY or REDIS", rule.GetStore())
	}
	if p.store = storeOf(s); p.store == nil {
		return nil
	}
	if rule.GetStore() == transomv1.Cache_REDIS && !store.Configured(s.Generation) {
		s.Refuse("cache.store", "cache.store: %v", errNoRedis)
	}
	p.share(s, rule)
	var err error
	key := methodKey{s.RPC, s.Upstream, digest.Of(s.Method, s.Policy, s.Config.GetUpstreams()[s.Upstream])}
	p.method, err = policy.Lease(s.Generation, key, func() (*method, error) {
		return &method{p.store.methods.Add(1), p.store, key}, nil
	})
	if err != nil {
		s.Refuse(name, "%v", err)
	}
	return p
}

// share finds the Redis of the configuration, and whether answers are kept in it: those with
// a sensitive field are not (Traffic 130).
func (p *part) share(s *policy.Scope, rule *transomv1.Cache) {
	p.shared = peers.Of(s, p.store)
	if rule.GetStore() != transomv1.Cache_REDIS {
		return
	}
	for _, m := range []protoreflect.MessageDescriptor{s.Method.Input(), s.Method.Output()} {
		if f := schema.SensitiveField(m); f != nil {
			p.sensitive = f.FullName()
			return
		}
	}
	p.inRedis = true
}

// templates reads those of a field.
func templates(s *policy.Scope, path string, texts []string) []tag.Template {
	var all []tag.Template
	if len(texts) > maxTags {
		s.Refuse(path, "%s: found %d, expected up to %d", path, len(texts), maxTags)
		return nil
	}
	for i, text := range texts {
		t, err := tag.Parse(text, s.Method.Input(), s.Method.Output())
		if err != nil {
			s.Refuse(fmt.Sprintf("%s[%d]", path, i), "%s[%d]: %v", path, i, err)
		}
		all = append(all, t)
	}
	return all
}

func answered(all []tag.Template) bool {
	return slices.ContainsFunc(all, func(t tag.Template) bool { return t.Response })
}

// storeOf is the store of the process.
func storeOf(s *policy.Scope) *Store {
	m := memory.Of(s)
	if m == nil {
		return nil
	}
	made, err := policy.Lease(s.Generation, storeKey{}, func() (*Store, error) { return newStore(m), nil })
	if err != nil {
		s.Refuse(name, "%v", err)
		return nil
	}
	return made
}

// Summary is one line for explain.
func (p *part) Summary() string {
	text := "for as long as an answer's Cache-Control says"
	if p.ttl > 0 {
		text += fmt.Sprintf(", else %s", span.Text(p.ttl))
	}
	if p.notFoundTTL > 0 {
		text += fmt.Sprintf(", NOT_FOUND %s", span.Text(p.notFoundTTL))
	}
	if text += "; shared by all callers"; p.Principal {
		text = strings.Replace(text, "shared by all callers", "each principal's own", 1)
	}
	if len(p.Vary) > 0 {
		text += "; varies by " + strings.Join(p.Vary, ", ")
	}
	if p.whileRevalidate > 0 {
		text += fmt.Sprintf("; stale for %s while a new one is fetched", span.Text(p.whileRevalidate))
	}
	if p.ifError > 0 {
		text += fmt.Sprintf("; stale for %s where the backend fails", span.Text(p.ifError))
	}
	switch {
	case p.inRedis:
		text += "; shared by all gateways in Redis"
	case p.sensitive != "":
		text += fmt.Sprintf("; in memory only, for %s is not to be kept elsewhere", p.sensitive)
	}
	if p.obeyClient {
		text += "; and as the client's Cache-Control says"
	}
	if len(p.tags) > 0 {
		text += "; tagged " + texts(p.tags)
	}
	return text
}

// Summary is one line for explain.
func (w *writer) Summary() string { return "drops answers about " + texts(w.drops) }

func texts(all []tag.Template) string {
	names := make([]string, len(all))
	for i := range all {
		names[i] = all[i].Text
	}
	return strings.Join(names, ", ")
}
