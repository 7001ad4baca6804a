package main

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// startAccounts starts the backend of the pages that need one of their own, and
// returns its address. Its service, accounts.v1.AccountService, stands in the
// pages, each with the methods it is about:
//
//	SignIn(name = 1, password = 2) returns (user = 1, groups = 2, team = 3);
//	IssueToken is the same
//	SignOut() returns ()
//	WhoAmI() returns (metadata = 1)   what the gateway sent, but for gRPC's own
//	SignUp(name = 1) returns (name = 1)
//	MakeReport() returns (), after a minute
func startAccounts(t *testing.T) string {
	t.Helper()
	return startRaw(t, serveAccounts)
}

// startRaw serves all methods by one handler, which sees messages as bytes, and
// returns the address.
func startRaw(t *testing.T, handler grpc.StreamHandler) string {
	t.Helper()
	return grpctest.ServeAny(t, handler, grpc.ForceServerCodecV2(rawCodec{}))
}

func serveAccounts(_ any, stream grpc.ServerStream) error {
	var request []byte
	if err := stream.RecvMsg(&request); err != nil {
		return err
	}
	path, _ := grpc.MethodFromServerStream(stream)
	answer, err := account(stream.Context(), path[strings.LastIndexByte(path, '/')+1:], texts(request))
	if err != nil {
		return err
	}
	return stream.SendMsg(answer)
}

// account answers one call; field holds the strings of the request by number.
func account(ctx context.Context, method string, field map[protowire.Number]string) ([]byte, error) {
	var answer []byte
	set := func(n protowire.Number, value string) {
		answer = protowire.AppendString(protowire.AppendTag(answer, n, protowire.BytesType), value)
	}
	switch method {
	case "SignIn", "IssueToken":
		if field[2] != "lighthouse" {
			return nil, status.Error(codes.Unauthenticated, "the name or the password is wrong")
		}
		set(1, field[1])
		set(2, "reader")
		if field[1] == "ada" {
			set(2, "librarian")
		}
		set(3, "harbour")
	case "SignUp":
		set(1, "accounts/"+field[1])
		err := grpc.SetHeader(ctx, metadata.Pairs("x-http-code", "201", "location", "/v1/accounts/"+field[1]))
		return answer, err
	case "WhoAmI":
		md, _ := metadata.FromIncomingContext(ctx)
		for _, name := range slices.Sorted(maps.Keys(md)) {
			if strings.HasPrefix(name, "x-") && !strings.HasPrefix(name, "x-forwarded-") && name != "x-request-id" {
				var entry []byte
				entry = protowire.AppendString(protowire.AppendTag(entry, 1, protowire.BytesType), name)
				entry = protowire.AppendString(protowire.AppendTag(entry, 2, protowire.BytesType), strings.Join(md[name], ", "))
				answer = protowire.AppendBytes(protowire.AppendTag(answer, 1, protowire.BytesType), entry)
			}
		}
	case "MakeReport":
		select { // it ends with the call
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		case <-time.After(time.Minute):
		}
	}
	return answer, nil
}

// texts reads the strings of a message.
func texts(message []byte) map[protowire.Number]string {
	found := map[protowire.Number]string{}
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return found
		}
		message = message[n:]
		if value, m := protowire.ConsumeBytes(message); kind == protowire.BytesType && m >= 0 {
			found[number] = string(value)
		}
		if n = protowire.ConsumeFieldValue(number, kind, message); n < 0 {
			return found
		}
		message = message[n:]
	}
	return found
}

// rawCodec hands messages over as they are on the wire.
type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}
