package architecture

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"strings"
	"testing"
)

// unlocks are the methods that release a mutex, with those that take it.
var unlocks = map[string]string{"Unlock": "Lock", "RUnlock": "RLock"}

// TestNobodyReleasesTheCallersLock: a function releases only a mutex that it has taken
// itself, so that what a caller has checked under its lock still holds behind a call.
func TestNobodyReleasesTheCallersLock(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
				for _, at := range releasedUntaken(f.Body) {
					t.Errorf("%s: %s releases a lock that it has not taken", s.set.Position(at), f.Name.Name)
				}
			}
		}
	}
}

// releasedUntaken are the places of a function, its closures included, that release a
// mutex before any that takes it.
func releasedUntaken(body *ast.BlockStmt) (at []token.Pos) {
	taken := map[string]bool{}
	ast.Inspect(body, func(n ast.Node) bool { // in the order of the text
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) > 0 {
			return true
		}
		method, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		of := types.ExprString(method.X)
		switch name := method.Sel.Name; {
		case name == "Lock" || name == "RLock" || strings.HasPrefix(name, "TryLock"):
			taken[of+"."+strings.TrimPrefix(name, "Try")] = true
		case unlocks[name] != "" && !taken[of+"."+unlocks[name]]:
			at = append(at, call.Pos())
		}
		return true
	})
	return at
}

func TestReleasedUntaken(t *testing.T) {
	for text, want := range map[string]int{
		"c.mu.Lock(); defer c.mu.Unlock()":                     0,
		"c.mu.RLock(); c.mu.RUnlock()":                         0,
		"if c.mu.TryLock() { c.mu.Unlock() }":                  0,
		"c.mu.Lock(); go func() { defer c.mu.Unlock() }()":     0,
		"c.mu.Unlock(); c.net.Write(b); c.mu.Lock()":           1,
		"c.mu.Lock(); s.mu.Unlock()":                           1,
		"c.mu.RLock(); c.mu.Unlock()":                          1,
		"defer c.mu.Unlock()":                                  1,
		"func() { c.mu.Lock(); c.mu.Unlock() }(); c.mu.Lock()": 0,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "", "package p\nfunc f() { "+text+" }", 0)
		if err != nil {
			t.Fatal(err)
		}
		f, ok := file.Decls[0].(*ast.FuncDecl)
		if !ok {
			t.Fatal("no function")
		}
		if got := len(releasedUntaken(f.Body)); got != want {
			t.Errorf("%s: %d places, want %d", text, got, want)
		}
	}
}
