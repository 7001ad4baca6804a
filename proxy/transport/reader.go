package transport

import (
	"bufio"
	"errors"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// reader is what the goroutine that reads the server's frames works with; it is that
// goroutine's own.
type reader struct {
	conn     *Conn
	buffered *bufio.Reader
	framer   *http2.Framer
	hpack    *hpack.Decoder
	fields   fields // of the header block that is arriving
	received int    // bytes of DATA since the last update of the connection's window
	control  controlFrames
}

func (r *reader) start(c *Conn) {
	r.conn = c
	r.buffered = bufio.NewReaderSize(c.net, readBuffer)
	r.framer = http2.NewFramer(nil, r.buffered)
	r.framer.SetMaxReadFrameSize(defaultMaxFrame)
	r.framer.SetReuseFrames()
	r.hpack = hpack.NewDecoder(4096, r.fields.add)
	r.hpack.SetMaxStringLength(maxHeaderList)
	r.control = controlFrames{allowed: controlBurst, since: time.Now()}
}

// read takes the server's frames until the connection ends.
func (r *reader) read() {
	defer close(r.conn.done)
	for {
		if err := r.readFrame(); err != nil {
			if !errors.Is(err, ErrFlood) {
				err = status.Error(codes.Unavailable, readError(err))
			}
			r.conn.fail(err)
			return
		}
		if !r.conn.heard.Load() {
			r.conn.heard.Store(true)
		}
	}
}

func readError(err error) string {
	var broken http2.ConnectionError
	if errors.As(err, &broken) || errors.Is(err, http2.ErrFrameTooLarge) {
		return "the backend breaks the rules of HTTP/2"
	}
	return "the connection to the backend broke"
}

func (r *reader) readFrame() error {
	head, err := r.framer.ReadFrameHeader()
	if err != nil {
		return err
	}
	if head.Type == http2.FrameData {
		return r.readData(head)
	}
	frame, err := r.framer.ReadFrameForHeader(head)
	if err != nil {
		var one http2.StreamError
		if errors.As(err, &one) && head.Type != http2.FrameHeaders { // whose block is one of the connection's
			if err := r.count(); err != nil {
				return err
			}
			return r.onStreamError(one)
		}
		return err
	}
	if head.Type != http2.FrameHeaders { // which are counted where the block ends
		if err := r.count(); err != nil {
			return err
		}
	}
	switch frame := frame.(type) {
	case *http2.HeadersFrame:
		r.fields.begin(frame.StreamID, frame.StreamEnded())
		return r.readHeaderBlock(frame.HeaderBlockFragment(), frame.HeadersEnded())
	case *http2.ContinuationFrame:
		return r.readHeaderBlock(frame.HeaderBlockFragment(), frame.HeadersEnded())
	case *http2.RSTStreamFrame:
		return r.onReset(frame)
	case *http2.SettingsFrame:
		return r.onSettings(frame)
	case *http2.PingFrame:
		return r.onPing(frame)
	case *http2.GoAwayFrame:
		return r.onGoAway(frame)
	case *http2.WindowUpdateFrame:
		return r.onWindowUpdate(frame)
	case *http2.PushPromiseFrame:
		return http2.ConnectionError(http2.ErrCodeProtocol) // we forbade it
	}
	return nil // RFC 9113, 4.1: unknown types are ignored
}

// readData reads a DATA frame straight into the message that it is a part of.
func (r *reader) readData(head http2.FrameHeader) error {
	s, err := r.conn.stream(head.StreamID)
	if err != nil {
		return err
	}
	r.replenish(int(head.Length))
	length, padding := int(head.Length), 0
	if head.Flags.Has(http2.FlagDataPadded) {
		pad, err := r.buffered.ReadByte()
		if err != nil {
			return err
		}
		length--
		padding = int(pad)
		if length -= padding; length < 0 {
			return http2.ConnectionError(http2.ErrCodeProtocol)
		}
	}
	switch {
	case s != nil && length > 0:
		r.control.called()
	case length > 0 && r.conn.wasDue(int64(head.Length)):
	case length < smallFrame:
		if err := r.count(); err != nil {
			return err
		}
	}
	if s != nil && !s.began {
		s.closeWith(http2.ErrCodeProtocol, status.Error(codes.Internal, "the backend sent a message before its header"))
	}
	if s == nil || !s.in.expect(s, int64(head.Length)) {
		padding += length // of a call that has ended
	} else if left, err := s.in.read(s, r.buffered, length); err != nil {
		return err
	} else {
		padding += left
	}
	if padding > 0 {
		if _, err := r.buffered.Discard(padding); err != nil {
			return err
		}
	}
	if s != nil && head.Flags.Has(http2.FlagDataEndStream) {
		s.closeWith(noReset, status.Error(codes.Internal, "the backend ended the call without a status"))
	}
	return nil
}

// replenish gives the connection's window back.
func (r *reader) replenish(n int) {
	if r.received += n; r.received < connWindow/2 {
		return
	}
	r.conn.mu.Lock()
	r.conn.writer.number(http2.FrameWindowUpdate, 0, uint32(r.received))
	turn := r.conn.claim()
	r.conn.mu.Unlock()
	r.received = 0
	r.conn.flush(turn)
}

// readHeaderBlock decodes a piece of a header block. One without end is not
// waited for.
func (r *reader) readHeaderBlock(fragment []byte, ends bool) error {
	if r.fields.block += frameHead + len(fragment); r.fields.block > maxHeaderBlock {
		return http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
	}
	if _, err := r.hpack.Write(fragment); err != nil {
		return http2.ConnectionError(http2.ErrCodeCompression)
	}
	if !ends {
		return nil
	}
	if err := r.hpack.Close(); err != nil {
		return http2.ConnectionError(http2.ErrCodeCompression)
	}
	s, err := r.conn.stream(r.fields.id)
	if err != nil {
		return err
	}
	switch {
	case s == nil:
		return r.count()
	case r.fields.interim():
		return r.count() // it says nothing to gRPC (RFC 9110, 15.2)
	}
	r.control.called()
	s.onFields(&r.fields)
	return nil
}

func (r *reader) onStreamError(e http2.StreamError) error {
	s, err := r.conn.stream(e.StreamID)
	if err != nil || s == nil {
		return err
	}
	s.closeWith(e.Code, status.Error(codes.Internal, "the backend breaks the rules of HTTP/2"))
	return nil
}

func (r *reader) onReset(frame *http2.RSTStreamFrame) error {
	s, err := r.conn.stream(frame.StreamID)
	if err != nil || s == nil {
		return err
	}
	r.conn.mu.Lock()
	s.closed = true // there is nothing to answer a reset with
	r.conn.mu.Unlock()
	s.closeWith(noReset, s.resetError(frame.ErrCode))
	return nil
}

// onSettings takes the server's settings over and acknowledges them.
func (r *reader) onSettings(frame *http2.SettingsFrame) error {
	if frame.IsAck() {
		return nil
	}
	for range frame.NumSettings() - 1 { // each may change the windows of all streams
		if err := r.count(); err != nil {
			return err
		}
	}
	turn, err := r.settle(frame)
	r.conn.flush(turn)
	return err
}

func (r *reader) settle(frame *http2.SettingsFrame) (turn, error) {
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	if err := frame.ForeachSetting(r.set); err != nil {
		return notOurs, err
	}
	r.conn.offer()
	r.conn.writer.frame(http2.FrameSettings, http2.FlagSettingsAck, 0, 0)
	return r.answer()
}

// set takes one setting. r.conn.mu is held.
func (r *reader) set(setting http2.Setting) error {
	if err := setting.Valid(); err != nil {
		return err
	}
	switch setting.ID {
	case http2.SettingInitialWindowSize:
		return r.conn.windows.begin(setting.Val, r.conn.table.streams)
	case http2.SettingMaxFrameSize:
		r.conn.writer.maxFrame = min(int(setting.Val), maxFrame)
	case http2.SettingMaxConcurrentStreams:
		r.conn.table.allow(setting.Val)
	case http2.SettingMaxHeaderListSize:
		r.conn.writer.maxHeaders = setting.Val
	case http2.SettingHeaderTableSize:
		r.conn.writer.encoder.SetMaxDynamicTableSizeLimit(setting.Val)
	}
	return nil
}

// answer is claim for what a frame of the server asked for. A server that asks and
// does not read is left. r.conn.mu is held.
func (r *reader) answer() (turn, error) {
	if r.conn.writer.stuck() {
		return notOurs, http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
	}
	return r.conn.claim(), nil
}

func (r *reader) onPing(frame *http2.PingFrame) error {
	if frame.IsAck() {
		return nil // that it came is all there is to know
	}
	r.conn.mu.Lock()
	r.conn.writer.frame(http2.FramePing, http2.FlagPingAck, 0, 8)
	r.conn.writer.append(frame.Data[:]...)
	turn, err := r.answer()
	r.conn.mu.Unlock()
	r.conn.flush(turn)
	return err
}

// onGoAway leaves a server that is leaving: it answers what it has seen, the
// rest can go elsewhere (RFC 9113, 6.8).
func (r *reader) onGoAway(frame *http2.GoAwayFrame) error {
	if frame.ErrCode == http2.ErrCodeEnhanceYourCalm && string(frame.DebugData()) == "too_many_pings" {
		r.conn.pingsTooOften.Store(true)
	}
	r.conn.mu.Lock()
	r.conn.goneAway = true
	r.conn.refuse("the backend is leaving")
	unseen := r.conn.table.after(frame.LastStreamID)
	r.conn.retire()
	r.conn.mu.Unlock()
	for _, s := range unseen {
		s.closeWith(noReset, s.unseen("the backend is leaving"))
	}
	return nil
}

func (r *reader) onWindowUpdate(frame *http2.WindowUpdateFrame) error {
	r.conn.mu.Lock()
	defer r.conn.mu.Unlock()
	if frame.StreamID == 0 {
		if err := r.conn.windows.grow(frame.Increment); err != nil {
			return err
		}
		r.conn.wake()
		return nil
	}
	if s := r.conn.table.streams[frame.StreamID]; s != nil {
		return r.conn.windows.growStream(s, frame.Increment)
	}
	return nil
}
