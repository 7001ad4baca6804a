// Package installed has package managers of other languages put what tests need into the user's cache, once for
// each state of the files that pin the versions.
package installed

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// Manager is a package manager.
type Manager struct {
	name    string
	command []string // puts what the pins name below the folder that it is run in
	below   string   // where the packages are then
	missing string   // what to do where there is no such program
}

// The managers, and the files that pin what they install.
var (
	// NPM installs what package.json and package-lock.json name.
	NPM = Manager{
		name: "npm", below: "node_modules", missing: "install Node 20 or newer, with npm",
		command: []string{"npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"},
	}
	// Pip installs what requirements.txt names, without what those packages depend on.
	Pip = Manager{
		name: "pip", below: "packages", missing: "install Python 3 with pip",
		command: []string{"python3", "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check", "--target", "packages", "-r", "requirements.txt"},
	}
	// Maven fetches the dependencies of pom.xml, and theirs.
	Maven = Manager{
		name: "maven", below: "lib", missing: "install Debian's package maven (apt-get install maven)",
		command: []string{"mvn", "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=lib"},
	}
)

// Files are the contents of files by their base names.
func Files(t testing.TB, paths ...string) map[string][]byte {
	t.Helper()
	contents := map[string][]byte{}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		contents[filepath.Base(path)] = content
	}
	return contents
}

// Packages is the folder of the packages that the pins, files by their names, ask for.
func Packages(t testing.TB, by Manager, pins map[string][]byte) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatalf("there is no folder for the packages of %s: %v", by.name, err)
	}
	root := filepath.Join(cache, "transom-tests")
	if err := os.MkdirAll(root, 0o700); err != nil {
		t.Fatal(err)
	}
	// Tests of several packages may come at once.
	lock, err := os.OpenFile(filepath.Join(root, by.name+"-lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil { //nolint:gosec // a descriptor is small
		t.Fatal(err)
	}
	folder := filepath.Join(root, by.name+"-"+digest(by, pins))
	if _, err := os.Stat(folder); err != nil {
		by.install(t, root, folder, pins)
	}
	return filepath.Join(folder, by.below)
}

// digest names the state of the pins.
func digest(by Manager, pins map[string][]byte) string {
	sum := sha256.New()
	write := func(part []byte) {
		one := sha256.Sum256(part)
		sum.Write(one[:])
	}
	for _, word := range by.command {
		write([]byte(word))
	}
	for _, name := range slices.Sorted(maps.Keys(pins)) {
		write([]byte(name))
		write(pins[name])
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

func (by Manager) install(t testing.TB, root, folder string, pins map[string][]byte) {
	t.Helper()
	if _, err := exec.LookPath(by.command[0]); err != nil {
		t.Fatalf("this test needs packages by %s: %s", by.name, by.missing)
	}
	work, err := os.MkdirTemp(root, "fetch")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	for name, content := range pins {
		if err := os.WriteFile(filepath.Join(work, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var output []byte
	for range 3 { // a network may fail once
		command := exec.CommandContext(t.Context(), by.command[0], by.command[1:]...)
		command.Dir = work
		if output, err = command.CombinedOutput(); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("%s installs nothing of %v: %v\n%s", by.name, slices.Sorted(maps.Keys(pins)), err, output)
	}
	if err := os.Rename(work, folder); err != nil {
		t.Fatal(err)
	}
}
