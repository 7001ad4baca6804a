package openapi

import (
	"cmp"
	"encoding/hex"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/internal/rpccode"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/transcoder/rpcerror"
)

// Names of the security schemes.
const (
	schemeToken       = "token"
	schemeTokenQuery  = "tokenInQuery"
	schemeTokenCookie = "tokenInCookie-" // and the cookie's name
	schemeSession     = "session"
	schemeCertificate = "certificate"
)

// defaultSessionCookie is the name where the configuration says none.
const defaultSessionCookie = "__Host-transom-session"

// security are the ways to prove who calls, of which one is enough (Surface 221). It is
// empty for a method that anybody may call.
func (w *writer) security(auth *transomv1.Auth) list {
	scopes := texts(auth.GetScopes())
	token := func(jwt *transomv1.JwtAuth) list {
		ways := list{w.scheme(schemeToken, scopes)}
		if jwt.GetAllowQuery() {
			ways = append(ways, w.scheme(schemeTokenQuery, scopes))
		}
		if jwt.GetCookie() != "" {
			ways = append(ways, w.scheme(schemeTokenCookie+jwt.GetCookie(), scopes))
		}
		return ways
	}
	switch m := auth.GetMechanism().(type) {
	case *transomv1.Auth_Jwt:
		return token(m.Jwt)
	case *transomv1.Auth_Session:
		return list{w.scheme(schemeSession, list{})}
	case *transomv1.Auth_Mixed:
		return append(token(m.Mixed.GetJwt()), w.scheme(schemeSession, list{}))
	case *transomv1.Auth_Mtls:
		return list{w.scheme(schemeCertificate, list{})}
	}
	return list{}
}

// scheme is the requirement of a security scheme, which it adds to the components.
func (w *writer) scheme(of string, scopes list) *object {
	name := of
	if !validComponent(of) { // the name of a cookie may have other characters
		name = schemeTokenCookie + hex.EncodeToString([]byte(of))
	}
	if w.schemes[name] == nil {
		w.schemes[name] = w.newScheme(of)
	}
	o := &object{}
	o.put(name, scopes)
	return o
}

// validComponent reports whether a component may have a name.
func validComponent(name string) bool {
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
}

func (w *writer) newScheme(name string) *object {
	cookie, inCookie := strings.CutPrefix(name, schemeTokenCookie)
	switch {
	case inCookie:
		return obj("type", "apiKey", "in", "cookie", "name", cookie, "description", "A signed JSON Web Token.")
	case name == schemeTokenQuery:
		return obj("type", "apiKey", "in", "query", "name", "access_token", "description", "A signed JSON Web Token.")
	case name == schemeSession:
		return obj("type", "apiKey", "in", "cookie", "name", cmp.Or(w.api.Auth.GetSession().GetCookie(), defaultSessionCookie), "description", "A session, which a login opens.")
	case name == schemeCertificate:
		return obj("type", "mutualTLS", "description", "A certificate of the client.")
	}
	about := "A signed JSON Web Token."
	var issuers []string
	for _, issuer := range w.api.Auth.GetJwt() {
		issuers = append(issuers, "`"+issuer.GetIssuer()+"`")
	}
	if len(issuers) > 0 {
		about = "A signed JSON Web Token of " + strings.Join(issuers, " or ") + "."
	}
	return obj("type", "http", "scheme", "bearer", "bearerFormat", "JWT", "description", about)
}

// tell adds what the service itself may say of its answers in metadata, where the policy lets it: other
// statuses and headers.
func (w *writer) tell(responses *object, r *described) {
	said := r.Policy.GetResponseMetadata()
	if said == nil || r.connect {
		return
	}
	success := responses.at("200")
	for _, name := range said.GetHeaders() {
		success.at("headers").put(http.CanonicalHeaderKey(name), obj("description", "Where the service says so.", "schema", obj("type", "string")))
	}
	if !said.GetHttpStatus() {
		return
	}
	other := success.clone()
	other.put("description", "Another success, by the service.")
	responses.put("204", obj("description", "A success without content, by the service."))
	responses.put("2XX", other)
	responses.put("3XX", obj("description", "Another place, by the service."))
}

// demands says what a method asks of its callers beside an identity.
func demands(op *object, auth *transomv1.Auth) {
	op.set("x-transom-roles", texts(auth.GetRoles()))
}

// refusal is an answer that a policy may give.
type refusal struct {
	status int
	name   string // of the component
	about  string
}

// guarded is what the answers of policies follow from.
type guarded struct {
	policy    *transomv1.Policy
	validates bool
	statuses  map[codes.Code]int // that the policies give to codes
	connect   bool
	times     bool // the policy timeout ends calls
}

func (r *described) guarded() guarded {
	return guarded{r.Policy, r.Validator != nil, r.Method.Settings.Status, r.connect, r.Method.Shape.Unary()}
}

