package bookstore

import "embed"

// Protos is the folder of the service's .proto files, as import root "protos".
//
//go:embed protos/bookstore/v1/*.proto
var Protos embed.FS
