//go:build image

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/transom-gateway/transom/internal/testing/poll"
)

// These tests build the image with buildah and run it with runc, which takes root; `make image-test`
// installs both.

// imageConfig is what an image says of how it is run, as Docker has it.
type imageConfig struct {
	User        string
	Env         []string
	Entrypoint  []string
	Cmd         []string
	Volumes     map[string]struct{}
	Labels      map[string]string
	StopSignal  string
	Healthcheck struct{ Test []string }
}

// images are those of deploy/Dockerfile, in a storage of their own.
type images struct{ dir string }

// buildImages runs the go build of deploy/Dockerfile here, as no base image can be pulled where there is
// no registry, and builds the stages above it, which begin with nothing, by buildah.
func buildImages(t *testing.T) *images {
	t.Helper()
	i := &images{dir: t.TempDir()}
	built := filepath.Join(i.dir, "build")
	lines := regexp.MustCompile(`(?m)^RUN (go build (?:.*\\\n)*.*)$`).FindStringSubmatch(readDeployed(t, "Dockerfile"))
	if lines == nil {
		t.Fatal("the Dockerfile runs no go build")
	}
	for _, folder := range []string{"out", "etc/ssl/certs", "tmp"} {
		if err := os.MkdirAll(filepath.Join(built, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.CommandContext(t.Context(), "sh", "-ec", strings.ReplaceAll(lines[1], "/out/", built+"/out/"))
	build.Dir = "../.."
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "VERSION=of-the-image")
	output(t, build)
	authorities, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(built, "etc/ssl/certs/ca-certificates.crt"), string(authorities))
	t.Cleanup(func() { output(t, i.buildah("rm", "--all")); output(t, i.buildah("rmi", "--all", "--force")) })
	return i
}

// buildah is a command of buildah on the storage.
func (i *images) buildah(arguments ...string) *exec.Cmd {
	all := append([]string{"--root", filepath.Join(i.dir, "storage"), "--runroot", filepath.Join(i.dir, "running"), "--storage-driver", "vfs"}, arguments...)
	command := exec.Command("buildah", all...)
	command.Env = append(os.Environ(), "BUILDAH_ISOLATION=chroot")
	return command
}

// build builds a target, and returns what the image says and the folder of its files.
func (i *images) build(t *testing.T, target string) (c imageConfig, root string) {
	t.Helper()
	built := filepath.Join(i.dir, "build")
	output(t, i.buildah("bud", "--format", "docker", "--target", target, "--build-arg", "VERSION=of-the-image", "--build-arg", "TARGETOS=linux", "--build-arg", "TARGETARCH=amd64",
		"--build-context", "build="+built, "--file", filepath.Join(deployFolder, "Dockerfile"), "--tag", target, filepath.Join(built, "tmp")))
	var says struct{ Config imageConfig }
	if err := json.Unmarshal(output(t, i.buildah("inspect", "--type", "image", "--format", "{{.Config}}", target)), &says); err != nil {
		t.Fatal(err)
	}
	container := strings.TrimSpace(string(output(t, i.buildah("from", "--pull-never", target))))
	return says.Config, strings.TrimSpace(string(output(t, i.buildah("mount", container))))
}

// output runs a command that must do well.
func output(t *testing.T, command *exec.Cmd) []byte {
	t.Helper()
	var told bytes.Buffer
	command.Stderr = &told
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s%s", command, err, out, told.Bytes())
	}
	return out
}

// container is what one is made of, by the OCI's runtime specification.
type container struct {
	image imageConfig
	root  string
	// command is in place of the image's Cmd; nil for that.
	command []string
	// mounts are folders and files of this machine, by their paths inside. Those of the image's
	// volumes may be written.
	mounts map[string]string
	// network is the namespace it shares: a path, "host", or "" for one of its own.
	network string
	// memory is what it may take, in bytes; 0 for no bound.
	memory int64
}

type object = map[string]any

