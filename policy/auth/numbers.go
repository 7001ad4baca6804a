package auth

import (
	"math"
	"strconv"
	"strings"
)

// longestNumber is how many digits a number may have that is written with an
// exponent and kept as its digits; a float64 has no more before the point.
const longestNumber = 309

// longNumber is a JSON number that no number of Go's holds. Expressions have it as
// a string: nothing compares it wrongly. In JSON it is a number again.
type longNumber string

// MarshalJSON writes the number as it is.
func (n longNumber) MarshalJSON() ([]byte, error) { return []byte(n), nil }

// plainNumber is a JSON number as claims hold it. How it is written does not
// matter: 1000000, 1e6 and 1000000.0 are one number. An integer is an int64 or
// uint64 where it fits and otherwise a longNumber of its digits; a fraction is a
// float64. What is beyond a float64 stays a longNumber as it is written.
func plainNumber(text string) any {
	digits := text
	if strings.ContainsAny(text, ".eE") {
		var whole bool
		if digits, whole = integerDigits(text); !whole {
			f, err := strconv.ParseFloat(text, 64)
			if err != nil {
				return longNumber(text)
			}
			if f != math.Trunc(f) {
				return f
			}
			digits = strconv.FormatFloat(f, 'f', -1, 64) // its fraction is less than a float64 can tell
		}
	}
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
		return n
	}
	if n, err := strconv.ParseUint(digits, 10, 64); err == nil {
		return n
	}
	return longNumber(digits)
}

// integerDigits writes a JSON number with a point or an exponent as an integer;
// ok is false where it has a fraction, or would be longer than longestNumber.
func integerDigits(text string) (digits string, ok bool) {
	number, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	number, negative := strings.CutPrefix(number, "-")
	before, after, _ := strings.Cut(number, ".")
	shift := 0
	if exponent != "" {
		var err error
		if shift, err = strconv.Atoi(exponent); err != nil || shift > math.MaxInt32 || shift < math.MinInt32 {
			return "", false
		}
	}
	point := len(before) + shift // where it stands in all digits
	all := strings.TrimRight(before+after, "0")
	significant := strings.TrimLeft(all, "0")
	switch {
	case significant == "":
		return "0", true
	case point < len(all), point-len(all)+len(significant) > longestNumber:
		return "", false
	}
	digits = significant + strings.Repeat("0", point-len(all))
	if negative {
		digits = "-" + digits
	}
	return digits, true
}

// PlainFloat is a number that did not come as JSON, as plainNumber would have it.
// What JSON has no number for is the string that proto3 JSON has.
func PlainFloat(f float64) any {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	case f == math.Trunc(f) && math.Abs(f) < 1<<64:
		return plainNumber(strconv.FormatFloat(f, 'f', 0, 64)) // with all digits
	}
	return plainNumber(strconv.FormatFloat(f, 'g', -1, 64))
}
