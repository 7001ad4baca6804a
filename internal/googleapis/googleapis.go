// Package googleapis gives tests the descriptors of all public Google APIs, a
// set that is as large as they come. It knows nothing of Transom.
//
//	name := googleapis.File(t)
package googleapis

import (
	_ "embed"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
)

//go:embed testdata/googleapis.binpb.zst
var packed []byte

// plain is the set, inflated once for a test program.
var plain = sync.OnceValues(func() ([]byte, error) {
	reader, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	return reader.DecodeAll(packed, nil)
})

// File writes the FileDescriptorSet into a folder of the test and returns its
// name.
func File(t testing.TB) string {
	t.Helper()
	set, err := plain()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "googleapis.binpb")
	if err := os.WriteFile(name, set, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
