package rfc9111

import (
	"strconv"
	"time"
)

// ages are the values of Age that are written most.
var ages = func() (all [64][]string) {
	for i := range all {
		all[i] = []string{strconv.Itoa(i)}
	}
	return all
}()

// AgeLine is the value of Age. Nobody may change it.
func AgeLine(age time.Duration) []string {
	seconds := int64(age / time.Second)
	if seconds < int64(len(ages)) {
		return ages[seconds][:1:1]
	}
	return []string{strconv.FormatInt(seconds, 10)}
}
