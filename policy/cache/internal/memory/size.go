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

// TagsSize is what tags take: the texts, their list, and the entry's place in the list of each. All but the
// texts are pointers, by which a large heap grows further between two collections: they count twice.
func TagsSize(tags []string) int {
	n := 0
	for _, tag := range tags {
		n += 2*len(tag) + 160
	}
	return n
}
