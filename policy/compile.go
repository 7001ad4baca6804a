package policy

import (
	"log/slog"

	"google.golang.org/protobuf/reflect/protoreflect"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// Environment is what policies are compiled against, besides the options.
type Environment struct {
	// Config is the gateway's configuration, checked; never nil.
	Config *transomv1.Config
	// Directory is what relative file names of the configuration start from.
	Directory string
	// State outlives reloads.
	State *State
	// Extensions finds the extensions of the method's own schema; the rules of
	// validate may be among them.
	Extensions Extensions
	// Log is the application log.
	Log *slog.Logger
}

// Extensions finds extension descriptors, for example of one schema source.
type Extensions interface {
	FindExtensionByName(protoreflect.FullName) (protoreflect.ExtensionDescriptor, error)
	FindExtensionByNumber(message protoreflect.FullName, field protoreflect.FieldNumber) (protoreflect.ExtensionDescriptor, error)
}
