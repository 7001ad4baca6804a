package headers

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/transom-gateway/transom/internal/field"
	"github.com/transom-gateway/transom/internal/nearest"
	"github.com/transom-gateway/transom/policy"
	"github.com/transom-gateway/transom/policy/auth"
)

// template is the value of a header with `${…}` of the request in it, parsed
// when the schema loads.
type template []templatePart

// templatePart is text, or a value of the request.
type templatePart struct {
	text  string
	value func(r *policy.Request) string // nil for text
}

// plainVariables are those without an argument.
var plainVariables = map[string]func(*policy.Request) string{
	"principal": func(r *policy.Request) string {
		if r.Identity == nil {
			return ""
		}
		return r.Identity.Principal
	},
	"method": func(r *policy.Request) string { return r.RPC },
	"path":   func(r *policy.Request) string { return r.HTTP.URL.EscapedPath() },
	"client_ip": func(r *policy.Request) string {
		if !r.ClientIP.IsValid() {
			return ""
		}
		return r.ClientIP.Unmap().String()
	},
	"request_id": func(r *policy.Request) string { return r.RequestID },
}

// variableNames lists what may stand in `${…}`, for people.
var variableNames = []string{"principal", "method", "path", "client_ip", "request_id", "header.NAME", "claim.NAME"}

// maxTemplate bounds a template's text in bytes.
const maxTemplate = 8 << 10

// parseTemplate reads a value; hidden names the cookies that no backend may see. `$${` is a `${` that stands for itself; a `$`
// without a brace always does.
func parseTemplate(text string, hidden func() []string) (template, error) {
	if len(text) > maxTemplate {
		return nil, fmt.Errorf("found %d bytes, expected at most %d", len(text), maxTemplate)
	}
	var t template
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			t = append(t, templatePart{text: literal.String()})
			literal.Reset()
		}
	}
	for rest := text; rest != ""; {
		before, after, found := strings.Cut(rest, "${")
		if found && strings.HasSuffix(before, "$") {
			literal.WriteString(before + "{")
			rest = after
			continue
		}
		literal.WriteString(before)
		if !found {
			break
		}
		name, after, closed := strings.Cut(after, "}")
		if !closed {
			return nil, fmt.Errorf("found ${%s without }; expected ${NAME}, or $${ for the characters themselves", name)
		}
		value, err := variable(name, hidden)
		if err != nil {
			return nil, err
		}
		flush()
		t = append(t, templatePart{value: value})
		rest = after
	}
	flush()
	for _, part := range t {
		if !isHeaderText(part.text) {
			return nil, errors.New("found a control character or one outside ASCII; expected what a header can hold")
		}
	}
	return t, nil
}

// variable finds what `${name}` stands for.
func variable(name string, hidden func() []string) (func(*policy.Request) string, error) {
	if value := plainVariables[name]; value != nil {
		return value, nil
	}
	kind, argument, _ := strings.Cut(name, ".")
	switch {
	case kind == "header" && field.HasPrefixFold(argument, field.OwnPrefix):
		return nil, fmt.Errorf("found ${%s}, which any client could forge; expected ${principal} or ${claim.NAME}", name)
	case kind == "header" && httpguts.ValidHeaderFieldName(argument):
		return headerVariable(http.CanonicalHeaderKey(argument), hidden), nil
	case kind == "header":
		return nil, fmt.Errorf("found ${%s}, expected the name of a header behind the dot", name)
	case kind == "claim" && argument != "":
		return func(r *policy.Request) string {
			if r.Identity == nil {
				return ""
			}
			value, _ := auth.ClaimAt(r.Identity.Claims, argument)
			return auth.ClaimText(value)
		}, nil
	case kind == "claim":
		return nil, fmt.Errorf("found ${%s}, expected the name of a claim behind the dot", name)
	}
	if near := nearestVariable(name); near != "" {
		return nil, fmt.Errorf("found ${%s}, which is no value of a request; did you mean ${%s}?", name, near)
	}
	return nil, fmt.Errorf("found ${%s}, which is no value of a request; expected one of ${%s}", name, strings.Join(variableNames, "}, ${"))
}

// headerVariable is a header of the client's request. A cookie with a credential,
// and an Authorization that auth has not looked at, go on by no name.
func headerVariable(name string, hidden func() []string) func(*policy.Request) string {
	switch name {
	case "Authorization":
		return func(r *policy.Request) string {
			if r.Unverified {
				return ""
			}
			return strings.Join(r.HTTP.Header[name], ", ")
		}
	case "Cookie":
		return func(r *policy.Request) string {
			return field.WithoutCookies(strings.Join(r.HTTP.Header[name], "; "), hidden())
		}
	}
	return func(r *policy.Request) string { return strings.Join(r.HTTP.Header[name], ", ") }
}

// expand fills the template in for one call. What came from outside is cleaned:
// control characters go, what is not ASCII is percent-encoded.
func (t template) expand(r *policy.Request) string {
	if len(t) == 1 && t[0].value == nil {
		return t[0].text
	}
	var b strings.Builder
	for _, part := range t {
		if part.value == nil {
			b.WriteString(part.text)
		} else {
			writeClean(&b, part.value(r))
		}
	}
	return strings.Trim(b.String(), " \t") // white space at the ends does not survive HTTP
}

func writeClean(b *strings.Builder, s string) {
	if isHeaderText(s) {
		b.WriteString(s)
		return
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 0x80:
			fmt.Fprintf(b, "%%%02X", c)
		case c >= ' ' && c != 0x7f || c == '\t':
			b.WriteByte(c)
		}
	}
}

// isHeaderText reports whether a text is printable ASCII: what both a header and
// gRPC metadata can hold as it is.
func isHeaderText(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// nearestVariable is the variable that somebody meant who wrote name.
func nearestVariable(name string) string {
	kind, argument, dotted := strings.Cut(name, ".")
	var kinds []string
	for _, candidate := range variableNames {
		if wanted, _, takes := strings.Cut(candidate, "."); takes == dotted {
			kinds = append(kinds, wanted)
		}
	}
	near := nearest.Of(kinds, kind)
	if near != "" && dotted {
		near += "." + argument
	}
	return near
}
