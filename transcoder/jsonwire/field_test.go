package jsonwire_test

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/transcoder/jsonwire"
	"github.com/transom-gateway/transom/transcoder/jsonwire/internal/testpb"
)

// wantMessage compares wire data of Everything with the message of some JSON.
func wantMessage(t *testing.T, wire []byte, want string) {
	t.Helper()
	var got, expected testpb.Everything
	if err := proto.Unmarshal(wire, &got); err != nil {
		t.Fatal(err)
	}
	if err := protojson.Unmarshal([]byte(want), &expected); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(&got, &expected) {
		t.Errorf("got %v, want %v", &got, &expected)
	}
}

// TestFieldText: the text of path variables and query parameters.
func TestFieldText(t *testing.T) {
	plan := everythingPlan()
	for _, c := range []struct{ path, text, want string }{
		{"f_string", "a b%", `{"fString":"a b%"}`},
		{"fString", "", `{}`},
		{"f_bool", "1", `{"fBool":true}`},
		{"f_bool", "false", `{}`},
		{"f_int32", "-5", `{"fInt32":-5}`},
		{"f_sint64", "-9223372036854775808", `{"fSint64":"-9223372036854775808"}`},
		{"f_uint64", "18446744073709551615", `{"fUint64":"18446744073709551615"}`},
		{"f_sfixed32", "-1", `{"fSfixed32":-1}`},
		{"f_double", "NaN", `{"fDouble":"NaN"}`},
		{"f_float", "-Infinity", `{"fFloat":"-Infinity"}`},
		{"f_double", "1.5e3", `{"fDouble":1500}`},
		{"f_bytes", "-_-_", `{"fBytes":"-_-_"}`},
		{"f_bytes", "aGVsbG8", `{"fBytes":"aGVsbG8="}`},
		{"f_enum", "GENRE_FICTION", `{"fEnum":1}`},
		{"f_enum", "2", `{"fEnum":2}`},
		{"child.child.f_string", "x", `{"child":{"child":{"fString":"x"}}}`},
		{"child.cInt32", "0", `{"child":{"cInt32":0}}`},
		{"p_int64", "0", `{"pInt64":"0"}`},
		{"w_int64", "7", `{"wInt64":"7"}`},
		{"w_string", "", `{"wString":""}`},
		{"timestamp", "2020-02-29T12:34:56Z", `{"timestamp":"2020-02-29T12:34:56Z"}`},
		{"duration", "3.5s", `{"duration":"3.5s"}`},
		{"mask", "a_b,cD.e", `{"mask":"aB,cD.e"}`},
		{"r_string", "a,b", `{"rString":["a,b"]}`},
		{"r_string", "[a", `{"rString":["[a"]}`},
		{"r_string", `["a","b"]`, `{"rString":["a","b"]}`},
		{"r_int32", "5", `{"rInt32":[5]}`},
		{"r_int32", "[1, 2]", `{"rInt32":[1,2]}`},
		{"r_timestamp", "1970-01-01T00:00:00Z", `{"rTimestamp":["1970-01-01T00:00:00Z"]}`},
		{"children", `{"fInt32":1}`, `{"children":[{"fInt32":1}]}`},
		{"children", `[{"fInt32":1},{}]`, `{"children":[{"fInt32":1},{}]}`},
		{"child", ` {"fInt32":1} `, `{"child":{"fInt32":1}}`},
		{"m_int32", `{"1":"a"}`, `{"mInt32":{"1":"a"}}`},
		{"value", `[1,null]`, `{"value":[1,null]}`},
		{"struct", `{"a":1}`, `{"struct":{"a":1}}`},
		{"empty", "", `{"empty":{}}`},
		{"empty", "{}", `{"empty":{}}`},
		{"null", "NULL_VALUE", `{}`},
		{"other-Name", "x", `{"other-Name":"x"}`},
	} {
		t.Run("Semantics 17: "+c.path+"="+c.text, func(t *testing.T) {
			f, err := plan.Field(c.path)
			if err != nil {
				t.Fatal(err)
			}
			wire, err := f.AppendText(nil, c.text)
			if err != nil {
				t.Fatal(err)
			}
			wantMessage(t, wire, c.want)
		})
	}
	for _, c := range []struct{ path, text string }{
		{"f_int32", ""}, {"f_int32", "2147483648"}, {"f_int32", " 1"}, {"f_int32", "1.5"}, {"f_uint32", "-1"},
		{"f_bool", "yes"}, {"f_double", ""}, {"f_double", "1e400"}, {"f_enum", "NOPE"}, {"f_bytes", "a"}, {"f_string", "\xff"},
		{"timestamp", "now"}, {"duration", "5"}, {"mask", "a..b"}, {"child", "{"}, {"child", "{}x"}, {"m_int32", "x"},
		{"r_int32", "[1"}, {"w_bool", "x"}, {"value", ""}, {"empty", "x"}, {"child", ""},
	} {
		t.Run("Semantics 17: refuses "+c.path+"="+c.text, func(t *testing.T) {
			f, err := plan.Field(c.path)
			if err != nil {
				t.Fatal(err)
			}
			out, err := f.AppendText([]byte("x"), c.text)
			var e *jsonwire.Error
			if !errors.As(err, &e) || string(out) != "x" {
				t.Errorf("got %q, %v", out, err)
			}
		})
	}
}

