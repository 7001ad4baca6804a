package openapi

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// object is a JSON object whose members stay in the order in which they were set. Values
// are *object, list, string, bool, int64 and number.
type object struct {
	keys   []string
	values []any
	// fits, of a schema, is a value that rules take for which JSON Schema has no words; nil for none.
	fits any
	// of is what the schema of a message was made of; nil for any other.
	of *madeOf
}

// list is a JSON array.
type list []any

// number is a JSON number as it is written.
type number string

// obj makes an object of names and values in turn.
func obj(members ...any) *object {
	o := &object{}
	for i := 0; i+1 < len(members); i += 2 {
		name, _ := members[i].(string) // names are literals of this package
		o.set(name, members[i+1])
	}
	return o
}

// set sets a member, and leaves out what says nothing: nil, "" and an empty list.
func (o *object) set(name string, value any) {
	switch v := value.(type) {
	case nil:
		return
	case string:
		if v == "" {
			return
		}
	case list:
		if len(v) == 0 {
			return
		}
	case *object:
		if v == nil {
			return
		}
	}
	o.put(name, value)
}

// put sets a member, whatever its value is.
func (o *object) put(name string, value any) {
	for i, key := range o.keys {
		if key == name {
			o.values[i] = value
			return
		}
	}
	o.add(name, value)
}

// add adds a member that is not there yet.
func (o *object) add(name string, value any) {
	o.keys, o.values = append(o.keys, name), append(o.values, value)
}

// get is the value of a member; nil where there is none.
func (o *object) get(name string) any {
	if o == nil {
		return nil
	}
	for i, key := range o.keys {
		if key == name {
			return o.values[i]
		}
	}
	return nil
}

// has reports whether there is a member.
func (o *object) has(name string) bool { return o != nil && slices.Contains(o.keys, name) }

// rename gives a member another name.
func (o *object) rename(from, to string) {
	for i, key := range o.keys {
		if key == from {
			o.keys[i] = to
		}
	}
}

// remove takes a member away.
func (o *object) remove(name string) {
	for i, key := range o.keys {
		if key == name {
			o.keys, o.values = slices.Delete(o.keys, i, i+1), slices.Delete(o.values, i, i+1)
			return
		}
	}
}

// at is the object that a member is, which is made where there is none.
func (o *object) at(name string) *object {
	if have, ok := o.get(name).(*object); ok {
		return have
	}
	made := &object{}
	o.put(name, made)
	return made
}

// clone is another object with the same members.
func (o *object) clone() *object {
	return &object{keys: append([]string(nil), o.keys...), values: append([]any(nil), o.values...), fits: o.fits, of: o.of}
}

// texts is a list of strings.
func texts[S ~string](of []S) list {
	l := make(list, len(of))
	for i, s := range of {
		l[i] = string(s)
	}
	return l
}

// appendJSON writes a value over several lines.
func appendJSON(dst []byte, value any, indent int) []byte {
	switch v := value.(type) {
	case *object:
		return appendMembers(dst, v, indent)
	case list:
		return appendItems(dst, v, indent)
	case string:
		return appendQuoted(dst, v)
	}
	return append(dst, scalar(value)...)
}

func appendMembers(dst []byte, o *object, indent int) []byte {
	if len(o.keys) == 0 {
		return append(dst, "{}"...)
	}
	dst = append(dst, '{')
	for i, key := range o.keys {
		dst = appendLine(dst, i, indent+1)
		dst = append(appendQuoted(dst, key), ": "...)
		dst = appendJSON(dst, o.values[i], indent+1)
	}
	return append(appendLine(dst, 0, indent), '}')
}

func appendItems(dst []byte, l list, indent int) []byte {
	if len(l) == 0 {
		return append(dst, "[]"...)
	}
	dst = append(dst, '[')
	for i, item := range l {
		dst = appendLine(dst, i, indent+1)
		dst = appendJSON(dst, item, indent+1)
	}
	return append(appendLine(dst, 0, indent), ']')
}

// appendLine begins the line of an element, behind the comma of the one before.
func appendLine(dst []byte, i, indent int) []byte {
	if i > 0 {
		dst = append(dst, ',')
	}
	dst = append(dst, '\n')
	for range indent {
		dst = append(dst, "  "...)
	}
	return dst
}

// scalar is the text of a value that is neither text nor holds others.
func scalar(value any) string {
	switch v := value.(type) {
	case bool:
		return strconv.FormatBool(v)
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case number:
		return string(v)
	}
	return "null"
}

