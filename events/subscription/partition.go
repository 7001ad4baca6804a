package subscription

import (
	"context"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/transom-gateway/transom/events"
)

// Message is one of a topic.
type Message struct {
	Partition int32
	Offset    int64
	// Key is what messages are ordered by, "" for none.
	Key   string
	Event *events.Event
	// Written is when its source got it, which stands for the time of an event that says none.
	Written time.Time
	// Size is what the message takes in memory, in bytes.
	Size int
	// Metadata is told to the method beside what is of the event.
	Metadata []Pair
	// Unreadable says why the message is no event that a method could be called with; "" for
	// one that is. Its Event has the bytes as they are.
	Unreadable string
	// Raw is what the source made it of; the source alone looks at it.
	Raw any
	// Done is called when the message is dealt with: "done", "dead" or "skipped"; nil for nothing.
	Done func(how string)
	// Number is what people know the message by in its partition, 0 where that is Offset.
	Number int64
}

// Pair is a name with a value.
type Pair struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Result is how a call ended.
type Result struct {
	Code    codes.Code
	Message string
	// NotReached tells that no backend saw the call, as none is there or a circuit breaker
	// is open: it does not count as an attempt.
	NotReached bool
	// RetryAfter is what the server asks for, 0 for nothing.
	RetryAfter time.Duration
	// Reason says in a word why no call was made of the message and none will be, as for one
	// that cannot be read; "" where one was. It is given up at once.
	Reason string
}

// Order says which messages wait for each other.
type Order int

// The orders.
const (
	ByKey Order = iota
	ByPartition
	NoOrder
)

// Exhausted says what becomes of a message that does not succeed.
type Exhausted int

// What there is.
const (
	DeadLetter Exhausted = iota
	Pause
	Skip
)

// Options say how messages are dealt with.
type Options struct {
	// Name is the subscription's.
	Name string
	// Call makes an attempt, the first one is number 1. Required.
	Call func(ctx context.Context, m *Message, attempt int) Result
	// Dead writes a dead letter; when it returns nil the message is done. Required for
	// DeadLetter.
	Dead func(ctx context.Context, m *Message, r Result, attempts int) error
	// Verdict says what a code means. Nil: VerdictOf.
	Verdict func(codes.Code) Verdict
	Order   Order
	// Lanes are how many messages of a partition are worked on at once. 0: 16.
	Lanes int
	// MaxAttempts is how often a call is made, 0 for as often as it takes, and MaxAge how old an
	// event may become, 0 for any age.
	MaxAttempts int
	MaxAge      time.Duration
	OnExhausted Exhausted
	// MaxInFlight and MaxInFlightBytes bound the messages of a partition that are not done.
	// 0: 1024 and 16 MiB.
	MaxInFlight      int
	MaxInFlightBytes int
	// Committed is called when Partition.Committed has moved; nil for nobody.
	Committed func()
	// Switch has no call begun while it is off. Nil: it is on.
	Switch   *Switch
	Observer Observer
	Logger   *slog.Logger
}

// Observer counts. Nothing in it is of clients.
type Observer interface {
	// Attempt counts a call, Ended a message: "done", "dead" or "skipped", or a dead letter that had to
	// go for another one: "dropped".
	Attempt(subscription string, code codes.Code)
	Ended(subscription, how string)
}

// The defaults.
const (
	defaultLanes    = 16
	defaultInFlight = 1024
	defaultBytes    = 16 << 20
)

// Partition works on the messages of one partition.
type Partition struct {
	o       Options
	from    int64
	tracker tracker
	lanes   []*lane
	seed    maphash.Seed
	running sync.WaitGroup
	// ctx ends calls under way, and stopping what waits between attempts.
	ctx      context.Context
	cancel   context.CancelFunc
	stopping context.Context
	stop     context.CancelFunc

	room   chan struct{} // one place for each message in flight
	bytes  atomic.Int64
	less   chan struct{} // has a token when bytes have become less
	paused gate
}

