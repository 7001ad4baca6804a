package schema

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestCompilesAsProtocDoes: what protoc accepts is served, what it warns of is a
// warning, what it refuses is refused (Semantics 316).
func TestCompilesAsProtocDoes(t *testing.T) {
	const options = `syntax = "proto2";
import "google/protobuf/descriptor.proto";
message C { optional group Grp = 1 { optional int32 a = 1; repeated group Inner = 2 { optional int32 b = 1; } } }
extend google.protobuf.MessageOptions { optional C c = 50000; }
`
	const service = "\nservice S { rpc R(M) returns (M); }\n"
	for _, test := range []struct {
		name    string
		files   map[string]string
		said    []string // parts of the problems, in order
		refused bool
	}{
		{"a group in a literal by its name", map[string]string{
			"o.proto": options,
			"a.proto": `syntax = "proto3"; import "o.proto"; message M { option (c) = { Grp { a: 1 Inner { b: 2 } Inner { b: 3 } } }; }` + service,
		}, nil, false},
		{"a name in a literal that is no group", map[string]string{
			"o.proto": options,
			"a.proto": `syntax = "proto3"; import "o.proto"; message M { option (c) = { Grq { a: 1 } }; }` + service,
		}, []string{"a.proto:1:65: `C` has no field `Grq`"}, true},
		{"Latin-1 in comments", map[string]string{"a.proto": "syntax = \"proto3\";\n// caf\xe9\n/* \xff\xfe */ message M {}" + service},
			[]string{"a.proto:2:7: warning: the byte 0xE9 in a comment is not UTF-8"}, false},
		{"Latin-1 in a string", map[string]string{"a.proto": "syntax = \"proto3\";\noption java_package = \"caf\xe9\"; message M {}" + service},
			[]string{`a.proto:2:27: the byte 0xE9 in a string literal (as an escape it is \xe9) is not UTF-8`}, true},
		{"proto2: a json_name and a default name", map[string]string{"a.proto": `syntax = "proto2"; message M { optional string f1 = 1 [json_name = "fooBar"]; optional string foo_bar = 2; }` + service},
			[]string{"a.proto:1:95: warning: message fields have the same JSON name"}, false},
		{"proto2: two json_names", map[string]string{"a.proto": `syntax = "proto2"; message M { optional string a = 1 [json_name = "x"]; optional string b = 2 [json_name = "x"]; }` + service},
			[]string{"message fields have the same JSON name"}, true},
		{"proto3: a json_name and a default name", map[string]string{"a.proto": `syntax = "proto3"; message M { string f1 = 1 [json_name = "fooBar"]; string foo_bar = 2; }` + service},
			[]string{"message fields have the same JSON name"}, true},
		{"a json_name in brackets", map[string]string{"a.proto": `syntax = "proto3"; message M { message N { string a = 1 [json_name = "[x]"]; } }` + service},
			[]string{`a.proto:1:44: the field "M.N.a" has the json_name "[x]"`}, true},
		{"a json_name with NUL", map[string]string{"a.proto": `syntax = "proto3"; message M { string a = 1 [json_name = "n\0l"]; }` + service},
			[]string{`a.proto:1:32: the field "M.a" has a json_name with a NUL character`}, true},
		{"MessageSet", map[string]string{
			"set.proto": `syntax = "proto2"; message Set { option message_set_wire_format = true; extensions 4 to max; }`,
			"use.proto": `syntax = "proto3"; import "set.proto"; message Use { Set set = 1; } service Lost { rpc R(Use) returns (Use); }`,
			"a.proto":   `syntax = "proto3"; message M {}` + service,
		}, []string{`set.proto:1:20: warning: message "Set" is a MessageSet`, `use.proto: warning: imports "set.proto", which could not be loaded`}, false},
	} {
		t.Run("Semantics 316: "+test.name, func(t *testing.T) {
			folder := write(t, test.files)
			registry, problems := Directory(folder).Load(t.Context())
			if refused := problems.Err() != nil; refused != test.refused {
				t.Errorf("refused: %v", refused)
			}
			checkSaid(t, folder, problems, test.said)
			if !test.refused && (registry == nil || !slices.Equal(names(registry.Services()), []string{"S"})) {
				t.Errorf("the service is lost")
			}
		})
	}
}

// checkSaid compares problems with what they must begin with or hold.
func checkSaid(t *testing.T, folder string, problems Problems, want []string) {
	t.Helper()
	for i, problem := range problems {
		text := strings.ReplaceAll(problem.String(), folder+"/", "")
		if i >= len(want) || !strings.Contains(text, want[i]) {
			t.Errorf("said %s", text)
		}
	}
	if len(problems) < len(want) {
		t.Errorf("%d problems, want %d", len(problems), len(want))
	}
}

