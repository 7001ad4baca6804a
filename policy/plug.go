package policy

// Entry points of the policies that are still to come. Each one moves into its
// policy's own file, with this signature: it reads b.policy and b.target, notes
// what is wrong with b.refuse("rate_limit[0].cel", "found …, expected …"), and
// returns the policies it made (nil for none). A policy may have a method
// Summary() string, one line for explain.

func (b *build) cors() []Policy { return nil }

// headers makes the header transforms and the security headers.
func (b *build) headers() []Policy { return nil }

func (b *build) limits() []Policy { return nil }
