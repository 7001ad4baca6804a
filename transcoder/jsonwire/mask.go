package jsonwire

// appendCamel appends a path of a field mask in camelCase. It returns false for
// what is no path or would not come back the same.
func appendCamel(dst, path []byte) ([]byte, bool) {
	if !isPath(path) {
		return dst, false
	}
	start := len(dst)
	for i := 0; i < len(path); i++ {
		c := path[i]
		switch {
		case c >= 'A' && c <= 'Z':
			return dst[:start], false
		case c == '_':
			i++
			if i == len(path) || path[i] < 'a' || path[i] > 'z' {
				return dst[:start], false
			}
			dst = append(dst, path[i]-'a'+'A')
		default:
			dst = append(dst, c)
		}
	}
	return dst, true
}

// appendSnake appends a path in camelCase as a path of proto names. It returns
// false for what is no path; underscores are for callers that accept proto names.
func appendSnake(dst, path []byte, underscores bool) ([]byte, bool) {
	start := len(dst)
	for _, c := range path {
		switch {
		case c >= 'A' && c <= 'Z':
			dst = append(dst, '_', c-'A'+'a')
		case c == '_' && !underscores:
			return dst, false
		default:
			dst = append(dst, c)
		}
	}
	return dst, isPath(dst[start:])
}

// isPath reports whether b is names of letters, digits and underscores with dots
// between them. A name may be an asterisk, for all fields or elements there
// (AIP-134, AIP-157, AIP-161).
func isPath(b []byte) bool {
	start, asterisk := true, false
	for _, c := range b {
		switch {
		case c == '.' && !start:
			start, asterisk = true, false
		case asterisk:
			return false
		case c == '*' && start:
			start, asterisk = false, true
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_':
			start = false
		case c >= '0' && c <= '9' && !start:
		default:
			return false
		}
	}
	return !start
}
