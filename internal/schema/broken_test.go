package schema

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestBrokenFolders compiles one folder per kind of problem and compares all
// that is said with the folder's problems.txt. TRANSOM_REFRESH=1 writes the files
// anew.
func TestBrokenFolders(t *testing.T) {
	folders, err := filepath.Glob("testdata/broken/*")
	if err != nil || len(folders) == 0 {
		t.Fatalf("no folders in testdata/broken: %v", err)
	}
	for _, folder := range folders {
		t.Run(filepath.Base(folder), func(t *testing.T) {
			_, problems := Directory(folder).Load(t.Context())
			if problems.Err() == nil {
				t.Error("a broken folder gave no problem")
			}
			compareGolden(t, filepath.Join(folder, "problems.txt"), problems.Error()+"\n")
		})
	}
}

// compareGolden compares a text with a file, or writes the file.
func compareGolden(t *testing.T, name, got string) {
	t.Helper()
	if os.Getenv("TRANSOM_REFRESH") != "" {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("other problems than in %s (-want +got):\n%s", name, diff)
	}
}
