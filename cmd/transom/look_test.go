package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
)

func TestRoutes(t *testing.T) {
	dir := folder(t, map[string]string{"p.proto": goodProto})
	_, out, _ := command(t, "routes", dir)
	if !strings.Contains(out, "/v1/{name=things/*}") || !strings.Contains(out, "server_streaming") {
		t.Error(out)
	}
	_, out, _ = command(t, "routes", "--json", dir)
	if !strings.Contains(out, `"rpc": "p.v1.S/Get"`) || !strings.Contains(out, `"policies": []`) {
		t.Error(out)
	}
}

func TestExplain(t *testing.T) {
	dir := folder(t, map[string]string{"p.proto": goodProto})
	code, out, _ := command(t, "explain", "GET", "/v1/things/a%2Fb", dir)
	if code != 0 || !strings.HasPrefix(out, "route      GET /v1/{name=things/*}\n") ||
		!strings.Contains(out, `name = "things/a%2Fb"`) || !strings.Contains(out, "p.proto:5:") {
		t.Errorf("%d\n%s", code, out)
	}
	for line, want := range map[string]string{
		"DELETE /v1/things":  "1 refused    405 UNIMPLEMENTED: the method DELETE is not allowed here; allowed: GET, HEAD, OPTIONS\n",
		"OPTIONS /v1/things": "0 no route, and an answer: 204 with Allow: GET, HEAD, OPTIONS\n",
		"GET /nothing":       "1 ",
		"GET /p.v1.S/Get":    "1 refused    405 UNIMPLEMENTED: the method GET is not allowed here; allowed: OPTIONS, POST\n",
		"POST /p.v1.S/Get":   "0 route      POST /p.v1.S/Get body=\"*\"\nrule       " + dir + "/p.proto:5:3\n",
	} {
		args := append([]string{"explain"}, append(strings.Fields(line), dir)...)
		if code, out, _ := command(t, args...); !strings.HasPrefix(fmt.Sprint(code, " ", out), want) {
			t.Errorf("%s: %d %s", line, code, out)
		}
	}
}

// A set without source information knows files and no lines.
func TestExplainWithoutPlaces(t *testing.T) {
	wire, err := proto.Marshal(descriptorSet(pb.File_bookstore_v1_bookstore_proto))
	if err != nil {
		t.Fatal(err)
	}
	set := filepath.Join(folder(t, map[string]string{"api.binpb": string(wire)}), "api.binpb")
	code, out, told := command(t, "explain", "GET", "/v1/shelves/1", "--descriptor-set", set)
	if code != 0 || !strings.Contains(out, "\nrule       "+set+":bookstore/v1/bookstore.proto\n") {
		t.Errorf("%d\n%s%s", code, out, told)
	}
}
