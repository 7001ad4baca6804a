//go:build clients

package openapi

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// TestClients: Surface 204: of the document of a gateway that runs, generators make clients whose calls it answers:
// one with parameters of path and query, one with a body, and one that fails.
func TestClients(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{Config: "openapi: { path: /openapi.json }\n"})
	folder := t.TempDir()
	copyFiles(t, "clients", folder)
	document := g.Do(t, "GET", "/openapi.json", "").Body
	if err := os.WriteFile(filepath.Join(folder, "openapi.json"), []byte(document), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("TypeScript", func(t *testing.T) {
		run(t, folder, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
		run(t, folder, "node_modules/.bin/openapi-typescript", "openapi.json", "-o", "types.ts")
		run(t, folder, "node_modules/.bin/openapi-ts", "-i", "openapi.json", "-o", "hey")
		run(t, folder, "node_modules/.bin/tsc", "-p", ".")
		for _, name := range []string{"fetch", "hey"} {
			called(t, run(t, folder, "node", "out/"+name+".js", g.URL), name)
		}
	})
	t.Run("Java", func(t *testing.T) {
		run(t, folder, "mvn", "-q", "-B", "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies", "-DexcludeTransitive=true", "-DoutputDirectory=lib")
		// It makes no class for null, which is what a google.protobuf.NullValue is.
		run(t, folder, "java", "-jar", "lib/openapi-generator-cli-7.25.0.jar", "generate", "-q", "-i", "openapi.json", "-g", "java", "-o", "java", "--type-mappings", "null=Object")
		sources := append([]string{"Calls.java"}, found(t, folder, "java/src/main", ".java")...)
		jars := slices.DeleteFunc(found(t, folder, "lib", ".jar"), func(jar string) bool { return strings.Contains(jar, "generator-cli") })
		run(t, folder, slices.Concat([]string{"javac", "-nowarn", "-d", "classes", "-cp", strings.Join(jars, ":")}, sources)...)
		called(t, run(t, folder, "java", "-cp", "classes:"+strings.Join(jars, ":"), "Calls", g.URL), "java")
	})
}

// called fails the test where a client has other answers than the bookstore's.
func called(t *testing.T, said, name string) {
	t.Helper()
	if want := `{"books":2,"made":"shelves/by-` + name + `","status":404,"code":5}`; strings.TrimSpace(said) != want {
		t.Errorf("%s: the client says %s, want %s", name, said, want)
	}
}

// found are the files below a folder whose names end so, by their paths in the outer one.
func found(t *testing.T, outer, below, ending string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(outer, below), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ending) {
			return err
		}
		name, err := filepath.Rel(outer, path)
		files = append(files, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
