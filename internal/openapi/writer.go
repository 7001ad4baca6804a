package openapi

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/transom-gateway/transom/internal/rpccode"
)

// writer makes one document.
type writer struct {
	source  *Source
	api     *API
	version string
	schemas *schemas
	paths   pathItems
	remarks []Remark
	// remarked tells them apart.
	remarked map[remarked]bool
	title    string
	// visibility are the restrictions that are shown.
	visibility []string
	// declared are security schemes that options declare, said is what they say of the whole,
	// perFile what they say of the operations of a file.
	declared map[string]*object
	said     *object
	perFile  map[protoreflect.FileDescriptor][]fragment
	// parts are the components that options declare, which stand where operations refer to them.
	parts *object
	// tagged are the tags that options give to operations.
	tagged map[any]bool
	// schemes and refused are the components of security and of refusals, by name.
	schemes, refused map[string]*object
	// bodies are the schemas of bodies that have names of their own.
	bodies map[string]*object
	// errors are the answers of errors that operations refer to, by name.
	errors map[string]*object
	// patterns are those of schemas, compiled for examples.
	patterns map[string]*regexp.Regexp
	// judge knows rules that no schema has. settled are examples that keep them, by what they were made
	// of, and trials is how many were tried.
	judge   *judge
	settled map[string]*object
	trials  int
}

// is32 reports whether the document may have what OpenAPI 3.2 brought.
func (w *writer) is32() bool { return w.version == Version32 }

// document makes the whole.
func (w *writer) document(routes []*described, plain bool) *object {
	w.readFiles(routes)
	for _, r := range routes {
		w.route(r)
	}
	if plain {
		w.plainRoutes()
	}
	w.sockets(routes)
	version := "3.1.1"
	if w.is32() {
		version = "3.2.0"
	}
	root := obj("openapi", version, "info", w.info())
	if !w.is32() {
		root.set("jsonSchemaDialect", "https://spec.openapis.org/oas/3.1/dialect/base")
	}
	root.put("servers", w.servers())
	root.set("tags", w.tags(routes, plain && len(w.api.Plain) > 0))
	root.set("externalDocs", w.said.get("externalDocs"))
	root.put("paths", w.paths.object())
	root.set("components", w.components())
	for i, name := range w.said.keys {
		if strings.HasPrefix(name, "x-") {
			root.put(name, w.said.values[i])
		}
	}
	w.nameSchemas(root)
	return root
}

// info is what the configuration says of the API, or else options.
func (w *writer) info() *object {
	said, _ := w.said.get("info").(*object)
	text := func(name string) string {
		t, _ := said.get(name).(string)
		return t
	}
	title := w.title
	if !w.api.Titled {
		title = cmp.Or(text("title"), title)
	}
	info := obj("title", cmp.Or(title, "API"), "description", cmp.Or(w.api.Description, text("description")))
	if said != nil {
		for i, name := range said.keys {
			if !info.has(name) && name != "version" {
				info.set(name, said.values[i])
			}
		}
	}
	version := w.api.Version
	if !w.api.Versioned {
		version = cmp.Or(text("version"), version)
	}
	info.put("version", cmp.Or(version, "unversioned"))
	return info
}

func (w *writer) servers() list {
	var servers list
	for _, url := range w.api.Servers {
		servers = append(servers, obj("url", url))
	}
	if said, ok := w.said.get("servers").(list); ok && servers == nil {
		return said
	}
	if servers == nil {
		return list{obj("url", "/")}
	}
	return servers
}

// tags lists the services.
func (w *writer) tags(routes []*described, plain bool) list {
	seen := map[string]*object{}
	var names []string
	if plain {
		seen[plainTag] = obj("name", plainTag, "description", "What servers and the gateway answer by plain HTTP.")
		names = append(names, plainTag)
	}
	packages, services := map[string]bool{}, map[string]bool{}
	for _, r := range routes {
		services[r.tag] = true
	}
	for _, r := range routes {
		if seen[r.tag] != nil {
			continue
		}
		service := r.Method.Descriptor.Parent()
		tag := obj("name", r.tag, "description", commentOf(service).whole())
		w.applyTag(tag, service)
		if pkg := string(service.ParentFile().Package()); w.is32() && pkg != "" && !services[pkg] { // a tag is not below a service, nor itself
			tag.set("parent", pkg)
			packages[pkg] = true
		}
		seen[r.tag] = tag
		names = append(names, r.tag)
	}
	for _, tag := range w.saidTags() {
		if name, _ := tag.get("name").(string); seen[name] == nil {
			seen[name] = tag
			names = append(names, name)
		}
	}
	for pkg := range packages {
		if seen[pkg] == nil {
			seen[pkg] = obj("name", pkg, "kind", "nav")
			names = append(names, pkg)
		}
	}
	slices.Sort(names)
	var tags list
	for _, name := range names {
		tags = append(tags, seen[name])
	}
	return tags
}

// components are what operations refer to, by name.
func (w *writer) components() *object {
	maps.Copy(w.refused, w.errors)
	responses := sorted(w.refused)
	components := obj("schemas", w.schemas.components())
	for _, name := range slices.Sorted(maps.Keys(w.bodies)) {
		components.at("schemas").put(name, w.bodies[name])
	}
	w.addExamples(components)
	if len(responses.keys) > 0 {
		components.put("responses", responses)
	}
	if len(w.schemes) > 0 {
		components.put("securitySchemes", sorted(w.schemes))
	}
	if len(components.keys) == 0 {
		return nil
	}
	return components
}

