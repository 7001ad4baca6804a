package config

import (
	"encoding/json"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/transom-gateway/transom/internal/span"
)

// Line is a line of the configuration as it is in effect.
type Line struct {
	// Text is YAML; secrets are masked.
	Text string `json:"text"`
	// Where is file:line:column of the value, the flag that says it, or "default".
	Where string `json:"where"`
}

// masked stands in place of a secret.
const masked = "(masked)"

// secretName is a name of fields and headers whose values are not told, unless they name a file.
var secretName = regexp.MustCompile(`(?i)(^|[_-])(secrets?|passwords?|tokens?|private_key|ticket_keys|write_keys|hash_key|signing_keys?|api-?key|credentials?|basic|bearer)$`)

// secretHeader is a name of headers that hold credentials.
var secretHeader = regexp.MustCompile(`(?i)(authorization|cookie|key|token|secret|password|signature|credential)`)

// plain is a text that YAML takes as it is.
var plain = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9_./*-]*$`)

// Effective is the configuration as it is in effect, with where each line comes from: variables and
// defaults are filled in, secrets are masked (Surface 234).
func (f *File) Effective() []Line {
	e := &effective{file: f}
	e.message(f.Config.ProtoReflect(), "", 0)
	return e.lines
}

type effective struct {
	file  *File
	lines []Line
}

// add adds a line of the value at path.
func (e *effective) add(indent int, text, path string) {
	e.lines = append(e.lines, Line{strings.Repeat("  ", indent) + text, e.where(path)})
}

func (e *effective) where(path string) string {
	if flag, ok := e.file.flags[path]; ok && flag != "" {
		return flag
	}
	if !e.file.Written(path) {
		return "default"
	}
	return e.file.Where(path)
}

// message adds the fields of a message that are set.
func (e *effective) message(m protoreflect.Message, path string, indent int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		if !m.Has(field) {
			continue
		}
		name, at, value := string(field.Name()), join(path, string(field.Name())), m.Get(field)
		switch {
		case field.IsMap():
			e.add(indent, name+":", at)
			e.entries(field, value.Map(), at, indent+1)
		case field.IsList():
			e.list(field, value.List(), at, indent)
		default:
			e.value(name+":", field, value, at, indent)
		}
	}
}

// value adds what stands behind "name:".
func (e *effective) value(name string, field protoreflect.FieldDescriptor, value protoreflect.Value, path string, indent int) {
	if field.Message() == nil || field.Message().FullName() == "google.protobuf.Duration" {
		e.add(indent, name+" "+scalarText(field, value, strings.TrimSuffix(name, ":")), path)
		return
	}
	e.add(indent, name, path)
	at := len(e.lines)
	e.message(value.Message(), path, indent+1)
	if len(e.lines) == at {
		e.lines[at-1].Text += " {}"
	}
}

// entries adds those of a map, in the order of their keys.
func (e *effective) entries(field protoreflect.FieldDescriptor, m protoreflect.Map, path string, indent int) {
	for _, key := range sortedKeys(m) {
		e.value(quotedText(key)+":", field.MapValue(), m.Get(protoreflect.ValueOfString(key).MapKey()), join(path, key), indent)
	}
}

// sortedKeys are those of a map whose keys are text, as all of the configuration have.
func sortedKeys(m protoreflect.Map) []string {
	keys := make([]string, 0, m.Len())
	m.Range(func(key protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, key.String())
		return true
	})
	slices.Sort(keys)
	return keys
}

// list adds the elements, those that are no messages on one line.
func (e *effective) list(field protoreflect.FieldDescriptor, l protoreflect.List, path string, indent int) {
	name := string(field.Name())
	if field.Message() == nil || field.Message().FullName() == "google.protobuf.Duration" {
		texts := make([]string, l.Len())
		for i := range l.Len() {
			texts[i] = scalarText(field, l.Get(i), name)
		}
		e.add(indent, name+": ["+strings.Join(texts, ", ")+"]", path)
		return
	}
	e.add(indent, name+":", path)
	for i := range l.Len() {
		at, element := len(e.lines), join(path, i)
		e.message(l.Get(i).Message(), element, indent+2)
		if len(e.lines) == at {
			e.add(indent+1, "- {}", element)
			continue
		}
		first := &e.lines[at]
		first.Text = strings.Repeat("  ", indent+1) + "- " + first.Text[2*(indent+2):]
	}
}

// scalarText is a value as YAML; a secret is masked.
func scalarText(field protoreflect.FieldDescriptor, value protoreflect.Value, name string) string {
	switch field.Kind() {
	case protoreflect.MessageKind:
		if d, ok := value.Message().Interface().(*durationpb.Duration); ok {
			return span.Text(d.AsDuration())
		}
	case protoreflect.EnumKind:
		if v := field.Enum().Values().ByNumber(value.Enum()); v != nil {
			return string(v.Name())
		}
	case protoreflect.StringKind:
		text := value.String()
		if text != "" && isSecret(field, name) && !strings.HasPrefix(text, "file:") {
			return quotedText(masked)
		}
		return quotedText(withoutPassword(text))
	case protoreflect.BytesKind:
		return quotedText(masked)
	}
	return value.String()
}

// isSecret reports whether a value must not be told.
func isSecret(field protoreflect.FieldDescriptor, name string) bool {
	switch full := field.FullName(); {
	case full == "transom.v1.JwtIssuer.public_key", full == "transom.v1.JwtIssuer.jwks_url", full == "transom.v1.RedisStore.url":
		return false // but for a password in it
	case secretFields[full]:
		return true
	}
	if field.ContainingMessage().IsMapEntry() {
		return secretHeader.MatchString(name)
	}
	return secretName.MatchString(string(field.Name()))
}

// withoutPassword masks the user and the query of a URL, which may hold credentials.
func withoutPassword(text string) string {
	if !strings.Contains(text, "://") {
		return text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return masked
	case u.User == nil && u.RawQuery == "":
		return text
	}
	if u.User != nil {
		u.User = url.User(masked)
	}
	if u.RawQuery != "" {
		u.RawQuery = masked
	}
	return strings.ReplaceAll(strings.ReplaceAll(u.String(), "%28", "("), "%29", ")")
}

// quotedText is a text as YAML reads it as text.
func quotedText(text string) string {
	switch strings.ToLower(text) {
	case "true", "false", "yes", "no", "on", "off", "null", "y", "n":
		return strconv.Quote(text)
	}
	if plain.MatchString(text) {
		return text
	}
	quoted, err := json.Marshal(text)
	if err != nil {
		return strconv.Quote(text)
	}
	return string(quoted)
}
