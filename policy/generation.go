package policy

import (
	"errors"
	"io"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/transom-gateway/transom/internal/config"
	"github.com/transom-gateway/transom/internal/problem"
	"github.com/transom-gateway/transom/internal/regularfile"
)

// Generation is one reading of the configuration, as Kinds see it: the Sets that are
// compiled from it share what Kinds made of it.
type Generation struct {
	Environment

	leases   []any // their keys
	shared   map[reflect.Type]any
	hidden   []string
	problems Problems
}

// RefuseConfig notes a problem at a field of the configuration, by a path such as
// "auth.jwt[0].secret". One that is noted already is not noted again.
func (g *Generation) RefuseConfig(path string, err error) {
	where := ""
	if g.Position != nil {
		where = g.Position(path)
	}
	if p := problem.At(where, path+": "+err.Error()); !slices.Contains(g.problems, p) {
		g.problems = append(g.problems, p)
	}
}

// maxSecret is the largest file of a secret, in bytes.
const maxSecret = 1 << 20

// Secret reads a value of the configuration that may be "file:PATH".
func (g *Generation) Secret(value string) (string, error) {
	name, ok := strings.CutPrefix(value, "file:")
	switch {
	case !ok:
		return value, nil
	case name == "":
		return "", errors.New(`found no file name after "file:", expected one`)
	}
	data, err := regularfile.Read(g.Path(name), maxSecret)
	if err != nil {
		return "", err
	}
	return config.SecretText(data), nil
}

// Path is the path of a file that the configuration names.
func (g *Generation) Path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(g.Directory, name)
}

// HideCookie keeps a cookie from all backends, for it holds a credential.
func (g *Generation) HideCookie(name string) {
	if !slices.Contains(g.hidden, name) {
		g.hidden = append(g.hidden, name)
	}
}

// HiddenCookies names the cookies that are kept from backends. Methods add to them
// while they are compiled.
func (g *Generation) HiddenCookies() []string { return g.hidden }

// release gives back what was leased.
func (g *Generation) release() {
	for _, key := range g.leases {
		g.State.release(key)
	}
	g.leases = nil
}

// Shared returns the one T of a generation, which it makes when it is first asked
// for.
func Shared[T any](g *Generation, open func(*Generation) *T) *T {
	key := reflect.TypeFor[T]()
	if made, ok := g.shared[key].(*T); ok {
		return made
	}
	made := open(g)
	g.shared[key] = made
	return made
}

// Lease finds or opens what outlives this generation, and holds it until the
// Compiler is closed. The key is a comparable value of a type of the caller's own,
// which says what the thing is about.
func Lease[T io.Closer](g *Generation, key any, open func() (T, error)) (T, error) {
	value, err := g.State.acquire(key, func() (io.Closer, error) { return open() })
	if err != nil {
		var none T
		return none, err
	}
	g.leases = append(g.leases, key)
	return value.(T), nil
}
