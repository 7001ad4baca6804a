package bookstore

import (
	"errors"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
)

const (
	// maxImport bounds how many books one import may bring.
	maxImport = 10_000
	// maxMonologue bounds how many answers one remark may get.
	maxMonologue = 1_000_000
)

// ImportBooks puts every book of the stream on a shelf. A book that cannot be
// added ends the import; what came before it stays.
func (s *Server) ImportBooks(stream grpc.ClientStreamingServer[pb.ImportBooksRequest, pb.ImportBooksResponse]) error {
	answer := &pb.ImportBooksResponse{}
	parent := ""
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return stream.SendAndClose(answer)
		}
		if err != nil {
			return err
		}
		if parent == "" {
			parent = r.GetParent()
		}
		name, err := s.importBook(parent, r, len(answer.Names))
		if err != nil {
			return err
		}
		answer.Count++
		answer.Names = append(answer.Names, name)
	}
}

// importBook adds one book of an import, of which before have come already.
func (s *Server) importBook(parent string, r *pb.ImportBooksRequest, before int) (string, error) {
	if before >= maxImport {
		return "", status.Errorf(codes.ResourceExhausted, "an import may bring %d books", maxImport)
	}
	if err := checkShelfName("parent", parent); err != nil {
		return "", err
	}
	if r.GetParent() != "" && r.GetParent() != parent {
		return "", status.Errorf(codes.InvalidArgument, "parent of book %d is %q, expected %q as before", before+1, r.GetParent(), parent)
	}
	if r.GetBook().GetTitle() == "" {
		return "", status.Errorf(codes.InvalidArgument, "book.title of book %d is empty, expected the title", before+1)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	book, err := s.add(parent, "", r.GetBook(), false)
	if err != nil {
		return "", err
	}
	return book.GetName(), nil
}

// Discuss answers every remark, until the caller has no more to say.
func (s *Server) Discuss(stream grpc.BidiStreamingServer[pb.DiscussRequest, pb.DiscussResponse]) error {
	sequence := uint64(0)
	say := func(text string) error {
		sequence++
		return stream.Send(&pb.DiscussResponse{Sequence: sequence, Text: text})
	}
	for {
		r, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		switch remark := r.GetRemark().(type) {
		case *pb.DiscussRequest_Text:
			err = say("You said: " + remark.Text)
		case *pb.DiscussRequest_Failure:
			return failure(remark.Failure)
		case *pb.DiscussRequest_Monologue:
			for range min(remark.Monologue, maxMonologue) {
				if err = say("And another thing."); err != nil {
					break
				}
			}
		default:
			err = status.Error(codes.InvalidArgument, "the remark is empty, expected text, failure or monologue")
		}
		if err != nil {
			return err
		}
	}
}
