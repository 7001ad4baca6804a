// Package transcoder stands between a client and the messages of a call: it
// compiles HTTP rules into bindings, makes messages in wire format of requests, and
// answers of messages. The edge of a unary call by REST is here; those of other
// protocols have packages of their own below, which package protocols lists. None knows
// anything of policies, of where backends are, or of how routes are found.
//
//	method := transcoder.NewMethod(descriptor, plans, settings)
//	bindings, err := method.Bind(rule, plans)
//	client := protocols.Table.Detect(r).Open(bindings[0], exchange.Exchange{W: exchange.FrontOf(w), R: r, Values: values})
package transcoder
