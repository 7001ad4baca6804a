package sharing

import (
	"time"

	"github.com/transom-gateway/transom/internal/cachecontrol"
)

// Life is for how long an answer may be given.
type Life struct {
	// Came is when the answer came, and Age how old it was then.
	Came time.Time
	Age  time.Duration
	// Fresh is how long it is fresh, and WhileRevalidate and IfError how long it is given, stale or not: while a new
	// one is fetched, and where none can be had. All count from Came.
	Fresh, WhileRevalidate, IfError time.Duration
}

// Said is what an answer says of its times, and when it was asked for and came.
type Said struct {
	Control            *cachecontrol.Control
	Date, Age, Expires []string // lines of its header
	Sent, Came         time.Time
}

// Lifetime is for how long the answer is fresh, from when it was made; ok is false where it does not say it.
func (s *Said) Lifetime() (_ time.Duration, ok bool) {
	return cachecontrol.Lifetime(s.Control, s.Expires, cachecontrol.Date(s.Date), s.Came)
}

// Life is that of the answer. whileRevalidate and ifError stand in for what it does not say.
func (s *Said) Life(lifetime, whileRevalidate, ifError time.Duration) Life {
	l := Life{Came: s.Came}
	if len(s.Date) > 0 || len(s.Age) > 0 { // else it is the server's own, made while we asked
		l.Age = cachecontrol.InitialAge(cachecontrol.Age(s.Age), cachecontrol.Date(s.Date), s.Sent, s.Came)
	}
	l.Fresh = lifetime - l.Age
	revalidate, failed := s.Control.StaleUntil(l.FreshUntil(), whileRevalidate, ifError)
	l.WhileRevalidate, l.IfError = revalidate.Sub(s.Came), failed.Sub(s.Came)
	return l
}

// FreshUntil is when the answer is fresh no more.
func (l *Life) FreshUntil() time.Time { return l.Came.Add(l.Fresh) }

// RevalidateUntil is until when it is given while a new one is fetched.
func (l *Life) RevalidateUntil() time.Time { return l.Came.Add(l.WhileRevalidate) }

// ErrorUntil is until when it is given where no new one can be had.
func (l *Life) ErrorUntil() time.Time { return l.Came.Add(l.IfError) }

// Over reports whether the answer is of no use any more.
func (l *Life) Over(now time.Time) bool {
	return now.Sub(l.Came) >= max(l.Fresh, l.WhileRevalidate, l.IfError)
}

// AgeAt is how old the answer is.
func (l *Life) AgeAt(now time.Time) time.Duration { return cachecontrol.CurrentAge(l.Age, l.Came, now) }
