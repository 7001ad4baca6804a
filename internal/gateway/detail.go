package gateway

import (
	"github.com/transom-gateway/transom/transcoder"
)

// Detailed is a route with all that is said of it.
type Detailed struct {
	Listed
	// Where the route is written, as file:line:column.
	Where string `json:"where,omitempty"`
	// Variables of the path's template, by the names of their fields.
	Variables []string `json:"variables,omitempty"`
	// Body is what the request's body is: * for the whole message, or a field by its name in
	// JSON; "" for none.
	Body string `json:"body,omitempty"`
	// ProtoFile is the proto that the method is declared in, by its import path.
	ProtoFile string `json:"proto_file,omitempty"`
	// Effects are the policies in their order.
	Effects []Effect `json:"effects"`
	// Others are the other routes that lead to the same method.
	Others []Listed `json:"others,omitempty"`
	// Description is that of the method and its messages, as `transom describe` prints it.
	Description string `json:"description,omitempty"`
}

// Effect is what a policy does on a route.
type Effect struct {
	Policy  string `json:"policy"`
	Summary string `json:"summary"`
	Where   string `json:"where,omitempty"`
}

// Detail says all of the route that is listed with the method, the path and the conditions,
// as "GET /v1/shelves"; false where there is none.
func (g *Gateway) Detail(rule string) (Detailed, bool) {
	s := g.acquire()
	if s == nil {
		return Detailed{}, false
	}
	defer s.release()
	found := s.ruled(rule)
	if found == nil {
		return Detailed{}, false
	}
	d := Detailed{Listed: found.listed(), Where: found.endpoint.where(), Variables: found.variables, Effects: []Effect{}}
	for _, e := range found.guard.explained() {
		d.Effects = append(d.Effects, Effect{Policy: e.Name, Summary: e.Summary, Where: e.Where})
	}
	if e, ok := found.endpoint.(describable); ok {
		d.Body = bodyOf(e.describe())
	}
	method, ok := found.endpoint.method()
	if !ok {
		return d, true
	}
	d.ProtoFile = method.ParentFile().Path()
	for _, r := range s.routes {
		if m, ok := r.endpoint.method(); ok && r != found && m.FullName() == method.FullName() {
			d.Others = append(d.Others, r.listed())
		}
	}
	// A method of a snapshot that is in service has a description.
	d.Description, _ = g.Describe(string(method.FullName()))
	return d, true
}

// Counted is how the calls of a route are counted, by the RPC and the path's template; false where there is no
// such route.
func (g *Gateway) Counted(rule string) (rpc, path string, ok bool) {
	s := g.acquire()
	if s == nil {
		return "", "", false
	}
	defer s.release()
	found := s.ruled(rule)
	if found == nil {
		return "", "", false
	}
	l := found.listed()
	return l.RPC, l.Path, true
}

// ruled is the route that is listed with a method, a path and conditions; nil for none.
func (s *Snapshot) ruled(rule string) (found *Route) {
	for _, r := range s.routes {
		if r.listing.rule() == rule {
			found = r
		}
	}
	return found
}

// bodyOf names what a binding takes from the body.
func bodyOf(d transcoder.Description) string {
	switch {
	case d.WholeBody:
		return "*"
	case d.BodyField != nil:
		return d.BodyField.Descriptor().JSONName()
	}
	return ""
}

// Symbols lists what Describe describes: services, methods, messages and enums by their full
// names, those of the services first.
func (g *Gateway) Symbols() []string {
	s := g.acquire()
	if s == nil {
		return nil
	}
	defer s.release()
	return s.symbols()
}
