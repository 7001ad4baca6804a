// Package architecture holds the layout together: who may import whom, and why.
// It knows no code, only import lines.
package architecture

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/transom-gateway/transom"

// rule is what the code of one folder, tests aside, may import.
type rule struct {
	// ours are the folders it may import; "x/..." is x and all below.
	ours []string
	// never are packages of others that it must not import, by prefix.
	never []string
	// reason is what a broken rule would cost.
	reason string
}

// Layers from below. Each may import what stands above it here.
var (
	base  = []string{"proto/transom/v1", "internal/cachecontrol", "internal/cachestatus", "internal/canonical", "internal/counted", "internal/digest", "internal/earlydata", "internal/entitytag", "internal/field", "internal/keptkey", "internal/limituse", "internal/nearest", "internal/overload", "internal/problem", "internal/regularfile", "internal/rpccode", "internal/s3fifo", "internal/span", "internal/tag"}
	parts = slices.Concat(base, []string{"proxy/...", "internal/projection", "internal/schema", "internal/httprule", "internal/httproute", "internal/config"})
	// shared is what the edges of the transcoder have in common, besides its core.
	shared = []string{"transcoder/jsonwire", "transcoder/rpcerror", "transcoder/exchange", "transcoder/compression"}

	mapped = slices.Concat(base, []string{"proxy", "internal/httprule"}) // what HTTP is mapped to
	sinks  = slices.Concat(base, []string{"events", "events/cloudevents", "events/internal/..."})
	edges  = slices.Concat(parts, []string{"transcoder/...", "policy", "policy/kinds", "events", "events/behaviour", "events/bus", "events/log", "events/rule", "events/stream", "events/subscription", "events/subscription/logsource", "internal/capture", "internal/observe", "internal/openapi"})
)

// What some must not know: protobuf and the forms of messages for people, and what
// belongs to the command line.
var (
	protobuf = []string{"google.golang.org/protobuf", "google.golang.org/genproto", "github.com/bufbuild/protocompile"}
	jsons    = slices.Concat([]string{"encoding/json", "google.golang.org/protobuf/encoding/protojson"}, yamls)
	yamls    = []string{"go.yaml.in/yaml", "gopkg.in/yaml", "sigs.k8s.io/yaml", "github.com/goccy/go-yaml"}
	commands = []string{"github.com/spf13", "os/signal", "flag"}
)

