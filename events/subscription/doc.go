// Package subscription has a method called with each message of a topic, at least once: in order
// for each key, again while the method fails, and into the dead letters when it will not
// succeed. It knows neither brokers nor gRPC connections: a source gives it messages, and a
// Handler makes the calls.
//
//	p := subscription.NewPartition(options, 0)
//	err := p.Take(ctx, message)   // waits while too much is in flight
//	offset := p.Committed()       // what the source may commit
//	p.Close(ctx)
package subscription
