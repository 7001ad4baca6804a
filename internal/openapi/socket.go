package openapi

// socketMethod is the kind of a rule that WebSockets alone take (Semantics 38).
const socketMethod = "websocket"

// socket says which messages a WebSocket carries at a route; nil for one of a unary method
// (Surface 222).
func (w *writer) socket(r *described) *object {
	if r.Method.Shape.Unary() {
		return nil
	}
	o := obj("receive", w.answerSchema(r))
	switch {
	case r.WholeBody || r.BodyField != nil:
		o.put("send", w.bodySchema(r))
	case r.Method.Shape.ClientStreams: // each frame is a whole message
		o.put("send", w.schemas.message(r.Method.Descriptor.Input(), r.form))
	}
	o.put("sends", many(r.Method.Shape.ClientStreams))
	o.put("receives", many(r.Method.Shape.ServerStreams))
	return o
}

func many(stream bool) string {
	if stream {
		return "MANY"
	}
	return "ONE"
}

// sockets describes the GET by which a WebSocket is opened at the path of a stream, beside the
// operations of that path. Where a GET stands there already, it has the same as 101.
func (w *writer) sockets(routes []*described) {
	for _, r := range routes {
		socket := w.socket(r)
		if socket == nil {
			continue
		}
		path, parameters := w.path(r)
		switched := obj("description", "A WebSocket. A text frame is a message in JSON, a binary frame one in protobuf; the last text frame of a call that fails is `{\"error\": Status}`.")
		if get := w.paths.operation(path, "get"); get != nil {
			if get.get("x-transom-rpc") == r.Method.RPC {
				get.at("responses").put("101", switched)
				get.put("x-transom-websocket", socket)
			}
			continue
		}
		op := w.operation(r, operationPlace{r.id + webSocketID, "get", path, parameters})
		op.remove("requestBody")
		responses := obj("101", switched)
		w.refuse(responses, r.guarded())
		w.refuseAll(responses, r.guarded())
		op.put("responses", responses)
		op.put("x-transom-websocket", socket)
		w.paths.add(path, "get", op)
	}
}