// rules has one entry for each folder with code. The longest match decides;
// "x/..." is x and all below.
var rules = map[string]rule{
	"proto/...": {reason: "users import the options; they must not get the gateway with them"},

	"internal/digest":            {reason: "schemas are compared without what is made of them"},
	"internal/earlydata":         {never: slices.Concat(protobuf, jsons), reason: "who reads requests and who runs them agree on it, and on nothing else"},
	"internal/s3fifo":            {never: protobuf, reason: "it keeps values of any kind"},
	"internal/tag":               {never: jsons, reason: "tags are written over bytes"},
	"internal/httprule":          {never: slices.Concat(protobuf, yamls), reason: "templates and their matching are fuzzed and measured without descriptors"},
	"internal/schema":            {ours: base, never: slices.Concat(yamls, []string{"net/http"}), reason: "descriptors come before any protocol that serves them"},
	"internal/config":            {ours: slices.Concat(base, []string{"internal/httprule", "internal/httproute"}), reason: "the file is checked before anything is built of it"},
	"proxy":                      {ours: []string{"proxy/transport"}, never: jsons, reason: "the relay carries bytes: no JSON, no routes, no options"},
	"proxy/breaker":              {never: slices.Concat(jsons, protobuf, []string{"google.golang.org/grpc"}), reason: "when to stop is decided by counts, whatever is counted"},
	"proxy/upstream":             {ours: []string{"proxy", "proxy/breaker", "proxy/transport", "proxy/upstream/...", "internal/counted", "internal/tlsfiles"}, never: jsons, reason: "a choice among addresses knows neither the call's method nor its messages"},
	"proxy/upstream/addressfile": {ours: slices.Concat(base, []string{"internal/watch"}), never: slices.Concat(protobuf, []string{"net/http"}), reason: "it reads a file; what connects to the addresses is others' matter"},
	"proxy/upstream/health":      {ours: []string{"proxy", "proxy/transport"}, never: jsons, reason: "it asks one server how it is; what that means for calls is others' matter"},
	"proxy/upstream/kubernetes":  {ours: []string{"internal/regularfile", "internal/tlsfiles"}, never: slices.Concat(protobuf, yamls), reason: "it finds addresses; what connects to them is others' matter"},

	"proxy/attempt":   {ours: []string{"proxy", "proxy/breaker", "proxy/transport", "proxy/upstream"}, never: jsons, reason: "attempts stand between the relay and the upstream, and know bytes only"},
	"proxy/grpcgo":    {ours: []string{"proxy", "proxy/transport", "proxy/upstream", "proxy/attempt", "internal/counted"}, never: jsons, reason: "another client of gRPC stands where attempts and upstreams do"},
	"proxy/transport": {ours: []string{"internal/rpccode"}, never: slices.Concat(jsons, []string{"net/http"}), reason: "one connection, for itself: it is tested and fuzzed frame by frame"},

	"transcoder/jsonwire":           {ours: base, never: []string{"net/http"}, reason: "a codec: messages in, messages out, for any edge"},
	"transcoder":                    {ours: slices.Concat(mapped, shared), never: yamls, reason: "the core maps HTTP to messages and back: it must not know which edges there are, nor who may call"},
	"transcoder/...":                {ours: slices.Concat(mapped, shared, []string{"transcoder"}), never: yamls, reason: "an edge knows what all edges share, no other edge, and not who may call it: policies hold for all edges alike"},
	"transcoder/protocols":          {ours: slices.Concat(mapped, []string{"transcoder/..."}), reason: "the one list of all protocols"},
	"transcoder/exchange":           {ours: slices.Concat(base, []string{"transcoder/rpcerror"}), reason: "what a server does for an edge is the same for all edges"},
	"transcoder/compression":        {ours: slices.Concat(base, []string{"transcoder/rpcerror"}), reason: "bodies and messages are compressed alike"},
	"transcoder/rpcerror":           {ours: slices.Concat(base, []string{"transcoder/jsonwire"}), reason: "every edge tells errors by it, so it knows none"},
	"policy":                        {ours: parts, reason: "the contract knows no single policy, so that one more changes nothing in it"},
	"policy/...":                    {ours: slices.Concat(parts, []string{"policy", "policy/expr", "policy/store", "policy/auth"}), reason: "a policy must not know the client's protocol, for it holds for all alike, nor other policies, so that each stands and falls alone"},
	"policy/cache/...":              {ours: slices.Concat(parts, []string{"policy", "policy/store", "policy/cache/internal/..."}), reason: "the caches of methods and of routes share the memory and the rules, and do not know each other"},
	"policy/cache/internal/memory":  {ours: slices.Concat(base, []string{"policy"}), reason: "it knows no answer that it keeps"},
	"policy/cache/internal/peers":   {ours: slices.Concat(base, []string{"policy", "policy/store", "policy/cache/internal/memory", "policy/cache/internal/tier"}), reason: "other gateways are told the same of methods and routes"},
	"policy/cache/internal/rfc9111": {ours: slices.Concat(base, []string{"internal/httproute", "policy/cache/internal/sharing"}), reason: "what headers mean for a cache is judged without one"},
	"policy/cache/internal/sharing": {ours: slices.Concat(base, []string{"policy", "policy/auth", "proxy"}), reason: "who shares answers is the same for methods and routes"},
	"policy/cache/internal/tier":    {ours: slices.Concat(base, []string{"policy/store"}), reason: "it knows no policy, only records and what they are dropped by"},
	"policy/store":                  {ours: slices.Concat(base, []string{"policy"}), reason: "policies share it, so it knows none of them"},
	"policy/expr":                   {ours: slices.Concat(base, []string{"policy"}), reason: "policies share it, so it knows none of them"},
	"policy/idempotency":            {ours: slices.Concat(parts, []string{"policy", "policy/store", "policy/idempotency/keys"}), reason: "it is one policy, in two packages"},
	"policy/auth":                   {ours: slices.Concat(base, []string{"policy", "policy/expr", "proxy"}), reason: "identities are the same whatever mechanism found them"},
	"policy/auth/token":             {ours: slices.Concat(base, []string{"policy", "policy/auth", "policy/auth/token/..."}), reason: "a mechanism knows what all share, not the others"},
	"policy/auth/session":           {ours: slices.Concat(base, []string{"policy", "policy/auth", "policy/store"}), reason: "a mechanism knows what all share, not the others"},
	"policy/auth/mtls":              {ours: slices.Concat(base, []string{"policy", "policy/auth"}), reason: "a mechanism knows what all share, not the others"},
	"policy/auth/login":             {ours: slices.Concat(base, []string{"policy", "policy/expr", "policy/auth/..."}), reason: "it opens and ends what mechanisms look for, so it alone knows them"},
	"policy/kinds":                  {ours: []string{"policy/..."}, reason: "the one list of all policies"},
	"events":                        {ours: slices.Concat(parts, []string{"policy"}), reason: "the bus is for any caller; sinks are plugged in from above"},
	"events/bus":                    {ours: []string{"events", "events/internal/aside", "events/log"}, never: protobuf, reason: "it brings events to sinks, and knows neither what is published nor what a sink is"},
	"events/subscription":           {ours: []string{"events", "events/internal/aside"}, never: protobuf, reason: "it decides when a method is called with which message, and makes no call itself"},
	"events/subscription/logsource": {ours: []string{"events", "events/bus", "events/log", "events/subscription"}, never: protobuf, reason: "it reads the log for a subscription, and makes no call"},
	"events/rule":                   {ours: slices.Concat(parts, []string{"events", "events/client", "policy", "policy/expr", "transcoder/jsonwire"}), reason: "it says what is published and when; where it goes is the bus's matter"},
	"events/stream":                 {ours: slices.Concat(base, []string{"events", "events/log"}), never: []string{"net", "google.golang.org/grpc"}, reason: "who listens gets the same by all protocols, so it knows none"},
	"events/log":                    {never: slices.Concat(jsons, protobuf, []string{"net"}), reason: "it keeps bytes; what they say and where they go is others' matter, and it is tested against a disk that fails"},
	"events/behaviour":              {ours: slices.Concat(base, []string{"events", "events/client", "transcoder/jsonwire"}), never: []string{"google.golang.org/grpc"}, reason: "it says what becomes of what clients tell, however they tell it"},
	"events/client":                 {never: slices.Concat(jsons, protobuf), reason: "headers are judged alike for events of calls and for those of pages, so it knows neither"},
	"events/cloudevents":            {ours: slices.Concat(base, []string{"events"}), never: []string{"net/http"}, reason: "events become bytes without a connection, so that it is fuzzed alone"},
	"events/internal/aside":         {reason: "it keeps files, and knows neither events nor who puts them aside"},
	"events/internal/security":      {ours: slices.Concat(base, []string{"internal/tlsfiles"}), never: []string{"net/http"}, reason: "files of TLS are kept alike for all sinks, so it knows none"},
	"events/kafka":                  {ours: slices.Concat(sinks, []string{"events/subscription"}), reason: "a sink and a source know the bus and subscriptions only, and no other sink"},
	"events/nats":                   {ours: slices.Concat(sinks, []string{"events/subscription"}), reason: "a sink and a source know the bus and subscriptions only, and no other sink"},
	"events/webhook":                {ours: sinks, reason: "a sink knows the bus only, and no other sink"},
	"events/sinks":                  {ours: slices.Concat(parts, []string{"events/..."}), reason: "the one list of all sinks"},
	"internal/openapi":              {ours: slices.Concat(parts, []string{"transcoder", "transcoder/jsonwire", "transcoder/rpcerror", "policy"}), never: yamls, reason: "it describes what edges do, and does none of it"},
	"proxy/httpbackend":             {ours: slices.Concat(base, []string{"proxy", "proxy/upstream", "proxy/attempt", "internal/tlsfiles"}), never: jsons, reason: "another client stands where those of gRPC do: it copies bodies, and reads none"},
	"internal/observe":              {ours: slices.Concat(base, []string{"policy", "proxy", "internal/live"}), reason: "telemetry sees calls as policies do, so it sees all protocols alike"},

	"internal/gateway/...":       {ours: slices.Concat(edges, []string{"internal/gateway/...", "internal/http1head", "internal/stack", "policy/overload", "policy/store"}), never: commands, reason: "the assembly knows the parts, not who starts it"},
	"internal/watch":             {ours: []string{"internal/gateway", "internal/regularfile"}, reason: "it says that something changed, not what to do"},
	"internal/server":            {ours: slices.Concat(base, []string{"events", "events/bus", "events/cloudevents", "events/subscription", "internal/config", "internal/observe", "internal/gateway", "internal/admin", "internal/console", "internal/http1head", "internal/stack", "internal/tlsfiles", "internal/try", "internal/server/...", "proxy", "transcoder"}), never: slices.Concat(commands, yamls), reason: "tests drive the server that production runs, so it knows no flags, no words of the command and no signals"},
	"internal/server/sockets":    {never: slices.Concat(jsons, protobuf, []string{"net/http"}), reason: "it opens sockets; what is spoken over them is the server's"},
	"internal/server/coalesce":   {never: []string{"net/http"}, reason: "it joins bytes; what they mean is the server's"},
	"internal/server/dateheader": {never: slices.Concat(jsons, protobuf, yamls), reason: "it is one header, of whichever front"},
	"internal/server/http1":      {ours: []string{"internal/http1head", "internal/server/dateheader"}, never: slices.Concat(jsons, protobuf, yamls), reason: "it serves HTTP to a handler, as net/http does; what is served is the gateway's"},
	"internal/server/security":   {ours: slices.Concat(base, []string{"internal/tlsfiles"}), never: slices.Concat([]string{"net/http"}, yamls), reason: "TLS is the same for every listener and protocol, so it knows neither"},
	"internal/capture":           {ours: slices.Concat(parts, []string{"policy", "internal/live", "transcoder/jsonwire"}), reason: "it shows messages of calls as policies see them, by any protocol, and knows nobody who watches"},
	"internal/live":              {ours: []string{"internal/nearest"}, never: slices.Concat(protobuf, yamls), reason: "it brings records to those who watch, and knows neither what a call is nor how it is shown"},
	"internal/console":           {ours: []string{"internal/entitytag", "internal/field"}, never: slices.Concat(protobuf, yamls), reason: "it hands out the files of the pages; what these show they ask the admin listener for"},
	"internal/try":               {ours: base, never: yamls, reason: "it calls as a client does, and knows nothing of who serves it"},
	"internal/admin":             {ours: []string{"internal/try"}, reason: "the operator's server knows the gateway by its own interface, and is tested without one"},

	"cmd/...":      {ours: []string{"..."}, reason: "the only place that knows every package"},
	"examples/...": {ours: []string{"proto/transom/v1", "examples/..."}, reason: "an example shows what a user can write"},

	"internal/counted":      {never: slices.Concat(protobuf, []string{"net"}), reason: "connections and the state of policies are counted alike, so it knows neither"},
	"internal/keptkey":      {never: slices.Concat(jsons, protobuf, []string{"net"}), reason: "what operators see of keys, wherever these are kept"},
	"internal/limituse":     {never: slices.Concat(jsons, protobuf, []string{"net"}), reason: "what operators see of limits, wherever these are counted"},
	"internal/cachecontrol": {never: slices.Concat(jsons, protobuf), reason: "what headers say of caching, for RPCs and plain HTTP alike"},
	"internal/cachestatus":  {never: slices.Concat(jsons, protobuf), reason: "what a cache says of itself, for RPCs and plain HTTP alike"},
	"internal/entitytag":    {never: slices.Concat(jsons, protobuf, []string{"net"}), reason: "text in, text out, for any edge"},
	"internal/projection":   {ours: slices.Concat(base, []string{"internal/schema"}), never: slices.Concat(jsons, []string{"net"}), reason: "a codec: messages in, messages out, for whoever tells others of them"},
	"internal/canonical":    {never: slices.Concat(jsons, []string{"net"}), reason: "a codec: messages in, messages out, for any policy"},
	"internal/httproute":    {ours: []string{"internal/nearest"}, never: slices.Concat(jsons, protobuf, yamls), reason: "a path is matched and rewritten alone, so that it is fuzzed alone; where it leads is the gateway's matter"},
	"internal/field":        {reason: "names of header fields, for edges and policies alike, which never see each other"},
	"internal/heap":         {reason: "it knows the runtime and the kernel; what fills the memory is others' matter"},
	"internal/overload":     {ours: []string{"internal/heap"}, reason: "it watches the memory; what is done without is the business of those who fill it"},
	"internal/nearest":      {reason: "it compares texts"},
	"internal/sdnotify":     {never: slices.Concat(jsons, protobuf), reason: "it tells how a process is, and knows nothing of what that does"},
	"internal/span":         {reason: "it writes times"},
	"internal/stack":        {reason: "it knows the runtime; what runs on a stack is others' matter"},
	"internal/rpccode":      {reason: "every part names codes alike, so it knows none of them"},
	"internal/problem":      {reason: "every input's problems look alike, so it knows none of them"},
	"internal/regularfile":  {never: slices.Concat(protobuf, []string{"net/http"}), reason: "configuration, schemas, secrets and certificates are read alike, so it knows none of them"},
	"internal/tlsfiles":     {ours: []string{"internal/regularfile"}, reason: "files of listeners and of upstreams are kept alike, so it knows neither"},
	"internal/http1head":    {never: protobuf, reason: "it is fuzzed beside net/http; what to answer is its caller's"},
	"internal/generate":     {reason: "it must build when nothing else does"},
	"internal/architecture": {reason: "it reads the code and links none"},
}

