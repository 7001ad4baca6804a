package jsonwire

import (
	"math"
	"strconv"
)

// appendFloat appends a float as protojson does: the shortest decimal that reads
// back the same, with an exponent where it is very small or large.
func appendFloat(dst []byte, f float64, size int) []byte {
	abs := math.Abs(f)
	if abs < 1e6 { // below, six digits and a few decimals are often all there is
		if dst, ok := appendDecimal(dst, f, abs, size); ok {
			return dst
		}
	}
	switch {
	case f != f:
		return append(dst, `"NaN"`...)
	case abs > math.MaxFloat64:
		if f > 0 {
			return append(dst, `"Infinity"`...)
		}
		return append(dst, `"-Infinity"`...)
	}
	format := byte('f')
	if abs != 0 {
		if size == 64 && (abs < 1e-6 || abs >= 1e21) || size == 32 && (float32(abs) < 1e-6 || float32(abs) >= 1e21) {
			format = 'e'
		}
	}
	dst = strconv.AppendFloat(dst, f, format, -1, size)
	if n := len(dst); format == 'e' && n >= 4 && dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' {
		dst[n-2] = dst[n-1] // e-09 is written e-9
		dst = dst[:n-1]
	}
	return dst
}

// appendUint appends an integer in decimal. Small ones are frequent.
func appendUint(dst []byte, v uint64) []byte {
	switch {
	case v < 10:
		return append(dst, byte('0'+v))
	case v < 100:
		return append(dst, byte('0'+v/10), byte('0'+v%10))
	case v < 1000:
		return append(dst, byte('0'+v/100), byte('0'+v/10%10), byte('0'+v%10))
	}
	return strconv.AppendUint(dst, v, 10)
}

func appendInt(dst []byte, v int64) []byte {
	if v >= 0 {
		return appendUint(dst, uint64(v))
	}
	return strconv.AppendInt(dst, v, 10)
}

// appendDecimal appends a float that is a number of few digits: any decimal of at
// most 15 digits (6 for a float of 32 bits) that reads back as f is the shortest.
func appendDecimal(dst []byte, f, abs float64, size int) ([]byte, bool) {
	n := int64(abs) // signed: the machine has an instruction for it
	if float64(n) == abs {
		if size == 32 && n >= 1e6 || n == 0 && math.Signbit(f) {
			return dst, false
		}
		return appendUint(appendSign(dst, f), uint64(n)), true
	}
	const scale = 1e4
	n = int64(abs*scale + 0.5)
	if size == 32 {
		if n >= 1e6 || float32(float64(n)/scale) != float32(abs) {
			return dst, false
		}
	} else if float64(n)/scale != abs {
		return dst, false
	}
	if n == 0 {
		return dst, false
	}
	dst = appendUint(appendSign(dst, f), uint64(n/scale))
	rest := uint32(n % scale)
	dst = append(dst, '.', byte('0'+rest/1000), byte('0'+rest/100%10), byte('0'+rest/10%10), byte('0'+rest%10))
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst, true
}

func appendSign(dst []byte, f float64) []byte {
	if f < 0 {
		return append(dst, '-')
	}
	return dst
}

// number returns the length of the JSON number at the start of b, 0 for none.
func number(b []byte) int {
	i := 0
	if i < len(b) && b[i] == '-' {
		i++
	}
	switch {
	case i < len(b) && b[i] == '0':
		i++
	case i < len(b) && b[i] >= '1' && b[i] <= '9':
		i = digitsEnd(b, i)
	default:
		return 0
	}
	if i < len(b) && b[i] == '.' {
		end := digitsEnd(b, i+1)
		if end == i+1 {
			return 0
		}
		i = end
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		end := digitsEnd(b, i)
		if end == i {
			return 0
		}
		i = end
	}
	if i < len(b) && inWord(b[i]) {
		return 0
	}
	return i
}

func digitsEnd(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}

