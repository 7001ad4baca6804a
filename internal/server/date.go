package server

import (
	"net/http"
	"sync/atomic"
	"time"
)

// date is the header Date of answers by HTTP/3, which its server would write anew for each.
type date struct{ of atomic.Pointer[dateOfSecond] }

type dateOfSecond struct {
	second int64
	header []string // nobody changes it
}

// header is the header's value now.
func (d *date) header() []string {
	now := time.Now()
	of := d.of.Load()
	if of == nil || of.second != now.Unix() {
		of = &dateOfSecond{now.Unix(), []string{now.UTC().Format(http.TimeFormat)}}
		d.of.Store(of)
	}
	return of.header
}