// bundle writes what runc reads, with a root that may not be written and no capabilities.
func (c container) bundle(t *testing.T) string {
	t.Helper()
	user, group, _ := strings.Cut(c.image.User, ":")
	uid, err1 := strconv.Atoi(user)
	gid, err2 := strconv.Atoi(group)
	if err1 != nil || err2 != nil {
		t.Fatalf("the image's user is %q, want numbers, which need no /etc/passwd", c.image.User)
	}
	mounts := []object{
		{"destination": "/proc", "type": "proc", "source": "proc"},
		{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": []string{"nosuid", "mode=755", "size=64k"}},
		{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": []string{"nosuid", "noexec", "nodev", "ro"}},
	}
	for inside, outside := range c.mounts {
		how := "ro"
		if _, ok := c.image.Volumes[inside]; ok {
			how = "rw"
			if err := os.Chown(outside, uid, gid); err != nil {
				t.Fatal(err)
			}
		}
		mounts = append(mounts, object{"destination": inside, "type": "bind", "source": outside, "options": []string{"rbind", how}})
	}
	namespaces := []object{{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}}
	switch c.network {
	case "host":
	case "":
		namespaces = append(namespaces, object{"type": "network"})
	default:
		namespaces = append(namespaces, object{"type": "network", "path": c.network})
	}
	command := c.command
	if command == nil {
		command = c.image.Cmd
	}
	linux := object{"namespaces": namespaces}
	if c.memory > 0 {
		linux["resources"] = object{"memory": object{"limit": c.memory, "swap": c.memory}}
	}
	const files = 16384 // what a listener with 10,000 connections needs
	text, err := json.Marshal(object{
		"ociVersion": "1.0.0",
		"process": object{
			"user": object{"uid": uid, "gid": gid}, "args": append(c.image.Entrypoint[:len(c.image.Entrypoint):len(c.image.Entrypoint)], command...),
			"env": append(c.image.Env, "TRANSOM_ADMIN_TOKEN=for-this-machine-only"), "cwd": "/", "capabilities": object{}, "noNewPrivileges": true,
			"rlimits": []object{{"type": "RLIMIT_NOFILE", "hard": files, "soft": files}},
		},
		"root": object{"path": c.root, "readonly": true}, "mounts": mounts, "linux": linux,
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "config.json"), string(text))
	return dir
}

// contained is a container that runs.
type contained struct {
	id, dir string
	pid     int
}

// runc is a command of runc on the containers of a test.
func (r *contained) runc(arguments ...string) *exec.Cmd {
	return exec.Command("runc", append([]string{"--root", filepath.Join(r.dir, "state")}, arguments...)...)
}

// prepare returns a container of a name that no other test has, and the command that runs it.
func (c container) prepare(t *testing.T, name string) (*contained, *exec.Cmd) {
	t.Helper()
	r := &contained{id: fmt.Sprintf("transom-test-%s-%d", name, os.Getpid()), dir: c.bundle(t)}
	return r, r.runc("run", "--bundle", r.dir, r.id)
}

// find waits until it runs.
func (r *contained) find(t *testing.T) {
	t.Helper()
	poll.Until(t, "the container "+r.id, func() bool {
		var state struct {
			Pid    int    `json:"pid"`
			Status string `json:"status"`
		}
		out, err := r.runc("state", r.id).Output()
		if err != nil || json.Unmarshal(out, &state) != nil {
			return false
		}
		r.pid = state.Pid
		return state.Status == "running"
	})
}

// start runs a container until the end of the test. The end must be asked for by the image's signal,
// and be a good one.
func (c container) start(t *testing.T, name string) (_ *contained, stop func()) {
	t.Helper()
	r, run := c.prepare(t, name)
	var told bytes.Buffer
	run.Stdout, run.Stderr = &told, &told
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	ended, stopped := make(chan error, 1), false
	go func() { ended <- run.Wait() }()
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		signal := c.image.StopSignal
		if signal == "" {
			signal = "SIGTERM" // as Docker has it
		}
		if out, err := r.runc("kill", r.id, signal).CombinedOutput(); err != nil {
			t.Errorf("%v %s", err, out)
		}
		if err := <-ended; err != nil && c.image.StopSignal != "" {
			t.Errorf("%s: %v\n%s", name, err, &told)
		}
	}
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("%s wrote:\n%s", name, &told)
		}
	})
	r.find(t)
	return r, stop
}

// healthy runs the image's health check as an engine does: inside, as the image's user.
func (r *contained) healthy(t *testing.T, image imageConfig) (string, bool) {
	t.Helper()
	if test := image.Healthcheck.Test; len(test) < 2 || test[0] != "CMD" {
		t.Fatalf("the health check is %q, want a CMD: there is no shell", test)
	}
	out, err := r.runc(append([]string{"exec", r.id}, image.Healthcheck.Test[1:]...)...).CombinedOutput()
	return string(out), err == nil
}

