package schema

import "google.golang.org/protobuf/reflect/protoreflect"

// SensitiveField finds a field that is marked sensitive in a message, or in those within it;
// nil for none. What an Any holds nobody knows: its value is as one that is marked.
func SensitiveField(m protoreflect.MessageDescriptor) protoreflect.FieldDescriptor {
	return sensitiveField(m, map[protoreflect.FullName]bool{})
}

func sensitiveField(m protoreflect.MessageDescriptor, seen map[protoreflect.FullName]bool) protoreflect.FieldDescriptor {
	if seen[m.FullName()] {
		return nil
	}
	seen[m.FullName()] = true
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		if FieldOptions(f).GetSensitive() || m.FullName() == "google.protobuf.Any" && f.Number() == 2 {
			return f
		}
		if f.Message() != nil {
			if found := sensitiveField(f.Message(), seen); found != nil {
				return found
			}
		}
	}
	return nil
}
