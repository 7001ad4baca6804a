package main

import (
	"context"
	"math"
	"os/exec"

	"github.com/transom-gateway/transom/bench/load"
	benchv1 "github.com/transom-gateway/transom/bench/proto/bench/v1"
	"github.com/transom-gateway/transom/bench/unwell"
)

// unusedScenario measures what retries, ejection and a circuit breaker cost calls
// that do not need them: beside a method without policies of the same process,
// and beside Envoy with its own.
func unusedScenario() scenario {
	secured := grpcRequest()
	secured.Path = benchv1.ItemService_GetSecuredItem_FullMethodName
	work := timed{
		name: "unused", title: "retry, circuit_breaker and outlier set and unused, gRPC, 4 connections of 8 streams", transomOnly: true,
		tool: load.H2load, request: grpcRequest(), form: grpcForm, http2: true,
		options: load.Options{Connections: 4, Streams: 8},
		contenders: []contender{
			{label: "Transom, policies", peer: transomUnused, request: secured},
			{label: "Transom, policies, again (noise)", peer: transomUnused, request: secured},
			{label: "Transom, bare method", peer: transomUnused, goal: 1.01},
		},
	}
	if envoyBinary() != "" {
		work.contenders = append(work.contenders, contender{label: "Envoy, retries and ejection", peer: envoyUnused})
	}
	sc := work.scenario()
	sc.run = func(ctx context.Context, f *fleet, s settings) ([]row, error) {
		rows, err := work.run(ctx, f, s)
		if err != nil {
			return nil, err
		}
		more := math.Round(rows[0].allocs - rows[2].allocs)
		return append(rows, row{label: "allocations more than the bare method's", figure: more, allocs: math.NaN(), ratio: math.NaN(), bounded: true}), nil
	}
	return sc
}

// startEnvoyUnused runs Envoy in front of the gRPC server, with retries and
// ejection, as many threads as processors, no access log.
func (f *fleet) startEnvoyUnused(ctx context.Context) (*peer, error) {
	serve, err := freeAddress()
	if err != nil {
		return nil, err
	}
	cmd, err := envoyUnwell(f, serve, unwell.Setup{Servers: []string{f.backends.GRPC}, Attempts: 3, Outlier: true})
	if err != nil {
		return nil, err
	}
	return f.serving(ctx, envoyUnused, cmd, serve)
}

// serving starts a gateway and waits until it listens.
func (f *fleet) serving(ctx context.Context, name string, cmd *exec.Cmd, serve string) (*peer, error) {
	p, err := f.add(name, cmd)
	if err != nil {
		return nil, err
	}
	p.base = "http://" + serve
	return p, p.ready(ctx, serve)
}
