package schema

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// goodSet are the user's files of the good folder, without what is built in.
func goodSet(t testing.TB) *descriptorpb.FileDescriptorSet {
	t.Helper()
	set := new(descriptorpb.FileDescriptorSet)
	loadGood(t, "testdata/good").Files().RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if wellKnownFile(file.Path()) == nil {
			set.File = append(set.File, protodesc.ToFileDescriptorProto(file))
		}
		return true
	})
	slices.SortFunc(set.File, func(a, b *descriptorpb.FileDescriptorProto) int { return strings.Compare(a.GetName(), b.GetName()) })
	return set
}

func wireOf(t testing.TB, message proto.Message) []byte {
	t.Helper()
	wire, err := proto.MarshalOptions{AllowPartial: true, Deterministic: true}.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// loadSet writes a set to a file of the given name and loads it. The name of the
// folder is cut from the problems.
func loadSet(t testing.TB, name string, data []byte) (*Registry, string) {
	t.Helper()
	folder := t.TempDir()
	name = filepath.Join(folder, name)
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	registry, problems := DescriptorSet(name).Load(t.Context())
	return registry, strings.ReplaceAll(problems.Error(), folder+"/", "")
}

func TestDescriptorSetForms(t *testing.T) {
	set := goodSet(t)
	binary := wireOf(t, set)
	// buf writes the user's own options by their names.
	typed, types := new(descriptorpb.FileDescriptorSet), loadGood(t, "testdata/good")
	if err := (proto.UnmarshalOptions{Resolver: types}).Unmarshal(binary, typed); err != nil {
		t.Fatal(err)
	}
	json, err := protojson.MarshalOptions{Resolver: types}.Marshal(typed)
	if err != nil {
		t.Fatal(err)
	}
	forms := map[string][]byte{
		"api.binpb": binary, "api.binpb.gz": gzipped(t, binary), "api.pb": gzipped(t, binary),
		"api.json": json, "api.json.gz": gzipped(t, json), "image": json,
	}
	for name, data := range forms {
		t.Run(name, func(t *testing.T) {
			registry, problems := loadSet(t, name, data)
			if problems != "" {
				t.Fatal(problems)
			}
			get := goodMethod(t, registry)
			if file, line, column := registry.Position(get, HTTPOption, 2); !strings.HasSuffix(file, name+":bookstore/v1/bookstore.proto") || line != 21 || column != 7 {
				t.Errorf("position %s:%d:%d", file, line, column)
			}
			book, err := registry.FindDescriptorByName("bookstore.v1.Book")
			if err != nil {
				t.Fatal(err)
			}
			if options := wireOf(t, book.Options()); !bytes.Contains(options, []byte("Q 175")) {
				t.Errorf("the user's own option is lost: %q", options)
			}
		})
	}
}

// goodMethod holds that a registry has the services and options of testdata/good,
// and returns one of the methods.
func goodMethod(t *testing.T, r *Registry) protoreflect.MethodDescriptor {
	t.Helper()
	want := []string{"bookstore.v1.BookstoreService", "mixed.two.OldService"}
	if got := names(r.Services()); !slices.Equal(got, want) {
		t.Errorf("services %v, want %v", got, want)
	}
	get := service(t, r, "bookstore.v1.BookstoreService").Methods().ByName("GetBook")
	if HTTPRule(get).GetGet() == "" || MethodPolicy(get).GetRetry().GetMaxAttempts() != 3 {
		t.Error("options are lost")
	}
	return get
}

// TestSetInflates: the bound of a set is that of the inflated one (Semantics 303).
func TestSetInflates(t *testing.T) {
	const limit = 1 << 20
	if data, err := inflate(gzipped(t, make([]byte, limit)), limit); err != nil || len(data) != limit {
		t.Errorf("got %d bytes, %v", len(data), err)
	}
	bomb := gzipped(t, make([]byte, 100*limit))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := inflate(bomb, limit)
	runtime.ReadMemStats(&after)
	if err == nil {
		t.Error("a bomb is taken")
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 20*limit {
		t.Errorf("a bomb costs %d KiB", got>>10)
	}
}

func TestNoDescriptorSet(t *testing.T) {
	const none = "is no FileDescriptorSet and no buf image"
	binary := wireOf(t, goodSet(t))
	tests := map[string]struct {
		data []byte
		want string
	}{
		"empty.binpb":     {nil, "empty.binpb: holds no file descriptor that can be read"},
		"text.binpb":      {[]byte("syntax = \"proto3\";\n"), "text.binpb: " + none},
		"cut.binpb":       {binary[:len(binary)-10], "cut.binpb: " + none},
		"other.json":      {[]byte(`[1, 2]`), "other.json: " + none},
		"cut.json":        {[]byte(`{"file": [`), "cut.json: " + none},
		"looks":           {[]byte(` {"file": 7}`), "looks: " + none},
		"nothing.json":    {[]byte(`{}`), "nothing.json: holds no file descriptor that can be read"},
		"broken.binpb.gz": {gzipped(t, binary)[:100], "broken.binpb.gz: cannot be inflated: unexpected EOF"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			registry, problems := loadSet(t, name, test.data)
			if registry != nil || !strings.HasPrefix(problems, test.want) || strings.Contains(problems, "\n") {
				t.Errorf("%s\nwant one problem that begins with\n%s", problems, test.want)
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		registry, problems := DescriptorSet("testdata/none.binpb").Load(t.Context())
		if registry != nil || problems.Error() != "testdata/none.binpb: cannot be read: there is no such file or folder" {
			t.Error(problems)
		}
	})
	t.Run("a folder", func(t *testing.T) {
		registry, problems := DescriptorSet("testdata").Load(t.Context())
		if registry != nil || problems.Error() != "testdata: cannot be read: it is a folder, and a file is expected" {
			t.Error(problems)
		}
	})
}

// file is a small file for a set.
func file(name, pkg string, imports []string, change ...func(*descriptorpb.FileDescriptorProto)) *descriptorpb.FileDescriptorProto {
	f := &descriptorpb.FileDescriptorProto{
		Name: proto.String(name), Package: proto.String(pkg), Dependency: imports,
	}
	for _, c := range change {
		c(f)
	}
	return f
}

func withMessage(name string, fields ...*descriptorpb.FieldDescriptorProto) func(*descriptorpb.FileDescriptorProto) {
	return func(f *descriptorpb.FileDescriptorProto) {
		f.MessageType = append(f.MessageType, &descriptorpb.DescriptorProto{Name: proto.String(name), Field: fields})
	}
}

func withMessageSet(name string) func(*descriptorpb.FileDescriptorProto) {
	return func(f *descriptorpb.FileDescriptorProto) {
		f.MessageType = append(f.MessageType, &descriptorpb.DescriptorProto{
			Name:           proto.String(name),
			Options:        &descriptorpb.MessageOptions{MessageSetWireFormat: proto.Bool(true)},
			ExtensionRange: []*descriptorpb.DescriptorProto_ExtensionRange{{Start: proto.Int32(4), End: proto.Int32(1000)}},
		})
	}
}

func withService(name, message string) func(*descriptorpb.FileDescriptorProto) {
	return func(f *descriptorpb.FileDescriptorProto) {
		f.Service = append(f.Service, &descriptorpb.ServiceDescriptorProto{
			Name: proto.String(name),
			Method: []*descriptorpb.MethodDescriptorProto{{
				Name: proto.String("Get"), InputType: proto.String(message), OutputType: proto.String(message),
			}},
		})
	}
}

func TestBadFilesInASet(t *testing.T) {
	empty := ".google.protobuf.Empty"
	wellKnown := []string{"google/protobuf/empty.proto"}
	tests := map[string]struct {
		files    []*descriptorpb.FileDescriptorProto
		services []string
		problems []string
	}{
		"Semantics 53: a duplicate symbol": {
			files: []*descriptorpb.FileDescriptorProto{
				file("a.proto", "one", wellKnown, withMessage("Book"), withService("A", ".one.Book")),
				file("b.proto", "one", wellKnown, withMessage("Book"), withMessage("Own"), withService("B", ".one.Own")),
				file("c.proto", "two", []string{"b.proto"}, withService("C", ".one.Own")),
				file("d.proto", "two", wellKnown, withService("D", empty)),
			},
			services: []string{"one.A", "two.D"},
			problems: []string{
				`set.binpb:b.proto: warning: one.Book is already declared in set.binpb:a.proto: leave one of the two files out`,
				`set.binpb:c.proto: warning: imports "b.proto", which could not be loaded (`,
			},
		},
		"Semantics 53: a MessageSet": {
			files: []*descriptorpb.FileDescriptorProto{
				file("a.proto", "one", nil, withMessageSet("Old"), withMessage("Own")),
				file("b.proto", "one", []string{"a.proto"}, withService("B", ".one.Own")),
				file("c.proto", "one", append(wellKnown, "a.proto"), withService("C", empty)),
			},
			services: []string{"one.C"},
			problems: []string{
				`set.binpb:a.proto: warning: message "one.Old" is a MessageSet`,
				`set.binpb:b.proto: warning: imports "a.proto", which could not be loaded (`,
				`set.binpb:c.proto: warning: imports "a.proto", which could not be loaded; only options can need it`,
			},
		},
		"a missing import": {
			files: []*descriptorpb.FileDescriptorProto{
				file("a.proto", "one", []string{"x.proto", "google/protobuf/empty.proto"}, withService("A", ".x.Unknown")),
				file("b.proto", "one", wellKnown, withService("B", empty)),
			},
			services: []string{"one.B"},
			problems: []string{`set.binpb:a.proto: warning: imports "x.proto", which is missing (`},
		},
		"a cycle": {
			files: []*descriptorpb.FileDescriptorProto{
				file("a.proto", "one", []string{"b.proto"}, withMessage("A")),
				file("b.proto", "one", []string{"a.proto"}, withMessage("B")),
				file("c.proto", "one", []string{"c.proto"}, withMessage("C")),
				file("d.proto", "one", wellKnown, withService("D", empty)),
			},
			services: []string{"one.D"},
			problems: []string{
				`set.binpb:a.proto: warning: imports "b.proto", which could not be loaded`,
				`set.binpb:b.proto: warning: import cycle: "a.proto" is imported by what it imports itself`,
				`set.binpb:c.proto: warning: import cycle: "c.proto" is imported by what it imports itself`,
			},
		},
		"names": {
			files: []*descriptorpb.FileDescriptorProto{
				file("a.proto", "one", wellKnown, withService("A", empty)),
				file("a.proto", "one", wellKnown, withService("A", empty)),
				file("b.proto", "one", wellKnown, withService("B", empty)),
				file("b.proto", "two", wellKnown, withService("B", empty)),
				file("", "two", nil),
			},
			services: []string{"one.A", "one.B"},
			problems: []string{
				`set.binpb: warning: a file of the set has no name and is left out`,
				`set.binpb:b.proto: warning: is in the set twice with different contents; the first one is taken`,
			},
		},
		"a public import that is missing": {
			files: []*descriptorpb.FileDescriptorProto{
				file("a.proto", "one", []string{"x.proto", "google/protobuf/empty.proto"}, func(f *descriptorpb.FileDescriptorProto) { f.PublicDependency = []int32{0, 1} }),
				file("b.proto", "one", []string{"a.proto"}, withService("B", empty)),
			},
			services: []string{"one.B"},
			problems: []string{`set.binpb:a.proto: warning: imports "x.proto", which is missing`},
		},
		"nonsense": {
			files: []*descriptorpb.FileDescriptorProto{
				file("a.proto", "not a package", nil),
				file("b.proto", "one", []string{"", "b/../c.proto"}, func(f *descriptorpb.FileDescriptorProto) { f.PublicDependency = []int32{-1, 7} }),
				file("c.proto", "one", nil, withMessage("", &descriptorpb.FieldDescriptorProto{})),
				file("d.proto", "one", nil, func(f *descriptorpb.FileDescriptorProto) {
					f.Syntax = proto.String("editions")
					f.Edition = descriptorpb.Edition_EDITION_99999_TEST_ONLY.Enum()
				}),
				file("e.proto", "one", wellKnown, withService("E", empty)),
			},
			services: []string{"one.E"},
			problems: []string{
				`set.binpb:a.proto: warning: invalid package`,
				`set.binpb:b.proto: warning: imports "", which is missing`,
				`set.binpb:b.proto: warning: imports "b/../c.proto", which is missing`,
				`set.binpb:c.proto: warning: `,
				`set.binpb:d.proto: warning: use of edition EDITION_99999_TEST_ONLY not yet supported`,
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			registry, problems := loadSet(t, "set.binpb", wireOf(t, &descriptorpb.FileDescriptorSet{File: test.files}))
			if registry == nil {
				t.Fatal(problems)
			}
			if got := names(registry.Services()); !slices.Equal(got, test.services) {
				t.Errorf("services %v, want %v", got, test.services)
			}
			compareLines(t, problems, test.problems...)
		})
	}
	t.Run("a malformed file costs itself", func(t *testing.T) {
		set := wireOf(t, &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{
			file("a.proto", "one", wellKnown, withService("A", empty)),
		}})
		bad := protowire.AppendTag(nil, 1, protowire.BytesType)
		bad = protowire.AppendString(bad, "bad.proto")
		bad = append(bad, 0x12, 0xff)
		set = protowire.AppendTag(set, fileField, protowire.BytesType)
		set = protowire.AppendBytes(set, bad)
		registry, problems := loadSet(t, "set.binpb", set)
		if registry == nil || len(registry.Services()) != 1 {
			t.Errorf("%v", registry)
		}
		compareLines(t, problems, `set.binpb:bad.proto: warning: file 2 of the set is malformed`)
	})
}

// TestBufImage marks a file as an import, as buf does in its images.
func TestBufImage(t *testing.T) {
	set := &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{
		file("own.proto", "own", []string{"other.proto"}, withService("Own", ".other.M")),
		file("other.proto", "other", nil, withMessage("M"), withService("Other", ".other.M")),
	}}
	mark := protowire.AppendTag(nil, bufIsImport, protowire.VarintType)
	mark = protowire.AppendVarint(mark, 1)
	unknown := protowire.AppendTag(nil, bufExtension, protowire.BytesType)
	set.File[1].ProtoReflect().SetUnknown(protowire.AppendBytes(unknown, mark))
	images := map[string][]byte{
		"image.binpb": wireOf(t, set),
		"image.json": fmt.Appendf(nil, `{"file": [
			{"name": "own.proto", "package": "own", "dependency": ["other.proto"], "bufExtension": {"isImport": false},
			 "service": [{"name": "Own", "method": [{"name": "Get", "inputType": ".other.M", "outputType": ".other.M"}]}]},
			{"name": "other.proto", "package": "other", "messageType": [{"name": "M"}], "bufExtension": {"isImport": true},
			 "service": [{"name": "Other", "method": [{"name": "Get", "inputType": ".other.M", "outputType": ".other.M"}]}]}
		]}`),
	}
	for name, data := range images {
		t.Run(name, func(t *testing.T) {
			registry, problems := loadSet(t, name, data)
			if problems != "" {
				t.Fatal(problems)
			}
			if got := names(registry.Services()); !slices.Equal(got, []string{"own.Own"}) {
				t.Errorf("services %v", got)
			}
		})
	}
}

// FuzzDescriptorSet loads arbitrary bytes: whatever they are, the answer is a
// registry or problems, and a registry can be walked.
func FuzzDescriptorSet(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte(`{"file": [{"name": "a.proto", "messageType": [{"name": "M"}]}]}`))
	f.Add(wireOf(f, &descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{
		file("a.proto", "one", []string{"google/protobuf/empty.proto"}, withMessage("M"), withMessageSet("Set"), withService("S", ".google.protobuf.Empty")),
		file("b.proto", "one", []string{"a.proto", "c.proto"}, withMessage("N"), withService("S", ".one.N")),
		file("c.proto", "one", []string{"b.proto"}),
	}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		registry, problems := descriptorSet{path: "set.binpb"}.load(t.Context(), data)
		if registry == nil {
			if problems.Err() == nil {
				t.Error("neither a registry nor a problem")
			}
			return
		}
		for _, service := range registry.Services() {
			_ = ServicePolicy(service)
			for i := range service.Methods().Len() {
				method := service.Methods().Get(i)
				_, _, _ = registry.Position(method, HTTPOption, 2)
				_, _, _ = HTTPRule(method), MethodPolicy(method), method.Input().Fields().Len()
			}
		}
		registry.Files().RangeFiles(func(file protoreflect.FileDescriptor) bool {
			for d := range topLevel(file) {
				_, _, _ = registry.Position(d)
			}
			return true
		})
	})
}
