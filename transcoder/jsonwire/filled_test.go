package jsonwire_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/transcoder/jsonwire"
)

// set plays parameters the way a query does and returns why one is refused, "" if
// none is.
func set(t testing.TB, plan *jsonwire.Plan, filled *jsonwire.Filled, parameters ...string) string {
	t.Helper()
	for _, parameter := range parameters {
		name, value, _ := strings.Cut(parameter, "=")
		f, key, keyed, err := plan.Parameter(name)
		if err != nil {
			return err.Error()
		}
		if reason := filled.Set(f); reason != "" {
			return reason
		}
		var wire []byte
		if keyed {
			wire, err = f.AppendMapText(nil, key, value)
		} else {
			wire, err = f.AppendText(nil, value)
		}
		if err != nil {
			t.Fatalf("%s: %v", parameter, err)
		}
		if f.IsMap() && !filled.SetKeys(f, wire) {
			return "key twice"
		}
	}
	return ""
}

// TestSemantics300Filled: nothing replaces in silence what was given before.
func TestSemantics300Filled(t *testing.T) {
	plan := everythingPlan()
	for _, c := range []struct {
		parameters string
		want       string // a part of the reason; empty: accepted
	}{
		{"f_int32=1 fString=a child.f_int32=2 child.child.f_int32=3", ""},
		{"f_int32=1 fInt32=1", "given twice"},
		{"child={} child={}", "given twice"},
		{`child={"fInt32":1} child.f_int32=2`, "as a whole"},
		{`child.f_int32=2 child={"fInt32":1}`, "given as a whole"},
		{`child.child={} child.f_int32=2`, ""},
		{"timestamp=2020-01-01T00:00:00Z timestamp.seconds=5", "as a whole"},
		{"timestamp.seconds=5 timestamp.nanos=6", ""},
		{"duration.nanos=5 duration=1s", "as a whole"},
		{"w_int64=5 w_int64.value=6", "as a whole"},
		{"mask=a mask.paths=b", "as a whole"},
		{`struct={} struct.fields={}`, "as a whole"},
		{"r_int32=1 r_int32=2 r_int32=[3,4]", ""},
		{"m_int32[1]=a m_int32[2]=b", ""},
		{"m_int32[1]=a m_int32[01]=b", "key twice"},
		{"m_int32[-1]=a m_int32[-01]=b", "key twice"},
		{"mInt32[+1]=a m_int32[1]=b", "key twice"},
		{"m_bool[true]=a m_bool[true]=b", "key twice"},
		{`m_int32={"1":"a"} m_int32[1]=b`, "key twice"},
		{`m_int32={"1":"a"} m_int32={"01":"b"}`, "key twice"},
		{`m_int32={"1":"a"} m_int32={"2":"b"}`, ""},
		{"m_sint64[5]=1 m_sint64[05]=1", "key twice"},
		{"child.m_sint64[5]=1 m_sint64[5]=1", ""},
		{"m_sfixed64[-2]=aGk m_sfixed64[-02]=aGk", "key twice"},
		{"m_string[k]={} m_string[l]={}", ""},
		{"m_string[k]={} m_string[k]={}", "key twice"},
		{"c_int32=1 c_string=a", "second member of the oneof choice; c_int32"},
		{"c_int32=1 c_message.f_int32=2", "second member of the oneof choice; c_int32"},
		{"c_message.f_int32=1 c_message.f_string=a", ""},
		{"c_int32=1 child.c_string=a", ""},
		{"child.c_int32=1 child.child.c_string=a child.cString=a", "second member"},
		{"p_int64=1 p_bool=true", ""},
	} {
		t.Run("Semantics 300: "+c.parameters, func(t *testing.T) {
			var filled jsonwire.Filled
			got := set(t, plan, &filled, strings.Split(c.parameters, " ")...)
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestSemantics300Meets: a body against what the path and the query set.
func TestSemantics300Meets(t *testing.T) {
	plan := everythingPlan()
	for _, c := range []struct {
		claim, query, body string
		want               string // a part of the reason; empty: accepted
	}{
		{"c_int32", "", `{"cInt32":1}`, ""}, // the path wins (Semantics 13)
		{"c_int32", "", `{"cString":"a"}`, "c_string is a second member of the oneof choice"},
		{"c_int32", "", `{"child":{"cString":"a"}}`, ""},
		{"child.c_int32", "", `{"child":{"cString":"a"}}`, "c_string is a second member"},
		{"child.c_int32", "", `{"cString":"a"}`, ""},
		{"c_message.f_int32", "", `{"cMessage":{"fInt32":1}}`, ""},
		{"c_message.f_int32", "", `{"cString":""}`, "second member"},
		{"", "c_int32=1", `{"cString":"a"}`, "second member"},
		{"", "f_int32=1", `{"fInt32":1}`, "f_int32 is set by the query too"},
		{"", "child.f_int32=1", `{"child":{"fInt32":1}}`, "f_int32 is set by the query too"},
		{"", "child.f_int32=1", `{"child":{"fString":"a"}}`, ""},
		{"", `child={}`, `{"child":{"fString":"a"}}`, "child is set by the query too"},
		{"", "r_int32=1", `{"rInt32":[1]}`, ""},
		{"", "m_int32[1]=a", `{"mInt32":{"1":"b"}}`, "a key of m_int32"},
		{"", "m_int32[1]=a", `{"mInt32":{"2":"b"}}`, ""},
	} {
		t.Run(fmt.Sprintf("Semantics 300: %s %s %s", c.claim, c.query, c.body), func(t *testing.T) {
			var filled jsonwire.Filled
			if c.claim != "" {
				f, err := plan.Field(c.claim)
				if err != nil {
					t.Fatal(err)
				}
				if reason := filled.Claim(f); reason != "" {
					t.Fatal(reason)
				}
			}
			if c.query != "" {
				if reason := set(t, plan, &filled, c.query); reason != "" {
					t.Fatal(reason)
				}
			}
			wire, err := plan.AppendWire(nil, []byte(c.body), jsonwire.Input{})
			if err != nil {
				t.Fatal(err)
			}
			got := filled.Meets(plan, wire)
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestSemantics302Depth: a dotted name goes as deep as JSON does.
func TestSemantics302Depth(t *testing.T) {
	plan := everythingPlan()
	name := func(n int) string { return strings.Repeat("child.", n-1) + "f_int32" }
	f, err := plan.Field(name(100))
	if err != nil {
		t.Fatal(err)
	}
	wire, err := f.AppendText(nil, "7")
	if err != nil {
		t.Fatal(err)
	}
	nested := strings.Repeat(`{"child":`, 99) + `{"fInt32":7}` + strings.Repeat("}", 99)
	same, err := plan.AppendWire(nil, []byte(nested), jsonwire.Input{})
	if err != nil || string(same) != string(wire) {
		t.Errorf("the name of 100 fields is not what JSON 100 deep is: %v", err)
	}
	for _, path := range []string{name(101), name(50000), strings.Repeat("child.", 50000)} {
		if _, err := plan.Field(path); err == nil || !strings.Contains(err.Error(), "more than 100 fields") {
			t.Errorf("%d bytes: got %v", len(path), err)
		}
		if _, _, _, err := plan.Parameter(path); err == nil || !strings.Contains(err.Error(), "more than 100 fields") {
			t.Errorf("%d bytes: got %v", len(path), err)
		}
	}
	f, err = plan.Field(strings.Repeat("child.", 60) + "value")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.AppendText(nil, strings.Repeat("[", 40)+strings.Repeat("]", 40)); err != nil {
		t.Error(err)
	}
	if _, err := f.AppendText(nil, strings.Repeat("[", 41)+strings.Repeat("]", 41)); err == nil {
		t.Error("a value in JSON goes deeper than 100 below a deep name")
	}
}

// TestSemantics302Linear: names of fields cost no more than a constant for each of
// their bytes, whatever they hold.
func TestSemantics302Linear(t *testing.T) {
	plan := everythingPlan()
	leaves := []string{"f_bool", "f_int32", "f_sint32", "f_uint32", "f_int64", "f_uint64", "f_double", "f_string", "p_bool", "p_int64"}
	for name, parameter := range map[string]func(i int) string{
		"deep":             func(i int) string { return strings.Repeat("child.", i%99) + leaves[i/99%len(leaves)] },
		"a list, as deep":  func(int) string { return strings.Repeat("child.", 99) + "r_int32" },
		"keys of a map":    func(i int) string { return fmt.Sprintf("child.m_int32[%d]", i) },
		"too deep":         func(int) string { return strings.Repeat("child.", 200) + "f_int32" },
		"unknown":          func(i int) string { return fmt.Sprintf("child.unknown%d", i) },
		"unknown and deep": func(i int) string { return strings.Repeat("child.", 99) + fmt.Sprintf("unknown%d", i) },
		"brackets":         func(int) string { return strings.Repeat("[", 200) + "]" },
		"dots":             func(int) string { return strings.Repeat(".", 200) },
	} {
		t.Run("Semantics 302: "+name, func(t *testing.T) {
			cost := func(n int) (took uint64, size int) {
				var names []string
				for i := range n {
					names = append(names, parameter(i))
					size += len(names[i])
				}
				return allocated(func() {
					var filled jsonwire.Filled
					var wire []byte
					for _, name := range names {
						f, key, keyed, err := plan.Parameter(name)
						if err != nil {
							continue
						}
						_ = filled.Set(f) // some come twice
						mark := len(wire)
						if keyed {
							wire, err = f.AppendMapText(wire, key, "1")
						} else {
							wire, err = f.AppendText(wire, "1")
						}
						if err != nil {
							t.Fatal(name, err)
						}
						if f.IsMap() {
							_ = filled.SetKeys(f, wire[mark:]) // likewise
						}
					}
				}), size
			}
			once, size := cost(450)
			twice, double := cost(900)
			if limit := 100 * uint64(size); once > limit {
				t.Errorf("%d bytes of names took %d bytes of memory", size, once)
			}
			// Twice the bytes cost twice the memory; slices and maps grow in steps.
			if twice > 3*once*uint64(double)/uint64(2*size)+4096 {
				t.Errorf("%d bytes of names took %d bytes of memory, %d bytes %d", size, once, double, twice)
			}
		})
	}
}

// TestSemantics302MaskPaths: the paths of a body's keys repeat what is above them;
// they are bounded.
func TestSemantics302MaskPaths(t *testing.T) {
	plan := everythingPlan()
	leaf := `{"fBool":true,"fInt32":1,"fString":"a","fInt64":"1","fDouble":1,"fUint32":1,"fSint32":1,"fBytes":"","fFloat":1,"pBool":true}`
	body := func(n int) string { // n objects at the end of a chain
		var b strings.Builder
		b.WriteString(strings.Repeat(`{"child":`, 80))
		for range n {
			b.WriteString(`{"cMessage":` + leaf + `,"child":`)
		}
		b.WriteString("{}" + strings.Repeat("}", 80+n))
		return b.String()
	}
	if _, err := plan.MaskPaths([]byte(body(10))); err != nil {
		t.Error(err)
	}
	if _, err := plan.MaskPaths([]byte(body(19))); err == nil || !strings.Contains(err.Error(), "send a mask of your own") {
		t.Errorf("got %v", err)
	}
	wide := strings.Repeat(`{"snakeCaseName1":{},"child":`, 95) + strings.Repeat(leaf[:len(leaf)-1]+`,"child":`, 1) + "{}" + strings.Repeat("}", 96)
	for name, in := range map[string]string{"10 at the end": body(10), "19 at the end": body(19), "wide": wide} {
		took := allocated(func() { _, _ = plan.MaskPaths([]byte(in)) })
		if limit := 100 * uint64(len(in)); took > limit {
			t.Errorf("%s: %d bytes took %d bytes of memory, more than %d", name, len(in), took, limit)
		}
	}
}

// FuzzParameters: what a query may name never panics, and what is accepted is a
// message.
func FuzzParameters(f *testing.F) {
	plan := everythingPlan()
	f.Fuzz(func(t *testing.T, query string) {
		var filled jsonwire.Filled
		var wire []byte
		for pair := range strings.SplitSeq(query, "&") {
			name, value, _ := strings.Cut(pair, "=")
			field, key, keyed, err := plan.Parameter(name)
			if err != nil || filled.Set(field) != "" {
				continue
			}
			mark := len(wire)
			if keyed {
				wire, err = field.AppendMapText(wire, key, value)
			} else {
				wire, err = field.AppendText(wire, value)
			}
			if err == nil && field.IsMap() {
				filled.SetKeys(field, wire[mark:])
			}
		}
		if _, err := plan.AppendJSON(nil, wire, jsonwire.Output{LenientAny: true}); err != nil {
			t.Errorf("%q makes a message that is not valid: %v", query, err)
		}
		filled.Meets(plan, wire)
	})
}
