package peers

import (
	"context"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"

	"connectrpc.com/vanguard"

	benchv1 "github.com/transom-gateway/transom/bench/proto/bench/v1"
)

// serveVanguard is vanguard-go as a gateway, which it is with a reverse proxy
// for its handler: REST in front, gRPC over cleartext HTTP/2 behind.
func serveVanguard(ctx context.Context, listener net.Listener, backends Backends) error {
	target := &url.URL{Scheme: "http", Host: backends.GRPC}
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     transport,
		BufferPool:    &buffers{},
		FlushInterval: -1, // each message leaves at once
	}
	service := vanguard.NewServiceWithSchema(
		benchv1.File_bench_v1_bench_proto.Services().ByName("ItemService"), proxy,
		vanguard.WithTargetProtocols(vanguard.ProtocolGRPC), vanguard.WithTargetCodecs(vanguard.CodecProto))
	transcoder, err := vanguard.NewTranscoder([]*vanguard.Service{service})
	if err != nil {
		return err
	}
	return serveHTTP(ctx, listener, transcoder)
}
