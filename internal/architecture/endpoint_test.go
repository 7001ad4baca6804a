package architecture

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// ofRPC are the names that only the endpoint of RPCs has a use for: the gateway's own and,
// with their package, the transcoder's.
var ofRPC = map[string]bool{
	"rpcEndpoint": true, "rpcMethod": true, "newRPCRoute": true,
	"transcoder.Binding": true, "transcoder.Method": true, "transcoder.NewMethod": true,
}

// TestEndpointsStandApart: what finds, admits, lists and logs routes does not know what they
// lead to, so that another kind of endpoint is a file of its own and a line in build.
func TestEndpointsStandApart(t *testing.T) {
	all, err := filepath.Glob(filepath.Join("..", "gateway", "*.go"))
	if err != nil || len(all) == 0 {
		t.Fatal(all, err)
	}
	for _, path := range all {
		name := filepath.Base(path)
		if strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "rpc_") || name == "services.go" {
			continue
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			found := ""
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if of, ok := n.X.(*ast.Ident); ok {
					found = of.Name + "." + n.Sel.Name
				}
			case *ast.Ident:
				found = n.Name
			}
			if ofRPC[found] {
				t.Errorf("%s: %s is the RPC endpoint's; rpc_*.go are its files", files.Position(n.Pos()), found)
			}
			return true
		})
	}
}