// TestVendoredCopies: a copy of a built-in file below any folder is the built-in
// one (Semantics 316, 48).
func TestVendoredCopies(t *testing.T) {
	const annotations = `syntax = "proto3";
package google.api;
import "google/api/http.proto";
import "google/protobuf/descriptor.proto";
extend google.protobuf.MethodOptions { HttpRule http = 72295728; }
`
	for _, imported := range []string{"google/api/annotations.proto", "third_party/google/api/annotations.proto"} {
		folder := write(t, map[string]string{
			"third_party/google/api/annotations.proto":     annotations,
			"vendor/x/google/api/annotations.proto":        annotations,
			"third_party/google/protobuf/descriptor.proto": "syntax = \"proto2\";\npackage google.protobuf;\nmessage FileDescriptorSet {}\n",
			"a.proto": `syntax = "proto3"; import "` + imported + `"; message Q { string id = 1; }
service S { rpc R(Q) returns (Q) { option (google.api.http) = { get: "/x" }; } }`,
		})
		registry := loadGood(t, folder)
		method := service(t, registry, "S").Methods().Get(0)
		if rule := HTTPRule(method); rule.GetGet() != "/x" {
			t.Errorf("import %q: the rule is %v", imported, rule)
		}
	}
	t.Run("Semantics 316: another package is no copy", func(t *testing.T) {
		folder := write(t, map[string]string{"mine/google/api/http.proto": `syntax = "proto3"; package mine; message Http {} service Mine { rpc R(Http) returns (Http); }`})
		if got := names(loadGood(t, folder).Services()); !slices.Equal(got, []string{"mine.Mine"}) {
			t.Errorf("services %v", got)
		}
	})
}

// TestOneMissingImport: what follows from an import that is missing is no problem of
// its own, and the folder that has it is named, if there is one (Semantics 316).
func TestOneMissingImport(t *testing.T) {
	parent := write(t, map[string]string{
		"protos/a.proto":             `syntax = "proto3"; import "money/money.proto"; message A { money.Money m = 1; money.Money n = 2; }`,
		"protos/b.proto":             `syntax = "proto3"; import "money/money.proto"; message B { money.Money m = 1; }`,
		"protos/c.proto":             `syntax = "proto3"; import "deep/deep.proto"; message C { deep.Deep d = 1; Nothing n = 2; }`,
		"protos/sub/deep/deep.proto": `syntax = "proto3"; package deep; message Deep {}`,
		"protos/d.proto":             `syntax = "proto3"; import public "nowhere/nowhere.proto"; message D { nowhere.X x = 1; }`,
		"protos/e.proto":             `syntax = "proto3"; import "d.proto"; message E { nowhere.X x = 1; }`,
		"protos/f.proto":             `syntax = "proto3"; message F { Unknown x = 1; }`,
		"protos/g.proto":             `syntax = "proto3"; import "validate/validate.proto"; message G { string s = 1 [(validate.rules).string.min_len = 1]; }`,
		"shared/money/money.proto":   `syntax = "proto3"; package money; message Money {}`,
	})
	folder := filepath.Join(parent, "protos")
	_, problems := Directory(folder).Load(t.Context())
	checkSaid(t, folder, problems, []string{
		`a.proto:1:20: imports "money/money.proto", which is neither in ` + folder + ` nor built in: it is in the folder "` + filepath.Join(parent, "shared") + `": give that folder as well`,
		`c.proto:1:20: imports "deep/deep.proto"`,
		`d.proto:1:20: imports "nowhere/nowhere.proto"`,
		"f.proto:1:32: cannot find `Unknown` in this scope",
		`g.proto:1:20: imports "validate/validate.proto", which is neither in ` + folder + ` nor built in: it belongs to protoc-gen-validate`,
	})
	for _, p := range problems {
		for _, quoted := range strings.Split(p.Message, `"`) {
			if strings.HasPrefix(quoted, "/") {
				if _, err := os.Stat(quoted); err != nil {
					t.Errorf("names a folder that is not there: %s", p)
				}
			}
		}
	}
}