// inWord reports whether a byte after a number or literal makes it another word.
func inWord(c byte) bool {
	return c == '-' || c == '+' || c == '.' || c == '_' ||
		c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// shortInteger reads an integer of at most 18 plain digits at the start of b; n
// is its length, 0 where it is something else, such as 1e3.
func shortInteger(b []byte) (neg bool, magnitude uint64, n int) {
	i := 0
	if len(b) > 0 && b[0] == '-' {
		neg, i = true, 1
	}
	start := i
	for i < len(b) && b[i]-'0' <= 9 {
		magnitude = magnitude*10 + uint64(b[i]-'0')
		i++
	}
	if i == start || i-start > 18 || b[start] == '0' && i-start > 1 || i < len(b) && inWord(b[i]) {
		return false, 0, 0
	}
	return neg, magnitude, i
}

// integer reads the JSON number b, such as 12, 1.0 or 1e3, as an integer. It
// returns false where it is none or does not fit into 64 bits.
func integer(b []byte) (neg bool, magnitude uint64, ok bool) {
	if neg, magnitude, n := shortInteger(b); n > 0 && n == len(b) {
		return neg, magnitude, true
	}
	if n := number(b); n == 0 || n != len(b) {
		return false, 0, false
	}
	if b[0] == '-' {
		neg, b = true, b[1:]
	}
	end := digitsEnd(b, 0)
	whole, b := b[:end], b[end:]
	if whole[0] == '0' {
		whole = nil
	}
	var fraction []byte
	if len(b) > 0 && b[0] == '.' {
		end = digitsEnd(b, 1)
		fraction, b = b[1:end], b[end:]
		for len(fraction) > 0 && fraction[len(fraction)-1] == '0' {
			fraction = fraction[:len(fraction)-1]
		}
	}
	if len(whole) == 0 && len(fraction) == 0 {
		return neg, 0, true
	}
	exponent := 0
	if len(b) > 0 {
		var err error
		if exponent, err = strconv.Atoi(stringOf(b[1:])); err != nil || exponent > 100 || exponent < -1<<31 {
			return false, 0, false
		}
	}
	return scaled(neg, whole, fraction, exponent)
}

// scaled returns ±whole.fraction × 10^exponent if that is an integer.
func scaled(neg bool, whole, fraction []byte, exponent int) (bool, uint64, bool) {
	const most = 20 // digits of the largest integer
	point := len(whole) + exponent
	if point < 0 || point > most || len(fraction) > max(exponent, 0) {
		return false, 0, false
	}
	var magnitude uint64
	for i := range max(point, len(whole)) {
		digit := uint64(0)
		switch {
		case i < len(whole):
			digit = uint64(whole[i] - '0')
		case i-len(whole) < len(fraction):
			digit = uint64(fraction[i-len(whole)] - '0')
		}
		if i >= point {
			if digit != 0 {
				return false, 0, false
			}
			continue
		}
		if magnitude > (math.MaxUint64-digit)/10 {
			return false, 0, false
		}
		magnitude = magnitude*10 + digit
	}
	return neg, magnitude, true
}

// signed puts a sign and a magnitude together if they fit into so many bits.
func signed(neg bool, magnitude uint64, size uint) (int64, bool) {
	limit := uint64(1) << (size - 1)
	switch {
	case neg:
		return -int64(magnitude), magnitude <= limit
	default:
		return int64(magnitude), magnitude < limit
	}
}

// powers are the powers of ten that a float64 holds exactly.
var powers = [...]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22}

// shortFloat reads a number of at most 15 digits without an exponent at the start
// of b, exactly; n is its length, 0 where it is something else.
func shortFloat(b []byte) (f float64, n int) {
	i := 0
	neg := len(b) > 0 && b[0] == '-'
	if neg {
		i = 1
	}
	start := i
	var m uint64
	for i < len(b) && b[i]-'0' <= 9 {
		m = m*10 + uint64(b[i]-'0')
		i++
	}
	digits := i - start
	if digits == 0 || digits > 15 || b[start] == '0' && digits > 1 {
		return 0, 0
	}
	places := 0
	if i < len(b) && b[i] == '.' {
		i++
		for i < len(b) && b[i]-'0' <= 9 {
			m = m*10 + uint64(b[i]-'0')
			i++
			places++
		}
		if places == 0 || digits+places > 15 {
			return 0, 0
		}
	}
	if i < len(b) && inWord(b[i]) {
		return 0, 0
	}
	f = float64(m) / powers[places]
	if neg {
		f = -f
	}
	return f, i
}
