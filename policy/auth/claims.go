package auth

import (
	"encoding/json"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// IsPrincipal refuses names that cannot be told apart or written down.
func IsPrincipal(s string) bool {
	return s != "" && !strings.ContainsRune(s, utf8.RuneError) && !strings.ContainsFunc(s, unicode.IsControl)
}

// ClaimAt finds a claim by its name, or by a dotted path where no claim has
// the whole as its name.
func ClaimAt(claims map[string]any, path string) (any, bool) {
	if value, ok := claims[path]; ok {
		return value, true
	}
	first, rest, ok := strings.Cut(path, ".")
	if !ok {
		return nil, false
	}
	inner, ok := claims[first].(map[string]any)
	if !ok {
		return nil, false
	}
	return ClaimAt(inner, rest)
}

// PlainNumbers turns each json.Number into what expressions can count with: see
// plainNumber.
func PlainNumbers(value any) any {
	switch v := value.(type) {
	case json.Number:
		return plainNumber(v.String())
	case map[string]any:
		for name, element := range v {
			v[name] = PlainNumbers(element)
		}
	case []any:
		for i, element := range v {
			v[i] = PlainNumbers(element)
		}
	}
	return value
}

// ClaimText writes strings, numbers and booleans as they are, all else as
// JSON.
func ClaimText(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case uint64:
		return strconv.FormatUint(v, 10)
	case float64: // a fraction, of which even the least is written in some 330 bytes
		return strconv.FormatFloat(v, 'f', -1, 64)
	case longNumber:
		return string(v)
	case nil:
		return ""
	}
	text, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	return string(text)
}
