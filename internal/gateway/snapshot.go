package gateway

import (
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/events/bus"
	"github.com/transom-gateway/transom/events/stream"
	"github.com/transom-gateway/transom/events/subscription"
	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/httprule"
	"github.com/transom-gateway/transom/internal/schema"
	"github.com/transom-gateway/transom/internal/tag"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/transcoder"
)

// Snapshot is everything that comes from files, compiled. It never changes; a
// reload builds another one.
type Snapshot struct {
	// Generation counts the snapshots of this process from 1.
	Generation int
	// Built is when, and how long it took.
	Built    time.Time
	BuildFor time.Duration
	// Config is what it was built from.
	Config *config.File
	// Problems are warnings: parts that were left out.
	Problems Problems

	paths map[string]*Route // by the own path of their endpoint: "/package.Service/Method"
	// inside are hidden methods that subscriptions call, by the same; nobody else does.
	inside  map[string]*Route
	tree    *httprule.Tree[*Route]
	http    *httpRoutes // nil for none
	routes  []*Route    // all, in the order of the listing
	errors  *transcoder.ErrorWriter
	headers *transcoder.HeaderRules
	rest    restSettings
	proxies proxies
	// rfc7239: backends are told of a request's origin by Forwarded.
	rfc7239 bool
	// clientCert: backends are told so much of a client's certificate.
	clientCert transomv1.Config_ForwardClientCert
	// errorPages are shown to browsers.
	errorPages errorPages
	// hiddenCookies are credentials of the gateway, which no backend sees.
	hiddenCookies []string
	// own are the names of the gateway's own services that are on.
	own []string
	// ownRoutes are their routes, which no listing has.
	ownRoutes []*Route

	// unmatched observes the requests that no route takes, and cors tells pages about
	// them; nil for none.
	unmatched *policy.Set
	cors      pagePolicy
	anyCors   bool // some method or defaults has the policy
	// hidesPaths: some route's path may hold what no log may repeat.
	hidesPaths bool
	policies   *policy.Compiler
	// registries are the schema sources, in the configuration's order.
	registries []*schema.Registry
	// public are these without what is hidden.
	public []*schema.Registry
	hidden map[protoreflect.FullName]bool // services and methods
	// hiddenIn are services of a registry that are served as another one has them.
	hiddenIn map[*schema.Registry]map[protoreflect.FullName]bool
	called   map[connection][]string // services, by what leads to them
	// unready says why nothing can be served yet; "" where something can.
	unready string
	conns   map[string]connection // by upstream name
	// circuits are the breakers, by upstream and method.
	circuits []circuit
	// cache drops answers that are kept; nil where no method keeps any.
	cache cached
	// cachedRoutes does the same of plain HTTP routes.
	cachedRoutes cachedRoute
	// cacheNames are the methods and routes with the policy cache.
	cacheNames []string
	// cacheTags are the tags of answers of methods, and allCacheTags tells that no other gateway
	// keeps answers with others.
	cacheTags    []tag.Template
	allCacheTags bool
	// bus brings events to sinks; nil where nothing is published.
	bus *bus.Bus
	// streams are what clients may listen to; nil where they may not.
	streams *stream.Rules
	// subscribed are the subscriptions, and store is where they keep what they must not forget.
	subscribed []*subscribed
	store      *subscription.Store
	// keyStores are where keys of clients are kept, each once.
	keyStores []keyStore
	// keyNames are the methods and routes with the policy idempotency_key.
	keyNames []string
	// maintenance are the entries that are for some endpoint.
	maintenance []*maintenance
	// openAPI are the documents that describe the routes.
	openAPI documents
	// told is what servers have told that the snapshot before did not have.
	told []*told

	// refs counts the requests that use the snapshot and the gateway itself. At
	// zero it is closed.
	refs atomic.Int64
}

// restSettings are the settings of Rest that routing needs.
type restSettings struct {
	onlyRules                 bool
	methodOverride            bool
	formMethodOverride        bool
	unknownRouteUnimplemented bool
	wrongMethodUnimplemented  bool
}

// acquire takes the current snapshot for one request; nil before the first.
func (g *Gateway) acquire() *Snapshot {
	for {
		s := g.current.Load()
		if s == nil {
			return nil
		}
		for n := s.refs.Load(); n >= 1; n = s.refs.Load() {
			if s.refs.CompareAndSwap(n, n+1) {
				return s
			}
		}
		// It was swapped out and closed since it was loaded; there is a newer one.
	}
}

// release gives the snapshot back; the last one closes it.
func (s *Snapshot) release() {
	if s.refs.Add(-1) > 0 {
		return
	}
	s.policies.Close()
	for _, c := range s.conns {
		c.Release()
	}
}

// discard closes a snapshot that never was in service; nil is none.
func (s *Snapshot) discard() {
	if s != nil {
		s.refs.Store(1)
		s.release()
	}
}