// TestHostileText: text that would cost the compiler more than time in proportion to
// its size is refused before, at its place (Semantics 316, 51).
func TestHostileText(t *testing.T) {
	const n = 100_000
	for name, test := range map[string]struct{ text, want string }{
		"braces":             {strings.Repeat("{", n), "1:257: brackets are nested more than 256 deep"},
		"messages":           {"\n" + strings.Repeat("message A{\n", n), "258:10: brackets are nested more than 256 deep"},
		"angles in a value":  {"option (a) = {x " + strings.Repeat("<", n), "1:272: brackets are nested more than 256 deep"},
		"comments":           {"/* é" + strings.Repeat("/*", n), `1:5: "/*" inside a block comment`},
		"an open comment":    {"\n  /*" + strings.Repeat("\n", n), "2:3: the block comment is not closed"},
		"a long line":        {"enum E { " + strings.Repeat("A = 0; ", n), "1:65537: the line is longer than 65536 bytes"},
		"a long last line":   {"// " + strings.Repeat("x", n), "1:65537: the line is longer than 65536 bytes"},
		"a long number":      {"message M { int32 a = " + strings.Repeat("9", 2000), "1:23: the number is longer than 1024 characters"},
		"brackets in string": {`option java_package = "` + strings.Repeat("{", 1000) + `\"{";` + "// '{\n", ""},
	} {
		t.Run("Semantics 316: "+name, func(t *testing.T) {
			_, problems := scanText("a.proto", test.text)
			if test.want == "" && len(problems) > 0 || test.want != "" && (len(problems) != 1 || !strings.HasPrefix(problems[0].String(), "a.proto:"+test.want)) {
				t.Errorf("said %v, want %q", problems, test.want)
			}
		})
	}
}

// FuzzScanText: text stays as long in characters, and is UTF-8 outside of what is
// refused.
func FuzzScanText(f *testing.F) {
	for _, text := range readFolder(f, "testdata/good") {
		f.Add(text.text)
	}
	f.Add("// caf\xe9\n/* \xff */ \"\\\xff\" 9999.9e9 {[(<>)]}")
	f.Fuzz(func(t *testing.T, text string) {
		scanned, problems := scanText("a.proto", text)
		if utf8.RuneCountInString(scanned) != utf8.RuneCountInString(text) {
			t.Errorf("%q became %q", text, scanned)
		}
		if len(problems) == 0 && scanned != text {
			t.Errorf("%q became %q without a word", text, scanned)
		}
		for _, p := range problems {
			if p.Line < 1 || p.Column < 1 || p.File == "" {
				t.Errorf("problem %q has no place", p)
			}
		}
	})
}

// TestDirectoriesSeeEachOther: folders of one command resolve each other's imports,
// and a file found in two of them is named (Semantics 328).
func TestDirectoriesSeeEachOther(t *testing.T) {
	const common = `syntax = "proto3"; package common; message Money {}`
	const use = `syntax = "proto3"; import "common/money.proto"; service S { rpc R(common.Money) returns (common.Money); }`
	t.Run("Semantics 328: beside each other", func(t *testing.T) {
		a, b := write(t, map[string]string{"a.proto": use}), write(t, map[string]string{"common/money.proto": common})
		for _, roots := range [][]string{{a, b}, {b, a}, {a, b, a}} {
			registry, problems := Directories(roots...).Load(t.Context())
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			if got := names(registry.Services()); !slices.Equal(got, []string{"S"}) {
				t.Errorf("services %v", got)
			}
			s := service(t, registry, "S")
			if file, _, _ := registry.Position(s); file != filepath.Join(a, "a.proto") {
				t.Errorf("the service is in %s", file)
			}
			if got := registry.Folder(s.ParentFile()); got != a {
				t.Errorf("the folder is %s", got)
			}
		}
	})
	t.Run("Semantics 328: within each other", func(t *testing.T) {
		a := write(t, map[string]string{
			"a.proto": use, "third_party/common/money.proto": common,
			"b.proto": `syntax = "proto3"; import "third_party/common/money.proto"; message B { common.Money m = 1; }`,
		})
		for _, roots := range [][]string{{a, filepath.Join(a, "third_party")}, {filepath.Join(a, "third_party"), a}} {
			if _, problems := Directories(roots...).Load(t.Context()); len(problems) > 0 {
				t.Error(problems)
			}
		}
	})
	t.Run("Semantics 328: the same file in two", func(t *testing.T) {
		a, b := write(t, map[string]string{"a.proto": use, "common/money.proto": common}), write(t, map[string]string{"common/money.proto": common})
		if _, problems := Directories(a, b).Load(t.Context()); len(problems) > 0 {
			t.Error(problems)
		}
	})
	t.Run("Semantics 328: two files of one name", func(t *testing.T) {
		a, b := write(t, map[string]string{"a.proto": use, "common/money.proto": common}), write(t, map[string]string{"common/money.proto": common + "\n"})
		_, problems := Directories(a, b).Load(t.Context())
		if problems.Err() == nil {
			t.Error("accepted")
		}
		checkSaid(t, b, problems, []string{`common/money.proto: is another file than ` + filepath.Join(a, "common/money.proto") + `, and both are imported as "common/money.proto"`})
	})
	t.Run("Semantics 328: one folder is not there", func(t *testing.T) {
		a := write(t, map[string]string{"a.proto": `syntax = "proto3"; message M {}`})
		_, problems := Directories(a, filepath.Join(a, "none")).Load(t.Context())
		checkSaid(t, a, problems, []string{"none: cannot be read: there is no such file or folder"})
	})
}
