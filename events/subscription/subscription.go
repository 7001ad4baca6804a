package subscription

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Source is where messages come from.
type Source interface {
	// Run gives messages to the partitions that it opens by w until ctx ends, and then closes
	// them. It is called again after an error.
	Run(ctx context.Context, w *Work) error
	// Lag says how far partitions have come, also while Run does not run.
	Lag(ctx context.Context) ([]Lag, error)
	// Seek has partitions go on elsewhere, and returns at which offsets. Run does not run.
	Seek(ctx context.Context, to Position) (map[int32]int64, error)
	// Close gives back what the source holds. Run does not run.
	Close() error
}

// DeadLetters is a Source whose broker takes dead letters.
type DeadLetters interface {
	// Bury writes the dead letter of a message that the source gave. It returns nil when the
	// broker has it. It may be called by several goroutines at once.
	Bury(ctx context.Context, m *Message, d Letter) error
}

// Reading says what a source reads from a broker.
type Reading struct {
	// Subscription is the name.
	Subscription string
	Topic        string
	// Group is the consumer group or durable consumer, and Instance its member, "" for one that
	// the broker names.
	Group, Instance string
	// DeadLetters is where dead letters go; "" for the source's default.
	DeadLetters string
	// Start is where a group begins that has no place yet. The zero Position is the latest.
	Start Position
	// Release is how long calls may last when a partition goes to another member. 0: 30s.
	Release time.Duration
	// Order says which messages wait for each other.
	Order Order
	// InFlight is how many messages are worked on at once, 0 for Options' default.
	InFlight int
}

// ErrNotMoved is wrapped by what is wrong with a position, or with the moment.
var ErrNotMoved = errors.New("the subscription is not moved")

// Lag is how far a partition has come.
type Lag struct {
	Partition int32
	// Committed is the offset that a reader would go on with, and End that behind the last
	// message.
	Committed, End int64
	// Oldest is when the oldest event happened that is not done; zero where that is not known.
	Oldest time.Time
}

// Position is a place in a topic: the earliest, the latest, an offset of a partition, or a time.
type Position struct {
	Earliest, Latest bool
	Time             time.Time
	Offset           int64
	// Partition is that of Offset.
	Partition int32
}

// Setup is what a Subscription is made of.
type Setup struct {
	Options
	Source Source
	// Types are the types of events that are taken, "word.*" for all that begin so; others are
	// passed over. None: all.
	Types []string
	// Grace is how long calls under way may last when the subscription is moved, replaced by another
	// or loses its source. 0: 30 seconds.
	Grace time.Duration
	// Store keeps what must be known after a restart.
	Store *Store
	// After are subscriptions that this one follows: it begins when all have stopped, so that no
	// two read from the same place.
	After []*Subscription
}

// Subscription is one at work.
type Subscription struct {
	setup   Setup
	own     Switch // Options.Switch
	cut     context.Context
	cutNow  context.CancelFunc
	stopped context.Context // nothing is fetched any more
	stop    context.CancelFunc
	done    chan struct{}

	mu      sync.Mutex
	work    *Work // under way; nil for none
	failure error
	since   time.Time
	commit  time.Time     // when it last committed
	halt    func()        // ends Run, for a seek
	halted  chan struct{} // closed when it has ended
	seeking sync.Mutex
}

// Start starts a subscription.
func Start(o Setup) *Subscription {
	s := &Subscription{setup: o, done: make(chan struct{})}
	s.setup.Switch = &s.own
	if s.setup.Logger == nil {
		s.setup.Logger = slog.Default()
	}
	if o.Store.Paused(o.Name) {
		s.own.Turn(false)
	}
	s.cut, s.cutNow = context.WithCancel(context.Background())
	s.stopped, s.stop = context.WithCancel(s.cut)
	go s.run()
	return s
}

// How long after a failure the source is asked again.
const (
	firstAgain   = 200 * time.Millisecond
	longestAgain = 30 * time.Second
)

func (s *Subscription) run() {
	defer close(s.done)
	for _, after := range s.setup.After {
		select {
		case <-after.done:
		case <-s.stopped.Done():
		}
	}
	s.setup.After = nil
	for again := firstAgain; s.stopped.Err() == nil; {
		began := time.Now()
		err := s.once()
		if s.stopped.Err() != nil {
			break
		}
		if err == nil { // a seek
			again = firstAgain
			continue
		}
		s.failed(err)
		if time.Since(began) > longestAgain {
			again = firstAgain
		}
		timer := time.NewTimer(again)
		select {
		case <-timer.C:
		case <-s.stopped.Done():
			timer.Stop()
		}
		again = min(2*again, longestAgain)
	}
	if err := s.setup.Source.Close(); err != nil {
		s.setup.Logger.Warn("closing the source of a subscription", "subscription", s.setup.Name, "error", err)
	}
}

