package peers_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/transom-gateway/transom/bench/peers"
	benchv1 "github.com/transom-gateway/transom/bench/proto/bench/v1"
)

// start runs a peer until the test ends.
func start(t *testing.T, name string, backends peers.Backends) peers.Address {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	in, out := io.Pipe()
	done := make(chan error, 1)
	go func() { done <- peers.Run(ctx, name, backends, out) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
	line, err := bufio.NewReader(in).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var address peers.Address
	if err := json.Unmarshal(line, &address); err != nil {
		t.Fatal(err)
	}
	return address
}

func get(t *testing.T, url string) []byte {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v\n%s", url, response.Status, err, body)
	}
	return body
}

func decode(t *testing.T, data []byte) any {
	t.Helper()
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return value
}

// All who serve JSON answer alike, in the sizes that the goals speak of.
func TestJSONPeersAgree(t *testing.T) {
	backends := peers.Backends{GRPC: start(t, "backend", peers.Backends{}).Serve}
	backends.JSON = start(t, "json-server", peers.Backends{}).Serve
	bases := map[string]string{"json-server": "http://" + backends.JSON}
	for _, name := range []string{"grpc-gateway", "vanguard", "reverse-proxy"} {
		bases[name] = "http://" + start(t, name, backends).Serve
	}
	post, err := protojson.Marshal(peers.LargeItem(1))
	if err != nil {
		t.Fatal(err)
	}
	for work, tc := range map[string]struct {
		path      string
		body      string
		low, high int
	}{
		"small GET": {"/v1/items/item-1", "", 250, 500},
		"list":      {"/v1/items?filter=brass&pageSize=50", "", 45_000, 56_000},
		"post":      {"/v1/items", string(post), 900, 1200},
	} {
		var want any
		for name, base := range bases {
			t.Run(work+" of "+name, func(t *testing.T) {
				var body []byte
				if tc.body == "" {
					body = get(t, base+tc.path)
				} else {
					response, err := http.Post(base+tc.path, "application/json", strings.NewReader(tc.body))
					if err != nil {
						t.Fatal(err)
					}
					defer func() { _ = response.Body.Close() }()
					if body, err = io.ReadAll(response.Body); err != nil {
						t.Fatal(err)
					}
				}
				if len(body) < tc.low || len(body) > tc.high {
					t.Errorf("the answer has %d bytes, want %d to %d", len(body), tc.low, tc.high)
				}
				got := decode(t, body)
				if want == nil {
					want = got
				}
				if !reflect.DeepEqual(got, want) {
					t.Errorf("got %v, another has %v", got, want)
				}
			})
		}
	}
}

// The proxy carries unary calls, streams and errors.
func TestGRPCProxy(t *testing.T) {
	backend := start(t, "backend", peers.Backends{}).Serve
	address := start(t, "grpc-proxy", peers.Backends{GRPC: backend})
	conn, err := grpc.NewClient(address.Serve, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	client := benchv1.NewItemServiceClient(conn)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	item := peers.LargeItem(7)
	got, err := client.CreateItem(ctx, item)
	if err != nil || !proto.Equal(got, item) {
		t.Fatalf("got %v, %v", got, err)
	}
	stream, err := client.WatchItems(ctx, &benchv1.WatchItemsRequest{Count: 100})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if tick, err := stream.Recv(); err != nil || tick.GetSequence() != uint64(i+1) {
			t.Fatalf("tick %d is %v, %v", i, tick, err)
		}
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Fatalf("got %v after the last tick", err)
	}
	stream, err = client.WatchItems(ctx, &benchv1.WatchItemsRequest{Count: 1 << 31})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.InvalidArgument {
		t.Fatalf("got %v, want InvalidArgument", err)
	}
	chat, err := client.Chat(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := chat.Send(&benchv1.Tick{Sequence: uint64(i)}); err != nil {
			t.Fatal(err)
		}
		if tick, err := chat.Recv(); err != nil || tick.GetSequence() != uint64(i) {
			t.Fatalf("got %v, %v", tick, err)
		}
	}
	if err := chat.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if _, err := chat.Recv(); err != io.EOF {
		t.Fatalf("got %v after the end", err)
	}
}

func TestCountersGrow(t *testing.T) {
	address := start(t, "json-server", peers.Backends{})
	read := func() (c peers.Counters) {
		if err := json.Unmarshal(get(t, "http://"+address.Debug), &c); err != nil {
			t.Fatal(err)
		}
		return c
	}
	before := read()
	for range 100 {
		get(t, "http://"+address.Serve+"/v1/items/item-1")
	}
	if after := read(); after.Mallocs < before.Mallocs+100 {
		t.Errorf("counted %d, then %d", before.Mallocs, after.Mallocs)
	}
}

func TestUnknownPeer(t *testing.T) {
	err := peers.Run(t.Context(), "envoy", peers.Backends{}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "grpc-gateway") {
		t.Errorf("got %v, want the names that there are", err)
	}
}
