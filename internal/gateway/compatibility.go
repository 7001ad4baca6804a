package gateway

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/config"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// compatible lays the configuration's own settings over the defaults of the
// gateway it is to be compatible with (Semantics 56). What is written wins, always
// (Semantics 327); json is a policy's, whose settings are laid over these later.
func compatible(f *config.File) (*transomv1.Rest, *transomv1.Metadata, jsonwire.Output) {
	rest, metadata, json := &transomv1.Rest{}, &transomv1.Metadata{}, jsonwire.Output{}
	switch f.Config.GetCompatibility() {
	case transomv1.Config_GRPC_GATEWAY:
		rest, metadata = grpcGatewayRest(), grpcGatewayMetadata()
		json.UnsetAsNull = true
	case transomv1.Config_ENVOY:
		rest, metadata, json = envoyRest(), envoyMetadata(), envoyJSON()
	case transomv1.Config_NONE:
	}
	yieldRest(rest, f.Config.GetRest())
	yieldMetadata(metadata, f)
	overlay(rest, f.Config.GetRest())
	overlay(metadata, f.Config.GetMetadata())
	return rest, metadata, json
}

// yieldRest takes back what a mode sets where it would keep something that is
// written from having an effect: a stream has one form.
func yieldRest(mode, written *transomv1.Rest) {
	if written.GetStreamArray() {
		mode.StreamEnvelope = nil
	}
	if written.GetStreamEnvelope() {
		mode.StreamArray = nil
	}
}

// yieldMetadata is the same for metadata. A list that is written and empty is
// known by its place alone.
func yieldMetadata(mode *transomv1.Metadata, f *config.File) {
	written := f.Config.GetMetadata()
	if f.Written("metadata.request_headers") {
		mode.RequestHeaders = nil
	}
	if f.Written("metadata.response_headers") || written.GetResponsePrefix() != "" || written.GetPrefixAll() {
		mode.ResponseHeaders = nil // all names would cross as they are, and no prefix be seen
	}
}

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

// grpcGatewayRest is what grpc-gateway's default ServeMux does: runtime.NewServeMux
// of its v2.33, against which interop/grpcgateway_test.go runs.
func grpcGatewayRest() *transomv1.Rest {
	return &transomv1.Rest{
		OnlyRules:                proto.Bool(true),
		FormMethodOverride:       proto.Bool(true),
		IgnoreUnknownQuery:       proto.Bool(true),
		IgnoreBoundQuery:         proto.Bool(true),
		IgnoreUnknownFields:      proto.Bool(true), // DiscardUnknown of its default marshaler
		AnyContentType:           proto.Bool(true), // its default marshaler is MIMEWildcard's
		IgnoreTrailingJson:       proto.Bool(true),
		RepeatedPathValues:       proto.Bool(true),
		StreamEnvelope:           proto.Bool(true),
		WrongMethodUnimplemented: proto.Bool(true),
	}
}

// grpcGatewayMetadata is what its DefaultHeaderMatcher and AnnotateContext do.
func grpcGatewayMetadata() *transomv1.Metadata {
	return &transomv1.Metadata{
		ResponsePrefix:  proto.String("Grpc-Metadata-"),
		PrefixAll:       proto.Bool(true),
		TrailerPrefix:   proto.String("Grpc-Trailer-"),
		HttpTrailers:    proto.Bool(true),
		PermanentPrefix: proto.String("grpcgateway-"),
	}
}

// envoyRest is what Envoy's grpc_json_transcoder does with none of its options
// set; interop/envoy_test.go compares it to Envoy 1.40. Each line names the option
// of envoy.extensions.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder whose
// documented default it is.
func envoyRest() *transomv1.Rest {
	return &transomv1.Rest{
		OnlyRules:           proto.Bool(true), // auto_mapping
		KeepReservedEscapes: proto.Bool(true), // url_unescape_spec
		LiteralPlus:         proto.Bool(true), // query_param_unescape_plus
		StatusHeaders:       proto.Bool(true), // convert_grpc_status
		StreamArray:         proto.Bool(true), // print_options.stream_newline_delimited
		// No option: "Don't fail the translation if there are unknown fields in
		// JSON", request_message_translator.cc of grpc-httpjson-transcoding.
		IgnoreUnknownFields: proto.Bool(true),
		// But an unknown name of an enum value is "invalid value" there.
		IgnoreUnknownEnums: proto.Bool(false),
		// Its path matcher takes a slash at the end off.
		AcceptTrailingSlash: proto.Bool(true),
		// Nor is there one for this: all that is not application/grpc is transcoded.
		AnyContentType: proto.Bool(true),
	}
}

// envoyMetadata: an HTTP filter leaves the headers as they are, so that those of
// the request are metadata and the other way round.
func envoyMetadata() *transomv1.Metadata {
	return &transomv1.Metadata{
		RequestHeaders:  []string{"*"},
		ResponseHeaders: []string{"*"},
	}
}

// envoyJSON is print_options.always_print_primitive_fields, unset.
func envoyJSON() jsonwire.Output { return jsonwire.Output{OmitDefaults: true} }
