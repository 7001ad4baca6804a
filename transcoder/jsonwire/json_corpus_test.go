package jsonwire_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/transom-gateway/transom/transcoder/jsonwire"
	"github.com/transom-gateway/transom/transcoder/jsonwire/internal/testpb"
)

func bytesReader(b []byte) io.Reader { return bytes.NewReader(b) }

// everythingJSON are objects of testpb.Everything, right and wrong; protojson
// says which. Each of the values meets each of the fields.
func everythingJSON() []string {
	cases := strings.Split(strings.TrimSpace(jsonCases), "\n")
	for _, field := range strings.Fields(`fBool fInt32 fSint32 fUint32 fInt64 fSint64 fUint64 fFixed32 fSfixed32
		fFixed64 fSfixed64 fFloat fDouble fString fBytes fEnum child rBool rInt32 rSint64 rUint64 rFixed32 rFloat
		rDouble rString rBytes rEnum children rUnpacked mBool mInt32 mSint64 mUint64 mFixed32 mSfixed64 mString
		mValue mWrapper cString cInt32 cMessage cNull cValue oBool oBytes pBool pInt64 pString pEnum any timestamp
		duration mask struct value list null empty wBool wInt32 wInt64 wUint32 wUint64 wFloat wDouble wString wBytes
		rAny rTimestamp rDuration rValue rNull rWrapper other-Name snakeCaseName1 farAway`) {
		for i, v := range strings.Split(strings.TrimSpace(values), "\n") {
			cases = append(cases, `{"`+field+`":`+v+`}`)
			if field[0] == 'r' {
				cases = append(cases, `{"`+field+`": [ `+v+` , `+v+` ] }`)
			}
			if field[0] == 'm' && field != "mask" && i%6 == 0 {
				for _, k := range []string{"1", "true", "a", "-5", "01", "+1", "", "99999999999", "1.0", "\\u0031"} {
					cases = append(cases, `{"`+field+`":{"`+k+`":`+v+`}}`)
				}
				cases = append(cases, `{"`+field+`":{"1":`+v+`,"1":`+v+`}}`, `{"`+field+`":{"1":`+v+`,"2":`+v+`}}`)
			}
		}
	}
	return cases
}

