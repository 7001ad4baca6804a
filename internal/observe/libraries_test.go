package observe

import (
	"bytes"
	"encoding/json"
	"log"
	"log/slog"
	"testing"

	transomv1 "github.com/transom-gateway/transom/proto/transom/v1"
)

// TestLibraryLines: what libraries write on their own becomes lines of the log, at its
// level and in its form.
func TestLibraryLines(t *testing.T) {
	var lines bytes.Buffer
	telemetry, err := Setup(&transomv1.Telemetry{Log: &transomv1.Log{Format: transomv1.Log_JSON}}, "test", &lines)
	if err != nil {
		t.Fatal(err)
	}
	var before bytes.Buffer
	stderr := log.Writer()
	log.SetOutput(&before)
	defer log.SetOutput(stderr)
	release := telemetry.AdoptLibraries()
	log.Printf("Unsolicited response received on idle HTTP channel starting with %q; err=<nil>", "\x00\x00\x06")
	log.Print("two\nlines\n")
	slog.Info("a library that knows slog")
	GRPCLog().Errorf("a %s of grpc-go", "word")
	GRPCLog().Warningln("too", "much")
	release()
	log.Print("after it")
	var said []string
	for line := range bytes.Lines(lines.Bytes()) {
		var e struct{ Level, Msg, By string }
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		said = append(said, e.Level+" "+e.Msg+" "+e.By)
	}
	want := []string{"WARN two\nlines a library", "INFO a library that knows slog ", "ERROR a word of grpc-go grpc-go"}
	if len(said) != len(want) {
		t.Fatalf("%q", said)
	}
	for i := range want {
		if said[i] != want[i] {
			t.Errorf("%q, want %q", said[i], want[i])
		}
	}
	if !bytes.HasSuffix(before.Bytes(), []byte("after it\n")) {
		t.Errorf("the log of before has %q", before.String())
	}
}
