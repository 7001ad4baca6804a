// Package dateheader has the header Date of answers, which changes once a second and would else
// be written anew for each.
//
//	var date dateheader.Date
//	header["Date"] = date.Values()
package dateheader

import (
	"net/http"
	"sync/atomic"
	"time"
)

// Date is the header Date (RFC 9110, section 6.6.1). Its zero value can be used, by many at the same time.
type Date struct{ of atomic.Pointer[second] }

type second struct {
	unix   int64
	values []string // nobody changes them
}

// Values are the header's values now, one in the form of http.TimeFormat. The caller must not change them.
func (d *Date) Values() []string {
	now := time.Now()
	of := d.of.Load()
	if of == nil || of.unix != now.Unix() {
		of = &second{now.Unix(), []string{now.UTC().Format(http.TimeFormat)}}
		d.of.Store(of)
	}
	return of.values
}
