package main

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/transom-gateway/transom/bench/load"
	"github.com/transom-gateway/transom/bench/peers"
	benchv1 "github.com/transom-gateway/transom/bench/proto/bench/v1"
)

// scenario is one piece of work and those that do it.
type scenario struct {
	name  string // For -only.
	title string // For the table.
	unit  string // What the first column of figures counts.
	// peers are the names in the fleet that must run.
	peers []string
	// transomOnly: nothing else can stand in Transom's place.
	transomOnly bool
	run         func(context.Context, *fleet, settings) ([]row, error)
	// head is that of a table whose rows have cells of their own.
	head string
}

// contender is one row of a scenario.
type contender struct {
	label string
	peer  string
	// request is sent instead of the scenario's, where it has a path.
	request load.Request
	// goal is the largest ratio of the subject's cost to this one's; zero: none.
	goal float64
}

// The peers, by their names in the fleet.
const (
	transom        = "transom"
	transomAgain   = "transom-again"
	transomLogged  = "transom-logged"
	transomSecured = "transom-secured"
	transomKept    = "transom-kept"
	transomIdle    = "transom-idle"
	transomUnused  = "transom-unused"

	transomPlain      = "transom-plain"
	transomPlainAgain = "transom-plain-again"

	caddy   = "caddy"
	traefik = "traefik"

	grpcGateway  = "grpc-gateway"
	vanguard     = "vanguard"
	reverseProxy = "reverse-proxy"
	nginx        = "nginx"
	envoy        = "envoy"
	envoyUnused  = "envoy-unused"
	grpcProxy    = "grpc-proxy"
	netHTTPFloor = "floor"
)

// keyHeader is the header of idempotency keys.
const keyHeader = "Idempotency-Key"

// ticks is how many messages the stream scenario sends.
const ticks = 1000

