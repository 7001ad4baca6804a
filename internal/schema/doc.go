// Package schema turns the places where protobuf schemas live into linked,
// immutable descriptors: folders of .proto files, descriptor sets and buf
// images, and the reflection service of a running gRPC server. Each [Source]
// gives a [Registry] of its own, so that two of them may hold different files
// of one name.
//
// The package knows no HTTP, no routes and no policies. It hands out the options
// that say such things in their generated types, and the place in the source
// text where each was written, and leaves their meaning to others.
//
//	registry, problems := schema.Directory("./protos").Load(ctx)
//	if err := problems.Err(); err != nil { … every problem of the folder … }
//	for _, service := range registry.Services() { … }
package schema
