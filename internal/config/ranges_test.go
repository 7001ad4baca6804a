package config

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestRanges: each number outside of what the tables of docs/configuration.md say is refused where it stands.
func TestRanges(t *testing.T) {
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for line := range strings.Lines(string(page)) {
		columns := strings.Split(line, "|")
		if len(columns) < 5 {
			continue
		}
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(columns[1], -1) {
			if !numeric(name[1]) {
				continue
			}
			seen++
			outside := outsideOf(columns[2])
			if len(outside) == 0 {
				t.Errorf("%s: no range is found in %q", name[1], columns[2])
			}
			for _, value := range outside {
				refused(t, name[1], value)
			}
		}
	}
	if seen < 40 {
		t.Errorf("%d settings are numbers, want more: are the tables read?", seen)
	}
}

// elsewhere are values that other packages check when the configuration loads.
var elsewhere = map[string]bool{"events.gateway[].sample 2": true, "events.sinks.NAME.webhook.concurrency 65": true}

// TestZeros: the numbers for which 0 is a value of its own are fields, and take it.
func TestZeros(t *testing.T) {
	for name := range zeros {
		found, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if field, ok := found.(protoreflect.FieldDescriptor); !ok || field.HasPresence() || !isZero(protoreflect.ValueOfUint32(0), field) {
			t.Errorf("%s: %v, want a number without presence", name, found)
		}
	}
}

// refused holds that a value is a problem at its path.
func refused(t *testing.T, name, value string) {
	t.Helper()
	if elsewhere[name+" "+value] {
		return
	}
	where := strings.NewReplacer("[]", "[0]", "NAME", "a").Replace(name)
	_, problems := Parse("transom.yaml", []byte(nested(name, value)), testEnv)
	for _, p := range problems {
		if strings.HasPrefix(p.String(), "transom.yaml:") && strings.Contains(p.String(), " "+where+": ") {
			return
		}
	}
	t.Errorf("%s: %s is taken\n%v", name, value, problems)
}

// nested is the YAML of a setting.
func nested(name, value string) string {
	text, end := "", ""
	for part := range strings.SplitSeq(name, ".") {
		plain, list := strings.CutSuffix(strings.ReplaceAll(part, "NAME", "a"), "[]")
		text += "{ " + plain + ": "
		end = " }" + end
		if list {
			text, end = text+"[", "]"+end
		}
	}
	if strings.Contains(name, ".health_check.") {
		value += ", path: /healthz"
	}
	return text + value + end
}

// numeric reports whether a setting is a number.
func numeric(name string) bool {
	m := (&transomv1.Config{}).ProtoReflect().Descriptor()
	var field protoreflect.FieldDescriptor
	for part := range strings.SplitSeq(name, ".") {
		part, _ = strings.CutSuffix(part, "[]")
		switch {
		case part == "NAME" && field != nil && field.IsMap():
			m = field.MapValue().Message()
			continue
		case m == nil:
			return false
		}
		if field = m.Fields().ByName(protoreflect.Name(part)); field == nil {
			return false
		}
		m = field.Message()
	}
	switch {
	case field == nil || field.IsMap() || field.IsList():
		return false
	case field.Kind() == protoreflect.Uint32Kind, field.Kind() == protoreflect.Uint64Kind, field.Kind() == protoreflect.DoubleKind:
		return true
	}
	return false
}

var (
	between = regexp.MustCompile(`^([0-9]+)( [KMGT]iB)?(?:–| to )([0-9]+)( [KMGT]iB)?`)
	upTo    = regexp.MustCompile(`^(?:number|bytes), (?:(above|from) ([0-9]+) )?(?:and )?up to ([0-9]+)`)
	known   = regexp.MustCompile(`^[0-9]+(?:, [0-9]+)+$`)
)

// outsideOf lists numbers that a range of the tables leaves out.
func outsideOf(text string) []string {
	text = strings.TrimSpace(text)
	text, _ = strings.CutPrefix(text, "number, ")
	text, _ = strings.CutPrefix(text, "bytes, ")
	if found := between.FindStringSubmatch(text); found != nil {
		low, high := bytesOf(found[1], found[2]), bytesOf(found[3], found[4])
		if low == 0 {
			return []string{fmt.Sprint(high + 1)}
		}
		return []string{fmt.Sprint(low - 1), fmt.Sprint(high + 1)}
	}
	switch found := upTo.FindStringSubmatch("number, " + text); {
	case found != nil:
		high, _ := strconv.Atoi(found[3])
		return []string{"0", fmt.Sprint(high + 1)}
	case known.MatchString(text):
		return []string{"0", "200", "999"}
	case text == "port":
		return []string{"0", "65536"}
	case strings.HasPrefix(text, "0"):
		return []string{"-1", "4294967296000000000000"}
	case text == "number", text == "bytes", strings.HasPrefix(text, "less than"):
		return []string{"0", "-1"}
	}
	return nil
}

// bytesOf is a number with a unit.
func bytesOf(number, unit string) uint64 {
	n, _ := strconv.ParseUint(number, 10, 64)
	return n << (10 * (strings.IndexByte("KMGT", (strings.TrimSpace(unit) + " ")[0]) + 1))
}
