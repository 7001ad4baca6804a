package sharing

import (
	"time"

	"google.golang.org/grpc/metadata"

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

// LifeOf is that of an answer with such metadata, which came now and was asked for at a time before. ttl,
// while and failed stand in for what it does not say.
func LifeOf(said metadata.MD, control *cachecontrol.Control, sent, now time.Time, ttl, while, failed time.Duration) Life {
	date := cachecontrol.Date(said["date"])
	lifetime, known := cachecontrol.Lifetime(control, said["expires"], date, now)
	if !known {
		lifetime = ttl
	}
	l := Life{Came: now}
	if len(said["date"]) > 0 || len(said["age"]) > 0 { // else the backend's own, made while we asked
		l.Age = cachecontrol.InitialAge(cachecontrol.Age(said["age"]), date, sent, now)
	}
	l.Fresh = lifetime - l.Age
	whileUntil, failedUntil := control.StaleUntil(l.FreshUntil(), while, failed)
	l.WhileRevalidate, l.IfError = whileUntil.Sub(now), failedUntil.Sub(now)
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
