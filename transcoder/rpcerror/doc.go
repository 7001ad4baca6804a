// Package rpcerror has the one vocabulary of errors: gRPC's status, the HTTP status that
// goes with it, and how both are written as JSON and as headers. It knows no protocol.
//
//	return rpcerror.BadRequest("path variable {%s}: %v", name, err)
package rpcerror
