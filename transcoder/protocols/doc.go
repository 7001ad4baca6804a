// Package protocols names all protocols that the gateway speaks. Who adds one writes its
// edge in a package of its own and lists it here.
//
//	p := protocols.Table.Detect(r)
package protocols
