package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// template is the folder that init writes.
//
//go:embed all:template
var template embed.FS

func newInit(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "init DIR",
		Short: "Write a folder to start from: transom.yaml, protos/, README",
		Args:  takes(1, 1, "the folder to write"),
		RunE: func(_ *cobra.Command, args []string) error {
			return problem(initFolder(s, args[0]))
		},
	}
}

// initFolder writes the template into dir. It overwrites nothing.
func initFolder(s streams, dir string) error {
	root, err := fs.Sub(template, "template")
	if err != nil {
		return err
	}
	err = fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if _, err := os.Lstat(filepath.Join(dir, path)); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is there already; init overwrites nothing", filepath.Join(dir, path))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := os.CopyFS(dir, root); err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "%s is ready:\n  cd %s\n  transom check\n  transom serve\n", dir, shellQuoted(dir))
	return err
}

// shellQuoted is a text as a shell takes it for one word.
func shellQuoted(text string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./,:@%+=-"
	quoted := text
	if text == "" || strings.Trim(text, plain) != "" {
		quoted = "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
	}
	if strings.HasPrefix(text, "-") {
		return "-- " + quoted
	}
	return quoted
}
