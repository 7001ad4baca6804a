package proxy

import "strings"

// Metadata is the metadata of one call on its way to the backend: pairs of a
// lower-case name and a value, in order, names may repeat. Values of "-bin"
// names are raw bytes, not base64. A slice and no map: a call has few of them.
type Metadata []string

// Add appends a value. The name must be lower-case.
func (m *Metadata) Add(name, value string) { *m = append(*m, name, value) }

// Set replaces all values of the name by one. The name must be lower-case.
func (m *Metadata) Set(name, value string) {
	m.Del(name)
	m.Add(name, value)
}

// Get returns the first value of the name, "" if there is none.
func (m Metadata) Get(name string) string {
	for i := 0; i+1 < len(m); i += 2 {
		if m[i] == name {
			return m[i+1]
		}
	}
	return ""
}

// Del removes all values of the name.
func (m *Metadata) Del(name string) { m.DelFunc(func(n string) bool { return n == name }) }

// DelPrefix removes all values whose name begins with the prefix.
func (m *Metadata) DelPrefix(prefix string) {
	m.DelFunc(func(n string) bool { return strings.HasPrefix(n, prefix) })
}

// DelFunc removes all values whose name the function picks.
func (m *Metadata) DelFunc(pick func(name string) bool) {
	kept := (*m)[:0]
	for i := 0; i+1 < len(*m); i += 2 {
		if !pick((*m)[i]) {
			kept = append(kept, (*m)[i], (*m)[i+1])
		}
	}
	clear((*m)[len(kept):])
	*m = kept
}