// sorted is an object with members in the order of their names.
func sorted(members map[string]*object) *object {
	o := &object{}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		o.add(name, members[name])
	}
	return o
}

// route adds the operations of a route.
func (w *writer) route(r *described) {
	path, parameters := w.path(r)
	if strings.EqualFold(r.HTTPMethod, socketMethod) {
		return // sockets describes it
	}
	for _, method := range httpMethods(r.HTTPMethod) {
		id := r.id
		if r.HTTPMethod == "*" && method != "get" {
			id += "_" + method
		}
		op := w.operation(r, operationPlace{id, method, path, parameters})
		op.set("x-transom-websocket", w.socket(r))
		w.paths.add(path, method, op)
	}
}

// httpMethods are the methods of a rule as OpenAPI has them; "*" is one that any method
// takes.
func httpMethods(method string) []string {
	if method == "*" {
		return []string{"get", "put", "post", "delete", "patch"}
	}
	return []string{strings.ToLower(method)}
}

// operationPlace is where an operation stands in the document.
type operationPlace struct {
	id, method, path string
	parameters       []*object // of the path
}

// operation describes a route under one method.
func (w *writer) operation(r *described, at operationPlace) *object {
	d := r.Method.Descriptor
	comment := commentOf(d)
	op := obj("tags", list{r.tag}, "summary", comment.summary, "description", comment.rest, "operationId", at.id)
	parameters := w.parameters(r, at.parameters)
	op.set("parameters", parameters)
	w.ruleParameters(op, r)
	op.set("requestBody", w.requestBody(r))
	op.put("responses", w.responses(r))
	if deprecated(d) {
		op.set("deprecated", true)
	}
	op.put("security", w.security(r.Policy.GetAuth()))
	demands(op, r.Policy.GetAuth())
	w.idempotency(op, r)
	w.applyFile(op, r)
	w.applyOperation(op, r)
	op.set("x-transom-rpc", r.Method.RPC)
	if template := r.Template.String(); template != at.path {
		op.set("x-transom-template", template)
	}
	return op
}

// responses are the answers.
func (w *writer) responses(r *described) *object {
	responses := obj("200", w.success(r))
	w.tell(responses, r)
	if r.Method.Settings.EntityTags && (r.HTTPMethod == "GET" || r.HTTPMethod == "HEAD") {
		responses.put("304", obj("description", "The client has the answer already, as its If-None-Match says."))
	}
	w.refuse(responses, r.guarded())
	w.refuseAll(responses, r.guarded())
	return responses
}

// anyError refers to the answer of any call that fails.
func (w *writer) anyError(connect bool) *object {
	name := componentName("Error", connect)
	if w.errors[name] == nil {
		w.errors[name] = obj("description", "The call failed. The HTTP status follows from the gRPC code.", "content", w.errorContent(connect))
	}
	return obj("$ref", "#/components/responses/"+name)
}

// componentName is the name of an answer with an error: Connect's errors look otherwise.
func componentName(name string, connect bool) string {
	if connect {
		return "Connect" + name
	}
	return name
}

// errorContent is what an error looks like.
func (w *writer) errorContent(connect bool) *object {
	if !connect {
		return obj("application/json", obj("schema", w.schemas.status()))
	}
	var names list
	for _, name := range rpccode.Names() {
		if name != "OK" {
			names = append(names, strings.ToLower(name))
		}
	}
	detail := obj("type", "object", "properties", obj(
		"type", obj("type", "string"), "value", obj("type", "string", "contentEncoding", "base64"), "debug", &object{},
	), "required", list{"type", "value"})
	return obj("application/json", obj("schema", obj("type", "object", "properties", obj(
		"code", obj("type", "string", "enum", names), "message", obj("type", "string"), "details", obj("type", "array", "items", detail),
	), "required", list{"code"})))
}

// success is the answer where all went well.
func (w *writer) success(r *described) *object {
	output := r.Method.Descriptor.Output()
	answer := obj("description", cmp.Or(commentOf(output).summary, "OK"))
	var content *object
	switch {
	case r.RawAnswer:
		content = w.rawContent(r, "produces")
		answer.put("headers", obj("Content-Disposition", obj("description", "What to do with the file, and its name, where the service says so.", "schema", obj("type", "string"))))
	case r.Method.Shape.ServerStreams:
		content = w.streamContent(r)
	default:
		content = obj("application/json", obj("schema", w.answerSchema(r)))
	}
	answer.put("content", content)
	return answer
}

// answerSchema is the schema of one answer, or of one message of a stream.
func (w *writer) answerSchema(r *described) *object {
	if d := r.Response; d != nil {
		value := w.schemas.fieldValue(d, r.form)
		if d.HasPresence() && !d.HasDefault() {
			value = orNull(value) // which stands for a field that is not set
		}
		return value
	}
	return w.schemas.message(r.Method.Descriptor.Output(), r.form)
}

// deprecated reports whether an element, or the service or file that it is of, is marked
// so.
func deprecated(d protoreflect.Descriptor) bool {
	switch o := d.Options().(type) {
	case *descriptorpb.MethodOptions:
		return o.GetDeprecated() || deprecated(d.Parent())
	case *descriptorpb.ServiceOptions:
		return o.GetDeprecated()
	case *descriptorpb.MessageOptions:
		return o.GetDeprecated()
	case *descriptorpb.FieldOptions:
		return o.GetDeprecated()
	case *descriptorpb.EnumOptions:
		return o.GetDeprecated()
	case *descriptorpb.EnumValueOptions:
		return o.GetDeprecated()
	}
	return false
}
