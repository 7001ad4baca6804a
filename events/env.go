package events

import "log/slog"

// Env is what sinks get of the process that they run in.
type Env struct {
	// Resolve makes the name of a file in the configuration one that can be opened.
	Resolve func(name string) string
	// Secret is a value of the configuration that may be "file:PATH": then it is what the
	// file holds now.
	Secret func(value string) (string, error)
	// Log gets what operators must know. It is told no secrets.
	Log *slog.Logger
	// Topics are those that rules publish to.
	Topics []string
}
