package transport

import (
	"errors"
	"math"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// read takes the server's frames until the connection ends.
func (c *Conn) read() {
	defer close(c.done)
	for {
		if err := c.readFrame(); err != nil {
			if !errors.Is(err, ErrFlood) {
				err = status.Error(codes.Unavailable, readError(err))
			}
			c.fail(err)
			return
		}
		if !c.heard.Load() {
			c.heard.Store(true)
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

func (c *Conn) readFrame() error {
	head, err := c.framer.ReadFrameHeader()
	if err != nil {
		return err
	}
	if head.Type == http2.FrameData {
		return c.readData(head)
	}
	frame, err := c.framer.ReadFrameForHeader(head)
	if err != nil {
		var one http2.StreamError
		if errors.As(err, &one) && head.Type != http2.FrameHeaders { // whose block is one of the connection's
			if err := c.count(); err != nil {
				return err
			}
			return c.onStreamError(one)
		}
		return err
	}
	if head.Type != http2.FrameHeaders { // which are counted where the block ends
		if err := c.count(); err != nil {
			return err
		}
	}
	switch frame := frame.(type) {
	case *http2.HeadersFrame:
		c.fields.begin(frame.StreamID, frame.StreamEnded())
		return c.readHeaderBlock(frame.HeaderBlockFragment(), frame.HeadersEnded())
	case *http2.ContinuationFrame:
		return c.readHeaderBlock(frame.HeaderBlockFragment(), frame.HeadersEnded())
	case *http2.RSTStreamFrame:
		return c.onReset(frame)
	case *http2.SettingsFrame:
		return c.onSettings(frame)
	case *http2.PingFrame:
		return c.onPing(frame)
	case *http2.GoAwayFrame:
		return c.onGoAway(frame)
	case *http2.WindowUpdateFrame:
		return c.onWindowUpdate(frame)
	case *http2.PushPromiseFrame:
		return http2.ConnectionError(http2.ErrCodeProtocol) // we forbade it
	}
	return nil // RFC 9113, 4.1: unknown types are ignored
}

// readData reads a DATA frame straight into the message that it is a part of.
func (c *Conn) readData(head http2.FrameHeader) error {
	s, err := c.stream(head.StreamID)
	if err != nil {
		return err
	}
	c.replenish(int(head.Length))
	length, padding := int(head.Length), 0
	if head.Flags.Has(http2.FlagDataPadded) {
		pad, err := c.br.ReadByte()
		if err != nil {
			return err
		}
		length--
		padding = int(pad)
		if length -= padding; length < 0 {
			return http2.ConnectionError(http2.ErrCodeProtocol)
		}
	}
	if s != nil && length > 0 {
		c.control.called()
	} else if length < smallFrame {
		if err := c.count(); err != nil {
			return err
		}
	}
	if s != nil && !s.began {
		s.closeWith(http2.ErrCodeProtocol, status.Error(codes.Internal, "the backend sent a message before its header"))
	}
	if s == nil || !s.in.expect(s, int64(head.Length)) {
		padding += length // of a call that has ended
	} else if left, err := s.in.read(s, c.br, length); err != nil {
		return err
	} else {
		padding += left
	}
	if padding > 0 {
		if _, err := c.br.Discard(padding); err != nil {
			return err
		}
	}
	if s != nil && head.Flags.Has(http2.FlagDataEndStream) {
		s.closeWith(noReset, status.Error(codes.Internal, "the backend ended the call without a status"))
	}
	return nil
}

// replenish gives the connection's window back.
func (c *Conn) replenish(n int) {
	c.received += n
	if c.received < connWindow/2 {
		return
	}
	c.mu.Lock()
	c.out = appendUint32(c.out, http2.FrameWindowUpdate, 0, uint32(c.received))
	c.received = 0
	c.flush()
}

// readHeaderBlock decodes a piece of a header block. One without end is not
// waited for.
func (c *Conn) readHeaderBlock(fragment []byte, ends bool) error {
	if c.fields.block += frameHead + len(fragment); c.fields.block > maxHeaderBlock {
		return http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
	}
	if _, err := c.hpack.Write(fragment); err != nil {
		return http2.ConnectionError(http2.ErrCodeCompression)
	}
	if !ends {
		return nil
	}
	if err := c.hpack.Close(); err != nil {
		return http2.ConnectionError(http2.ErrCodeCompression)
	}
	s, err := c.stream(c.fields.id)
	if err != nil {
		return err
	}
	if s == nil {
		return c.count()
	}
	c.control.called()
	s.onFields(&c.fields)
	return nil
}

func (c *Conn) onStreamError(e http2.StreamError) error {
	s, err := c.stream(e.StreamID)
	if err != nil || s == nil {
		return err
	}
	s.closeWith(e.Code, status.Error(codes.Internal, "the backend breaks the rules of HTTP/2"))
	return nil
}

func (c *Conn) onReset(frame *http2.RSTStreamFrame) error {
	s, err := c.stream(frame.StreamID)
	if err != nil || s == nil {
		return err
	}
	c.mu.Lock()
	s.closed = true // there is nothing to answer a reset with
	c.mu.Unlock()
	s.closeWith(noReset, s.resetError(frame.ErrCode))
	return nil
}

// onSettings takes the server's settings over and acknowledges them.
func (c *Conn) onSettings(frame *http2.SettingsFrame) error {
	if frame.IsAck() {
		return nil
	}
	c.mu.Lock()
	err := frame.ForeachSetting(func(setting http2.Setting) error {
		if err := setting.Valid(); err != nil {
			return err
		}
		switch setting.ID {
		case http2.SettingInitialWindowSize:
			grown := int64(setting.Val) - c.server.window
			c.server.window = int64(setting.Val)
			for _, s := range c.streams {
				if s.window += grown; s.window > math.MaxInt32 {
					return http2.ConnectionError(http2.ErrCodeFlowControl)
				}
			}
		case http2.SettingMaxFrameSize:
			c.server.maxFrame = min(int(setting.Val), maxFrame)
		case http2.SettingMaxConcurrentStreams:
			c.server.maxStreams = setting.Val
		case http2.SettingMaxHeaderListSize:
			c.server.maxHeaders = setting.Val
		case http2.SettingHeaderTableSize:
			c.encoder.SetMaxDynamicTableSizeLimit(setting.Val)
		}
		return nil
	})
	if err != nil {
		c.mu.Unlock()
		return err
	}
	c.unblock()
	c.offer()
	c.out = appendFrame(c.out, http2.FrameSettings, http2.FlagSettingsAck, 0, 0)
	return c.answer()
}

// answer writes what a frame of the server asked for. A server that asks and
// does not read is left. c.mu is held, and is released.
func (c *Conn) answer() error {
	if len(c.out) > maxQueued {
		c.mu.Unlock()
		return http2.ConnectionError(http2.ErrCodeEnhanceYourCalm)
	}
	c.flush()
	return nil
}

func (c *Conn) onPing(frame *http2.PingFrame) error {
	if frame.IsAck() {
		return nil // that it came is all there is to know
	}
	c.mu.Lock()
	c.out = appendFrame(c.out, http2.FramePing, http2.FlagPingAck, 0, 8)
	c.out = append(c.out, frame.Data[:]...)
	return c.answer()
}

// onGoAway leaves a server that is leaving: it answers what it has seen, the
// rest can go elsewhere (RFC 9113, 6.8).
func (c *Conn) onGoAway(frame *http2.GoAwayFrame) error {
	if frame.ErrCode == http2.ErrCodeEnhanceYourCalm && string(frame.DebugData()) == "too_many_pings" {
		c.pingsTooOften.Store(true)
	}
	c.mu.Lock()
	c.refuse("the backend is leaving")
	var unseen []*Stream
	for id, s := range c.streams {
		if id > frame.LastStreamID {
			unseen = append(unseen, s)
		}
	}
	c.retire()
	c.mu.Unlock()
	for _, s := range unseen {
		s.closeWith(noReset, &notSeen{"the backend is leaving", ErrUnprocessed})
	}
	return nil
}

func (c *Conn) onWindowUpdate(frame *http2.WindowUpdateFrame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if frame.StreamID == 0 {
		if c.window += int64(frame.Increment); c.window > math.MaxInt32 {
			return http2.ConnectionError(http2.ErrCodeFlowControl)
		}
		c.unblock()
		return nil
	}
	s := c.streams[frame.StreamID]
	if s == nil {
		return nil
	}
	if s.window += int64(frame.Increment); s.window > math.MaxInt32 {
		return http2.ConnectionError(http2.ErrCodeFlowControl)
	}
	if _, waits := c.blocked[s]; waits {
		delete(c.blocked, s)
		signal(s.writable)
	}
	return nil
}
