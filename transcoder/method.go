package transcoder

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	spb "google.golang.org/genproto/googleapis/rpc/status"

	"github.com/transom-gateway/transom/proxy"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// Default bounds of what is read, in bytes.
const (
	DefaultMaxBody    = 4 << 20
	DefaultMaxMessage = 4 << 20
)

// Settings say how one method's requests are read and its answers written.
// They are fixed when the schema loads.
type Settings struct {
	// JSON is the form of a REST answer, ConnectJSON that of a Connect answer. Their
	// MaxBytes is defaultMaxJSON where it is zero.
	JSON, ConnectJSON jsonwire.Output
	// Input is how JSON requests are read.
	Input jsonwire.Input
	// MaxBody bounds the body, or the one message, of a client that does not
	// stream; MaxMessage one message of a client that does, and of any WebSocket.
	// Both are bytes after decompression; zero means the defaults.
	MaxBody, MaxMessage int64
	// Status maps codes to HTTP statuses in place of the table's.
	Status map[codes.Code]int
	// StatusFromMetadata lets x-http-code in the response metadata set the HTTP
	// status.
	StatusFromMetadata bool
	// OwnHeaders is response metadata that becomes headers of the same name;
	// lower-case.
	OwnHeaders map[string]bool
	// Headers says what else crosses; never nil.
	Headers *HeaderRules
	// IgnoreUnknownQuery ignores query parameters that the message does not have;
	// IgnoredQuery only those named.
	IgnoreUnknownQuery bool
	IgnoredQuery       map[string]bool
	// RepeatedPathValues lets a path variable bind a repeated field, split at
	// commas.
	RepeatedPathValues bool
	// StreamEnvelope writes streams as {"result": …} and {"error": …} lines under
	// application/json, as grpc-gateway does.
	StreamEnvelope bool
	// StreamArray writes server streams as a JSON array where Accept has no
	// preference.
	StreamArray bool
	// IgnoreBoundQuery ignores query parameters for what the path or the body sets.
	IgnoreBoundQuery bool
	// LiteralPlus takes "+" in a query as itself, not as a space.
	LiteralPlus bool
	// FormQuery reads the form of a POST like the query where the rule has no body.
	FormQuery bool
	// AnyContentType reads a body as JSON that is neither a form nor protobuf,
	// whatever it says it is.
	AnyContentType bool
	// EntityTags has answers to GET and HEAD carry ETag, and If-None-Match heeded.
	EntityTags bool
	// StatusHeaders answers an error of the backend with an empty body and
	// grpc-status, grpc-message and grpc-status-details-bin as headers.
	StatusHeaders bool
}

// Method is one RPC, compiled: everything that its edges look up at a request.
type Method struct {
	// Descriptor is the method's own.
	Descriptor protoreflect.MethodDescriptor
	// RPC is "package.Service/Method", Path the same with a slash in front.
	RPC, Path string
	// Shape says which sides stream.
	Shape proxy.Shape
	// NoSideEffects and Idempotent are the method's idempotency_level.
	NoSideEffects, Idempotent bool
	// Settings are the method's own.
	Settings Settings

	Input, Output *jsonwire.Plan
	Errors        *jsonwire.Plan

	tags  *entityTags // nil: answers have none
	forms *formKinds
}

// NewMethod compiles a method with the plans of its schema.
func NewMethod(d protoreflect.MethodDescriptor, plans *jsonwire.Plans, s Settings) *Method {
	if s.MaxBody <= 0 {
		s.MaxBody = DefaultMaxBody
	}
	if s.MaxMessage <= 0 {
		s.MaxMessage = DefaultMaxMessage
	}
	if s.JSON.MaxBytes <= 0 {
		s.JSON.MaxBytes = defaultMaxJSON
	}
	if s.ConnectJSON.MaxBytes <= 0 {
		s.ConnectJSON.MaxBytes = defaultMaxJSON
	}
	rpc := string(d.Parent().FullName()) + "/" + string(d.Name())
	m := &Method{
		Descriptor: d,
		RPC:        rpc,
		Path:       "/" + rpc,
		Shape:      proxy.Shape{ClientStreams: d.IsStreamingClient(), ServerStreams: d.IsStreamingServer()},
		Settings:   s,
		Input:      plans.Message(d.Input()),
		Output:     plans.Message(d.Output()),
		Errors:     plans.Message((&spb.Status{}).ProtoReflect().Descriptor()),
		forms:      new(formKinds),
	}
	if s.EntityTags && m.Shape.Unary() {
		m.tags = newEntityTags(d.Output(), &s)
	}
	if options, ok := d.Options().(*descriptorpb.MethodOptions); ok {
		switch options.GetIdempotencyLevel() {
		case descriptorpb.MethodOptions_NO_SIDE_EFFECTS:
			m.NoSideEffects, m.Idempotent = true, true
		case descriptorpb.MethodOptions_IDEMPOTENT:
			m.Idempotent = true
		case descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN:
		}
	}
	return m
}

// Stream names the method's shape: unary, client_streaming, server_streaming or
// bidi_streaming.
func (m *Method) Stream() string {
	switch m.Shape {
	case proxy.Shape{ClientStreams: true}:
		return "client_streaming"
	case proxy.Shape{ServerStreams: true}:
		return "server_streaming"
	case proxy.Shape{ClientStreams: true, ServerStreams: true}:
		return "bidi_streaming"
	}
	return "unary"
}

// MaxRequestMessage bounds one message in an envelope: over gRPC no more of a
// unary request gets through than over REST.
func (m *Method) MaxRequestMessage() int64 {
	if m.Shape.ClientStreams {
		return m.Settings.MaxMessage
	}
	return m.Settings.MaxBody
}
