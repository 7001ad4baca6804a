package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/transom-gateway/transom/internal/nearest"
)

// headerTransform has values with ${…} of its own, which a request fills in.
const headerTransform = "transom.v1.HeaderTransform"

// secretFields are those whose values stand in no message of ours; they may be
// file: references.
var secretFields = map[protoreflect.FullName]bool{
	"transom.v1.JwtIssuer.jwks_url":    true,
	"transom.v1.JwtIssuer.public_key":  true,
	"transom.v1.JwtIssuer.secret":      true,
	"transom.v1.JwtIssuer.private_key": true,
	"transom.v1.RedisStore.url":        true,
	"transom.v1.Sticky.secret":         true,
	"transom.v1.AdminToken.token":      true,
}

// jwksFile names a file in any case; "file:" before it says nothing more.
const jwksFile = "transom.v1.JwtIssuer.jwks_file"

// text is a scalar's value with variables and file: references replaced.
func (d *decoder) text(value string, field protoreflect.FieldDescriptor) (string, error) {
	keep := func(string) bool { return false }
	if m := field.ContainingMessage(); m.IsMapEntry() && m.Parent().FullName() == headerTransform {
		keep = isRequestValue
	}
	value, err := expand(value, d.env, keep)
	var unknown *variableError
	switch {
	case errors.As(err, &unknown) && keep("principal"):
		return "", fmt.Errorf("%w%s", err, meantRequestValue(unknown.name))
	case err != nil:
		return "", err
	}
	name, isReference := strings.CutPrefix(value, "file:")
	switch {
	case !isReference:
		return value, nil
	case field.FullName() == jwksFile:
		return name, nil
	case !secretFields[field.FullName()]:
		return value, nil
	}
	return d.readReference(name)
}

// readReference is the content of a file: text without the line end after it, or any
// other bytes as they are.
func (d *decoder) readReference(name string) (string, error) {
	if name == "" {
		return "", errors.New(`found no file name after "file:", expected one`)
	}
	path := d.file.Resolve(name)
	d.file.References = append(d.file.References, path)
	data, err := readBounded(path)
	if err != nil {
		return "", fmt.Errorf("cannot read the file it refers to: %w", err)
	}
	if !utf8.Valid(data) {
		return "file:" + path, nil // the field holds text: who uses the secret reads it
	}
	return SecretText(data), nil
}

// SecretText is what the file of a secret holds: text without one line end after it, or
// other bytes as they are.
func SecretText(data []byte) string {
	control := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t' }
	if !utf8.Valid(data) || bytes.ContainsFunc(data, control) {
		return string(data)
	}
	if text, found := bytes.CutSuffix(data, []byte("\n")); found {
		data = bytes.TrimSuffix(text, []byte("\r"))
	}
	return string(data)
}

// variableError is the error of a ${…} that stands for nothing.
type variableError struct{ name, message string }

func (e *variableError) Error() string { return e.message }

// meantRequestValue says which value of a request may have been meant, if any.
func meantRequestValue(name string) string {
	before, argument, dotted := strings.Cut(name, ".")
	values := []string{"principal", "method", "path", "client_ip", "request_id"}
	if dotted {
		values = []string{"header", "claim"}
	}
	near := nearest.Of(values, before)
	switch {
	case near == "":
		return ""
	case dotted:
		near += "." + argument
	}
	return fmt.Sprintf("; did you mean ${%s}?", near)
}

// isRequestValue reports whether ${name} is one of HeaderTransform's own.
func isRequestValue(name string) bool {
	switch name {
	case "principal", "method", "path", "client_ip", "request_id":
		return true
	}
	return strings.HasPrefix(name, "header.") || strings.HasPrefix(name, "claim.")
}

// expand replaces ${NAME} and ${NAME:-default} in text, and $$ by $. The default
// stands for a variable that is empty, too. What keep likes stays as it is, and
// so does a dollar before anything else. Errors name variables, never values.
func expand(text string, env func(string) (string, bool), keep func(string) bool) (string, error) {
	var b strings.Builder
	for {
		i := strings.IndexByte(text, '$')
		if i < 0 || i == len(text)-1 {
			b.WriteString(text)
			return b.String(), nil
		}
		b.WriteString(text[:i])
		text = text[i:]
		switch text[1] {
		case '$':
			b.WriteByte('$')
			text = text[2:]
			continue
		case '{':
		default:
			b.WriteByte('$')
			text = text[1:]
			continue
		}
		inside, rest, closed := strings.Cut(text[2:], "}")
		if !closed {
			return "", errors.New(`found "${" without "}", expected ${NAME} or ${NAME:-default}; a dollar sign is written $$`)
		}
		value := text[:len(inside)+3]
		if !keep(inside) {
			var err error
			if value, err = lookUp(inside, env); err != nil {
				return "", err
			}
		}
		b.WriteString(value)
		text = rest
	}
}

// lookUp gives the value for what stands between the braces.
func lookUp(inside string, env func(string) (string, bool)) (string, error) {
	name, fallback, hasDefault := strings.Cut(inside, ":-")
	if !isVariable(name) {
		return "", &variableError{inside, "found ${…} with no name of a variable in it, expected ${NAME} or ${NAME:-default}; a dollar sign is written $$"}
	}
	value, ok := env(name)
	switch {
	case hasDefault && value == "":
		return fallback, nil
	case !ok:
		return "", &variableError{name, fmt.Sprintf("the environment variable %s is not set; set it, or give a default: ${%s:-default}", name, name)}
	}
	return value, nil
}

func isVariable(name string) bool {
	for i, r := range name {
		letter := r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}
