package storefront

import (
	"context"
	"crypto/subtle"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	pb "github.com/transom-gateway/transom/examples/storefront/protos/store/v1"
)

// store is the API.
type store struct {
	pb.UnimplementedStoreServiceServer

	mu      sync.Mutex
	left    map[string]int32
	changed chan struct{} // closed and replaced when left changes
}

var products = []*pb.Product{
	{Id: "lamp", Title: "A lamp", Cents: 4900},
	{Id: "rope", Title: "Ten metres of rope", Cents: 1500},
	{Id: "tent", Title: "A tent for two", Cents: 19900},
}

// passwords are the customers'. They are examples, as the shop is.
var passwords = map[string]string{"ada": "lighthouse", "grace": "compiler"}

func newStore() *store {
	s := &store{left: map[string]int32{}, changed: make(chan struct{})}
	for _, p := range products {
		s.left[p.GetId()] = 20
	}
	return s
}

// ListProducts implements StoreService.
func (s *store) ListProducts(context.Context, *pb.ListProductsRequest) (*pb.ListProductsResponse, error) {
	return &pb.ListProductsResponse{Products: products}, nil
}

// stock is how many pieces there are of a product, or of each where it is "", and what tells
// of a change.
func (s *store) stock(product string) ([]*pb.Stock, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*pb.Stock
	for _, p := range products {
		if product == "" || product == p.GetId() {
			all = append(all, &pb.Stock{Product: p.GetId(), Left: s.left[p.GetId()]})
		}
	}
	if len(all) == 0 {
		return nil, nil, status.Errorf(codes.NotFound, "there is no product %q", product)
	}
	return all, s.changed, nil
}

// WatchStock implements StoreService.
func (s *store) WatchStock(r *pb.WatchStockRequest, stream grpc.ServerStreamingServer[pb.Stock]) error {
	told := map[string]int32{}
	for {
		all, changed, err := s.stock(r.GetProduct())
		if err != nil {
			return err
		}
		for _, stock := range all {
			if left, ok := told[stock.GetProduct()]; ok && left == stock.GetLeft() {
				continue
			}
			told[stock.GetProduct()] = stock.GetLeft()
			if err := stream.Send(stock); err != nil {
				return err
			}
		}
		select {
		case <-changed:
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		}
	}
}

// Login implements StoreService.
func (s *store) Login(_ context.Context, r *pb.LoginRequest) (*pb.Customer, error) {
	password, ok := passwords[r.GetUser()]
	if subtle.ConstantTimeCompare([]byte(password), []byte(r.GetPassword())) != 1 || !ok {
		return nil, status.Error(codes.Unauthenticated, "wrong name or password")
	}
	return &pb.Customer{Id: r.GetUser()}, nil
}

// Logout implements StoreService: the gateway ends the session.
func (s *store) Logout(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	return &emptypb.Empty{}, nil
}

// Buy implements StoreService.
func (s *store) Buy(_ context.Context, r *pb.BuyRequest) (*pb.Stock, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	left, ok := s.left[r.GetProduct()]
	switch {
	case !ok:
		return nil, status.Errorf(codes.NotFound, "there is no product %q", r.GetProduct())
	case left == 0:
		return nil, status.Errorf(codes.FailedPrecondition, "%s is sold out", r.GetProduct())
	}
	s.left[r.GetProduct()] = left - 1
	close(s.changed)
	s.changed = make(chan struct{})
	return &pb.Stock{Product: r.GetProduct(), Left: left - 1}, nil
}
