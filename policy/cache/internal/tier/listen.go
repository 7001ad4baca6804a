package tier

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	// maxTold bounds the digests of one message.
	maxTold = 256
	// quiet is after what time without a word Redis is asked whether it is still there, and
	// then how long it may take to say so.
	quiet = time.Second
	// listenAgain is how long to wait before the next try to listen.
	listenAgain = 100 * time.Millisecond
)

// Messages are a version, the gateway that sends, a flag and digests. Where the flag says that
// others than tags are among them, the first one is the mark of the drop.
const (
	messageVersion = 1
	messageHead    = 1 + 8 + 1
	flagWide       = 1
)

// message writes one.
func (t *Tier) message(about []Digest, wide bool) []byte {
	b := append([]byte{messageVersion}, t.self[:]...)
	if wide {
		b = append(b, flagWide)
	} else {
		b = append(b, 0)
	}
	for _, d := range about {
		b = append(b, d[:]...)
	}
	return b
}

// parse reads a message; ok is false for what is none, and own for one of this gateway.
func (t *Tier) parse(b []byte) (about []Digest, wide, own, ok bool) {
	size := len(Digest{})
	if len(b) < messageHead || len(b) > messageHead+maxTold*size || (len(b)-messageHead)%size != 0 || b[0] != messageVersion || b[messageHead-1] > flagWide {
		return nil, false, false, false
	}
	for d := range slices.Chunk(b[messageHead:], size) {
		about = append(about, Digest(d))
	}
	return about, b[messageHead-1] == flagWide, [8]byte(b[1:9]) == t.self, true
}

// listen hears what others drop until the Tier is closed. heard is called when it does.
func (t *Tier) listen(heard func()) {
	for t.ctx.Err() == nil {
		t.hear(heard)
		select {
		case <-time.After(listenAgain):
		case <-t.ctx.Done():
		}
	}
}

// hear listens until the connection breaks.
func (t *Tier) hear(heard func()) {
	channel := t.redis.Client.Subscribe(t.ctx, t.channel())
	defer func() { _ = channel.Close() }()
	stop := context.AfterFunc(t.ctx, func() { _ = channel.Close() })
	defer stop()
	for asked := false; ; {
		got, err := receive(t.ctx, channel)
		var late net.Error
		if err != nil && errors.As(err, &late) && late.Timeout() && !asked {
			if channel.Ping(t.ctx) != nil {
				return
			}
			asked = true
			continue
		}
		if err != nil {
			return
		}
		asked = false
		switch got := got.(type) {
		case *redis.Subscription:
			t.listener.Missed()
			t.catchUp()
			heard()
		case *redis.Message:
			about, wide, own, ok := t.parse([]byte(got.Payload))
			if ok && wide && len(about) > 0 {
				t.marked = string(about[0][:])
			}
			switch {
			case !ok:
				t.listener.Missed() // of a gateway of another version, perhaps
			case !own:
				t.listener.Dropped(about, wide)
			}
		}
	}
}

// errMessage is the error of what is no message of a Redis.
var errMessage = errors.New("found no message of a channel")

// receive waits for the next message. go-redis takes for granted that each has the parts of its kind, and
// panics where one has not.
func receive(ctx context.Context, channel *redis.PubSub) (got any, err error) {
	defer func() {
		if recover() != nil {
			err = errMessage
		}
	}()
	return channel.ReceiveTimeout(ctx, quiet)
}

// catchUp drops everything where there was a drop that others than tags are among while nothing was
// heard of others. It is called once messages come again, so that none is missed behind it.
func (t *Tier) catchUp() {
	ctx, cancel := t.redis.Bound(t.ctx)
	defer cancel()
	mark, err := t.redis.Client.GetRange(ctx, t.markKey(), 0, int64(len(Digest{}))).Result()
	if err == nil && mark == t.marked {
		return
	}
	if err != nil {
		mark = unknownMark
	}
	t.listener.Dropped([]Digest{All}, true)
	t.marked = mark
}

// unknownMark is none, so that everything is dropped once more when the mark can be read.
const unknownMark = "unknown"
