// Command gengateway writes the grpc-gateway handlers of the benchmark's
// service beside its messages. It reads the descriptors from the generated
// messages and runs the protoc-gen-grpc-gateway of go.mod, so it needs neither
// protoc nor the network. The messages themselves come from the module above:
//
//	go run ./internal/generate                  # in the module above
//	go run ./gengateway                         # then here
//	go run ./gengateway -check                  # exit 1 where a file is stale
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/pluginpb"

	benchv1 "github.com/transom-gateway/transom/bench/proto/bench/v1"
)

const (
	root   = "proto"
	plugin = "github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-grpc-gateway"
)

func main() {
	check := flag.Bool("check", false, "write nothing; exit 1 where a file is stale")
	flag.Parse()
	stale, err := run(*check)
	if err != nil {
		fmt.Fprintln(os.Stderr, "gengateway:", err)
		os.Exit(1)
	}
	if *check && len(stale) > 0 {
		fmt.Fprintln(os.Stderr, "stale, run make generate:", stale)
		os.Exit(1)
	}
}

// run writes the handlers, unless it only checks, and returns the files that
// were not as they should be.
func run(check bool) ([]string, error) {
	file := benchv1.File_bench_v1_bench_proto
	request := &pluginpb.CodeGeneratorRequest{
		FileToGenerate: []string{file.Path()},
		Parameter:      proto.String("paths=source_relative"),
	}
	add(request, file, map[string]bool{})
	response, err := generate(request)
	if err != nil {
		return nil, err
	}
	var stale []string
	for _, f := range response.GetFile() {
		path := filepath.Join(root, f.GetName())
		have, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if bytes.Equal(have, []byte(f.GetContent())) {
			continue
		}
		stale = append(stale, path)
		if check {
			continue
		}
		if err := os.WriteFile(path, []byte(f.GetContent()), 0o644); err != nil {
			return nil, err
		}
	}
	return stale, nil
}

// add appends a file after all that it imports.
func add(request *pluginpb.CodeGeneratorRequest, file protoreflect.FileDescriptor, seen map[string]bool) {
	if seen[file.Path()] {
		return
	}
	seen[file.Path()] = true
	for i := range file.Imports().Len() {
		add(request, file.Imports().Get(i).FileDescriptor, seen)
	}
	request.ProtoFile = append(request.ProtoFile, protodesc.ToFileDescriptorProto(file))
}

func generate(request *pluginpb.CodeGeneratorRequest) (*pluginpb.CodeGeneratorResponse, error) {
	in, err := proto.Marshal(request)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("go", "tool", plugin)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", plugin, err)
	}
	response := &pluginpb.CodeGeneratorResponse{}
	if err := proto.Unmarshal(out, response); err != nil {
		return nil, err
	}
	if response.Error != nil {
		return nil, fmt.Errorf("%s: %s", plugin, response.GetError())
	}
	return response, nil
}