// NewPartition makes one whose messages begin with an offset.
func NewPartition(o Options, from int64) *Partition {
	if o.Lanes <= 0 {
		o.Lanes = defaultLanes
	}
	if o.Order == ByPartition {
		o.Lanes = 1
	}
	if o.MaxInFlight <= 0 {
		o.MaxInFlight = defaultInFlight
	}
	if o.MaxInFlightBytes <= 0 {
		o.MaxInFlightBytes = defaultBytes
	}
	if o.Verdict == nil {
		o.Verdict = VerdictOf
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	p := &Partition{o: o, from: from, seed: maphash.MakeSeed(), room: make(chan struct{}, o.MaxInFlight), less: make(chan struct{}, 1)}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.stopping, p.stop = context.WithCancel(p.ctx)
	shared := newLane()
	for range o.Lanes {
		one := shared
		if o.Order != NoOrder {
			one = newLane()
		}
		p.lanes = append(p.lanes, one)
		p.running.Go(func() { p.run(one) })
	}
	return p
}

// Take takes a message, whose offset is above those before it. It waits while too much is in
// flight, and returns an error if ctx ends before or the partition is closed. It must not be
// called by several goroutines at once.
func (p *Partition) Take(ctx context.Context, m *Message) error {
	if p.stopping.Err() != nil {
		return context.Canceled
	}
	select {
	case p.room <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-p.stopping.Done():
		return context.Canceled
	}
	// One message alone may be larger than the bound.
	for p.bytes.Load() > 0 && p.bytes.Load()+int64(m.Size) > int64(p.o.MaxInFlightBytes) {
		select {
		case <-p.less:
		case <-ctx.Done():
			<-p.room
			return ctx.Err()
		case <-p.stopping.Done():
			<-p.room
			return context.Canceled
		}
	}
	p.bytes.Add(int64(m.Size))
	p.tracker.take(m.Offset, m.at())
	p.lane(m).add(m)
	return nil
}

// Pass passes over a message that is not for the subscription. As Take, it must not be called by
// several goroutines at once.
func (p *Partition) Pass(offset int64) {
	if p.tracker.pass(offset) && p.o.Committed != nil {
		p.o.Committed()
	}
}

// number is what people know the message by.
func (m *Message) number() int64 {
	if m.Number != 0 {
		return m.Number
	}
	return m.Offset
}

// at is when the event happened; zero if that is not known.
func (m *Message) at() time.Time {
	if m.Event == nil || m.Event.Time.IsZero() {
		return m.Written
	}
	return m.Event.Time
}

// Oldest is when the oldest event happened that is not done; zero where all are, or it is not
// known.
func (p *Partition) Oldest() time.Time { return p.tracker.oldest() }

// lane is where a message waits.
func (p *Partition) lane(m *Message) *lane {
	switch {
	case len(p.lanes) == 1:
		return p.lanes[0]
	case m.Key == "": // nothing waits for it
		return p.lanes[uint64(m.Offset)%uint64(len(p.lanes))] //nolint:gosec // any lane will do
	}
	return p.lanes[maphash.String(p.seed, m.Key)%uint64(len(p.lanes))]
}

// Committed is the offset behind the last message before which all are done.
func (p *Partition) Committed() int64 { return p.tracker.end(p.from) }

// InFlight is how many messages are not done.
func (p *Partition) InFlight() int { return p.tracker.inFlight() }

// Resume has what is paused tried again.
func (p *Partition) Resume() { p.paused.open() }

// Paused reports whether a message waits for Resume.
func (p *Partition) Paused() bool { return p.paused.waiting() > 0 }

// Close lets calls under way end until ctx does; nothing else is begun. What is not done then
// was not dealt with.
func (p *Partition) Close(ctx context.Context) {
	p.stop()
	defer context.AfterFunc(ctx, p.cancel)()
	p.running.Wait()
	p.cancel()
}

// run works on the messages of one lane, one after the other.
func (p *Partition) run(from *lane) {
	for {
		select { // what has ended is seen first
		case <-p.stopping.Done():
			return
		default:
		}
		m := from.next(p.stopping.Done())
		if m == nil {
			return
		}
		if p.deal(m) {
			p.finish(m)
		}
	}
}

// finish notes that a message is done.
func (p *Partition) finish(m *Message) {
	moved := p.tracker.done(m.Offset)
	p.bytes.Add(-int64(m.Size))
	select {
	case p.less <- struct{}{}:
	default:
	}
	<-p.room
	if moved && p.o.Committed != nil {
		p.o.Committed()
	}
}