// appendQuoted writes a string that JSON and YAML read alike: what YAML does not take as it
// is stands escaped.
func appendQuoted(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range s { // what is no UTF-8 is U+FFFD
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case r < 0x10000 && !printable(r):
			dst = append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

// printable reports whether YAML takes a character as it is, and it does not turn the direction of the text behind it.
func printable(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7F && r < 0xA0, r == 0x2028, r == 0x2029, r == 0xFEFF, r == 0xFFFE, r == 0xFFFF,
		r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x2069:
		return false
	}
	return true
}

// visible is a text in which characters that nobody sees, but for breaks of lines, stand as escapes.
func visible(text string) string {
	hidden := func(r rune) bool { return r < 0x10000 && r != '\n' && r != '\t' && !printable(r) }
	if strings.IndexFunc(text, hidden) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if hidden(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// maxYAMLKey is how long a key may be that stands before its colon on one line; YAML has 1,024 characters.
const maxYAMLKey = 500

// appendYAML writes an object or a list as YAML, each line indented.
func appendYAML(dst []byte, value any, indent int) []byte {
	switch v := value.(type) {
	case *object:
		for i, key := range v.keys {
			dst = appendIndent(dst, indent)
			if len(key) > maxYAMLKey {
				dst = append(appendQuoted(append(dst, "? "...), key), '\n')
				dst = appendIndent(dst, indent)
			} else {
				dst = appendPlain(dst, key)
			}
			dst = appendYAMLValue(append(dst, ':'), v.values[i], indent+1)
		}
	case list:
		for _, item := range v {
			dst = appendYAMLItem(dst, item, indent)
		}
	}
	return dst
}

// appendYAMLItem writes an item of a list, the first line of one with lines of its own behind
// the dash.
func appendYAMLItem(dst []byte, item any, indent int) []byte {
	mark := len(dst)
	if o, ok := item.(*object); ok && len(o.keys) > 0 {
		dst = appendYAML(dst, o, indent+1)
		dst[mark+2*indent] = '-'
		return dst
	}
	return appendYAMLValue(append(appendIndent(dst, indent), '-'), item, indent+1)
}

// appendYAMLValue writes what stands behind a key or a dash.
func appendYAMLValue(dst []byte, value any, indent int) []byte {
	switch v := value.(type) {
	case *object:
		if len(v.keys) == 0 {
			return append(dst, " {}\n"...)
		}
		return appendYAML(append(dst, '\n'), v, indent)
	case list:
		if len(v) == 0 {
			return append(dst, " []\n"...)
		}
		return appendYAML(append(dst, '\n'), v, indent)
	case string:
		if isBlock(v) {
			return appendBlock(dst, v, indent)
		}
		return append(appendPlain(append(dst, ' '), v), '\n')
	}
	return append(append(append(dst, ' '), scalar(value)...), '\n')
}

func appendIndent(dst []byte, indent int) []byte {
	for range indent {
		dst = append(dst, "  "...)
	}
	return dst
}

// isBlock reports whether a text is written as a literal block.
func isBlock(s string) bool {
	if !strings.Contains(s, "\n") || strings.HasSuffix(s, "\n") || s[0] == ' ' || s[0] == '\n' {
		return false
	}
	for _, r := range s {
		if r != '\n' && !printable(r) {
			return false
		}
	}
	return utf8.ValidString(s)
}

func appendBlock(dst []byte, s string, indent int) []byte {
	dst = append(dst, " |-\n"...)
	for line := range strings.SplitSeq(s, "\n") {
		if line != "" {
			dst = append(appendIndent(dst, indent), line...)
		}
		dst = append(dst, '\n')
	}
	return dst
}

// appendPlain writes a text without quotes where no reader of YAML takes it for something
// else.
func appendPlain(dst []byte, s string) []byte {
	if isPlain(s) {
		return append(dst, s...)
	}
	return appendQuoted(dst, s)
}

func isPlain(s string) bool {
	if s == "" || strings.HasSuffix(s, " ") || strings.Contains(s, " #") {
		return false
	}
	switch strings.ToLower(s) {
	case "true", "false", "null", "yes", "no", "on", "off", "y", "n":
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == '/' || c == '$'
		if !letter && (i == 0 || !(c >= '0' && c <= '9') && !strings.ContainsRune(" .-(){},;+'#=<>?!", rune(c))) {
			return false
		}
	}
	return true
}
