// Package cache is the policy cache: answers of methods without side effects are kept and
// given again, whatever protocol asks, and calls that are equal and miss at the same time
// are one call to the backend.
//
// An entry is an answer in wire format with its metadata. Its key is the method, the
// request in canonical form, who shares it and the headers that it varies by, so that an
// answer never crosses from one principal to another. The store is one for all methods of a
// process and outlives reloads, in the policies' State.
package cache

import (
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/canonical"
	"github.com/transom-gateway/transom/internal/s3fifo"
	"github.com/transom-gateway/transom/internal/tag"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/cache/internal/memory"
	"github.com/transom-gateway/transom/policy/cache/internal/sharing"
	"github.com/transom-gateway/transom/policy/cache/internal/tier"
	"github.com/transom-gateway/transom/proxy"
)

const name = "cache"

// Kind is the policy cache.
func Kind() policy.Kind { return policy.Kind{Field: name, Compile: compile} }

// part keeps the answers of one method.
type part struct {
	rpc     string
	store   *Store
	method  *method
	form    *canonical.Form     // of requests
	answers *canonical.Form     // where tags are about answers; else nil
	count   func(result string) // a decision
	now     func() time.Time

	sharing.Scope
	ttl         time.Duration
	notFoundTTL time.Duration
	// whileRevalidate and ifError hold where an answer says nothing.
	whileRevalidate, ifError time.Duration
	tags                     []tag.Template
	obeyClient               bool
	timeout                  time.Duration

	// shared is the Redis of the configuration, which tells of what is dropped, and has the
	// answers where inRedis is set; nil without one.
	shared    *tier.Tier
	inRedis   bool
	sensitive protoreflect.FullName // why it is not, though the policy says so
}

var _ policy.Wrapper = (*part)(nil)

// Name implements policy.Part.
func (*part) Name() string { return name }

// Wrap implements policy.Wrapper.
func (p *part) Wrap(next proxy.Backend) proxy.Backend { return &backend{next, p} }

// Decides implements policy.Wrapper: keys need the caller.
func (*part) Decides() bool { return true }

// Cache returns the store that the answers are in.
func (p *part) Cache() *Store { return p.store }

// Tags are those of the answers that are kept.
func (p *part) Tags() []tag.Template { return p.tags }

// AnswersUsage is how full the memory of all answers is.
func (p *part) AnswersUsage() s3fifo.Usage { return p.store.memory.Usage() }

// ETags reports whether answers to GET and HEAD carry an ETag.
func (*part) ETags() bool { return true }

// validators is a method whose answers carry an ETag and are not kept.
type validators struct{ sharing.Scope }

// Name implements policy.Part.
func (validators) Name() string { return name }

// ETags is as that of part.
func (validators) ETags() bool { return true }

// Summary is one line for explain.
func (validators) Summary() string { return "answers carry an ETag; none is kept" }

// writer drops answers when its method has succeeded.
type writer struct {
	store   *Store
	request *canonical.Form
	answer  *canonical.Form // where templates are about answers; else nil
	drops   []tag.Template
	shared  *tier.Tier // nil without Redis
}

var _ policy.Wrapper = (*writer)(nil)

// Name implements policy.Part.
func (*writer) Name() string { return name }

// Decides implements policy.Wrapper.
func (*writer) Decides() bool { return false }

// Drops are the tags of the answers that are dropped.
func (w *writer) Drops() []tag.Template { return w.drops }

// Cache returns the store whose answers are dropped.
func (w *writer) Cache() *Store { return w.store }

// AnswersUsage is as that of part.
func (w *writer) AnswersUsage() s3fifo.Usage { return w.store.memory.Usage() }

// Wrap implements policy.Wrapper.
func (w *writer) Wrap(next proxy.Backend) proxy.Backend { return &writes{next, w} }

// PurgeAnswers is as that of writer.
func (p *part) PurgeAnswers(rpc, tag, principal string) (n int, told bool) {
	return purgeAll(p.store, p.shared, memory.Purge{RPC: rpc, Tag: tag, Principal: principal})
}
