package cachecontrol

import (
	"strconv"
	"sync/atomic"
	"time"
)

// Fields are the header fields that tell of an answer, which change once a second at most. They are
// kept with one that is given again, for those who share it. They are safe for concurrent use.
type Fields struct{ last atomic.Pointer[fields] }

// fields are the values at one moment. They have no room behind them, so that who appends to one has
// its own.
type fields struct {
	seconds      int64 // of the age
	fresh        bool
	age, control []string
}

// private are the values of Cache-Control for an answer of which no more is known.
var private = []string{"private"}

// Of returns the values of Age and Cache-Control, nil for none, of an answer of an age that is fresh
// for what is left, below zero for a stale one. public tells that all callers share it. f may be nil;
// else public is the same each time.
func (f *Fields) Of(age, left time.Duration, public bool) (ageField, control []string) {
	seconds, fresh := int64(age/time.Second), left > 0
	if f != nil {
		if v := f.last.Load(); v != nil && v.seconds == seconds && v.fresh == fresh {
			return v.age, v.control
		}
	}
	v := &fields{seconds: seconds, fresh: fresh}
	if seconds > 0 {
		v.age = []string{strconv.FormatInt(seconds, 10)}
	}
	scope := "private"
	if public {
		scope = "public"
	}
	switch {
	case fresh:
		v.control = []string{scope + ", max-age=" + strconv.FormatInt(int64((left+age)/time.Second), 10)} // Age is taken off it
	case !public:
		v.control = private
	}
	if f != nil {
		f.last.Store(v)
	}
	return v.age, v.control
}

// Unknown is Cache-Control of an answer that is not kept, nil for none.
func Unknown(own bool) []string {
	if own {
		return private
	}
	return nil
}
