package eventtest

import (
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// VisitsProto declares the method that Takings serves.
const VisitsProto = `syntax = "proto3";
package v.v1;
import "google/protobuf/empty.proto";
import "google/protobuf/struct.proto";
service Visits { rpc Take(google.protobuf.Struct) returns (google.protobuf.Empty); }
`

// Takings is a service that subscriptions call with events of visitors, which have the property n. It fails each tenth call.
// The zero value has had none.
type Takings struct {
	mu    sync.Mutex
	calls int
	got   map[string][]int
}

// Serve is its grpc.StreamHandler.
func (s *Takings) Serve(_ any, stream grpc.ServerStream) error {
	event := new(structpb.Struct)
	if err := stream.RecvMsg(event); err != nil {
		return err
	}
	visitor, n := event.GetFields()["anonymousId"].GetStringValue(), event.GetFields()["properties"].GetStructValue().GetFields()["n"].GetNumberValue()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls++; s.calls%10 == 0 {
		return status.Error(codes.Unavailable, "not now")
	}
	if s.got == nil {
		s.got = map[string][]int{}
	}
	s.got[visitor] = append(s.got[visitor], int(n))
	return stream.SendMsg(&emptypb.Empty{})
}

// Calls is how many there were, with those that failed.
func (s *Takings) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// Of are the numbers of a visitor, in the order of the calls.
func (s *Takings) Of(visitor string) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]int(nil), s.got[visitor]...)
}

// Missing is how many of those acknowledged, by visitors, have not come.
func (s *Takings) Missing(acknowledged map[string][]int) (missing int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for visitor, all := range acknowledged {
		seen := map[int]bool{}
		for _, n := range s.got[visitor] {
			seen[n] = true
		}
		for _, n := range all {
			if !seen[n] {
				missing++
			}
		}
	}
	return missing
}
