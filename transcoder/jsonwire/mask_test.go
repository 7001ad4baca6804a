package jsonwire_test

import (
	"encoding/json"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"github.com/transom-gateway/transom/transcoder/jsonwire"
	"github.com/transom-gateway/transom/transcoder/jsonwire/internal/testpb"
)

// TestSemantics314Mask: the asterisk in and out, by JSON and by text, and paths
// that have no camelCase form as they are in answers.
func TestSemantics314Mask(t *testing.T) {
	field, err := everythingPlan().Field("mask")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]string{
		"*": {"*"}, "fooBar,*": {"foo_bar", "*"}, "reviews.*.author": {"reviews.*.author"}, "a.*": {"a.*"},
	} {
		in, _ := json.Marshal(map[string]string{"mask": text})
		wire, err := everythingPlan().AppendWire(nil, in, jsonwire.Input{})
		if err != nil {
			t.Error(err)
			continue
		}
		byText, err := field.AppendText(nil, text)
		if err != nil || string(byText) != string(wire) {
			t.Errorf("%s: by text %x, %v; by JSON %x", text, byText, err, wire)
		}
		var m testpb.Everything
		if err := proto.Unmarshal(wire, &m); err != nil || !proto.Equal(m.GetMask(), &fieldmaskpb.FieldMask{Paths: want}) {
			t.Errorf("%s: got %v, %v", text, m.GetMask(), err)
		}
		out, err := appendJSON(t, &m, jsonwire.Output{OmitDefaults: true})
		if err != nil || out != string(in) {
			t.Errorf("%s came back as %s, %v", text, out, err)
		}
	}
	for _, bad := range []string{"**", "*a", "a*", "a.*b", "*.", ".*", "* *"} {
		if _, err := field.AppendText(nil, bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	for _, c := range []struct {
		paths []string
		want  string
	}{
		{[]string{"foo_bar", "fooBar", "a_1", "b__c", "_d", "e_"}, "fooBar,fooBar,a_1,b__c,D,e_"},
		{[]string{"labels.`é \"x\"`", "", "a b", "x,y"}, "labels.`é \"x\"`,,a b,x,y"},
	} {
		want, _ := json.Marshal(map[string]string{"mask": c.want})
		out, err := appendJSON(t, &testpb.Everything{Mask: &fieldmaskpb.FieldMask{Paths: c.paths}}, jsonwire.Output{OmitDefaults: true})
		if err != nil || !sameJSON([]byte(out), want) {
			t.Errorf("%q: got %s, %v", c.paths, out, err)
		}
	}
}