// refusals are the answers that the policies of a method may give, beside the one of the
// backend (Surface 220).
func (g *guarded) refusals() []refusal {
	p := g.policy
	var all []refusal
	code := func(c codes.Code, name, about string) {
		httpStatus := rpcerror.HTTPStatus(c)
		if own, ok := g.statuses[c]; ok && !g.connect {
			httpStatus, name = own, name+strconv.Itoa(own)
		}
		all = append(all, refusal{httpStatus, name, about})
	}
	if g.validates || p.GetIdempotencyKey().GetRequired() {
		code(codes.InvalidArgument, "InvalidArgument", "The request breaks a rule of its fields, or lacks something. `details` say which.")
	}
	auth := p.GetAuth()
	if auth.GetMechanism() != nil && auth.GetAnonymous() == nil {
		code(codes.Unauthenticated, "Unauthenticated", "The caller has not proven who it is.")
	}
	if auth.GetSession() != nil || auth.GetMixed() != nil || len(auth.GetRoles())+len(auth.GetScopes()) > 0 || auth.GetAllow() != "" {
		code(codes.PermissionDenied, "PermissionDenied", "The caller may not do this.")
	}
	if p.GetIdempotencyKey() != nil {
		all = append(all, refusal{409, "Conflict", "A call with the same key is under way."}, refusal{422, "OtherRequest", "The key belongs to a call with another request."})
	}
	if p.GetLimits().GetMaxBodyBytes() > 0 {
		all = append(all, refusal{413, "TooLarge", "The body is larger than the limit."})
	}
	if len(p.GetRateLimit()) > 0 {
		all = append(all, refusal{429, "TooManyRequests", "The limit of calls is reached."})
	}
	if p.GetConcurrency() != nil || p.GetCircuitBreaker() != nil {
		code(codes.Unavailable, "Unavailable", "The backend is not asked just now.")
	}
	if p.GetTimeout().AsDuration() > 0 && g.times {
		code(codes.DeadlineExceeded, "DeadlineExceeded", "The call took longer than it may.")
	}
	return sortedRefusals(all)
}

func sortedRefusals(all []refusal) []refusal {
	slices.SortStableFunc(all, func(a, b refusal) int { return cmp.Compare(a.status, b.status) })
	return all
}

// refuse adds the answers of policies to those of an operation.
func (w *writer) refuse(responses *object, g guarded) {
	if w.api.Errors == transomv1.OpenApi_NONE {
		return
	}
	for _, refused := range g.refusals() {
		status := strconv.Itoa(refused.status)
		// Connect has no status of its own for these two.
		unknown := g.connect && (refused.status == 413 || refused.status == 422)
		if refused.status < 400 || unknown || responses.get(status) != nil {
			continue
		}
		name := componentName(refused.name, g.connect)
		if w.refused[name] == nil {
			w.refused[name] = newRefusal(refused, w.errorContent(g.connect))
		}
		responses.put(status, obj("$ref", "#/components/responses/"+name))
	}
}

// refuseAll adds what any call may fail with: one answer for all, and before it, where the settings
// say so, one for each status that a code has.
func (w *writer) refuseAll(responses *object, g guarded) {
	if w.api.Errors == transomv1.OpenApi_NONE {
		return
	}
	if w.api.Errors == transomv1.OpenApi_FULL {
		byStatus := map[int][]string{}
		for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
			httpStatus := rpcerror.HTTPStatus(code)
			if own, ok := g.statuses[code]; ok && !g.connect {
				httpStatus = own
			}
			byStatus[httpStatus] = append(byStatus[httpStatus], rpccode.Name(code))
		}
		for _, status := range slices.Sorted(maps.Keys(byStatus)) {
			key := strconv.Itoa(status)
			if responses.get(key) != nil || status < 400 {
				continue
			}
			name := componentName("Status"+key+strings.Join(byStatus[status], ""), g.connect)
			if w.refused[name] == nil {
				w.refused[name] = newRefusal(refusal{status, name, strings.Join(byStatus[status], ", ") + "."}, w.errorContent(g.connect))
			}
			responses.put(key, obj("$ref", "#/components/responses/"+name))
		}
	}
	responses.put("default", w.anyError(g.connect))
}

func newRefusal(r refusal, content *object) *object {
	o := obj("description", r.about)
	seconds := obj("description", "Seconds after which to come again.", "schema", obj("type", "integer", "minimum", 0))
	switch r.status {
	case 401:
		o.put("headers", obj("WWW-Authenticate", obj("description", "How to prove who calls.", "schema", obj("type", "string"))))
	case 429:
		o.put("headers", obj(
			"RateLimit", obj("description", "What is left of the limit, and when there is more.", "schema", obj("type", "string")),
			"Retry-After", seconds,
		))
	case 503:
		o.put("headers", obj("Retry-After", seconds))
	}
	o.put("content", content)
	return o
}

// idempotency says how a call may be made again (Surface 228).
func (w *writer) idempotency(op *object, r *described) {
	switch {
	case r.Method.NoSideEffects:
		op.set("x-idempotency", "NO_SIDE_EFFECTS")
	case r.Method.Idempotent:
		op.set("x-idempotency", "IDEMPOTENT")
	}
	idempotencyKey(op, r.Policy.GetIdempotencyKey())
}

// idempotencyKey adds the header of the policy.
func idempotencyKey(op *object, key *transomv1.IdempotencyKey) {
	if key == nil || key.GetField() != "" {
		return
	}
	p := obj("name", "Idempotency-Key", "in", "header", "description", "Calls with the same key have one effect, and the answer of the first.")
	if key.GetRequired() {
		p.put("required", true)
	}
	p.put("schema", obj("type", "string", "minLength", 1))
	parameters, _ := op.get("parameters").(list)
	op.put("parameters", append(slices.Clone(parameters), p))
}