// TestJSONDifferential compares JSON → wire with protojson, accepted and refused,
// strict and ignoring unknown fields.
func TestJSONDifferential(t *testing.T) {
	r := newReference(protoregistry.GlobalTypes)
	d := (&testpb.Everything{}).ProtoReflect().Descriptor()
	for _, in := range everythingJSON() {
		for _, ignore := range []bool{false, true} {
			if err := r.compareWire(d, []byte(in), ignore); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestRoundDifferential takes what the JSON corpus gives as wire data back to
// JSON in all settings.
//
//transom:norace
func TestRoundDifferential(t *testing.T) {
	r := newReference(protoregistry.GlobalTypes)
	d := (&testpb.Everything{}).ProtoReflect().Descriptor()
	for _, in := range everythingJSON() {
		wire, err := r.plans.Message(d).AppendWire(nil, []byte(in), jsonwire.Input{IgnoreUnknown: true})
		if err != nil {
			continue
		}
		if err := r.compareJSON(d, wire); err != nil {
			t.Error(err)
		}
	}
}

const values = `
null
true
false
0
-0
1
-1
1.0
1.5
-1.25
1e3
1E+2
100e-2
10.0e-1
0.5e1
1e400
1e39
3.4028235e38
123456789012345678
2147483647
2147483648
-2147483648
-2147483649
4294967295
4294967296
9223372036854775807
9223372036854775808
-9223372036854775808
-9223372036854775809
18446744073709551615
18446744073709551616
0.1
1234.5678
1.7976931348623157e308
5e-324
0.000001
0.0000001
1e21
123456789.123456789
01
1.
.5
+1
-
--1
1x
0x1
1e+
tru
nulll
truex
"1"
"-1"
" 1"
"1 "
"1.0"
"1e3"
"1.5"
"x"
""
"NaN"
"Infinity"
"-Infinity"
"inf"
"true"
"null"
"GENRE_FICTION"
"GENRE_NONE"
"NULL_VALUE"
"aGVsbG8="
"aGVsbG8"
"-_-_"
"+/+/"
"a"
"abcd=="
"aGVs\nbG8="
"a\"b\\c\/d\b\f\n\r\t"
"\u0041\u00e9\u20ac\ud83d\ude00"
"\ud83d"
"\ude00\ud83d"
"\ud83dx"
"\u12"
"\x"
"é€😀"
"plain ascii that is longer than eight bytes, twice over"
"ends in é"
"a tab	in it"
"2020-02-29T12:34:56Z"
"2021-02-29T12:34:56Z"
"2020-02-29T12:34:56.789Z"
"2020-02-29T12:34:56.123456789Z"
"2020-02-29T12:34:56.1234567891Z"
"2020-02-29T12:34:56,5Z"
"2020-02-29T12:34:56+01:30"
"2020-02-29T12:34:56.5-08:00"
"2020-02-29t12:34:56z"
"2020-02-29 12:34:56Z"
"2020-02-29T24:00:00Z"
"2020-02-29T23:59:60Z"
"2020-13-01T00:00:00Z"
"2020-1-01T00:00:00Z"
"0000-01-01T00:00:00Z"
"0001-01-01T00:00:00Z"
"0001-01-01T00:00:00+01:00"
"9999-12-31T23:59:59.999999999Z"
"9999-12-31T23:59:59-01:00"
"1969-12-31T23:59:59.5Z"
"1970-01-01T00:00:00Z"
"2020-02-29T12:34:56"
"1s"
"1.5s"
"-1.5s"
"-0.5s"
"+1s"
".5s"
"1.s"
".s"
"s"
"-s"
"01s"
"1.1234567890s"
"315576000000s"
"315576000001s"
"-315576000000.999999999s"
"99999999999999999999s"
"0s"
"1 s"
"1.5"
"fooBar,baz.quxQuux"
"foo_bar"
"FooBar"
"foo,"
",foo"
" foo "
"foo. bar"
"foo..bar"
"foo.1"
"a1.b2"
[]
[1,2,3]
[1,]
[,1]
[1 2]
[[1],[]]
[null]
[{}]
[{"fString":"x"},{"fInt32":1}]
["a","b"]
[true,false]
[1,"2",3.0]
["x",null]
{}
{"a":1}
{"a":1,"b":[true,null,"x",{"c":{}}]}
{"a":1,"a":2}
{"a":1,}
{,}
{"a"}
{"a":}
{a:1}
{"fString":"x"}
{"fString":"x","fString":"y"}
{"child":{"child":{"fInt32":5}}}
{"@type":"type.googleapis.com/transom.jsonwire.test.Book"}
{"@type":"type.googleapis.com/transom.jsonwire.test.Book","name":"x","pages":0}
{"name":"x","@type":"type.googleapis.com/transom.jsonwire.test.Book","pages":3}
{"name":"x","@type":"transom.jsonwire.test.Book"}
{"@type":"a/b/transom.jsonwire.test.Book","@type":"transom.jsonwire.test.Book"}
{"name":"x","@type":"transom.jsonwire.test.Book","@type":"transom.jsonwire.test.Book"}
{"@type":"transom.jsonwire.test.Nothing"}
{"@type":""}
{"@type":5}
{"name":"x","@type":5}
{"@type":"transom.jsonwire.test.Book","none":1}
{"@type":"transom.jsonwire.test.Book","name":"x","name":"y"}
{"@type":"google.protobuf.Timestamp","value":"2020-02-29T12:34:56Z"}
{"value":"2020-02-29T12:34:56Z","@type":"google.protobuf.Timestamp"}
{"value":"1s","@type":"google.protobuf.Duration"}
{"@type":"google.protobuf.Duration"}
{"@type":"google.protobuf.Duration","value":"1s","value":"1s"}
{"@type":"google.protobuf.Duration","value":"1s","more":1}
{"@type":"google.protobuf.Duration","value":null}
{"@type":"google.protobuf.Empty"}
{"@type":"google.protobuf.Empty","value":{}}
{"@type":"google.protobuf.Empty","value":{"a":1}}
{"@type":"google.protobuf.Value","value":null}
{"@type":"google.protobuf.Value","value":[1,{"a":null}]}
{"@type":"google.protobuf.Struct","value":{"a":{"b":1}}}
{"@type":"google.protobuf.ListValue","value":[1]}
{"@type":"google.protobuf.FieldMask","value":"aB,c"}
{"@type":"google.protobuf.Int64Value","value":"5"}
{"@type":"google.protobuf.StringValue","value":"5"}
{"@type":"google.protobuf.Any","value":{"@type":"google.protobuf.Any","value":{"@type":"transom.jsonwire.test.Book","name":"in"}}}
{"value":{"value":{"name":"in","@type":"transom.jsonwire.test.Book"},"@type":"google.protobuf.Any"},"@type":"google.protobuf.Any"}
{"@type":"transom.jsonwire.test.Everything","any":{"fString":"a","@type":"transom.jsonwire.test.Everything","any":{"fString":"b","@type":"transom.jsonwire.test.Everything"}}}
{"@type":"transom.jsonwire.test.Everything","struct":{"@type":5}}
{"struct":{"@type":5,"@type":6},"@type":"transom.jsonwire.test.Everything"}
`

const jsonCases = `
{}
 { } 
{"fString":"a","fInt32":1}
{"f_string":"a","f_int32":1}
{"fString":"a","f_string":"b"}
{"f_string":"a","fString":"b"}
{"fString":null,"fString":"a"}
{"fString":null,"f_string":null}
{"fInt32":1,"fString":"a","fBool":true}
{"unknown":1}
{"unknown":{"a":[1,{"b":null}],"c":"\ud83d\ude00"},"fInt32":3}
{"unknown":"\ud83d","fInt32":3}
{"unknown":tru}
{"unknown":[1,2}
{"cString":"a","cInt32":1}
{"cString":null,"cInt32":1}
{"cInt32":1,"cString":null}
{"cNull":null,"cInt32":1}
{"cNull":null}
{"cValue":null}
{"cValue":null,"cString":null}
{"cMessage":{},"oBool":true}
{"cMessage":{"cString":"x"},"oBytes":"aGk="}
{"pBool":false,"pInt64":"0","pString":"","pEnum":0}
{"pBool":null}
{"fBool":true}x
{"fBool":true}{}
{"fBool":true} 
{"fBool":true
{"fBool"
{"fBool":
{
[
]
}

null
true
"x"
5
[]
{"fBool":true,,"fInt32":1}
{"fBool":true "fInt32":1}
{"fBool" : true , "fInt32" : 1 }
{"fBool"::true}
{'fBool':true}
{"\u0066Bool":true}
{"fBool\n":true}
{"other-Name":"a"}
{"renamed":"a"}
{"other-Name":"a","renamed":"b"}
{"otherName":"a"}
{"snake_case_name_1":"a"}
{"snakeCaseName1":"a"}
{"snakeCaseName_1":"a"}
{"[transom.none]":1}
{"[]":1}
{"@type":"x"}
{"rInt32":[1,2,3],"rUnpacked":[1,2,3],"rString":["a",""],"children":[{},{"fString":"x"}]}
{"mString":{"a":{"mString":{"b":{}}},"c":{}}}
{"mInt32":{"1":"a","01":"b"}}
{"mInt32":{"1":"a","\u0031":"b"}}
{"mValue":{"a":null,"b":1}}
{"mWrapper":{"a":"1","b":2}}
{"mWrapper":{"a":null}}
{"struct":{"a":1,"\u0061":2}}
{"struct":{"a":{"b":{"c":[1,[2,[3]]]}}}}
{"value":{"a":{"b":{"c":[1,[2,[3]]]}}}}
{"rEnum":["GENRE_FICTION",2,7,"NOPE"]}
{"mUint64":{"1":"GENRE_FICTION","2":"NOPE","3":5}}
{"mUint64":{"2":"NOPE","2":"GENRE_FICTION"}}
{"mUint64":{"2":"GENRE_FICTION","2":"NOPE"}}
{"fEnum":"NOPE","fInt32":1}
{"cString":"\u0000"}
`
