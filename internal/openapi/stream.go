package openapi

import "cmp"

// streamContent is the content of an answer that is a stream of messages (Surface 222).
func (w *writer) streamContent(r *described) *object {
	message := w.answerSchema(r)
	failed := obj("type", "object", "properties", obj("error", w.schemas.status()), "required", list{"error"})
	line := obj("anyOf", list{message, failed})
	content := &object{}
	if w.is32() {
		content.put("application/x-ndjson", obj("itemSchema", line))
		content.put("text/event-stream", obj("itemSchema", w.event(message)))
	} else {
		content.put("application/x-ndjson", obj("schema", line, "x-transom-stream", "server"))
		content.put("text/event-stream", obj("schema", message, "x-transom-stream", "server"))
	}
	if r.Method.Settings.StreamEnvelope {
		result := obj("type", "object", "title", w.resultTitle(r), "properties", obj("result", message, "error", w.schemas.status()))
		if w.is32() {
			content.put("application/json", obj("itemSchema", result))
		} else {
			content.put("application/json", obj("schema", result, "x-transom-stream", "server"))
		}
		return content
	}
	content.put("application/json", obj("schema", obj("type", "array", "items", message)))
	return content
}

// resultTitle is the title of one answer of a stream in grpc-gateway's envelope.
func (w *writer) resultTitle(r *described) string {
	name := string(r.Method.Descriptor.Output().FullName())
	if !w.api.QualifiedNames {
		name = cmp.Or(w.source.schemaNames()[name], name)
	}
	return "Stream result of " + name
}

// event is one event of a text/event-stream.
func (w *writer) event(message *object) *object {
	data := func(schema *object) *object {
		return obj("type", "string", "contentMediaType", "application/json", "contentSchema", schema)
	}
	kind := func(name string) *object { return obj("type", "string", "const", name) }
	return obj(
		"type", "object",
		"required", list{"data"},
		"properties", obj("id", obj("type", "string"), "event", obj("type", "string"), "data", obj("type", "string"), "retry", obj("type", "integer")),
		"oneOf", list{
			obj("description", "A message.", "properties", obj("data", data(message)), "not", obj("required", list{"event"})),
			obj("description", "The stream has ended well.", "properties", obj("event", kind("end")), "required", list{"event"}),
			obj("description", "The call has failed.", "properties", obj("event", kind("error"), "data", data(w.schemas.status())), "required", list{"event"}),
		},
	)
}

// uploadContent is the content of a body that is a stream of messages.
func (w *writer) uploadContent(message *object) *object {
	content := &object{}
	if w.is32() {
		content.put("application/x-ndjson", obj("itemSchema", message))
	} else {
		content.put("application/x-ndjson", obj("schema", message, "x-transom-stream", "client"))
	}
	content.put("application/json", obj("schema", obj("type", "array", "items", message)))
	return content
}
