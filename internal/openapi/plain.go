package openapi

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// Plain is a route of plain HTTP, of which nobody knows a schema.
type Plain struct {
	Match *transomv1.HttpMatch
	// Policy are the policies that hold; never nil. Statuses are what they give to codes.
	Policy   *transomv1.Policy
	Statuses map[codes.Code]int
	// Status is that of the gateway's own answer, and Type its media type; 0: a server answers.
	Status int
	Type   string
	// Redirects: the gateway sends clients elsewhere, by Status or, where that is 0, by one
	// that fits their method.
	Redirects bool
}

// plainTag is the tag of plain routes.
const plainTag = "http"

// plainRoutes describes the routes of plain HTTP.
func (w *writer) plainRoutes() {
	used := maps.Clone(w.source.ids)
	for i := range w.api.Plain {
		p := &w.api.Plain[i]
		path, parameters := plainPath(p.Match)
		for _, method := range plainMethods(p.Match.GetMethods()) {
			base := "http_" + method + "_" + strings.Trim(idPart(path), "_")
			id := base
			for n := 2; used[id]; n++ {
				id = base + "_" + strconv.Itoa(n)
			}
			used[id] = true
			w.paths.add(path, method, w.plainOperation(p, id, method, parameters))
		}
	}
}

// plainMethods are the methods of a route, each once and in their order; none stand for any.
func plainMethods(methods []string) []string {
	if len(methods) == 0 {
		return httpMethods("*")
	}
	var lower []string
	for _, method := range methods {
		lower = append(lower, strings.ToLower(method))
	}
	slices.Sort(lower)
	return slices.Compact(lower)
}

// plainPath is the path of a route, and its parameters: what is below a prefix is one of them,
// and so are the conditions.
func plainPath(m *transomv1.HttpMatch) (string, list) {
	var parameters list
	path := m.GetPath()
	if path == "" {
		path = strings.TrimSuffix(m.GetPathPrefix(), "/") + "/{path}"
		parameters = append(parameters, obj("name", "path", "in", "path", "description", "Anything below.", "required", true, "x-multi-segment", true, "schema", obj("type", "string")))
	}
	for _, of := range []struct {
		in     string
		values map[string]string
	}{{"query", m.GetQuery()}, {"header", m.GetHeaders()}} {
		for _, name := range slices.Sorted(maps.Keys(of.values)) {
			parameters = append(parameters, obj("name", name, "in", of.in, "required", true, "schema", obj("type", "string", "const", of.values[name])))
		}
	}
	return path, parameters
}

// plainOperation describes a route under one method.
func (w *writer) plainOperation(p *Plain, id, method string, parameters list) *object {
	op := obj("tags", list{plainTag}, "operationId", id, "parameters", slices.Clone(parameters))
	if host := p.Match.GetHost(); host != "" {
		op.put("servers", list{serverOf(host)})
	}
	g := guarded{policy: p.Policy, statuses: p.Statuses, times: true}
	responses := &object{}
	switch {
	case p.Redirects:
		status := cmp.Or(p.Status, 308)
		if p.Status == 0 && (method == "get" || method == "head") {
			status = 301
		}
		responses.put(strconv.Itoa(status), obj("description", "It is elsewhere.", "headers", obj("Location", obj("description", "Where it is.", "schema", obj("type", "string")))))
	case p.Status != 0:
		answer := obj("description", "The answer of the gateway.")
		if p.Type != "" {
			answer.put("content", obj(mediaType(p.Type), obj("schema", obj())))
		}
		responses.put(strconv.Itoa(p.Status), answer)
	default:
		if method != "get" && method != "head" {
			op.put("requestBody", obj("content", obj("*/*", obj("schema", obj()))))
		}
		responses.put("default", obj("description", "What the server answers.", "content", obj("*/*", obj("schema", obj()))))
	}
	w.refuse(responses, g)
	if responses.get("default") == nil {
		w.refuseAll(responses, g)
	}
	op.put("responses", responses)
	op.put("security", w.security(p.Policy.GetAuth()))
	demands(op, p.Policy.GetAuth())
	idempotencyKey(op, p.Policy.GetIdempotencyKey())
	return op
}

// serverOf is where a host is reached, by the scheme that a client has come by.
func serverOf(host string) *object {
	below, wild := strings.CutPrefix(host, "*.")
	if !wild {
		return obj("url", "//"+host)
	}
	return obj("url", "//{subdomain}."+below, "variables", obj("subdomain", obj("default", "www", "description", fmt.Sprintf("Any name below %s.", below))))
}

// mediaType is a content type without its parameters.
func mediaType(contentType string) string {
	kind, _, _ := strings.Cut(contentType, ";")
	return strings.TrimSpace(kind)
}

// idPart is a path as a part of an operationId: whatever is no letter or digit is an
// underscore, of which no two follow each other.
func idPart(path string) string {
	var b strings.Builder
	for _, r := range path {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		switch {
		case letter:
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "_"):
			b.WriteByte('_')
		}
	}
	return b.String()
}
