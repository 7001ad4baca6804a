package openapi

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// secured is the configuration of what the secured example's protos need.
const secured = `auth: { jwt: [{ issuer: lending-desk, secret: "a secret of more than 32 bytes, as it must be" }], session: { cookie: s } }
`

// protosOf are the files of a folder by their import paths.
func protosOf(t *testing.T, folder string) map[string]string {
	t.Helper()
	protos := map[string]string{}
	err := filepath.WalkDir(folder, func(path string, d os.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".proto" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(folder, path)
		protos[filepath.ToSlash(name)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return protos
}

// etcdProtos are etcd's own .proto files, as its Go module ships them.
func etcdProtos(t *testing.T) map[string]string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "go.etcd.io/etcd/api/v3").Output()
	if err != nil {
		t.Fatal(err)
	}
	protos := map[string]string{}
	root := filepath.Clean(string(out[:len(out)-1]))
	for _, name := range []string{"etcdserverpb/rpc.proto", "mvccpb/kv.proto", "authpb/auth.proto", "versionpb/version.proto"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		protos["etcd/api/"+name] = string(text)
	}
	return protos
}
