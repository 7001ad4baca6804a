package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/nearest"
)

// scalar reads a text as a value of the field's type.
func scalar(text string, field protoreflect.FieldDescriptor) (protoreflect.Value, bool) {
	switch field.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(text), utf8.ValidString(text)
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(text == "true"), text == "true" || text == "false"
	case protoreflect.Uint32Kind:
		n, err := strconv.ParseUint(text, 10, 32)
		return protoreflect.ValueOfUint32(uint32(n)), err == nil
	case protoreflect.Uint64Kind:
		n, err := strconv.ParseUint(text, 10, 64)
		return protoreflect.ValueOfUint64(n), err == nil
	case protoreflect.DoubleKind:
		x, err := strconv.ParseFloat(text, 64)
		return protoreflect.ValueOfFloat64(x), err == nil && !math.IsNaN(x) && !math.IsInf(x, 0)
	case protoreflect.EnumKind:
		return enum(text, field.Enum())
	case protoreflect.MessageKind:
		t, err := time.ParseDuration(text)
		return protoreflect.ValueOfMessage(durationpb.New(t).ProtoReflect()), err == nil
	}
	panic("transom.v1.Config has a field of a kind that this package does not read: " + field.FullName())
}

// zeros are the numbers of the configuration for which 0 is a value of its own, such as no bound.
var zeros = map[protoreflect.FullName]bool{
	"transom.v1.Listener.max_connections":            true,
	"transom.v1.Listener.max_connections_per_client": true,
	"transom.v1.HttpUpstream.max_connections":        true,
	"transom.v1.HttpUpstream.min_healthy_percent":    true,
	"transom.v1.GrpcUpstream.min_healthy_percent":    true,
}

// isZero reports whether a value of a setting is the number 0, which would pass for a line that is not there.
func isZero(v protoreflect.Value, field protoreflect.FieldDescriptor) bool {
	if field.HasPresence() || field.IsMap() || field.IsList() || field.ContainingMessage().IsMapEntry() {
		return false
	}
	switch field.ParentFile().Path() {
	case "transom/v1/config.proto", "transom/v1/subscription.proto":
	default:
		return false // the policies say themselves what 0 is
	}
	switch field.Kind() {
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind:
		return v.Uint() == 0
	case protoreflect.DoubleKind:
		return v.Float() == 0
	}
	return false
}

// enum reads the name of a value, or the number of a known one.
func enum(text string, e protoreflect.EnumDescriptor) (protoreflect.Value, bool) {
	v := e.Values().ByName(protoreflect.Name(text))
	if n, err := strconv.ParseInt(text, 10, 32); v == nil && err == nil {
		v = e.Values().ByNumber(protoreflect.EnumNumber(n))
	}
	if v == nil {
		return protoreflect.Value{}, false
	}
	return protoreflect.ValueOfEnum(v.Number()), true
}

// expectation says what a scalar field takes, for people.
func expectation(field protoreflect.FieldDescriptor) string {
	switch field.Kind() {
	case protoreflect.BoolKind:
		return "true or false"
	case protoreflect.Uint32Kind:
		if isPercent(field) {
			return "a whole number of percent, such as 95"
		}
		return fmt.Sprintf("a whole number from 0 to %d", uint32(math.MaxUint32))
	case protoreflect.Uint64Kind:
		return "a whole number from 0"
	case protoreflect.DoubleKind:
		return "a number"
	case protoreflect.EnumKind:
		return "one of " + strings.Join(enumNames(field.Enum()), ", ")
	case protoreflect.MessageKind:
		return `a duration such as "1h", "30s" or "250ms"`
	}
	return "a text"
}

// isPercent reports whether a number is one of percent.
func isPercent(field protoreflect.FieldDescriptor) bool {
	name := string(field.Name())
	return strings.HasSuffix(name, "_percent") || strings.HasSuffix(name, "_percentile")
}

// enumNames lists the values that one may write. The one that stands for "not said"
// is none of them.
func enumNames(e protoreflect.EnumDescriptor) []string {
	var all []string
	for i := range e.Values().Len() {
		if name := string(e.Values().Get(i).Name()); !strings.HasSuffix(name, "_UNSPECIFIED") {
			all = append(all, name)
		}
	}
	return all
}

// nearestValue is the value that was probably meant. Values are written without the
// name of their type before them, which some expect.
func nearestValue(e protoreflect.EnumDescriptor, text string) string {
	all := enumNames(e)
	upper := strings.ToUpper(text)
	for _, name := range all {
		if strings.HasSuffix(upper, "_"+name) {
			return name
		}
	}
	return nearest.Of(all, text)
}

// hint names the value that was probably meant.
func hint(text string, field protoreflect.FieldDescriptor) string {
	switch field.Kind() {
	case protoreflect.Uint32Kind:
		if x, err := strconv.ParseFloat(text, 64); err == nil && isPercent(field) && x > 0 && x <= 1 {
			return fmt.Sprintf("; did you mean %.0f?", 100*x)
		}
	case protoreflect.EnumKind:
		if near := nearestValue(field.Enum(), text); near != "" {
			return fmt.Sprintf("; did you mean %s?", near)
		}
	case protoreflect.MessageKind:
		if days, ok := inDays(text); ok {
			return fmt.Sprintf("; %d days are written %q", days, fmt.Sprintf("%dh", 24*days))
		}
		if near := nearestDuration(text); near != "" {
			return fmt.Sprintf("; did you mean %q?", near)
		}
	}
	return ""
}

// units are what people write for the units of durations.
var units = map[string]string{
	"": "s", "sec": "s", "secs": "s", "second": "s", "seconds": "s", "S": "s",
	"min": "m", "mins": "m", "minute": "m", "minutes": "m", "M": "m",
	"hr": "h", "hrs": "h", "hour": "h", "hours": "h", "H": "h",
	"msec": "ms", "msecs": "ms", "millis": "ms", "milliseconds": "ms", "MS": "ms",
}

// inDays reads a number of days, which have no unit of their own.
func inDays(text string) (days uint64, ok bool) {
	for _, unit := range [...]string{"d", "day", "days"} {
		number, has := strings.CutSuffix(text, unit)
		if days, err := strconv.ParseUint(strings.TrimSpace(number), 10, 16); has && err == nil {
			return days, true
		}
	}
	return 0, false
}

// nearestDuration is the duration that was probably meant by a number with another
// unit, or none; "" where there is none.
func nearestDuration(text string) string {
	end := strings.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if end < 0 {
		end = len(text)
	}
	number, unit := text[:end], strings.TrimSpace(text[end:])
	unit, known := units[unit]
	if _, err := time.ParseDuration(number + unit); err != nil || !known {
		return ""
	}
	return number + unit
}
