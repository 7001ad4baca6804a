package policy

// Entry points of the policies that are still to come. Each one moves into its
// policy's own file, with this signature: it reads b.policy and b.target, notes
// what is wrong with b.refuse("rate_limit[0].cel", "found …, expected …"), and
// returns the policies it made (nil for none). A policy may have a method
// Summary() string, one line for explain.

// rateLimits splits the limits: early ones are keyed by the client's address
// alone and run before auth, so that guessing credentials is limited too.
func (b *build) rateLimits() (early, late []Policy) { return nil, nil }

func (b *build) concurrency() []Policy { return nil }

func (b *build) validate() []Policy { return nil }

func (b *build) cors() []Policy { return nil }

// headers makes the header transforms and the security headers.
func (b *build) headers() []Policy { return nil }

func (b *build) limits() []Policy { return nil }

// What cel.go will give to expressions such as rate_limit[].cel:
//
//	e := b.expression("rate_limit[0].cel", source, cel.StringType) // nil: refused
//	e.readsRequest                              // evaluate in Message, not in Admit
//	value, err := e.evaluate(ctx, r, message)   // message nil in Admit; err is a status error
//	value.Value().(string)
