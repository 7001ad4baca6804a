package try

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"
)

// request makes the call by HTTP/2, whose two directions do not wait for each other, and reads
// the answer.
func (t *Trial) request() Event {
	body, length := t.body()
	request, err := http.NewRequestWithContext(t.ctx, t.asked.Method, "http://"+t.host+t.asked.URL, body)
	if err != nil {
		return failed(err)
	}
	request.Header, request.Host, request.ContentLength = t.headers, t.host, length
	transport := &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return t.options.Dial(ctx) },
		DisableCompression: true,
		Protocols:          new(http.Protocols),
	}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		return failed(err)
	}
	defer func() { _ = response.Body.Close() }() // all is read of it that is told
	t.say(Event{Name: "head", Status: response.StatusCode, HTTP: response.Proto, Fields: fields(response.Header)})
	end := t.answer(response)
	if trailer := fields(response.Trailer); len(trailer) > 0 {
		t.say(Event{Name: "trailer", Fields: trailer})
	}
	return end
}

// fields are the fields of a header, sorted.
func fields(h http.Header) (list [][2]string) {
	for name, values := range h {
		for _, value := range values {
			list = append(list, [2]string{strings.ToLower(name), strings.ToValidUTF8(value, "\uFFFD")})
		}
	}
	slices.SortFunc(list, func(a, b [2]string) int { return strings.Compare(a[0], b[0]) })
	return list
}

// body is that of the request, with its length, -1 for one that is not known.
func (t *Trial) body() (io.Reader, int64) {
	if t.asked.clientStreams() {
		r, w := io.Pipe()
		go t.write(w)
		return r, -1
	}
	var b []byte
	for len(t.queue) > 0 {
		m := <-t.queue
		b = t.encoded(m)
		t.say(Event{Name: "sent", Number: 1, Bytes: int64(len(m.bytes()))})
	}
	if len(b) == 0 {
		return nil, 0
	}
	return bytes.NewReader(b), int64(len(b))
}

// write writes the messages of a client that streams, until it has no more.
func (t *Trial) write(w *io.PipeWriter) {
	defer context.AfterFunc(t.ctx, func() { _ = w.CloseWithError(context.Cause(t.ctx)) })() // it never fails
	defer func() { _ = w.Close() }()                                                        // as above
	for n := 1; ; n++ {
		m, ok := t.next()
		if !ok {
			return
		}
		if _, err := w.Write(t.encoded(m)); err != nil {
			return // the gateway reads no more: it says why
		}
		t.say(Event{Name: "sent", Number: n, Bytes: int64(len(m.bytes()))})
	}
}

// next waits for a message; false: no more comes.
func (t *Trial) next() (Message, bool) {
	select {
	case m := <-t.queue:
		return m, true
	default:
	}
	select {
	case m := <-t.queue:
		return m, true
	case <-t.finish:
		select {
		case m := <-t.queue: // it came before
			return m, true
		default:
		}
	case <-t.ctx.Done():
	case <-t.done:
	}
	return Message{}, false
}

// encoded is a message as the protocol has it.
func (t *Trial) encoded(m Message) []byte {
	b := m.bytes()
	switch {
	case t.asked.Protocol == GRPCWeb, t.asked.Protocol == Connect && t.asked.Stream != unary:
		return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(b))), b...) //nolint:gosec // check bounds it
	case t.asked.clientStreams() && !t.raw():
		return append(b, '\n')
	}
	return b
}

// raw reports whether messages are bytes of a type of their own, between which nothing stands.
func (t *Trial) raw() bool {
	mediaType := t.headers.Get("Content-Type")
	return mediaType != "" && !strings.Contains(strings.ToLower(mediaType), "json")
}

// answer reads an answer and tells its messages.
func (t *Trial) answer(r *http.Response) Event {
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")) // one that is none is shown as bytes
	switch {
	case t.asked.Protocol == GRPCWeb && strings.HasPrefix(mediaType, "application/grpc-web"):
		return t.grpcWeb(r)
	case mediaType == "application/connect+json":
		return t.connectStream(r.Body)
	case mediaType == "application/x-ndjson":
		return t.lines(r.Body)
	case mediaType == "text/event-stream":
		return t.serverSent(r.Body)
	case t.asked.serverStreams() && r.StatusCode < 300 && mediaType != "application/json":
		return t.chunks(r.Body)
	}
	return t.whole(r)
}

// whole tells an answer as one message. An error of the gateway says in JSON what is wrong.
func (t *Trial) whole(r *http.Response) Event {
	b, n, err := readMost(r.Body, maxShown+1)
	if n > 0 {
		e := Event{Name: "message", Bytes: n}
		e.content(b)
		t.say(e)
	}
	if err != nil {
		return failed(err)
	}
	if r.StatusCode < 400 {
		if t.asked.Protocol == Connect {
			return Event{Code: "OK"}
		}
		return Event{}
	}
	if t.asked.Protocol == Connect {
		return t.connectError(b)
	}
	return statusJSON(b)
}

// readMost reads all and keeps the first of it; n is how much it was.
func readMost(r io.Reader, most int64) (b []byte, n int64, err error) {
	b, err = io.ReadAll(io.LimitReader(r, most))
	n = int64(len(b))
	if err != nil || n < most {
		return b, n, err
	}
	rest, err := io.Copy(io.Discard, io.LimitReader(r, maxTold))
	if err == nil && rest == maxTold {
		err = errors.New("the answer is longer than the console reads")
	}
	return b, n + rest, err
}

// chunks tells bytes as they come.
func (t *Trial) chunks(r io.Reader) Event {
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		if n > 0 {
			e := Event{Name: "message", Bytes: int64(n)}
			e.content(bytes.Clone(buf[:n]))
			t.say(e)
		}
		if errors.Is(err, io.EOF) {
			return Event{}
		}
		if err != nil {
			return failed(err)
		}
	}
}
