package transcoder

import (
	"encoding/base64"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// HeaderRules says which HTTP headers cross as gRPC metadata and back
// (Semantics 31). It is built when a configuration loads.
type HeaderRules struct {
	// request maps canonical header names to metadata names.
	request map[string]string
	// requestPrefixes are canonical prefixes of further headers that cross.
	requestPrefixes []string
	// response maps metadata names to canonical header names.
	response map[string]string
	// responsePrefix stands before the name of all other response metadata;
	// empty leaves them out. trailerPrefix likewise for trailers.
	responsePrefix, trailerPrefix string
	// responseAll: response metadata without an entry crosses under its own name.
	responseAll bool
	// saidBy are the headers of clients by the metadata that they become under another name.
	saidBy map[string][]string
	// tellsCaches: what the backend says to caches of HTTP crosses under its own name.
	tellsCaches bool
	// httpTrailers sends trailers as such, to clients that ask for them.
	httpTrailers bool
	// permanent maps canonical names of HTTP's permanent headers to metadata
	// names; nil for none.
	permanent map[string]string
	// prefixes are those of permanent, in field.Fold's form.
	prefixes []string
	// hidden are the cookies that never cross.
	hidden []string
	// dropped is told the names of values that cannot cross, droppedName names
	// that cannot.
	dropped, droppedName func(name string)
}

// HeaderOptions are the settings of HeaderRules.
type HeaderOptions struct {
	// Request and Response name further headers, in any case: "name", "*" for
	// all, or, in Request, "prefix-*".
	Request, Response []string
	// ResponsePrefix and TrailerPrefix: see the configuration's metadata.
	ResponsePrefix, TrailerPrefix string
	// HTTPTrailers, PermanentPrefix and PrefixAll: likewise.
	HTTPTrailers    bool
	PermanentPrefix string
	PrefixAll       bool
	// Dropped is told the name of each value that is left out because it is no
	// printable ASCII, for the log. Nil for nobody.
	Dropped func(name string)
	// DroppedName is told the name of each request header that would cross but has
	// a character that gRPC's metadata does not take. Nil for nobody.
	DroppedName func(name string)
}

// MaxHeader bounds the names and values of a request's header fields together,
// in bytes.
const MaxHeader = 64 << 10

// DefaultResponsePrefix stands before response metadata that has no header of
// its own.
const DefaultResponsePrefix = field.MetadataPrefix

var responseDefaults = []string{
	"cache-control", "content-disposition", "content-language", "etag", "last-modified", "retry-after", "x-request-id",
}

// StatusMetadata tells the gateway the HTTP status of the answer (Semantics
// 30). It is no news for the client, who has the status.
const StatusMetadata = "x-http-code"

// NewHeaderRules builds the tables.
func NewHeaderRules(o HeaderOptions) *HeaderRules {
	rules := &HeaderRules{
		request:        map[string]string{"User-Agent": "x-forwarded-user-agent"},
		response:       map[string]string{},
		responsePrefix: o.ResponsePrefix,
		trailerPrefix:  o.TrailerPrefix,
		httpTrailers:   o.HTTPTrailers,
		permanent:      permanentNames(o.PermanentPrefix),
		dropped:        o.Dropped,
		droppedName:    o.DroppedName,
	}
	if o.PermanentPrefix != "" {
		rules.prefixes = []string{field.Fold(o.PermanentPrefix)}
	}
	if rules.dropped == nil {
		rules.dropped = func(string) {}
	}
	if rules.droppedName == nil {
		rules.droppedName = func(string) {}
	}
	for _, name := range slices.Concat(field.Defaults, o.Request) {
		if prefix, ok := strings.CutSuffix(name, "*"); ok {
			rules.requestPrefixes = append(rules.requestPrefixes, textproto.CanonicalMIMEHeaderKey(prefix))
		} else if lower := strings.ToLower(name); !neverCrosses(lower) && !forwardedNames[lower] {
			rules.request[textproto.CanonicalMIMEHeaderKey(name)] = strings.ToLower(name)
		}
	}
	known := responseDefaults
	rules.tellsCaches = !o.PrefixAll
	if o.PrefixAll {
		known = nil
	}
	for _, name := range append(known[:len(known):len(known)], o.Response...) {
		if name == "*" {
			rules.responseAll = true
			continue
		}
		rules.response[strings.ToLower(name)] = textproto.CanonicalMIMEHeaderKey(name)
	}
	rules.saidBy = map[string][]string{}
	for _, table := range []map[string]string{rules.request, rules.permanent} {
		for _, header := range slices.Sorted(maps.Keys(table)) {
			rules.saidBy[table[header]] = append(rules.saidBy[table[header]], header)
		}
	}
	return rules
}

// ofBody reports whether a lower-case name says how a body is framed or written, or whom
// it is for: the gateway writes each message anew, where a proxy of plain HTTP passes it on.
func ofBody(name string) bool {
	switch name {
	case "content-length", "content-type", "content-encoding", "accept-encoding", "host":
		return true
	}
	return false
}

// neverCrosses reports whether a lower-case name is the connection's, a
// protocol's or the gateway's own, or may be taken for a name that backends trust
// (Semantics 52): many servers cannot tell the spellings apart.
func neverCrosses(name string) bool {
	if field.HopByHop(name) || ofBody(name) || field.Protocol(name) || strings.HasPrefix(name, field.OwnPrefix) || name == "user-agent" {
		return true
	}
	folded := field.Fold(name)
	return folded != name && (field.HopByHop(folded) || ofBody(folded) || field.Protocol(folded) || field.Reserved(folded) || folded == "cookie")
}

// forwardedNames are the names of that kind that the gateway writes itself: two
// values of one name would leave it to the backend whom to believe.
var forwardedNames = map[string]bool{
	"x-forwarded-for": true, "x-forwarded-host": true, "x-forwarded-proto": true, "x-forwarded-port": true, "x-forwarded-user-agent": true,
	"x-forwarded-client-cert": true,
}

// saysOrigin reports whether a header of a canonical name says where the request
// comes from. A client's word for that crosses only where the operator names it.
func saysOrigin(name string) bool { return field.Origin(strings.ToLower(name)) }

// HideCookies names cookies that are credentials of the gateway: they never cross
// (Semantics 306). Only before the first request.
func (rules *HeaderRules) HideCookies(names []string) { rules.hidden = names }

// Request appends the request's headers as metadata. all passes every header
// that may cross, for clients that speak gRPC's metadata themselves. The error
// is INVALID_ARGUMENT, or RESOURCE_EXHAUSTED (HTTP 431) for a header that is too
// large.
func (rules *HeaderRules) Request(md *proxy.Metadata, h http.Header, all bool) error {
	size := 0
	ofConnection := field.NamedByConnection(h["Connection"])
	for name, values := range h {
		for _, value := range values {
			if size += len(name) + len(value); size > MaxHeader {
				return rpcerror.New(http.StatusRequestHeaderFieldsTooLarge, codes.ResourceExhausted,
					"the header fields are larger than %d bytes", MaxHeader)
			}
		}
		if ofConnection[name] {
			continue
		}
		if to := rules.permanent[name]; to != "" && !all {
			for _, value := range values {
				if err := rules.appendMetadata(md, to, value); err != nil {
					return err
				}
			}
		}
		to, known := rules.request[name]
		if !known {
			if to = rules.requestName(name, all); to == "" {
				continue
			}
			if !isMetadataName(to) {
				rules.droppedName(name) // (Semantics 307)
				continue
			}
		}
		for _, value := range values {
			if err := rules.appendMetadata(md, to, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// requestName returns the metadata name of a header without an entry of its
// own, "" if it stays here. What the gateway verifies, sets or names itself has an
// entry, or crosses under none (Semantics 305).
func (rules *HeaderRules) requestName(name string, all bool) string {
	if rest, ok := strings.CutPrefix(name, field.MetadataPrefix); ok && rest != "" {
		if lower := strings.ToLower(rest); !neverCrosses(lower) && !field.Reserved(lower, rules.prefixes...) {
			return lower
		}
		return ""
	}
	if !all && len(rules.requestPrefixes) == 0 {
		return ""
	}
	origin := saysOrigin(name)
	crosses := all && !origin
	for _, prefix := range rules.requestPrefixes {
		// "*" and "x-*" leave the origin to the gateway, "x-forwarded-*" does not.
		crosses = crosses || strings.HasPrefix(name, prefix) && (!origin || saysOrigin(prefix))
	}
	if !crosses {
		return ""
	}
	lower := strings.ToLower(name)
	if neverCrosses(lower) || forwardedNames[lower] || !origin && field.Reserved(lower, rules.prefixes...) {
		return ""
	}
	return lower
}

// isMetadataName reports whether gRPC can carry metadata of a lower-case name. HTTP
// takes more characters.
func isMetadataName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return name != ""
}

// appendMetadata adds a value; "-bin" values are base64 in HTTP, one or several
// joined by commas. Values that gRPC cannot carry are left out: it takes
// printable ASCII alone.
func (rules *HeaderRules) appendMetadata(md *proxy.Metadata, name, value string) error {
	if strings.HasSuffix(name, "-bin") {
		for part := range strings.SplitSeq(value, ",") {
			raw, err := decodeBase64(strings.Trim(part, " \t"))
			if err != nil {
				return rpcerror.BadRequest("header %s: expected base64: %v", name, err)
			}
			md.Add(name, string(raw))
		}
		return nil
	}
	if strings.HasSuffix(name, "cookie") && field.Bare(name, rules.prefixes...) == "cookie" {
		if value = field.WithoutCookies(value, rules.hidden); value == "" {
			return nil
		}
	}
	if Printable(value) {
		md.Add(name, value)
	} else {
		rules.dropped(name)
	}
	return nil
}

// decodeBase64 takes standard base64, padded or not.
func decodeBase64(s string) ([]byte, error) {
	return base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
}

// Printable reports whether a value is printable ASCII, as gRPC's metadata must be.
func Printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// Response sets the backend's metadata as headers of the HTTP answer. own names
// further metadata that may cross under its own name; nil for none.
func (rules *HeaderRules) Response(h http.Header, md metadata.MD, own map[string]bool) {
	for name, values := range md {
		to := rules.response[name]
		if to == "" && own[name] {
			to = textproto.CanonicalMIMEHeaderKey(name)
		}
		if to == "" && rules.tellsCaches && name == varyMetadata {
			rules.vary(h, values)
			continue
		}
		if to == "" {
			if rules.responsePrefix == "" && !rules.responseAll || name == StatusMetadata || neverCrosses(name) {
				continue
			}
			to = rules.responsePrefix + name
			if rules.responseAll {
				to = name
			}
			to = textproto.CanonicalMIMEHeaderKey(to)
		}
		if to == requestIDHeader && h[to] != nil {
			continue // the gateway's own, by which the log knows the request (Semantics 321)
		}
		rules.setValues(h, to, name, values)
	}
}

// varyMetadata is the response metadata by which a backend says what its answer varies by.
const varyMetadata = "vary"

// vary tells caches what an answer varies by. The backend names metadata: clients say it by headers.
func (rules *HeaderRules) vary(h http.Header, values []string) {
	for _, line := range values {
		for name := range strings.SplitSeq(line, ",") {
			name = strings.ToLower(strings.TrimSpace(name))
			if name == "*" {
				field.AddVary(h, name)
				continue
			}
			if !isMetadataName(name) {
				continue
			}
			field.AddVaryMetadata(h, textproto.CanonicalMIMEHeaderKey(name))
			for _, header := range rules.saidBy[name] {
				field.AddVary(h, header)
			}
		}
	}
}

// requestIDHeader identifies a request in logs.
const requestIDHeader = "X-Request-Id"

// Trailer sets trailing metadata where the rules name a prefix for it.
func (rules *HeaderRules) Trailer(h http.Header, md metadata.MD) {
	if rules.trailerPrefix == "" {
		return
	}
	for name, values := range md {
		if !neverCrosses(name) {
			rules.setValues(h, textproto.CanonicalMIMEHeaderKey(rules.trailerPrefix+name), name, values)
		}
	}
}

func (rules *HeaderRules) setValues(h http.Header, to, name string, values []string) {
	if !SetValues(h, to, name, values) {
		rules.dropped(name)
	}
}

// SetValues sets metadata as a header; false where a value was left out, as it
// is no printable ASCII.
func SetValues(h http.Header, to, name string, values []string) bool {
	all := true
	for _, value := range values {
		if strings.HasSuffix(name, "-bin") {
			value = base64.RawStdEncoding.EncodeToString([]byte(value))
		} else if !Printable(value) {
			all = false
			continue
		}
		h[to] = append(h[to], value)
	}
	return all
}

// SetMetadata sets the backend's metadata as headers, all but what is the
// connection's or gRPC's own. Clients that speak of metadata get it whole, with
// no list of what may cross. prefix stands before each name.
func SetMetadata(h http.Header, prefix string, md metadata.MD) {
	for name, values := range md {
		if ReservedMetadata(name) {
			continue
		}
		key := textproto.CanonicalMIMEHeaderKey(name)
		if prefix != "" {
			key = prefix + key
		}
		SetValues(h, key, name, values)
	}
}

// ReservedMetadata reports whether a name in the backend's metadata is of its
// connection or of gRPC itself (Semantics 31).
func ReservedMetadata(name string) bool {
	return field.HopByHopInAnswers(name) || ofBody(name) || strings.HasPrefix(name, "grpc-") || strings.HasPrefix(name, ":")
}
