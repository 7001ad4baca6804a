package gateway

import (
	"context"
	"log/slog"
	"maps"
	"math"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/httprule"
	"github.com/transom-gateway/transom/internal/rpccode"
	"github.com/transom-gateway/transom/policy"
	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
	"github.com/transom-gateway/transom/transcoder"
	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// settings are what the configuration says of requests and answers, with
// compatibility's defaults filled in.
type settings struct {
	routing restSettings
	paths   httprule.Options
	headers *transcoder.HeaderRules
	// authorization names the metadata that repeats the header Authorization.
	authorization []string
	// base is what every method starts from.
	base transcoder.Settings
}

func newSettings(f *config.File, log *slog.Logger) settings {
	rest, metadata, json := compatible(f)
	s := settings{
		routing: restSettings{
			onlyRules:                 rest.GetOnlyRules(),
			methodOverride:            rest.GetMethodOverride(),
			formMethodOverride:        rest.GetFormMethodOverride(),
			unknownRouteUnimplemented: rest.GetUnknownRouteUnimplemented(),
			wrongMethodUnimplemented:  rest.GetWrongMethodUnimplemented(),
		},
		paths: httprule.Options{AcceptTrailingSlash: rest.GetAcceptTrailingSlash(), KeepReserved: rest.GetKeepReservedEscapes()},
	}
	prefix := transcoder.DefaultResponsePrefix
	if metadata.ResponsePrefix != nil {
		prefix = metadata.GetResponsePrefix()
	}
	s.headers = transcoder.NewHeaderRules(transcoder.HeaderOptions{
		Request: metadata.GetRequestHeaders(), Response: metadata.GetResponseHeaders(),
		ResponsePrefix: prefix, TrailerPrefix: metadata.GetTrailerPrefix(),
		HTTPTrailers: metadata.GetHttpTrailers(), PermanentPrefix: metadata.GetPermanentPrefix(), PrefixAll: metadata.GetPrefixAll(),
		Dropped: leftOut(log),
		DroppedName: func(name string) {
			log.Debug("a header whose name gRPC cannot carry was left out", "header", name)
		},
	})
	if p := metadata.GetPermanentPrefix(); p != "" {
		s.authorization = []string{strings.ToLower(p) + "authorization"}
	}
	s.base = transcoder.Settings{
		JSON:               json,
		ConnectJSON:        jsonwire.Output{OmitDefaults: true},
		Input:              requestJSON(rest),
		Headers:            s.headers,
		IgnoreUnknownQuery: rest.GetIgnoreUnknownQuery(),
		IgnoredQuery:       setOf(rest.GetIgnoredQuery()),
		RepeatedPathValues: rest.GetRepeatedPathValues(),
		StreamEnvelope:     rest.GetStreamEnvelope(),
		StreamArray:        rest.GetStreamArray(),
		IgnoreBoundQuery:   rest.GetIgnoreBoundQuery(),
		LiteralPlus:        rest.GetLiteralPlus(),
		FormQuery:          rest.GetFormMethodOverride(),
		StatusHeaders:      rest.GetStatusHeaders(),
		AnyContentType:     rest.GetAnyContentType(),
	}
	return s
}

func requestJSON(rest *transomv1.Rest) jsonwire.Input {
	return jsonwire.Input{
		IgnoreUnknown: rest.GetIgnoreUnknownFields(),
		IgnoreEnums:   rest.GetIgnoreUnknownEnums(),
		KnownEnums:    rest.IgnoreUnknownEnums != nil && !rest.GetIgnoreUnknownEnums(),
		AllowTrailing: rest.GetIgnoreTrailingJson(),
	}
}

func setOf(names []string) map[string]bool {
	set := map[string]bool{}
	for _, n := range names {
		set[n] = true
	}
	return set
}

// of returns the settings of a method by its policies.
func (s settings) of(set *policy.Set) transcoder.Settings {
	own, p := s.base, set.Effective
	if read := set.QueryParameters(); len(read) > 0 {
		own.IgnoredQuery = maps.Clone(own.IgnoredQuery)
		for _, name := range read {
			own.IgnoredQuery[name] = true
		}
	}
	applyJSON(&own.JSON, p.GetJson())
	applyJSON(&own.ConnectJSON, p.GetJson())
	if j := p.GetJson(); j != nil && j.IgnoreUnknownFields != nil {
		own.Input.IgnoreUnknown = j.GetIgnoreUnknownFields()
	}
	own.MaxBody = int64(min(p.GetLimits().GetMaxBodyBytes(), 1<<40))
	own.MaxMessage = int64(min(p.GetLimits().GetMaxMessageBytes(), 1<<40))
	own.JSON.MaxBytes = int(min(p.GetLimits().GetMaxJsonBytes(), math.MaxInt32))
	own.ConnectJSON.MaxBytes = own.JSON.MaxBytes
	for _, m := range p.GetStatus() {
		if code, ok := rpccode.Parse(m.GetCode()); ok { // policy refuses the others
			if own.Status == nil {
				own.Status = map[codes.Code]int{}
			}
			own.Status[code] = int(m.GetHttpStatus())
		}
	}
	own.StatusFromMetadata = p.GetResponseMetadata().GetHttpStatus()
	own.OwnHeaders = setOf(p.GetResponseMetadata().GetHeaders())
	tagged, ok := policy.Find[interface{ ETags() bool }](set)
	own.EntityTags = ok && tagged.ETags()
	return own
}

// answerJSON says how the REST answers of a method are written, by its policy.
func (s settings) answerJSON(j *transomv1.Json) jsonwire.Output {
	own := s.base.JSON
	applyJSON(&own, j)
	return own
}

func applyJSON(o *jsonwire.Output, j *transomv1.Json) {
	set := func(to *bool, from *bool) {
		if from != nil {
			*to = *from
		}
	}
	if j == nil {
		return
	}
	if j.GetOmitDefaults() {
		o.UnsetAsNull = false // it may be compatibility's, and would outrank what is written here
	}
	set(&o.OmitDefaults, j.OmitDefaults)
	set(&o.UnsetAsNull, j.UnsetMessagesAsNull)
	set(&o.ProtoNames, j.ProtoNames)
	set(&o.EnumNumbers, j.EnumsAsNumbers)
	set(&o.Int64Numbers, j.Int64AsNumbers)
}

// idleTimeout is the policy's; streams have a default (Semantics 42).
func (s settings) idleTimeout(set *policy.Set) time.Duration {
	if set.IdleTimeout > 0 {
		return set.IdleTimeout
	}
	return defaultIdle
}

// leftOut tells of values of headers that metadata cannot carry: clients may send as many as they like, so
// that one is a warning.
func leftOut(log *slog.Logger) func(name string) {
	var warned atomic.Bool
	return func(name string) {
		level := slog.LevelDebug
		if !warned.Swap(true) {
			level = slog.LevelWarn
		}
		log.Log(context.Background(), level, "a header value that is no printable ASCII was left out; others like it are logged at the level debug", "header", name)
	}
}
