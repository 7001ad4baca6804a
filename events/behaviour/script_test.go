package behaviour

import (
	"bytes"
	"compress/gzip"
	"testing"
)

// TestScriptSize: Events 202: the script has at most 2 KiB when it is compressed.
func TestScriptSize(t *testing.T) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(Script); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil || b.Len() > 2048 {
		t.Errorf("it has %d bytes, %v", b.Len(), err)
	}
}
