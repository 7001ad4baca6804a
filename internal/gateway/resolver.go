package gateway

import (
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/schema"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// extensions are those of a schema, or of the types linked into the program, for policies.
type extensions struct{ jsonwire.TypeResolver }

var _ policy.Extensions = extensions{}

func newExtensions(types jsonwire.Types) extensions {
	return extensions{jsonwire.TypeResolver{Types: types}}
}

// Position tells where an option of a descriptor was written, for policies that
// find a rule wrong; nothing where the types know no files.
func (e extensions) Position(d protoreflect.Descriptor, option ...int32) (file string, line, column int) {
	if known, ok := e.Types.(*schema.Registry); ok {
		return known.Position(d, option...)
	}
	return d.ParentFile().Path(), 0, 0
}
