// Package transcoder stands between a client and the messages of a call: it
// compiles HTTP rules into bindings and has one edge for each protocol a client
// may speak. An edge turns the client's bytes into messages in wire format and
// back. It knows nothing of policies, of where backends are, or of how routes
// are found.
//
//	method := transcoder.NewMethod(descriptor, plans, settings)
//	bindings, err := method.Bind(rule, plans)
//	client := protocols.Table.Detect(r).Open(bindings[0], transcoder.Exchange{W: w, R: r, Values: values})
package transcoder
