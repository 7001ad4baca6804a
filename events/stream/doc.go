// Package stream gives the events of topics to many clients at once: one goroutine reads the log
// into a ring of memory, and each client is a place in it. It knows neither HTTP nor gRPC.
//
//	hub, err := stream.NewHub(stream.Options{Log: log, Directory: directory})
//	rules, err := hub.Rules(config.Streams)
//	s, err := rules.Subscribe(request, caller)
//	run, err := s.Next(ctx)
package stream
