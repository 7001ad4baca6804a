package gateway

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// overlay sets what from has in to.
func overlay(to, from proto.Message) {
	if from == nil || !from.ProtoReflect().IsValid() {
		return
	}
	from.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		to.ProtoReflect().Set(f, v)
		return true
	})
}

// grpcGatewayRest is what grpc-gateway's default ServeMux does.
func grpcGatewayRest() *transomv1.Rest {
	return &transomv1.Rest{
		OnlyRules:                 proto.Bool(true),
		MethodOverride:            proto.Bool(true),
		FormMethodOverride:        proto.Bool(true),
		IgnoreUnknownQuery:        proto.Bool(true),
		IgnoreTrailingJson:        proto.Bool(true),
		RepeatedPathValues:        proto.Bool(true),
		StreamEnvelope:            proto.Bool(true),
		UnknownRouteUnimplemented: proto.Bool(false),
	}
}

func grpcGatewayMetadata() *transomv1.Metadata {
	return &transomv1.Metadata{ResponsePrefix: proto.String("Grpc-Metadata-"), TrailerPrefix: proto.String("Grpc-Trailer-")}
}

// envoyRest is what Envoy's grpc_json_transcoder documents as its defaults.
func envoyRest() *transomv1.Rest {
	return &transomv1.Rest{}
}

func envoyMetadata() *transomv1.Metadata {
	return &transomv1.Metadata{ResponsePrefix: proto.String("")}
}
