package resilient

import "embed"

// Files holds what the gateway reads: transom.yaml and, below "protos", the .proto
// files.
//
//go:embed transom.yaml protos/tides/v1/*.proto
var Files embed.FS
