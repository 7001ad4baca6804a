package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/server"
	"github.com/transom-gateway/transom/internal/testing/poll"
)

// TestAddressFile: Traffic 176: a list of addresses that cannot be used is an error of
// check and of a start, with its place; while running it is told of as what is not
// reloaded.
func TestAddressFile(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "books.yaml")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(list+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(list+".new", list); err != nil {
			t.Fatal(err)
		}
	}
	withTLS(t, dir, `[{ address: "127.0.0.1:0" }]`)
	path := filepath.Join(dir, "transom.yaml")
	config, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, strings.Replace(string(config), `"localhost:1"`, `"file://`+list+`"`, 1))
	for text, want := range map[string]string{
		"- localhost:1\n- address: localhost": list + `:2:12: found "localhost", expected "host:port"`,
		"[]":                                  list + ": the file lists no address",
	} {
		put(text)
		if code, _, told := command(t, "check", "--config", path); code != exitProblem || !strings.Contains(told, path+":") || !strings.Contains(told, want) {
			t.Errorf("%d %s\nwant %s", code, told, want)
		}
	}
	put("- localhost:1")
	if code, out, told := command(t, "check", "--config", path); code != 0 {
		t.Errorf("%d %s%s", code, out, told)
	}
	in := input{config: path}
	r := startServing(t, func(ctx context.Context, s streams, started func(*server.Server)) error {
		return serve(ctx, in.load, s, started)
	})
	put("- localhost")
	poll.Until(t, "the list to be told of", func() bool {
		return strings.Contains(body(t, r.admin+"/readyz?verbose"), "not reloaded: upstreams.s.grpc.target: "+list+":1:3: found") &&
			strings.Contains(body(t, r.admin+"/metrics"), `transom_not_reloaded{setting="upstreams.s.grpc.target"} 1`)
	})
	if told := answerTo(t, http.MethodPost, r.admin+"/reload"); !strings.Contains(told, `"not_reloaded": [`) || !strings.Contains(told, list+":1:3: found") {
		t.Errorf("a reload says %s", told)
	}
	if err := os.Remove(list); err != nil {
		t.Fatal(err)
	}
	poll.Until(t, "a reload to say that the list is away", func() bool {
		return strings.Contains(answerTo(t, http.MethodPost, r.admin+"/reload"), "no such file")
	})
	put("- localhost:2")
	poll.Until(t, "the list to be in effect", func() bool {
		return !strings.Contains(body(t, r.admin+"/readyz?verbose"), "not reloaded") && !strings.Contains(body(t, r.admin+"/metrics"), "transom_not_reloaded{")
	})
}