// scenarios is the whole table.
func scenarios() []scenario {
	return []scenario{
		timed{
			name: "get-small", title: "small GET (0.3 KB), HTTP/1.1, 32 connections",
			tool: load.Wrk, request: load.Request{Path: "/v1/items/item-1"}, form: jsonForm,
			contenders: append(rest(0.60), contender{label: "Transom with its access log on", peer: transomLogged}),
		}.scenario(),
		timed{
			name: "post", title: "POST of 1 KB, HTTP/1.1, 32 connections",
			tool: load.Wrk, request: postRequest(), form: jsonForm,
			contenders: rest(0.42),
		}.scenario(),
		timed{
			name: "list", title: "list of 50 KB, HTTP/1.1, 32 connections",
			tool: load.Wrk, request: listRequest(50), form: jsonForm,
			contenders: rest(0.12),
		}.scenario(),
		timed{
			name: "get-http2", title: "small GET, HTTP/2, 4 connections of 8 streams",
			tool: load.H2load, request: load.Request{Path: "/v1/items/item-1"}, form: jsonForm, http2: true,
			options: load.Options{Connections: 4, Streams: 8},
			contenders: []contender{
				{label: "Transom", peer: transom},
				{label: "Transom again (noise)", peer: transomAgain},
				{label: "grpc-gateway", peer: grpcGateway},
				{label: "httputil.ReverseProxy", peer: reverseProxy},
			},
		}.scenario(),
		timed{
			name: "stream", title: "NDJSON stream of 1,000 small messages, HTTP/1.1, 32 connections",
			tool: load.H2load, form: streamForm, messages: ticks,
			options: load.Options{HTTP1: true, Requests: 192},
			request: load.Request{
				Path:    "/v1/items:watch?count=1000",
				Headers: map[string]string{"Accept": "application/x-ndjson"},
			},
			contenders: []contender{
				{label: "Transom", peer: transom},
				{label: "Transom again (noise)", peer: transomAgain},
				{label: "grpc-gateway", peer: grpcGateway, goal: 0.18},
			},
		}.scenario(),
		timed{
			name: "grpc", title: "gRPC passthrough, unary, 4 connections of 8 streams", transomOnly: true,
			tool: load.H2load, request: grpcRequest(), form: grpcForm, http2: true,
			options: load.Options{Connections: 4, Streams: 8},
			contenders: []contender{
				{label: "Transom", peer: transom},
				{label: "Transom again (noise)", peer: transomAgain},
				{label: "grpc-go UnknownServiceHandler proxy", peer: grpcProxy, goal: 1.2},
			},
		}.scenario(),
		timed{
			name: "secured", title: "small GET behind JWT, role and rate limit, HTTP/1.1, 32 connections", transomOnly: true,
			tool: load.Wrk, form: jsonForm,
			contenders: []contender{
				{label: "Transom, secured", peer: transomSecured, request: securedRequest()},
				{label: "Transom, secured, again (noise)", peer: transomSecured, request: securedRequest()},
				{label: "Transom, bare method", peer: transomSecured, goal: 1.15, request: bareRequest()},
			},
		}.scenario(),
		keptScenario("kept", "small GET that the cache answers, HTTP/1.1, 32 connections", load.Request{Path: "/v1/secured/item-1"}, load.Wrk, load.Options{},
			contender{label: "Transom, by a miss, with the backend's time", goal: 0.2, request: load.Request{Path: "/v1/secured/item-1", Apart: true}},
			contender{label: "Transom, without a cache, with the backend's time", request: load.Request{Path: "/v1/items/item-1"}}),
		keptScenario("kept-page", "list of 3 KB that the cache answers, HTTP/1.1, 32 connections", listRequest(3), load.Wrk, load.Options{},
			contender{label: "Transom, by a miss, with the backend's time", goal: 0.2, request: apart(listRequest(3))},
			contender{label: "Transom, without a cache, with the backend's time", peer: transom, request: listRequest(3)}),
		keptScenario("kept-list", "list of 50 KB that the cache answers, HTTP/1.1, 32 connections", listRequest(50), load.Wrk, load.Options{},
			contender{label: "Transom, by a miss, with the backend's time", goal: 0.2, request: apart(listRequest(50))},
			contender{label: "Transom, without a cache, with the backend's time", peer: transom, request: listRequest(50)}),
		keptScenario("kept-http2", "small GET that the cache answers, HTTP/2, 4 connections of 8 streams", load.Request{Path: "/v1/secured/item-1"}, load.H2load, load.Options{Connections: 4, Streams: 8},
			contender{label: "Transom, without a cache, with the backend's time", request: load.Request{Path: "/v1/items/item-1"}}),
		keptScenario("replay", "POST of 1 KB under a key whose answer is kept, HTTP/1.1, 32 connections", replayedRequest(), load.Wrk, load.Options{},
			contender{label: "Transom, by a call without a key, with the backend's time", goal: 0.3, request: postRequest()},
			contender{label: "Transom, by the first call under a key, with the backend's time", request: firstRequest()}),
		timed{
			name: "http", title: "plain HTTP route, small GET (0.3 KB), HTTP/1.1, 32 connections", transomOnly: true,
			tool: load.Wrk, request: load.Request{Path: "/v1/items/item-1"}, form: jsonForm,
			contenders: plain(),
		}.scenario(),
		timed{
			name: "http-large", title: "plain HTTP route, download of 1 MB, HTTP/1.1, 32 connections", transomOnly: true,
			tool: load.Wrk, request: load.Request{Path: "/blob"}, form: bytesForm,
			contenders: plain(),
		}.scenario(),
		idleScenario(),
		bombsScenario(),
		unwellScenario(),
		retriesScenario(),
		unusedScenario(),
	}
}

