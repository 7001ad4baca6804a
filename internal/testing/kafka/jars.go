package kafkatest

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// version is that of the broker.
const version = "4.1.1"

// project makes Maven fetch the broker and what it needs.
const project = `<project><modelVersion>4.0.0</modelVersion>
<groupId>transom</groupId><artifactId>kafka-for-tests</artifactId><version>1</version><packaging>pom</packaging>
<dependencies><dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>` + version + `</version></dependency></dependencies>
</project>
`

// jars is the folder of the broker's jars, in the user's cache, where Maven puts them once.
func jars(t testing.TB) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatalf("there is no folder for the broker's jars: %v", err)
	}
	root := filepath.Join(cache, "transom-tests")
	if err := os.MkdirAll(root, 0o700); err != nil {
		t.Fatal(err)
	}
	lib := filepath.Join(root, "kafka-"+version)
	// Tests of several packages may come at once.
	lock, err := os.OpenFile(filepath.Join(root, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil { //nolint:gosec // a descriptor is small
		t.Fatal(err)
	}
	if _, err := os.Stat(lib); err == nil {
		return lib
	}
	if _, err := exec.LookPath("mvn"); err != nil {
		t.Fatal("this test fetches a real Kafka broker by Maven: install Debian's package maven (apt-get install maven)")
	}
	fetch(t, root, lib)
	return lib
}

func fetch(t testing.TB, root, lib string) {
	t.Helper()
	work, err := os.MkdirTemp(root, "fetch")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := os.WriteFile(filepath.Join(work, "pom.xml"), []byte(project), 0o600); err != nil {
		t.Fatal(err)
	}
	var output []byte
	for range 3 { // a network may fail once
		command := exec.Command("mvn", "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=lib")
		command.Dir = work
		if output, err = command.CombinedOutput(); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatalf("Maven does not fetch Kafka %s: %v\n%s", version, err, output)
	}
	if err := os.Rename(filepath.Join(work, "lib"), lib); err != nil {
		t.Fatal(err)
	}
}
