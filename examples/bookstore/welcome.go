package bookstore

import (
	"context"
	_ "embed"

	"google.golang.org/genproto/googleapis/api/httpbody"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
)

// welcome is a page of HTML that needs nothing but itself and a gateway.
//
//go:embed welcome.html
var welcome []byte

// GetWelcomePage returns the page at which a newcomer with a browser begins. A
// gateway needs no file server for that: bytes with a content type are enough.
func (s *Server) GetWelcomePage(context.Context, *pb.GetWelcomePageRequest) (*httpbody.HttpBody, error) {
	return &httpbody.HttpBody{ContentType: "text/html; charset=utf-8", Data: welcome}, nil
}
