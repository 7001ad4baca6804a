package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	pb "github.com/transom-gateway/transom/examples/bookstore/protos/bookstore/v1"
	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/walkthrough"
)

const commandPage = "../../docs/command-line.md"

// TestCommandLinePage runs the examples of docs/command-line.md.
func TestCommandLinePage(t *testing.T) {
	dir := exampleFolder(t, "")
	backend := gatewaytest.StartBookstore(t)
	write(t, filepath.Join(dir, "transom.yaml"), "schemas: [{ directory: ./protos }]\nupstreams: { books: { grpc: { target: \""+backend+"\" } } }\n")
	set, err := proto.Marshal(descriptorSet(pb.File_bookstore_v1_bookstore_proto))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "bookstore.binpb"), string(set))
	walkthrough.Shell{Dir: dir, Bin: commandFolder(t), Replace: []string{"localhost:50051", backend}}.
		Run(t, walkthrough.Steps(readPage(t, commandPage)))
}

// descriptorSet is a file with all that it imports.
func descriptorSet(file protoreflect.FileDescriptor) *descriptorpb.FileDescriptorSet {
	set := &descriptorpb.FileDescriptorSet{}
	seen := map[string]bool{}
	var add func(protoreflect.FileDescriptor)
	add = func(file protoreflect.FileDescriptor) {
		if seen[file.Path()] {
			return
		}
		seen[file.Path()] = true
		for i := range file.Imports().Len() {
			add(file.Imports().Get(i).FileDescriptor)
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
	}
	add(file)
	return set
}

// TestCommandLineIsDocumented compares the page with the commands: each has its
// section, and each section's rows name its flags, all of them and no others.
func TestCommandLineIsDocumented(t *testing.T) {
	sections := map[string]string{}
	for _, section := range strings.Split(readPage(t, commandPage), "\n## ")[1:] {
		title, text, _ := strings.Cut(section, "\n")
		sections[title] = text
	}
	root := newRoot(streams{})
	root.InitDefaultCompletionCmd("transom")
	for _, c := range root.Commands() {
		text, ok := sections[c.CommandPath()]
		if !ok {
			t.Errorf("there is no section %q", c.CommandPath())
			continue
		}
		if _, arguments, _ := strings.Cut(c.Use, " "); !strings.Contains(text, arguments) {
			t.Errorf("%s does not say what it takes: %s", c.CommandPath(), c.Use)
		}
		if !strings.Contains(text, "```console\n") {
			t.Errorf("%s shows no example", c.CommandPath())
		}
		compareFlags(t, c, text)
	}
}

var flagName = regexp.MustCompile("`(--?[a-zA-Z-]+)")

func compareFlags(t *testing.T, c *cobra.Command, text string) {
	t.Helper()
	said := map[string]bool{}
	for line := range strings.Lines(text) {
		if first, _, _ := strings.Cut(strings.TrimPrefix(line, "|"), "|"); strings.HasPrefix(line, "|") {
			for _, found := range flagName.FindAllStringSubmatch(first, -1) {
				said[found[1]] = true
			}
		}
	}
	var check func(*cobra.Command)
	check = func(c *cobra.Command) {
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			names := []string{"--" + f.Name}
			if f.Shorthand != "" {
				names = append(names, "-"+f.Shorthand)
			}
			for _, name := range names {
				if !said[name] && f.Name != "help" {
					t.Errorf("%s: no row for %s (%s)", c.CommandPath(), name, f.Usage)
				}
				said["known "+name] = true
			}
		})
		for _, below := range c.Commands() {
			check(below)
		}
	}
	check(c)
	for name := range said {
		if strings.HasPrefix(name, "-") && !said["known "+name] {
			t.Errorf("%s has a row for %s, which it does not have", c.CommandPath(), name)
		}
	}
}
