package policy

import "google.golang.org/protobuf/reflect/protoreflect"

// zeros are the numbers with presence for which 0 is a value of its own, or which their kinds check themselves.
var zeros = map[protoreflect.FullName]bool{
	"transom.v1.Retry.max_attempts":     true,
	"transom.v1.Retry.budget_percent":   true,
	"transom.v1.SplitBranch.weight":     true,
	"transom.v1.Fault.percent":          true,
	"transom.v1.Mirror.percent":         true,
	"transom.v1.FaultAbort.http_status": true,
}

// refuseZeros refuses numbers that are written as 0 where that would pass for a line that is not there, below path.
func (s *Scope) refuseZeros(m protoreflect.Message, path string) {
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		at := path + string(field.Name())
		switch {
		case field.IsMap():
		case field.IsList() && field.Message() != nil:
			for i := range value.List().Len() {
				s.refuseZeros(value.List().Get(i).Message(), Index(at, i)+".")
			}
		case field.IsList():
		case field.Message() != nil:
			if field.Message().ParentFile() == m.Descriptor().ParentFile() { // a duration has its own check
				s.refuseZeros(value.Message(), at+".")
			}
		case isZero(value, field) && !zeros[field.FullName()]:
			s.Refuse(at, "%s: found 0, expected a number above 0; without the line the default holds", at)
		}
		return true
	})
}

// isZero reports whether a value is the number 0.
func isZero(v protoreflect.Value, field protoreflect.FieldDescriptor) bool {
	switch field.Kind() {
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind:
		return v.Uint() == 0
	case protoreflect.DoubleKind:
		return v.Float() == 0
	}
	return false
}
