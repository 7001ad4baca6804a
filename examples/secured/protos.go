package secured

import "embed"

// Files holds what the gateway reads: transom.yaml and, below "protos", the
// .proto files, as they lie in this folder. With them a test can play the
// story elsewhere.
//
//go:embed transom.yaml protos/lending/v1/*.proto
var Files embed.FS
