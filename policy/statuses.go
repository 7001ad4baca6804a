package policy

import (
	"fmt"
	"slices"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// StatusesOf reads the codes of a field of a plain HTTP route's policy: statuses of HTTP, as
// codes of the same number. It refuses what is none of those, but only where it was written
// for this one route: codes that are said for all are those of gRPC methods, too. expected
// says which there may be.
func (s *Scope) StatusesOf(field protoreflect.Name, texts []string, may func(httpStatus int) bool, expected string) (all []codes.Code) {
	for i, text := range texts {
		n, err := strconv.ParseUint(text, 10, 16)
		code := codes.Code(n)
		switch path := fmt.Sprintf("%s.codes[%d]", field, i); {
		case err == nil && may(int(code)):
			if !slices.Contains(all, code) {
				all = append(all, code)
			}
		case s.Exact(field):
			s.Refuse(path, "%s: found %q, expected a status of HTTP, as this is a plain HTTP route: %s%s", path, text, expected, insteadOfCode[text])
		}
	}
	return all
}

// insteadOfCode are the statuses that stand for codes of gRPC.
var insteadOfCode = map[string]string{
	"UNAVAILABLE": "; did you mean 503?", "DEADLINE_EXCEEDED": "; did you mean 504?", "RESOURCE_EXHAUSTED": "; did you mean 429?",
	"INTERNAL": "; did you mean 500?", "UNKNOWN": "; did you mean 500?", "DATA_LOSS": "; did you mean 500?",
}
