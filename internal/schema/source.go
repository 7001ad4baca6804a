package schema

import "context"

// Source is a place where a schema comes from. Implementations are safe for
// concurrent use and keep no registry: each Load reads the place anew.
type Source interface {
	// Name is how the user names the source: the path of a folder or a
	// descriptor set, the name of the server that is asked.
	Name() string

	// Load reads, links and checks the whole source. The problems are sorted
	// and complete: all of them, not the first one.
	//
	// Beside a problem that is no warning, the registry is nil or holds what is
	// good, to be looked at and not to be served: there may be more to mend in it.
	// Beside warnings alone, as a descriptor set or a server gives, what is bad is
	// left out and named, and the rest is there to be served. Cancelling ctx ends
	// the load with a problem that says so.
	Load(ctx context.Context) (*Registry, Problems)
}

// The bounds of what a source may hold. They are far above any schema seen
// (all of googleapis is 7,234 files and 40 MB) and keep a wrong path, a loop of
// links or a hostile server from taking the memory of the machine.
const (
	maxFileBytes   = 16 << 20  // one .proto file, or one file descriptor of a server
	maxSourceBytes = 512 << 20 // all files of a source together; a descriptor set
	maxFiles       = 50_000    // .proto files in a folder, files in a set
	maxFolders     = 100_000   // folders below a folder
)

// tolerated makes warnings of the problems of a source that its user cannot mend:
// what is bad costs itself and no more (Semantics 53). Where nothing is left to be
// served they stay what they are.
func tolerated(registry *Registry, problems Problems) Problems {
	if len(registry.services) > 0 {
		for i := range problems {
			problems[i].Warning = true
		}
	}
	return problems.Sorted()
}
