// Command generate writes the Go code of the project's own .proto files beside
// them. It compiles the files with protocompile and runs the protoc-gen-go of
// go.mod, so it needs neither protoc nor the network.
//
//	go run ./internal/generate            # from the module's root
//	go run ./internal/generate -check     # exit 1 where a file is stale
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	// Linked in so that imports of them resolve.
	_ "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	_ "google.golang.org/genproto/googleapis/api/annotations"
	_ "google.golang.org/genproto/googleapis/api/httpbody"
)

// A job is one import root whose files are generated.
type job struct {
	// Root is the folder that imports are relative to; code is written there too.
	Root string
	// Roots are further folders to import from.
	Roots []string
	// GRPC: also write client and server stubs.
	GRPC bool
}

var jobs = []job{
	{Root: "proto", GRPC: true},
	{Root: "examples/behaviour/protos", Roots: []string{"proto"}, GRPC: true},
	{Root: "examples/bookstore/protos", Roots: []string{"proto"}, GRPC: true},
	{Root: "examples/secured/protos", Roots: []string{"proto"}, GRPC: true},
	{Root: "examples/resilient/protos", Roots: []string{"proto"}, GRPC: true},
	{Root: "examples/storefront/protos", Roots: []string{"proto"}, GRPC: true},
	{Root: "bench/proto", GRPC: true},
	{Root: "transcoder/jsonwire/internal/testpb"},
}

// plugins are run with `go tool`, at the versions of go.mod.
const (
	messagePlugin = "google.golang.org/protobuf/cmd/protoc-gen-go"
	servicePlugin = "google.golang.org/grpc/cmd/protoc-gen-go-grpc"
)

func main() {
	check := flag.Bool("check", false, "write nothing; exit 1 where a file is stale")
	flag.Parse()
	stale, err := run(*check)
	if err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
	if *check && len(stale) > 0 {
		fmt.Fprintln(os.Stderr, "stale, run make generate:", strings.Join(stale, " "))
		os.Exit(1)
	}
}

// run generates all jobs and returns the files whose content changed or, when
// checking, would change.
func run(check bool) ([]string, error) {
	var changed []string
	for _, j := range jobs {
		if _, err := os.Stat(j.Root); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		request, err := j.request()
		if err != nil {
			return nil, err
		}
		plugins := []string{messagePlugin}
		if j.GRPC {
			plugins = append(plugins, servicePlugin)
		}
		for _, plugin := range plugins {
			files, err := runPlugin(plugin, request)
			if err != nil {
				return nil, err
			}
			for _, f := range files {
				path := filepath.Join(j.Root, f.GetName())
				have, err := os.ReadFile(path)
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					return nil, err
				}
				if bytes.Equal(have, []byte(f.GetContent())) {
					continue
				}
				changed = append(changed, path)
				if check {
					continue
				}
				if err := os.WriteFile(path, []byte(f.GetContent()), 0o644); err != nil {
					return nil, err
				}
			}
		}
	}
	return changed, nil
}

// request compiles the files below the root into what a plugin reads.
func (j job) request() (*pluginpb.CodeGeneratorRequest, error) {
	var names []string
	err := filepath.WalkDir(j.Root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".proto") {
			var name string
			if name, err = filepath.Rel(j.Root, path); err == nil {
				names = append(names, filepath.ToSlash(name))
			}
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	compiler := protocompile.Compiler{
		Resolver: protocompile.CompositeResolver{
			&protocompile.SourceResolver{ImportPaths: append([]string{j.Root}, j.Roots...)},
			protocompile.ResolverFunc(linked),
		},
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	files, err := compiler.Compile(context.Background(), names...)
	if err != nil {
		return nil, err
	}
	request := &pluginpb.CodeGeneratorRequest{
		FileToGenerate: names,
		Parameter:      proto.String("paths=source_relative"),
	}
	seen := map[string]bool{}
	var add func(protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		if seen[f.Path()] {
			return
		}
		seen[f.Path()] = true
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i).FileDescriptor)
		}
		request.ProtoFile = append(request.ProtoFile, protodesc.ToFileDescriptorProto(f))
	}
	for _, f := range files {
		add(f)
	}
	// Options come back from the compiler as unknown bytes; read them again with
	// the linked-in types so that plugins see what protoc would show them.
	set, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: request.ProtoFile})
	if err != nil {
		return nil, err
	}
	var again descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(set, &again); err != nil {
		return nil, err
	}
	request.ProtoFile = again.File
	return request, nil
}

// linked finds imports among the descriptors of this binary.
func linked(path string) (protocompile.SearchResult, error) {
	file, err := protoregistry.GlobalFiles.FindFileByPath(path)
	if err != nil {
		return protocompile.SearchResult{}, err
	}
	return protocompile.SearchResult{Desc: file}, nil
}

func runPlugin(plugin string, request *pluginpb.CodeGeneratorRequest) ([]*pluginpb.CodeGeneratorResponse_File, error) {
	in, err := proto.Marshal(request)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("go", "tool", plugin)
	cmd.Stdin = bytes.NewReader(in)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", plugin, err)
	}
	var response pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(out, &response); err != nil {
		return nil, err
	}
	if response.Error != nil {
		return nil, fmt.Errorf("%s: %s", plugin, response.GetError())
	}
	return response.File, nil
}