// keptScenario compares an answer that is kept with that of the backend, whose work counts
// as the gateway's does, and of some with what net/http alone takes to read the request and write the answer.
func keptScenario(name, title string, kept load.Request, tool load.Tool, options load.Options, called ...contender) scenario {
	contenders := []contender{
		{label: "Transom, kept", request: kept},
		{label: "Transom, kept, again (noise)", request: kept},
	}
	contenders = append(contenders, called...)
	for i := range contenders {
		contenders[i].peer = cmp.Or(contenders[i].peer, transomKept)
	}
	http2 := options.Streams > 0
	if name == "kept" || name == "kept-list" || name == "replay" { // those whose answers it has
		contenders = append(contenders, contender{label: "net/http with the answer ready", peer: netHTTPFloor, request: kept})
	}
	return timed{
		name: name, title: title, transomOnly: true, withBackend: true, tool: tool, options: options, http2: http2,
		form: jsonForm, contenders: contenders,
	}.scenario()
}

// rest are those who serve JSON; the goal is against grpc-gateway.
func rest(goal float64) []contender {
	all := []contender{
		{label: "Transom", peer: transom},
		{label: "Transom again (noise)", peer: transomAgain},
		{label: "grpc-gateway", peer: grpcGateway, goal: goal},
		{label: "vanguard-go", peer: vanguard},
		{label: "httputil.ReverseProxy (JSON backend)", peer: reverseProxy},
		{label: "nginx (JSON backend)", peer: nginx},
	}
	if envoyBinary() != "" {
		all = append(all, contender{label: "Envoy's grpc_json_transcoder", peer: envoy})
	}
	return all
}

// plain are those who forward to a plain HTTP server.
func plain() []contender {
	all := []contender{
		{label: "Transom", peer: transomPlain},
		{label: "Transom again (noise)", peer: transomPlainAgain},
		{label: "httputil.ReverseProxy", peer: reverseProxy, goal: 0.95},
		{label: "nginx", peer: nginx},
	}
	if plainBinary(caddy) != "" {
		all = append(all, contender{label: "Caddy", peer: caddy, goal: 0.8})
	}
	if plainBinary(traefik) != "" {
		all = append(all, contender{label: "Traefik", peer: traefik, goal: 0.8})
	}
	return all
}

func postRequest() load.Request {
	body, err := protojson.Marshal(peers.LargeItem(1))
	if err != nil {
		panic(err) // A constant message.
	}
	return load.Request{
		Method:  "POST",
		Path:    "/v1/items",
		Headers: map[string]string{"Content-Type": "application/json"},
		Body:    body,
	}
}

func replayedRequest() load.Request {
	r := postRequest()
	r.Headers[keyHeader] = "one-for-all"
	return r
}

// firstRequest has a key of its own each time.
func firstRequest() load.Request {
	r := postRequest()
	r.Headers[keyHeader], r.ApartHeader = "first", keyHeader
	return r
}

// listRequest asks for that many items of 1 KB.
func listRequest(items int) load.Request {
	return load.Request{Path: fmt.Sprintf("/v1/items?pageSize=%d&filter=brass", items)}
}

func apart(r load.Request) load.Request {
	r.Apart = true
	return r
}

// grpcRequest is one uncompressed message in gRPC's framing.
func grpcRequest() load.Request {
	message, err := proto.Marshal(&benchv1.GetItemRequest{Id: "item-1"})
	if err != nil {
		panic(err) // A constant message.
	}
	frame := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	return load.Request{
		Method:  "POST",
		Path:    benchv1.ItemService_GetItem_FullMethodName,
		Headers: map[string]string{"Content-Type": "application/grpc", "Te": "trailers"},
		Body:    append(frame, message...),
	}
}

func securedRequest() load.Request {
	return load.Request{
		Path:    "/v1/secured/item-1",
		Headers: map[string]string{"Authorization": "Bearer " + benchToken()},
	}
}

// bareRequest carries the token too, so that both requests are of one size.
func bareRequest() load.Request {
	r := securedRequest()
	r.Path = "/v1/items/item-1"
	return r
}
