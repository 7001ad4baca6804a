package memory

import "google.golang.org/grpc/metadata"

// MetadataSize is what a map of metadata takes: its table and the values.
func MetadataSize(md metadata.MD) int {
	if len(md) == 0 {
		return 0
	}
	n := 400
	for name, values := range md {
		n += len(name) + 48
		for _, v := range values {
			n += len(v) + 16
		}
	}
	return n
}
