// Command bundle writes the files of the console that the gateway hands out, of the sources in
// TypeScript and the packages that package-lock.json pins. It stands in a module of its own, so that
// esbuild is nothing to the gateway. Without arguments it writes them; with -check it fails where
// they are stale.
//
//	cd console && npm ci --ignore-scripts && cd bundle && go run .
package main

import (
	"bytes"
	"flag"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/evanw/esbuild/pkg/api"
)

var (
	sources = filepath.Join("..", "src")
	built   = filepath.Join("..", "..", "internal", "console", "built")
)

func main() {
	check := flag.Bool("check", false, "fail where the files are stale, and write nothing")
	flag.Parse()
	if err := run(*check); err != nil {
		fmt.Fprintln(os.Stderr, "bundle:", err)
		os.Exit(1)
	}
}

func run(check bool) error {
	files, err := bundle()
	if err != nil {
		return err
	}
	if check {
		return compare(files)
	}
	if err := os.RemoveAll(built); err != nil {
		return err
	}
	if err := os.MkdirAll(built, 0o755); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(built, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// bundle makes the files, by their names.
func bundle() (map[string][]byte, error) {
	result := api.Build(api.BuildOptions{
		EntryPoints: []string{filepath.Join(sources, "main.tsx"), filepath.Join(sources, "style.css")},
		Outdir:      built, EntryNames: "[name]-[hash]", ChunkNames: "[name]-[hash]",
		Bundle: true, Splitting: true, Format: api.FormatESModule, Target: api.ES2022, Charset: api.CharsetUTF8,
		MinifyWhitespace: true, MinifyIdentifiers: true, MinifySyntax: true, LegalComments: api.LegalCommentsNone,
		JSX: api.JSXAutomatic, JSXImportSource: "preact",
	})
	if len(result.Errors) > 0 {
		return nil, fmt.Errorf("%s", strings.Join(api.FormatMessages(result.Errors, api.FormatMessagesOptions{}), ""))
	}
	files := map[string][]byte{}
	page, err := os.ReadFile(filepath.Join(sources, "index.html"))
	if err != nil {
		return nil, err
	}
	for _, file := range result.OutputFiles {
		name := filepath.Base(file.Path)
		files[name] = file.Contents
		for _, entry := range []string{"main.js", "style.css"} {
			stem, ending := strings.TrimSuffix(entry, filepath.Ext(entry)), filepath.Ext(entry)
			if strings.HasPrefix(name, stem+"-") && strings.HasSuffix(name, ending) {
				page = bytes.ReplaceAll(page, []byte(entry), []byte(html.EscapeString(name)))
			}
		}
	}
	files["index.html"] = page
	files["licenses.txt"], err = licenses()
	return files, err
}

// licenses are those of the packages that are in the files, as these ask for it.
func licenses() ([]byte, error) {
	var all bytes.Buffer
	for _, name := range []string{"preact", "@preact/signals", "@preact/signals-core"} {
		text, err := os.ReadFile(filepath.Join("..", "node_modules", filepath.FromSlash(name), "LICENSE"))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&all, "%s\n\n%s\n\n", name, bytes.TrimSpace(text))
	}
	return all.Bytes(), nil
}

// compare names the files that are not as they should be.
func compare(files map[string][]byte) error {
	var stale []string
	for name, want := range files {
		if got, err := os.ReadFile(filepath.Join(built, name)); err != nil || !bytes.Equal(got, want) {
			stale = append(stale, name)
		}
	}
	there, err := os.ReadDir(built)
	if err != nil {
		return err
	}
	for _, file := range there {
		if _, ok := files[file.Name()]; !ok {
			stale = append(stale, file.Name())
		}
	}
	if len(stale) > 0 {
		slices.Sort(stale)
		return fmt.Errorf("these files are stale; run make console: %s", strings.Join(stale, ", "))
	}
	return nil
}
