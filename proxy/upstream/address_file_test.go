package upstream_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/logtext"
	"github.com/transom-gateway/transom/internal/testing/loopback"
	"github.com/transom-gateway/transom/internal/testing/poll"
	"github.com/transom-gateway/transom/proxy/upstream"
)

// put replaces a file in one step.
func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// TestAddressFile: Traffic 176: a file of addresses is followed; while it cannot be used,
// what it said before stays.
func TestAddressFile(t *testing.T) {
	a, b := startOn(t, loopback.Listen(t)), startOn(t, loopback.Listen(t))
	name := filepath.Join(t.TempDir(), "books.yaml")
	put(t, name, "- { address: \""+a.address+"\", weight: 3, zone: eu-1a }\n- "+b.address)
	lines := &logtext.Text{}
	pool := upstream.NewPool(slog.New(slog.NewTextHandler(lines, nil)))
	changed := make(chan struct{}, 100)
	pool.OnList(func() { changed <- struct{}{} })
	conn, err := pool.Get(upstream.Target{Address: "file://" + name, LoadBalancing: "round_robin"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	poll.Until(t, "calls to both", func() bool { return len(answering(t, conn)) == 2 })
	if n := share(t, conn, 40); n[a.address] != 30 {
		t.Errorf("calls: %v, want three quarters of them to %s", n, a.address)
	}
	put(t, name, "[\""+b.address+"\"]")
	poll.Until(t, "calls to one", func() bool { return slices.Equal(answering(t, conn), addressesOf(b)) })
	for _, bad := range []struct{ text, want string }{
		{"- nonsense", name + `:1:3: found "nonsense", expected "host:port"`},
		{"[]", "the file lists no address"},
	} {
		put(t, name, bad.text)
		poll.Until(t, bad.want, func() bool { return strings.Contains(conn.ListNotReloaded(), bad.want) })
		<-changed
		if got := answering(t, conn); !slices.Equal(got, addressesOf(b)) {
			t.Errorf("with %q: %v", bad.text, got)
		}
	}
	put(t, name, "- "+a.address)
	poll.Until(t, "calls to the other one", func() bool { return slices.Equal(answering(t, conn), addressesOf(a)) })
	if why := conn.ListNotReloaded(); why != "" {
		t.Error(why)
	}
	if n := strings.Count(lines.String(), "the backend's addresses cannot be found"); n != 1 {
		t.Errorf("%d lines:\n%s", n, lines)
	}
	for address, want := range map[string]string{
		"file://" + name + ".away":   "no such file",
		"file://books.yaml":          "is no absolute path",
		"file://host/etc/books.yaml": "is no absolute path",
	} {
		if _, err := pool.Get(upstream.Target{Address: address}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", address, err)
		}
	}
}
