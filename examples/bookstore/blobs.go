package bookstore

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"

	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
)

const (
	// maxBlob bounds a cover or a text, in bytes.
	maxBlob = 64 << 20
	// defaultChunk and maxChunk are the sizes of a piece of text, in bytes.
	defaultChunk = 1024
	maxChunk     = 1 << 20
	// noType stands for bytes whose type nobody said.
	noType = "application/octet-stream"
)

// GetCover returns the picture on a book.
func (s *Server) GetCover(_ context.Context, r *pb.GetCoverRequest) (*httpbody.HttpBody, error) {
	book, err := s.find(r.GetName())
	if err != nil {
		return nil, err
	}
	if book.cover.data == nil {
		return nil, status.Errorf(codes.NotFound, "%s has no cover", r.GetName())
	}
	return &httpbody.HttpBody{ContentType: book.cover.contentType, Data: book.cover.data}, nil
}

// SetCover replaces the picture on a book.
func (s *Server) SetCover(_ context.Context, r *pb.SetCoverRequest) (*pb.SetCoverResponse, error) {
	if len(r.GetCover().GetData()) == 0 {
		return nil, status.Error(codes.InvalidArgument, "cover has no data, expected a picture")
	}
	cover := blob{contentType: r.GetCover().GetContentType(), data: r.GetCover().GetData()}
	if cover.contentType == "" {
		cover.contentType = noType
	}
	if err := s.replace(r.GetName(), func(b *stock) { b.cover = cover }); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(cover.data)
	return &pb.SetCoverResponse{
		Size:        int64(len(cover.data)),
		ContentType: cover.contentType,
		Digest:      sum[:],
	}, nil
}

// ReadContent sends the text of a book in pieces; the first says its type.
func (s *Server) ReadContent(r *pb.ReadContentRequest, stream grpc.ServerStreamingServer[httpbody.HttpBody]) error {
	book, err := s.find(r.GetName())
	if err != nil {
		return err
	}
	if book.content.data == nil {
		return status.Errorf(codes.NotFound, "%s has no text", r.GetName())
	}
	size := int(min(r.GetChunkSize(), maxChunk))
	if size == 0 {
		size = defaultChunk
	}
	contentType := book.content.contentType
	for rest := book.content.data; len(rest) > 0; {
		n := min(size, len(rest))
		if err := stream.Send(&httpbody.HttpBody{ContentType: contentType, Data: rest[:n]}); err != nil {
			return err
		}
		rest, contentType = rest[n:], ""
	}
	return nil
}

// WriteContent takes the text of a book in pieces; nothing changes unless all
// of them come.
func (s *Server) WriteContent(stream grpc.ClientStreamingServer[pb.WriteContentRequest, pb.WriteContentResponse]) error {
	answer := &pb.WriteContentResponse{}
	name := ""
	var data []byte
	for {
		piece, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if answer.Chunks == 0 {
			name, answer.ContentType = piece.GetName(), piece.GetContent().GetContentType()
		}
		if len(data)+len(piece.GetContent().GetData()) > maxBlob {
			return status.Errorf(codes.ResourceExhausted, "the text is longer than %d bytes", maxBlob)
		}
		data = append(data, piece.GetContent().GetData()...)
		answer.Chunks++
	}
	if len(data) == 0 {
		return status.Error(codes.InvalidArgument, "content has no data, expected the text")
	}
	if answer.ContentType == "" {
		answer.ContentType = noType
	}
	content := blob{contentType: answer.ContentType, data: data}
	if err := s.replace(name, func(b *stock) { b.content = content }); err != nil {
		return err
	}
	sum := sha256.Sum256(data)
	answer.Size, answer.Digest = int64(len(data)), sum[:]
	return stream.SendAndClose(answer)
}

// replace puts a changed copy of a book in its place.
func (s *Server) replace(name string, change func(*stock)) error {
	if err := checkBookName("name", name); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sh, err := s.shelf(parentOf(name))
	if err != nil {
		return err
	}
	old, ok := sh.books[name]
	if !ok {
		return status.Errorf(codes.NotFound, "there is no %s", name)
	}
	changed := *old
	change(&changed)
	sh.books[name] = &changed
	return nil
}
