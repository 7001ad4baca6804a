package jsonwire

import (
	"strconv"
	"strings"
	"time"
)

const (
	minTimestamp = -62135596800
	maxTimestamp = 253402300799
	maxDuration  = 315576000000
	maxNanos     = 999999999
)

// appendTimestamp appends a time in RFC 3339, quoted, with 0, 3, 6 or 9 digits of
// the second's fraction.
func appendTimestamp(dst []byte, seconds int64, nanos int32) []byte {
	days := seconds / 86400
	rest := int(seconds % 86400)
	if rest < 0 {
		days--
		rest += 86400
	}
	year, month, day := civil(days)
	dst = append(dst, '"')
	dst = appendTwo(dst, year/100)
	dst = appendTwo(dst, year%100)
	dst = append(dst, '-')
	dst = appendTwo(dst, month)
	dst = append(dst, '-')
	dst = appendTwo(dst, day)
	dst = append(dst, 'T')
	dst = appendTwo(dst, rest/3600)
	dst = append(dst, ':')
	dst = appendTwo(dst, rest/60%60)
	dst = append(dst, ':')
	dst = appendTwo(dst, rest%60)
	dst = appendNanos(dst, nanos)
	return append(dst, 'Z', '"')
}

// civil turns days since 1970 into a date of the Gregorian calendar, in years of
// 400-year eras that begin in March, so that the leap day comes last.
func civil(days int64) (year, month, day int) {
	const (
		perEra = 146097 // days of 400 years
		shift  = 719468 // from 0000-03-01 to 1970-01-01
	)
	days += shift
	era := days / perEra // days are never negative after the shift: the year is ≥ 1
	d := int(days - era*perEra)
	y := (d - d/1460 + d/36524 - d/146096) / 365
	d -= 365*y + y/4 - y/100
	m := (5*d + 2) / 153
	day = d - (153*m+2)/5 + 1
	month = m + 3
	year = y + int(era)*400
	if month > 12 {
		month -= 12
		year++
	}
	return year, month, day
}

// daysOf is the inverse of civil.
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

func appendTwo(dst []byte, n int) []byte {
	return append(dst, byte('0'+n/10), byte('0'+n%10))
}

// appendNanos appends the fraction of a second in 0, 3, 6 or 9 digits.
func appendNanos(dst []byte, nanos int32) []byte {
	if nanos == 0 {
		return dst
	}
	var digits [10]byte
	digits[0] = '.'
	n := nanos
	for i := 9; i > 0; i-- {
		digits[i] = byte('0' + n%10)
		n /= 10
	}
	switch {
	case nanos%1e6 == 0:
		return append(dst, digits[:4]...)
	case nanos%1e3 == 0:
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

// parseTimestamp reads a time in RFC 3339.
func parseTimestamp(s []byte) (seconds int64, nanos int32, ok bool) {
	if seconds, nanos, ok = parseUTC(s); ok {
		return seconds, nanos, seconds >= minTimestamp
	}
	text := string(s)
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return 0, 0, false
	}
	point, zone := strings.LastIndexByte(text, '.'), strings.LastIndexAny(text, "Z-+")
	if point >= 0 && zone-point > len(".999999999") {
		return 0, 0, false
	}
	seconds = t.Unix()
	return seconds, int32(t.Nanosecond()), seconds >= minTimestamp && seconds <= maxTimestamp
}

// parseUTC reads the usual form, 2006-01-02T15:04:05.999999999Z; ok is false for
// any other, right or wrong.
func parseUTC(s []byte) (seconds int64, nanos int32, ok bool) {
	if len(s) < 20 || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' || s[len(s)-1] != 'Z' {
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
	if !(a && b && c && d && e && f && g) || year < 1 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) ||
		hour > 23 || minute > 59 || second > 59 {
		return 0, 0, false
	}
	if nanos, ok = fraction(s[19 : len(s)-1]); !ok {
		return 0, 0, false
	}
	return daysOf(year, month, day)*86400 + int64(hour*3600+minute*60+second), nanos, true
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

// parseDuration reads seconds with an s after them, such as 3.5s, -.1s or 1.s.
func parseDuration(s []byte) (seconds int64, nanos int32, ok bool) {
	if len(s) < 2 || s[len(s)-1] != 's' {
		return 0, 0, false
	}
	s = s[:len(s)-1]
	neg := s[0] == '-'
	if neg || s[0] == '+' {
		s = s[1:]
	}
	end := digitsEnd(s, 0)
	if len(s) == 0 || end == 0 && s[0] != '.' || end > 1 && s[0] == '0' || end > 12 {
		return 0, 0, false
	}
	for _, c := range s[:end] {
		seconds = seconds*10 + int64(c-'0')
	}
	if s = s[end:]; len(s) != 1 || s[0] != '.' {
		if nanos, ok = fraction(s); !ok {
			return 0, 0, false
		}
	}
	if neg {
		seconds, nanos = -seconds, -nanos
	}
	return seconds, nanos, seconds >= -maxDuration && seconds <= maxDuration
}
