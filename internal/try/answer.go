package try

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/transom-gateway/transom/internal/rpccode"
)

// statusJSON is the end that a google.rpc.Status in JSON says; an empty one where it is none.
func statusJSON(b []byte) Event {
	var status struct {
		Code    *uint32         `json:"code"`
		Message string          `json:"message"`
		Details json.RawMessage `json:"details"`
	}
	if json.Unmarshal(b, &status) != nil || status.Code == nil {
		return Event{}
	}
	return Event{Code: rpccode.Name(codes.Code(*status.Code)), Message: status.Message, Details: noEmpty(status.Details)}
}

func noEmpty(details json.RawMessage) json.RawMessage {
	if len(details) <= len("[]") {
		return nil
	}
	return details
}

// lines tells a stream of JSON, a message a line; an error is the last one.
func (t *Trial) lines(r io.Reader) (end Event) {
	lines := bufio.NewReaderSize(r, 64<<10)
	for {
		line, n, err := readLine(lines)
		if n > 0 {
			var last struct {
				Error json.RawMessage `json:"error"`
			}
			end = Event{}
			if json.Unmarshal(line, &last) == nil && len(last.Error) > 0 {
				end = statusJSON(last.Error)
			}
			e := Event{Name: "message", Bytes: n}
			e.content(line)
			t.say(e)
		}
		if errors.Is(err, io.EOF) {
			return end
		}
		if err != nil {
			return failed(err)
		}
	}
}

// maxLine is how much is kept of a line: what is shown and more, and the name of a field before it.
const maxLine = maxShown + 64

// readLine reads a line and keeps the first of it, without its end; n is how long it was.
func readLine(r *bufio.Reader) (line []byte, n int64, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if room := maxLine - len(line); room > 0 {
			line = append(line, part[:min(len(part), room)]...)
		}
		n += int64(len(part))
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err == nil:
			n--
		}
		return bytes.TrimRight(line, "\r\n"), n, err
	}
}

// serverSent tells Server-Sent Events.
func (t *Trial) serverSent(r io.Reader) (end Event) {
	lines := bufio.NewReaderSize(r, 64<<10)
	kind, data, some, size := "", []byte(nil), false, int64(0)
	for {
		line, n, err := readLine(lines)
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch {
		case len(line) == 0 && some:
			if kind == "error" {
				end = statusJSON(data)
			}
			e := Event{Name: "message", Bytes: size, Kind: kind}
			e.content(data)
			t.say(e)
			kind, data, some, size = "", nil, false, 0
		case string(name) == "event":
			kind = string(value)
		case string(name) == "data":
			if some {
				data = append(data, '\n')
			}
			some = true
			size += n - int64(len(line)-len(value))
			data = append(data, value[:min(len(value), max(0, maxShown+1-len(data)))]...)
		}
		if errors.Is(err, io.EOF) {
			return end
		}
		if err != nil {
			return failed(err)
		}
	}
}

// The flags of an envelope.
const (
	flagCompressed = 1
	flagConnectEnd = 2
	flagWebTrailer = 0x80
)

// envelopes reads messages behind a byte of flags and four of length, and hands over those that
// are not the last one, which it returns; nil where there is none.
func (t *Trial) envelopes(r io.Reader, end byte) ([]byte, error) {
	var head [5]byte
	for {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil, nil
			}
			return nil, err
		}
		size := int64(binary.BigEndian.Uint32(head[1:]))
		b, n, err := readMost(io.LimitReader(r, size), maxShown+1)
		switch {
		case err != nil:
			return nil, err
		case n < size:
			return nil, io.ErrUnexpectedEOF
		case head[0]&flagCompressed != 0:
			return nil, errors.New("found a compressed message, though the console takes none")
		case head[0]&end != 0:
			return b, nil
		}
		e := Event{Name: "message", Bytes: n}
		e.content(b)
		t.say(e)
	}
}

// connectFailure is an error of the Connect protocol.
type connectFailure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Details []struct {
		Type  string `json:"type"`
		Value string `json:"value"`
	} `json:"details"`
}

// connectStream reads the answer of a stream by Connect.
func (t *Trial) connectStream(r io.Reader) Event {
	last, err := t.envelopes(r, flagConnectEnd)
	if err != nil {
		return failed(err)
	}
	if last == nil {
		return failed(errors.New("the answer broke off: a stream of Connect ends with a message that says so"))
	}
	var end struct {
		Error    json.RawMessage     `json:"error"`
		Metadata map[string][]string `json:"metadata"`
	}
	if err := json.Unmarshal(last, &end); err != nil {
		return failed(fmt.Errorf("the last message of the stream: %w", err))
	}
	if len(end.Metadata) > 0 {
		t.say(Event{Name: "trailer", Fields: fields(end.Metadata)})
	}
	if len(end.Error) == 0 {
		return Event{Code: "OK"}
	}
	return t.connectError(end.Error)
}

// connectError is the end that an error of Connect says.
func (t *Trial) connectError(b []byte) Event {
	var e connectFailure
	if json.Unmarshal(b, &e) != nil || e.Code == "" {
		return Event{}
	}
	st := &spb.Status{}
	for _, d := range e.Details {
		if value, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(d.Value, "=")); err == nil {
			st.Details = append(st.Details, &anypb.Any{TypeUrl: "type.googleapis.com/" + d.Type, Value: value})
		}
	}
	return Event{Code: strings.ToUpper(e.Code), Message: e.Message, Details: t.details(st)}
}

func (t *Trial) details(st *spb.Status) json.RawMessage {
	if len(st.GetDetails()) == 0 || t.options.Details == nil {
		return nil
	}
	return t.options.Details(st)
}

// grpcWeb reads an answer of gRPC-Web, whose trailer is a message, or the header where there is
// no other.
func (t *Trial) grpcWeb(r *http.Response) Event {
	last, err := t.envelopes(r.Body, flagWebTrailer)
	if err != nil {
		return failed(err)
	}
	trailer := r.Header
	if last != nil {
		trailer = http.Header{}
		for line := range strings.SplitSeq(string(last), "\r\n") {
			if name, value, ok := strings.Cut(line, ":"); ok {
				trailer.Add(strings.TrimSpace(name), strings.TrimSpace(value))
			}
		}
		t.say(Event{Name: "trailer", Fields: fields(trailer)})
	}
	return t.grpcStatus(trailer)
}

// grpcStatus is the end that a trailer of gRPC says.
func (t *Trial) grpcStatus(h http.Header) Event {
	code, err := strconv.ParseUint(h.Get("Grpc-Status"), 10, 32)
	if err != nil {
		return failed(errors.New("the answer broke off: it has no grpc-status"))
	}
	end := Event{Code: rpccode.Name(codes.Code(code)), Message: h.Get("Grpc-Message")}
	if text, err := url.PathUnescape(end.Message); err == nil {
		end.Message = text
	}
	st := &spb.Status{}
	details, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(h.Get("Grpc-Status-Details-Bin"), "="))
	if err == nil && proto.Unmarshal(details, st) == nil {
		end.Details = t.details(st)
	}
	return end
}
