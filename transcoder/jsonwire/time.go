package jsonwire

import "strconv"

const (
	minTimestamp = -62135596800
	maxTimestamp = 253402300799
	maxDuration  = 315576000000
	maxNanos     = 999999999
)

// appendTimestamp appends a time in RFC 3339, quoted, with 0, 3, 6 or 9 digits of
// the second's fraction.
func appendTimestamp(dst []byte, seconds int64, nanos int32) []byte {
	since := uint64(seconds - minTimestamp)
	days, rest := uint32(since/86400), uint32(since%86400)
	year, month, day := civil(days)
	text := [20]byte{0: '"', 5: '-', 8: '-', 11: 'T', 14: ':', 17: ':'}
	two := func(at int, n uint32) {
		tens := n * 103 >> 10 // n/10 for n < 100
		text[at], text[at+1] = byte('0'+tens), byte('0'+n-10*tens)
	}
	two(1, year/100)
	two(3, year%100)
	two(6, month)
	two(9, day)
	two(12, rest/3600)
	two(15, rest/60%60)
	two(18, rest%60)
	dst = append(dst, text[:]...)
	dst = appendNanos(dst, nanos)
	return append(dst, 'Z', '"')
}

// civil turns days since 0001-01-01 into a date of the Gregorian calendar. It
// counts in years that begin in March, so that the leap day comes last, and in
// quarters of days, so that centuries and years have whole lengths.
func civil(days uint32) (year, month, day uint32) {
	const (
		perEra = 146097 // days of 400 years, and quarters of days of a century
		shift  = 306    // from 0000-03-01 to 0001-01-01
	)
	quarters := 4*(days+shift) + 3
	century := quarters / perEra
	quarters = quarters%perEra | 3
	year = quarters / 1461
	d := quarters % 1461 / 4
	m := (5*d + 2) / 153
	day = d - (153*m+2)/5 + 1
	month, year = m+3, 100*century+year
	if month > 12 {
		month -= 12
		year++
	}
	return year, month, day
}

// daysOf returns the days from 1970-01-01 to a date.
func daysOf(year, month, day int) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	era := year / 400
	y := year - era*400
	d := (153*(month-3)+2)/5 + day - 1
	return int64(era)*146097 + int64(y*365+y/4-y/100+d) - 719468
}

// appendNanos appends the fraction of a second in 0, 3, 6 or 9 digits.
func appendNanos(dst []byte, nanos int32) []byte {
	if nanos == 0 {
		return dst
	}
	if nanos%1e6 == 0 {
		n := nanos / 1e6
		return append(dst, '.', byte('0'+n/100), byte('0'+n/10%10), byte('0'+n%10))
	}
	var digits [10]byte
	digits[0] = '.'
	n := nanos
	for i := 9; i > 0; i-- {
		digits[i] = byte('0' + n%10)
		n /= 10
	}
	if nanos%1e3 == 0 {
		return append(dst, digits[:7]...)
	}
	return append(dst, digits[:]...)
}

func appendDuration(dst []byte, seconds int64, nanos int32) []byte {
	dst = append(dst, '"')
	if seconds < 0 || nanos < 0 {
		dst = append(dst, '-')
		seconds, nanos = -seconds, -nanos
	}
	dst = strconv.AppendInt(dst, seconds, 10)
	dst = appendNanos(dst, nanos)
	return append(dst, 's', '"')
}

// parseTimestamp reads a time in RFC 3339, as the JSON mapping has it: with a
// capital T and Z, at most nine digits after a point, an offset of at most 23:59,
// and no leap second, as a Timestamp has none.
func parseTimestamp(s []byte) (seconds int64, nanos int32, ok bool) {
	if len(s) < len("2006-01-02T15:04:05Z") || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' {
		return 0, 0, false
	}
	century, a := two(s, 0)
	year, b := two(s, 2)
	month, c := two(s, 5)
	day, d := two(s, 8)
	hour, e := two(s, 11)
	minute, f := two(s, 14)
	second, g := two(s, 17)
	year += 100 * century
	if !(a && b && c && d && e && f && g) || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) ||
		hour > 23 || minute > 59 || second > 59 {
		return 0, 0, false
	}
	end, offset := len(s)-1, 0
	if s[end] != 'Z' {
		if end = len(s) - len("+00:00"); end < 19 {
			return 0, 0, false
		}
		if offset, ok = parseOffset(s[end:]); !ok {
			return 0, 0, false
		}
	}
	if nanos, ok = fraction(s[19:end]); !ok {
		return 0, 0, false
	}
	seconds = daysOf(year, month, day)*86400 + int64(hour*3600+minute*60+second-offset)
	return seconds, nanos, seconds >= minTimestamp && seconds <= maxTimestamp
}

// parseOffset reads the six bytes of an offset from UTC as seconds.
func parseOffset(s []byte) (int, bool) {
	hour, a := two(s, 1)
	minute, b := two(s, 4)
	if !a || !b || hour > 23 || minute > 59 || s[3] != ':' {
		return 0, false
	}
	switch offset := hour*3600 + minute*60; s[0] {
	case '+':
		return offset, true
	case '-':
		return -offset, true
	}
	return 0, false
}

func two(s []byte, i int) (int, bool) {
	a, b := s[i]-'0', s[i+1]-'0'
	return int(a)*10 + int(b), a <= 9 && b <= 9
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// fraction reads nothing or a point and 1 to 9 digits as nanoseconds.
func fraction(s []byte) (int32, bool) {
	if len(s) == 0 {
		return 0, true
	}
	if s[0] != '.' || len(s) < 2 || len(s) > 10 {
		return 0, false
	}
	nanos := int32(0)
	for i := 1; i < 10; i++ {
		nanos *= 10
		if i < len(s) {
			if s[i]-'0' > 9 {
				return 0, false
			}
			nanos += int32(s[i] - '0')
		}
	}
	return nanos, true
}

// parseDuration reads seconds with an s after them, such as 3.5s or -0.1s, as the
// JSON mapping writes them: digits before the point and after it, and no plus.
func parseDuration(s []byte) (seconds int64, nanos int32, ok bool) {
	if len(s) < 2 || s[len(s)-1] != 's' {
		return 0, 0, false
	}
	s = s[:len(s)-1]
	neg := s[0] == '-'
	if neg {
		s = s[1:]
	}
	end := digitsEnd(s, 0)
	if end == 0 || end > 1 && s[0] == '0' || end > 12 {
		return 0, 0, false
	}
	for _, c := range s[:end] {
		seconds = seconds*10 + int64(c-'0')
	}
	if nanos, ok = fraction(s[end:]); !ok {
		return 0, 0, false
	}
	if neg {
		seconds, nanos = -seconds, -nanos
	}
	return seconds, nanos, seconds >= -maxDuration && seconds <= maxDuration
}