// once has the source run until the subscription stops, or is moved.
func (s *Subscription) once() error {
	s.seeking.Lock() // whoever seeks goes first
	ctx, halt := context.WithCancel(s.stopped)
	w := &Work{s: s, open: map[*Partition]int32{}}
	halted := make(chan struct{})
	s.mu.Lock()
	s.work, s.halt, s.halted = w, halt, halted
	s.mu.Unlock()
	s.seeking.Unlock()
	err := s.setup.Source.Run(ctx, w)
	meant := ctx.Err() != nil
	halt()
	s.mu.Lock()
	s.work, s.halt = nil, nil
	s.mu.Unlock()
	close(halted)
	if meant {
		return nil
	}
	if err == nil {
		err = errors.New("its source has ended")
	}
	return err
}

func (s *Subscription) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failure == nil {
		s.since = time.Now()
		s.setup.Logger.Warn("a subscription gets no events; it is tried again", "subscription", s.setup.Name, "error", err)
	}
	s.failure = err
}

// Name is the subscription's.
func (s *Subscription) Name() string { return s.setup.Name }

// Quit ends the fetching; calls under way may end within Setup.Grace, and are cancelled then. It does
// not wait for that.
func (s *Subscription) Quit() {
	s.stop()
	timer := time.AfterFunc(s.grace(), s.cutNow)
	go func() {
		<-s.done
		timer.Stop()
	}()
}

// defaultGrace is Setup.Grace where it is 0.
const defaultGrace = 30 * time.Second

func (s *Subscription) grace() time.Duration {
	if s.setup.Grace > 0 {
		return s.setup.Grace
	}
	return defaultGrace
}

// Stopped reports whether all has ended.
func (s *Subscription) Stopped() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// Stop ends the fetching, lets calls end until ctx does, and returns when what is done is
// committed.
func (s *Subscription) Stop(ctx context.Context) {
	s.stop()
	defer context.AfterFunc(ctx, s.cutNow)()
	<-s.done
	s.cutNow()
}

// Pause has no call begun until Resume, also after a restart.
func (s *Subscription) Pause() error {
	if err := s.setup.Store.SetPaused(s.setup.Name, true); err != nil {
		return err
	}
	s.own.Turn(false)
	return nil
}

// Resume ends a pause, and has the messages tried again that wait for it.
func (s *Subscription) Resume() error {
	if err := s.setup.Store.SetPaused(s.setup.Name, false); err != nil {
		return err
	}
	s.own.Turn(true)
	s.mu.Lock()
	w := s.work
	s.mu.Unlock()
	if w != nil {
		w.resume()
	}
	return nil
}

// Seek has the subscription go on elsewhere, and returns at which offsets of its partitions. Calls under way end before.
func (s *Subscription) Seek(ctx context.Context, to Position) (map[int32]int64, error) {
	s.seeking.Lock()
	defer s.seeking.Unlock()
	s.mu.Lock()
	halt, halted, w := s.halt, s.halted, s.work
	s.mu.Unlock()
	if s.stopped.Err() != nil {
		return nil, errors.New("the subscription stops")
	}
	if halt != nil {
		defer time.AfterFunc(s.grace(), w.cutNow).Stop()
		halt()
		<-halted
	}
	return s.setup.Source.Seek(ctx, to)
}

// Status is how a subscription is.
type Status struct {
	Name string
	// Paused tells that it was paused, and Waiting that a message waits for Resume.
	Paused, Waiting bool
	InFlight        int
	// Failure is why it gets no messages, since Since; nil where it does.
	Failure error
	Since   time.Time
	// Committed is when it last committed; zero for never.
	Committed time.Time
	// Lag is how far it has come, unless LagError says why that is not known.
	Lag      []Lag
	LagError error
}

// Status returns how the subscription is.
func (s *Subscription) Status(ctx context.Context) Status {
	s.mu.Lock()
	st := Status{Name: s.setup.Name, Paused: !s.own.On(), Failure: s.failure, Committed: s.commit}
	if s.failure != nil {
		st.Since = s.since
	}
	w := s.work
	s.mu.Unlock()
	oldest := map[int32]time.Time{}
	if w != nil {
		oldest = w.look(&st)
	}
	if st.Lag, st.LagError = s.setup.Source.Lag(ctx); st.LagError != nil {
		return st
	}
	for i := range st.Lag {
		if at := oldest[st.Lag[i].Partition]; !at.IsZero() {
			st.Lag[i].Oldest = at
		}
	}
	slices.SortFunc(st.Lag, func(a, b Lag) int { return int(a.Partition) - int(b.Partition) })
	return st
}

// Takes reports whether events of a type are taken.
func (s *Subscription) Takes(kind string) bool { return Takes(s.setup.Types, kind) }