// TestImage: Surface 280 and 281: the gateway's image, built by its Dockerfile, serves the example's, as uid
// 65532 on a root that cannot be written, with no capability; both are healthy by their own checks, and not
// so without the other end.
func TestImage(t *testing.T) {
	all := buildImages(t)
	gateway, root := all.build(t, "gateway")
	bookstore, bookstoreRoot := all.build(t, "bookstore")
	if gateway.User != "65532:65532" || bookstore.User != gateway.User || gateway.Labels["org.opencontainers.image.version"] != "of-the-image" {
		t.Errorf("the images say %+v, %+v", gateway, bookstore)
	}
	for _, file := range []string{"zoneinfo.zip", "etc/ssl/certs/ca-certificates.crt", "transom"} {
		if at, err := os.Stat(filepath.Join(root, file)); err != nil || at.Size() < 100_000 {
			t.Errorf("%s: %v", file, err)
		}
	}

	protos, err := filepath.Abs("../../examples/bookstore/protos")
	if err != nil {
		t.Fatal(err)
	}
	mounts := folder(t, map[string]string{
		"hosts": "127.0.0.1 localhost bookstore redis\n", "etc/transom.yaml": readDeployed(t, "compose/gateway/minimal.yaml") + `data_directory: /var/lib/transom
policies:
  - { selector: bookstore.v1.BookstoreService.GetShelf, policy: { events: [{ type: shelf.read, fields: [name], delivery: AT_LEAST_ONCE }] } }
`,
	})
	output(t, exec.CommandContext(t.Context(), "mkdir", filepath.Join(mounts, "state")))
	output(t, exec.CommandContext(t.Context(), "cp", "-r", protos, mounts))
	output(t, exec.CommandContext(t.Context(), "chmod", "-R", "a+rX", mounts))
	in := func(name string) string { return filepath.Join(mounts, name) }
	served, stop := container{
		image: gateway, root: root,
		mounts: map[string]string{"/etc/transom": in("etc"), "/etc/hosts": in("hosts"), "/protos": in("protos"), "/var/lib/transom": in("state")},
	}.start(t, "gateway")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", served.pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nUid:\t65532\t65532\t65532\t65532\n", "\nGid:\t65532\t65532\t65532\t65532\n", "\nCapBnd:\t0000000000000000\n", "\nCapEff:\t0000000000000000\n", "\nNoNewPrivs:\t1\n"} {
		if !bytes.Contains(status, []byte(want)) {
			t.Errorf("the process has not %q:\n%s", want, status)
		}
	}
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/root/written", served.pid), nil, 0o600); err == nil || !strings.Contains(err.Error(), syscall.EROFS.Error()) {
		t.Errorf("the root may be written: %v", err)
	}

	poll.Until(t, "the gateway to be healthy", func() bool { _, ok := served.healthy(t, gateway); return ok })
	// The ports are those of a network of its own, where nothing else is.
	network := fmt.Sprintf("/proc/%d/ns/net", served.pid)
	ask := func(path string) string {
		out, _ := exec.CommandContext(t.Context(), "nsenter", "--net="+network, "curl", "-sS", "--max-time", "10", "http://127.0.0.1:8080"+path).CombinedOutput() // what it says is looked at
		return string(out)
	}
	if got := ask("/v1/shelves"); !strings.Contains(got, "the backend cannot be reached") {
		t.Errorf("without a backend: %s", got)
	}
	books, stopBooks := container{image: bookstore, root: bookstoreRoot, network: network}.start(t, "bookstore")
	poll.Until(t, "the backend to be healthy", func() bool { _, ok := books.healthy(t, bookstore); return ok })
	poll.Until(t, "a call to be served", func() bool { return strings.HasPrefix(ask("/v1/shelves"), `{"shelves":[`) })
	if got := ask("/v1/shelves/1"); !strings.Contains(got, `"name":"shelves/1"`) {
		t.Errorf("a call is answered %s", got)
	}
	stopBooks()
	if told, ok := served.healthy(t, gateway); !ok {
		t.Errorf("a backend that is away makes the gateway ill: %s", told)
	}
	elsewhere := gateway
	elsewhere.Healthcheck.Test = []string{"CMD", "/transom", "healthcheck", "--addr", "127.0.0.1:1"}
	if told, ok := served.healthy(t, elsewhere); ok {
		t.Errorf("healthy where nobody listens: %s", told)
	}
	stop()
	if kept, err := os.ReadDir(in("state")); err != nil || len(kept) == 0 {
		t.Errorf("the volume has %v, %v, want the log of events", kept, err)
	}
}
