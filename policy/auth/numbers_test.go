package auth

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/transom-gateway/transom/policy/auth/token/keys"
)

// FuzzPlainNumber has each number keep its value, and one that is whole no point
// and no exponent.
func FuzzPlainNumber(f *testing.F) {
	for _, text := range []string{"0", "-0.0", "1e6", "1.5", "12.50e1", "1e400", "1e-400", "18446744073709551616", "0.1e1", "1e309", "100e-2", "0.0e9"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 100 || !json.Valid([]byte(text)) || strings.Trim(text, "-0123456789.eE+") != "" {
			return
		}
		number := plainNumber(text)
		said := ClaimText(number)
		if again := plainNumber(said); again != number {
			t.Fatalf("%s is %v, which is %v when read again", text, number, again)
		}
		want, err := strconv.ParseFloat(text, 64)
		if got, gotErr := strconv.ParseFloat(said, 64); got != want || (err == nil) != (gotErr == nil) {
			t.Errorf("%s became %s", text, said)
		}
	})
}

// TestNumbersOfSessions: a number that a login remembers is the same from memory
// and from Redis.
func TestNumbersOfSessions(t *testing.T) {
	for written, want := range map[float64]any{
		2: int64(2), 1e6: int64(1000000), 0.5: 0.5, 1e20: longNumber("100000000000000000000"),
		math.Inf(1): "Infinity", math.Inf(-1): "-Infinity", -1 << 63: int64(-1 << 63),
	} {
		got := PlainFloat(written)
		if got != want {
			t.Errorf("%v is remembered as %T %v, want %T %v", written, got, got, want, want)
		}
		text, err := json.Marshal(map[string]any{"n": got})
		if err != nil {
			t.Fatal(err)
		}
		back, err := keys.StrictObject(text)
		if err != nil {
			t.Fatal(err)
		}
		if PlainNumbers(back); back["n"] != got {
			t.Errorf("%v comes back as %T %v", written, back["n"], back["n"])
		}
	}
	if got := PlainFloat(math.NaN()); got != "NaN" {
		t.Errorf("NaN is %v", got)
	}
}
