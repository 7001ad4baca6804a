package gateway

import "testing"

// TestKeptDocuments: Surface 204: the documents and pages that clients have had made are kept as far as there is room.
func TestKeptDocuments(t *testing.T) {
	d := &documents{files: map[wantedDocument]*ownFile{}, pages: map[string]*ownFile{}}
	for i := range 100 {
		f := &ownFile{plain: make([]byte, 5<<20)}
		d.keep(f)
		d.files[wantedDocument{service: string(rune('a' + i))}] = f
		kept := 0
		for _, f := range d.files {
			kept += len(f.plain)
		}
		if kept > maxKeptDocuments || kept != d.kept || len(d.files) == 0 {
			t.Fatalf("%d bytes are kept, and said to be %d", kept, d.kept)
		}
	}
	huge := &ownFile{plain: make([]byte, maxKeptDocuments+1)}
	d.keep(huge)
	if len(d.files) != 0 || d.kept != len(huge.plain) {
		t.Errorf("%d files beside one that takes all the room", len(d.files))
	}
}