// helpers serve tests only and may import anything.
var helpers = []string{"internal/testing/...", "internal/googleapis"}

// TestImportDirection holds the table of the design: imports go one way.
func TestImportDirection(t *testing.T) {
	imports := productionImports(t, filepath.Join("..", ".."))
	for _, dir := range slices.Sorted(maps.Keys(imports)) {
		if slices.ContainsFunc(helpers, func(h string) bool { return covers(h, dir) }) {
			continue
		}
		r, ok := ruleFor(dir)
		if !ok {
			t.Errorf("%s has no rule; add one here, with its reason", dir)
			continue
		}
		for _, imported := range imports[dir] {
			if !r.allows(dir, imported) {
				t.Errorf("%s imports %s; the rule is: %s", dir, imported, r.reason)
			}
		}
	}
}

func (r rule) allows(dir, imported string) bool {
	own, isOurs := cutModule(imported)
	if !isOurs {
		return !slices.ContainsFunc(r.never, func(p string) bool {
			return imported == p || strings.HasPrefix(imported, p+"/") || strings.HasPrefix(imported, p+".")
		})
	}
	if own == dir {
		return true
	}
	if slices.ContainsFunc(helpers, func(h string) bool { return covers(h, own) }) {
		return false
	}
	return slices.ContainsFunc(r.ours, func(o string) bool { return covers(o, own) })
}

