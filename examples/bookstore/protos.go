package bookstore

import "embed"

// Protos holds the bookstore's .proto files below "protos", which is what
// imports are relative to. With them a program can serve the example without
// the source at hand.
//
//go:embed protos/bookstore/v1/*.proto
var Protos embed.FS
