// Package rpccode is the one table of gRPC's status codes and their names, for all
// who read a code in a configuration or write one for people.
//
//	code, ok := rpccode.Parse("NOT_FOUND")
//	name := rpccode.Name(codes.NotFound)
//
// It knows of HTTP what a status that is not gRPC's stands for, and nothing of what a code
// means.
package rpccode

import (
	"slices"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"
)

// names are those of google/rpc/code.proto, by code.
var names = [...]string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND",
	"ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED",
	"OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
}

// lowerNames are the same in lower case.
var lowerNames = func() []string {
	lower := make([]string, len(names))
	for i, name := range names {
		lower[i] = strings.ToLower(name)
	}
	return lower
}()

// Name returns the name of a code, or its number where it has none.
func Name(code codes.Code) string {
	if int(code) < len(names) {
		return names[code]
	}
	return strconv.FormatUint(uint64(code), 10)
}

// LowerName returns the name of a code in lower case; false where it has none.
func LowerName(code codes.Code) (string, bool) {
	if int(code) < len(names) {
		return lowerNames[code], true
	}
	return "", false
}

// OfHTTP returns the code that stands for the HTTP status of an answer that is not gRPC's
// (gRPC's http-grpc-status-mapping.md).
func OfHTTP(httpStatus int) codes.Code {
	switch httpStatus {
	case 400:
		return codes.Internal
	case 401:
		return codes.Unauthenticated
	case 403:
		return codes.PermissionDenied
	case 404:
		return codes.Unimplemented
	case 429, 502, 503, 504:
		return codes.Unavailable
	}
	return codes.Unknown
}

// Names returns the names, by code.
func Names() []string { return slices.Clone(names[:]) }

// Parse reads a code by its name, "NOT_FOUND", or number, "5002"; false for
// anything else. CANCELLED may have one L, as grpc-go and Connect spell it.
func Parse(text string) (codes.Code, bool) {
	if text == "CANCELED" {
		return codes.Canceled, true
	}
	if i := slices.Index(names[:], text); i >= 0 {
		return codes.Code(i), true //nolint:gosec // i < 17
	}
	n, err := strconv.ParseUint(text, 10, 32)
	return codes.Code(n), err == nil
}