// cutModule is the folder of a package of ours.
func cutModule(imported string) (dir string, ours bool) {
	return strings.CutPrefix(imported, module+"/")
}

func ruleFor(dir string) (rule, bool) {
	best, found := "", false
	for pattern := range rules {
		if covers(pattern, dir) && len(pattern) > len(best) {
			best, found = pattern, true
		}
	}
	return rules[best], found
}

// covers reports whether the pattern names the folder.
func covers(pattern, dir string) bool {
	if pattern == "..." {
		return true
	}
	root, below := strings.CutSuffix(pattern, "/...")
	return dir == root || below && strings.HasPrefix(dir, root+"/")
}

// productionImports maps each folder of the root module to what its code, tests
// aside, imports.
func productionImports(t *testing.T, root string) map[string][]string {
	t.Helper()
	imports := map[string][]string{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skip(root, file, d)
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		dir := path.Clean(filepath.ToSlash(rel))
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			imports[dir] = append(imports[dir], imported)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return imports
}

// skip leaves out other modules, test data and hidden folders.
func skip(root, dir string, d fs.DirEntry) error {
	if dir == root {
		return nil
	}
	if strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" {
		return fs.SkipDir
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func TestRulesAreToldApart(t *testing.T) {
	for _, test := range []struct {
		dir, imported string
		want          bool
	}{
		{"policy", module + "/transcoder", false},
		{"policy", module + "/policy/cors", false},
		{"policy/cors", module + "/policy/headers", false},
		{"policy/headers", module + "/policy/auth", true},
		{"policy/ratelimit", module + "/policy/auth/token", false},
		{"policy/auth/token", module + "/policy/auth/session", false},
		{"policy/auth/login", module + "/policy/auth/session", true},
		{"policy/kinds", module + "/policy/auth/login", true},
		{"transcoder", module + "/policy", false},
		{"transcoder", module + "/transcoder/jsonwire", true},
		{"transcoder/jsonwire", module + "/proxy", false},
		{"transcoder", module + "/transcoder/envelope", false},
		{"transcoder", module + "/transcoder/exchange", true},
		{"transcoder/envelope", module + "/transcoder", true},
		{"transcoder/envelope", module + "/transcoder/stream", false},
		{"transcoder/websocket", module + "/policy", false},
		{"transcoder/protocols", module + "/transcoder/websocket", true},
		{"proxy", "encoding/json", false},
		{"proxy", "go.yaml.in/yaml/v3", false},
		{"transcoder", "go.yaml.in/yaml/v3", false},
		{"internal/config", "go.yaml.in/yaml/v3", true},
		{"proxy", module + "/proto/transom/v1", false},
		{"internal/httprule", "google.golang.org/protobuf/proto", false},
		{"internal/schema", "net/http", false},
		{"internal/gateway", module + "/internal/admin", false},
		{"internal/gateway", module + "/internal/testing/gateway", false},
		{"internal/gateway", module + "/internal/server", false},
		{"internal/gateway", "os/signal", false},
		{"internal/server", module + "/internal/gateway", true},
		{"internal/server", module + "/policy/auth", false},
		{"internal/admin", module + "/internal/server", false},
		{"internal/gateway", module + "/events/kafka", false},
		{"events/log", module + "/events", false},
		{"cmd/transom", module + "/events/kafka", true},
	} {
		r, ok := ruleFor(test.dir)
		if !ok {
			t.Fatalf("%s has no rule", test.dir)
		}
		if got := r.allows(test.dir, test.imported); got != test.want {
			t.Errorf("%s → %s: allowed is %t, want %t", test.dir, test.imported, got, test.want)
		}
	}
}
