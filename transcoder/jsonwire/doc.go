// Package jsonwire converts protobuf messages between JSON and the wire format,
// straight, with no message object in between.
//
// A message descriptor is compiled once into a [Plan]; the plan then turns wire
// bytes into JSON and JSON into wire bytes, appending to the caller's memory and
// allocating nothing in steady state. A [Field] is the address of one field below
// a message: it takes bodies, path variables and query parameters.
//
//	plans := jsonwire.NewPlans(resolver)
//	plan := plans.Message(descriptor)
//	wire, err := plan.AppendWire(nil, []byte(`{"name":"shelves/1"}`), jsonwire.Input{})
//	json, err := plan.AppendJSON(nil, wire, jsonwire.Output{})
//
// JSON may be many times as long as the wire data. [Output.MaxBytes] bounds it, and
// [Plan.Convert] makes long JSON piece by piece while it is written.
//
// It knows no HTTP, no gRPC and no routes. It needs a [Resolver] only for the
// contents of google.protobuf.Any and for extensions.
//
// # Reference
//
// The reference is protojson over the same descriptors: the same answers and the
// same refusals, held by differential tests and fuzzing. The deliberate
// differences are:
//
//   - JSON may nest 100 objects and arrays deep (protojson: 10,000 messages), wire
//     data 1,000 messages deep (10,000). Both bound what hostile input costs.
//   - A number is what RFC 8259 says: 1e, which protojson reads as an integer, is
//     refused, in fields that are ignored too.
//   - Fields come in the order of the wire, and those that are not set in their
//     place by number among them; where the wire is not in the order of numbers, at
//     the end. protojson sorts by declaration. An object has no order.
//   - Timestamps and durations are what the JSON mapping says: 12:00:00,5Z, 1:00:00Z,
//     offsets of more than 23:59, +1s, .5s and 1.s, which protojson reads, are refused.
//   - A field mask may hold an asterisk, and one with paths that have no camelCase
//     form is written as it is, where protojson fails.
//   - Dynamic messages panic on a map entry whose key comes once rightly and once
//     with another wire type; here the second is unknown and dropped.
//   - An Any's value is written in the order of the JSON's keys; protojson
//     serialises it deterministically.
package jsonwire
