package pages

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// installers are how package managers put what files pin into the folder that they are run in.
var installers = map[string][]string{
	"npm": {"npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"},
	"pip": {"python3", "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check", "--target", "packages", "-r", "requirements.txt"},
}

// installed is the folder of packages of others, in the user's cache, where their package manager puts them once for
// each state of the files that pin them.
func installed(t *testing.T, by string, pins ...string) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	sum, contents := sha256.New(), map[string][]byte{}
	for _, pin := range pins {
		content, err := os.ReadFile(pin)
		if err != nil {
			t.Fatal(err)
		}
		contents[filepath.Base(pin)] = content
		sum.Write(content)
	}
	root := filepath.Join(cache, "transom-tests")
	if err := os.MkdirAll(root, 0o700); err != nil {
		t.Fatal(err)
	}
	lock, err := os.OpenFile(filepath.Join(root, "pages-"+by+"-lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil { //nolint:gosec // a descriptor is small
		t.Fatal(err)
	}
	folder := filepath.Join(root, "pages-"+by+"-"+hex.EncodeToString(sum.Sum(nil)[:8]))
	if _, err := os.Stat(folder); err == nil {
		return folder
	}
	work, err := os.MkdirTemp(root, "fetch")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	for name, content := range contents {
		if err := os.WriteFile(filepath.Join(work, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var output []byte
	for range 3 { // a network may fail once
		command := exec.CommandContext(t.Context(), installers[by][0], installers[by][1:]...)
		command.Dir = work
		if output, err = command.CombinedOutput(); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("%v cannot be installed: %v\n%s", pins, err, output)
	}
	if err := os.Rename(work, folder); err != nil {
		t.Fatal(err)
	}
	return folder
}