// TestSemantics13ZeroWins: a path variable after the body has the last word, also
// when it is zero.
func TestSemantics13ZeroWins(t *testing.T) {
	plan := everythingPlan()
	body := `{"fInt32":5,"child":{"fString":"a","wInt64":"3"},"timestamp":"2020-02-29T12:34:56.5Z"}`
	wire, err := plan.AppendWire(nil, []byte(body), jsonwire.Input{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{{"f_int32", "0"}, {"child.f_string", ""}, {"child.w_int64", "0"}, {"timestamp", "1970-01-01T00:00:00Z"}} {
		f, err := plan.Field(c[0])
		if err != nil {
			t.Fatal(err)
		}
		if wire, err = f.AppendText(wire, c[1]); err != nil {
			t.Fatal(err)
		}
	}
	wantMessage(t, wire, `{"child":{"wInt64":"0"},"timestamp":"1970-01-01T00:00:00Z"}`)
}

// TestFieldMapText: map[key]=value.
func TestFieldMapText(t *testing.T) {
	plan := everythingPlan()
	var wire []byte
	for _, c := range [][3]string{{"m_int32", "-1", "a"}, {"child.mSint64", "5", "-6"}, {"m_bool", "true", "x"}, {"m_wrapper", "k", "9"}, {"m_uint64", "3", "GENRE_FICTION"}, {"m_string", "k", `{"fInt32":4}`}, {"m_sfixed64", "-2", "aGk"}} {
		f, err := plan.Field(c[0])
		if err != nil {
			t.Fatal(err)
		}
		if wire, err = f.AppendMapText(wire, c[1], c[2]); err != nil {
			t.Fatal(err)
		}
	}
	wantMessage(t, wire, `{"mInt32":{"-1":"a"},"child":{"mSint64":{"5":"-6"}},"mBool":{"true":"x"},"mWrapper":{"k":"9"},
		"mUint64":{"3":"GENRE_FICTION"},"mString":{"k":{"fInt32":4}},"mSfixed64":{"-2":"aGk="}}`)
	for _, c := range [][3]string{{"m_int32", "x", "a"}, {"m_bool", "1", "a"}, {"m_sint64", "1", "a"}, {"f_int32", "1", "1"}, {"m_string", "\xff", "{}"}} {
		f, err := plan.Field(c[0])
		if err != nil {
			t.Fatal(err)
		}
		if out, err := f.AppendMapText(nil, c[1], c[2]); err == nil || len(out) > 0 {
			t.Errorf("%v: got %x, %v", c, out, err)
		}
	}
}

// TestSemantics19BareBody: a body mapped to a field is its bare JSON value.
func TestSemantics19BareBody(t *testing.T) {
	plan := everythingPlan()
	for _, c := range [][3]string{
		{"f_string", `"x"`, `{"fString":"x"}`},
		{"r_int32", ` [1,2] `, `{"rInt32":[1,2]}`},
		{"m_int32", `{"1":"a"}`, `{"mInt32":{"1":"a"}}`},
		{"f_enum", `"GENRE_SCIENCE"`, `{"fEnum":2}`},
		{"w_int64", `"5"`, `{"wInt64":"5"}`},
		{"child", `{}`, `{"child":{}}`},
		{"child", `null`, `{}`},
		{"child.children", `[]`, `{}`},
		{"child.child.r_unpacked", `[0,1]`, `{"child":{"child":{"rUnpacked":[0,1]}}}`},
		{"child.f_string", `"` + strings.Repeat("x", 300) + `"`, `{"child":{"fString":"` + strings.Repeat("x", 300) + `"}}`},
	} {
		f, err := plan.Field(c[0])
		if err != nil {
			t.Fatal(err)
		}
		wire, err := f.AppendWire(nil, []byte(c[1]), jsonwire.Input{})
		if err != nil {
			t.Fatal(err)
		}
		wantMessage(t, wire, c[2])
	}
	f, _ := plan.Field("r_int32")
	for _, in := range []string{`[1] 2`, `1`, ``, `[1`} {
		if _, err := f.AppendWire(nil, []byte(in), jsonwire.Input{}); err == nil {
			t.Errorf("%q was accepted", in)
		}
	}
}

// TestSemantics28ResponseBody: the bare value of a field.
func TestSemantics28ResponseBody(t *testing.T) {
	plan := everythingPlan()
	full := `{"fString":"x","fInt64":"5","rInt32":[1,2],"mInt32":{"1":"a"},"child":{"fEnum":"GENRE_FICTION","rString":["a"]},"cInt32":0}`
	for _, c := range [][3]string{
		{"f_string", full, `"x"`}, {"f_int64", full, `"5"`}, {"r_int32", full, `[1,2]`}, {"m_int32", full, `{"1":"a"}`},
		{"child.f_enum", full, `"GENRE_FICTION"`}, {"child.r_string", full, `["a"]`}, {"c_int32", full, `0`},
		{"f_string", `{}`, `""`}, {"f_int64", `{}`, `"0"`}, {"r_int32", `{}`, `[]`}, {"m_int32", `{}`, `{}`},
		{"child", `{}`, `null`}, {"child.r_string", `{}`, `[]`}, {"f_enum", `{}`, `"GENRE_UNSPECIFIED"`}, {"p_int64", `{}`, `null`},
		{"null", `{}`, `null`}, {"timestamp", `{"timestamp":"2020-02-29T12:34:56Z"}`, `"2020-02-29T12:34:56Z"`},
	} {
		wire, err := plan.AppendWire(nil, []byte(c[1]), jsonwire.Input{})
		if err != nil {
			t.Fatal(err)
		}
		f, err := plan.Field(c[0])
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range []jsonwire.Output{{}, {OmitDefaults: true}} {
			if out, err := f.AppendJSON([]byte("-"), wire, o); err != nil || string(out) != "-"+c[2] {
				t.Errorf("%s of %s: got %s, %v, want %s", c[0], c[1], out, err, c[2])
			}
		}
	}
	// In pieces, as no serialiser writes it: child twice, c_int32 and then c_string.
	var wire []byte
	for _, in := range []string{`{"child":{"rString":["a"]},"cInt32":7}`, `{"child":{"rString":["b"]},"cString":"s"}`} {
		var err error
		if wire, err = plan.AppendWire(wire, []byte(in), jsonwire.Input{}); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{"child.r_string": `["a","b"]`, "c_int32": `null`, "c_string": `"s"`} {
		f, err := plan.Field(path)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := f.AppendJSON(nil, wire, jsonwire.Output{}); err != nil || string(out) != want {
			t.Errorf("%s: got %s, %v, want %s", path, out, err, want)
		}
	}
}

// TestFieldPath: addresses, what they tell, and errors that help.
func TestFieldPath(t *testing.T) {
	plan := everythingPlan()
	f, err := plan.Field("child.cMessage.other-Name")
	if err != nil {
		t.Fatal(err)
	}
	if f.Path() != "child.c_message.renamed" || f.IsRepeated() || f.IsMap() || f.Descriptor().Kind() != protoreflect.StringKind {
		t.Errorf("got %s", f.Path())
	}
	if !f.InOneof() {
		t.Error("c_message is a member of a oneof")
	}
	if f, _ := plan.Field("p_bool"); f.InOneof() {
		t.Error("a proto3 optional is no oneof")
	}
	for path, want := range map[string]string{
		"fStrin":         `did you mean "fString"?`,
		"child.f_strnig": `transom.jsonwire.test.Everything has no field "f_strnig"; did you mean "fString"?`,
		"children.f_int": "children is a repeated field",
		"f_string.x":     "f_string is of type string",
		"":               `has no field ""`,
		"child.":         `has no field ""`,
	} {
		if _, err := plan.Field(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", path, err, want)
		}
	}
}

// TestSemantics23MaskPaths: an update mask from the keys of a body.
func TestSemantics23MaskPaths(t *testing.T) {
	plan := everythingPlan()
	in := `{"fString":"x","child":{"fInt32":1,"children":[{"fBool":true}],"child":{}},"mInt32":{"1":"a"},"struct":{"a":1},
		"any":{"@type":"x"},"value":{"b":2},"timestamp":"2020-02-29T12:34:56Z","pBool":null,"snakeCaseName1":"y","unknown":{"a":1}}`
	got, err := plan.MaskPaths([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	want := "f_string child.f_int32 child.children child.child m_int32 struct any value timestamp p_bool snake_case_name_1"
	if strings.Join(got, " ") != want {
		t.Errorf("got %v, want %v", got, want)
	}
	for _, in := range []string{``, `[]`, `{"a":}`, `{"fString":"x"} x`, strings.Repeat(`{"child":`, 200)} {
		if _, err := plan.MaskPaths([]byte(in)); err == nil {
			t.Errorf("%q was accepted", in)
		}
	}
}

// TestSemantics20Errors: what is wrong, where, and what was expected.
func TestSemantics20Errors(t *testing.T) {
	plan := everythingPlan()
	for in, want := range map[string]string{
		`{"child":{"children":[{},{"mString":{"a":{"fInt32":"x"}}}]}}`: `child.children[1].mString["a"].fInt32: "x" is not a 32-bit integer or out of its range (at byte 51)`,
		`{"fInt32":1,"f_int32":2}`:                                     `duplicate field fInt32 (at byte 12)`,
		`{"fInt32":3000000000}`:                                        `fInt32: 3000000000 is not a 32-bit integer or out of its range (at byte 10)`,
		`{"fString":5}`:                                                `fString: expected a string, found a number (at byte 11)`,
		`{"fSting":5}`:                                                 `unknown field "fSting" of transom.jsonwire.test.Everything; did you mean fString? (at byte 1)`,
		`{"fString":"\ud83d"}`:                                         `fString: lone surrogate \ud83d in a string (at byte 12)`,
		"{\"fString\":\"a\xffb\"}":                                     `fString: invalid UTF-8 in a string (at byte 13)`,
		`{"fString":"a`:                                                `fString: unexpected end of the input in a string (at byte 13)`,
		`{"fBool":true} {}`:                                            `unexpected data after the JSON value: an object (at byte 15)`,
		`{"mInt32":{"1":"a","1":"b"}}`:                                 `mInt32: duplicate map key "1" (at byte 19)`,
		`{"cString":"a","cInt32":1}`:                                   `field cInt32: another member of the oneof choice is already set (at byte 15)`,
		`{"rInt32":[1,2,]}`:                                            `rInt32: expected another element after the comma, found the byte ']' (at byte 15)`,
		`{"any":{"@type":"x/none.Such"}}`:                              `any: "@type" is "x/none.Such": the schema has no message "none.Such" (at byte 16)`,
		`{"timestamp":"yesterday"}`:                                    `timestamp: "yesterday" is not a timestamp such as 2006-01-02T15:04:05Z, of the years 1 to 9999 (at byte 13)`,
		`{"fEnum":"GENRE_NONE"}`:                                       `fEnum: "GENRE_NONE" is not a value of the enum transom.jsonwire.test.Genre (at byte 9)`,
		`{"fInt32":1e}`:                                                `fInt32: malformed number (at byte 10)`,
		`[]`:                                                           `expected an object of transom.jsonwire.test.Everything, found an array (at byte 0)`,
		``:                                                             `expected an object of transom.jsonwire.test.Everything, found the end of the input (at byte 0)`,
	} {
		if _, err := plan.AppendWire(nil, []byte(in), jsonwire.Input{}); err == nil || err.Error() != want {
			t.Errorf("%s\n got  %v\n want %s", in, err, want)
		}
	}
	wire := []byte{0x8a, 0x01, 3, 0x72, 1, 0xff} // child.f_string
	if _, err := plan.AppendJSON(nil, wire, jsonwire.Output{}); err == nil || err.Error() != "child.f_string: string is not valid UTF-8 (at byte 5)" {
		t.Errorf("got %v", err)
	}
	if out, err := plan.AppendWire(nil, []byte(`{"fInt32":1} trailing`), jsonwire.Input{AllowTrailing: true}); err != nil || len(out) != 2 {
		t.Errorf("AllowTrailing: %x, %v", out, err)
	}
}
