package main

import (
	"context"
	"crypto/tls"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"github.com/transom-gateway/transom/examples/bookstore"
	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/server"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
	"github.com/transom-gateway/transom/internal/testing/keytest"
)

// startReflected starts the bookstore with its reflection, and returns the port.
func startReflected(t *testing.T, options ...grpc.ServerOption) string {
	t.Helper()
	s := grpc.NewServer(options...)
	pb.RegisterBookstoreServiceServer(s, bookstore.NewServer())
	reflection.Register(s)
	l, err := net.Listen("tcp", "127.0.0.1:0") // the address of localhost, for the certificate's sake
	if err != nil {
		t.Fatal(err)
	}
	grpctest.ServeOn(t, l, s)
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

const getShelf = "bookstore.v1.BookstoreService/GetShelf"

// TestUpstreamTLS: --upstream-ca and --upstream-tls reach a server that speaks TLS, by
// call as by serve, and its reflection; without them, or before a server that does not,
// one error names the server and says what to set.
func TestUpstreamTLS(t *testing.T) {
	cert, key := keytest.Certificate(t, "localhost")
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	dir := folder(t, map[string]string{"ca.pem": cert})
	ca := filepath.Join(dir, "ca.pem")
	secure := "localhost:" + startReflected(t, grpc.Creds(credentials.NewServerTLSFromCert(&pair)))
	plain := "localhost:" + startReflected(t)

	code, out, told := command(t, "call", getShelf, "-d", `{"name":"shelves/1"}`, "--upstream", secure, "--upstream-ca", ca)
	if code != 0 || !strings.Contains(out, `"name":"shelves/1"`) || told != "" {
		t.Errorf("%d %s%s", code, out, told)
	}
	in := input{reflect: true, upstream: secure, upstreamCA: ca, listen: "127.0.0.1:0", admin: "127.0.0.1:0"}
	r := startServing(t, func(ctx context.Context, s streams, started func(*server.Server)) error {
		return serve(ctx, in.load, s, started)
	})
	wantAnswer(t, "GET", r.url+"/v1/shelves/1", "", 200, `"name":"shelves/1"`)

	protos := folder(t, map[string]string{"p.proto": goodProto})
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"cleartext to TLS":                   {[]string{"p.v1.S/Get", protos, "--upstream", secure}, "TLS: set tls in the upstream, or --upstream-tls"},
		"cleartext to TLS, by reflection":    {[]string{getShelf, "--upstream", secure}, "TLS: set tls in the upstream, or --upstream-tls"},
		"TLS to cleartext":                   {[]string{"p.v1.S/Get", protos, "--upstream", plain, "--upstream-tls"}, "the server seems not to speak TLS: remove tls from the upstream, or --upstream-tls"},
		"TLS to cleartext, by reflection":    {[]string{getShelf, "--upstream", plain, "--upstream-tls"}, "the server seems not to speak TLS: remove tls from the upstream, or --upstream-tls"},
		"an authority that nobody knows":     {[]string{"p.v1.S/Get", protos, "--upstream", secure, "--upstream-tls"}, "certificate"},
		"one that is unknown, by reflection": {[]string{getShelf, "--upstream", secure, "--upstream-tls"}, "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, told := command(t, append([]string{"call"}, c.args...)...)
			target := secure
			if strings.HasPrefix(name, "TLS") {
				target = plain
			}
			if code != exitProblem || out != "" || strings.Count(told, "\n") != 1 || !strings.HasPrefix(told, target+": ") || !strings.Contains(told, c.want) {
				t.Errorf("%d %q %q, want one line of %s with %q", code, out, told, target, c.want)
			}
		})
	}
}

// TestServeTellsOfTLS: the log says what to set where one side speaks TLS and the other
// does not, and so does the warning of a server that is asked for its schema.
func TestServeTellsOfTLS(t *testing.T) {
	plain := "localhost:" + startReflected(t)
	in := input{reflect: true, upstream: plain, upstreamTLS: true, listen: "127.0.0.1:0", admin: "127.0.0.1:0"}
	r := startServing(t, func(ctx context.Context, s streams, started func(*server.Server)) error {
		return serve(ctx, in.load, s, started)
	})
	const advice = "the server seems not to speak TLS: remove tls from the upstream, or --upstream-tls"
	for _, start := range []string{`"msg":"the backend cannot be reached","target":"` + plain, `"msg":"load: the server cannot be asked for its schema: `} {
		found := 0
		for line := range strings.Lines(r.log.String()) {
			if strings.Contains(line, start) && strings.Contains(line, advice) {
				found++
			}
		}
		if found != 1 {
			t.Errorf("%d lines with %s and the advice in\n%s", found, start, r.log.String())
		}
	}
	if code, text := get(t, r.admin+"/readyz"); code != 503 || !strings.Contains(text, "no route is served: "+plain) || !strings.Contains(text, advice) {
		t.Errorf("Semantics 323: %d %s", code, text)
	}
}

// TestCallAsksWithMetadata: -H of call reaches the server's reflection too, which may let
// nobody in without it.
func TestCallAsksWithMetadata(t *testing.T) {
	letIn := func(ctx context.Context) error {
		md, _ := metadata.FromIncomingContext(ctx)
		if strings.Join(md.Get("authorization"), " ") != "Bearer good" || strings.Join(md.Get("x-key-bin"), " ") != "\x01\x02" {
			return status.Errorf(codes.Unauthenticated, "who are you?")
		}
		return nil
	}
	at := "localhost:" + startReflected(t, grpc.StreamInterceptor(func(service any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
		if err := letIn(stream.Context()); err != nil {
			return err
		}
		return next(service, stream)
	}), grpc.UnaryInterceptor(func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
		if err := letIn(ctx); err != nil {
			return nil, err
		}
		return next(ctx, request)
	}))
	args := []string{"call", getShelf, "-d", `{"name":"shelves/1"}`, "--upstream", at}
	if code, out, told := command(t, args...); code != exitProblem || !strings.Contains(told, "who are you?") || !strings.HasPrefix(told, at+": ") {
		t.Errorf("without: %d %s%s", code, out, told)
	}
	code, out, told := command(t, append(args, "-H", "Authorization: Bearer good", "-H", "x-key-bin: AQI=")...)
	if code != 0 || !strings.Contains(out, `"name":"shelves/1"`) {
		t.Errorf("with: %d %s%s", code, out, told)
	}
}
