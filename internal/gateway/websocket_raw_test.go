package gateway_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/transom-gateway/transom/internal/testing/gateway"
)

// rawSocket is a WebSocket whose frames the test writes itself.
type rawSocket struct {
	*testing.T
	net.Conn
	r      *bufio.Reader
	agreed string // Sec-WebSocket-Extensions of the answer
}

// openRaw opens a WebSocket that offers extensions, a line for each.
func openRaw(t *testing.T, g *gatewaytest.Gateway, extensions ...string) *rawSocket {
	t.Helper()
	conn, err := net.Dial("tcp", g.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	text := "GET " + discussPath + " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	for _, line := range extensions {
		text += "Sec-WebSocket-Extensions: " + line + "\r\n"
	}
	s := &rawSocket{T: t, Conn: conn, r: bufio.NewReader(conn)}
	s.write(text + "\r\n")
	answer, err := http.ReadResponse(s.r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatal(answer.Status)
	}
	s.agreed = strings.Join(answer.Header["Sec-Websocket-Extensions"], " and ")
	return s
}

func (s *rawSocket) write(text string) {
	s.Helper()
	if _, err := io.WriteString(s.Conn, text); err != nil {
		s.Fatal(err)
	}
}

// frame reads one frame and inflates it if need be.
func (s *rawSocket) frame() (opcode byte, payload []byte) {
	s.Helper()
	var head [2]byte
	if _, err := io.ReadFull(s.r, head[:]); err != nil {
		s.Fatal(err)
	}
	length := int(head[1])
	if length == 126 {
		var wide [2]byte
		if _, err := io.ReadFull(s.r, wide[:]); err != nil {
			s.Fatal(err)
		}
		length = int(binary.BigEndian.Uint16(wide[:]))
	}
	payload = make([]byte, length)
	if _, err := io.ReadFull(s.r, payload); err != nil {
		s.Fatal(err)
	}
	if head[0]&0x40 != 0 {
		var err error
		if payload, err = io.ReadAll(flate.NewReader(io.MultiReader(bytes.NewReader(payload), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")))); err != nil {
			s.Fatal(err)
		}
	}
	return head[0] & 0x0f, payload
}

// expectText reads what the bookstore answers.
func (s *rawSocket) expectText(want string) {
	s.Helper()
	opcode, payload := s.frame()
	var got struct{ Text string }
	if err := json.Unmarshal(payload, &got); opcode != 1 || err != nil || got.Text != "You said: "+want {
		s.Errorf("opcode %d, %.200q, %v", opcode, payload, err)
	}
}

// masked is a frame of a client; first is its first byte.
func masked(first byte, payload string) string {
	key := [4]byte{1, 0xff, 0x80, 7}
	b := []byte{first, 0x80 | 127}
	b = binary.BigEndian.AppendUint64(b, uint64(len(payload)))
	b = append(b, key[:]...)
	for i := range len(payload) {
		b = append(b, payload[i]^key[i%4])
	}
	return string(b)
}

// short is a control frame.
func short(first byte, payload string) string {
	return string([]byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}) + payload
}

// finalBlocks deflates texts, each in a stream that ends with a final block.
func finalBlocks(t *testing.T, texts ...string) string {
	t.Helper()
	var out bytes.Buffer
	for _, text := range texts {
		z, err := flate.NewWriter(&out, flate.BestCompression)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(z, text); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out.String()
}

// TestFinalBlocks: a final block of deflate does not end a message (RFC 7692, 7.2.3.4
// and 7.2.3.5; Semantics 38).
func TestFinalBlocks(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	many := strings.Repeat("0123456789abcdef", 6000)
	var pieces []string
	for i := range 300 {
		pieces = append(pieces, fmt.Sprintf("%d,", i))
	}
	two := finalBlocks(t, `{"text":`, `"hello"}`) + "\x00"
	for _, test := range []struct{ name, frames, want string }{
		{"one", masked(0xc1, finalBlocks(t, `{"text":"hello"}`)+"\x00"), "hello"},
		{"one, and no empty block", masked(0xc1, finalBlocks(t, `{"text":"hello"}`)), "hello"},
		{"two", masked(0xc1, two), "hello"},
		{"two, and no empty block", masked(0xc1, strings.TrimSuffix(two, "\x00")), "hello"},
		{"two in three frames with a ping", masked(0x41, two[:3]) + short(0x89, "") + masked(0x00, two[3:12]) + masked(0x80, two[12:]), "hello"},
		{"byte by byte", masked(0x41, two[:1]) + func() (rest string) {
			for i := 1; i < len(two); i++ {
				rest += masked(0x00, two[i:i+1])
			}
			return rest
		}() + masked(0x80, ""), "hello"},
		{"a large one, and another behind", masked(0xc1, finalBlocks(t, `{"text":"`+many, many+`"}`)+"\x00"), many + many},
		{"three hundred", masked(0xc1, finalBlocks(t, append(append([]string{`{"text":"`}, pieces...), `"}`)...)+"\x00"), strings.Join(pieces, "")},
		{"RFC 7692, 7.2.3.5, between quotes", masked(0xc1, finalBlocks(t, `{"text":"`)+"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00\x00\x00\xff\xff"+finalBlocks(t, `"}`)), "Hello"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := openRaw(t, g, "permessage-deflate")
			s.T = t
			// Frames behind show that nothing of the message was left unread.
			s.write(test.frames + masked(0x81, `{"text":"behind"}`))
			if strings.Contains(test.name, "ping") {
				if opcode, _ := s.frame(); opcode != 10 {
					t.Fatalf("opcode %d, want a pong", opcode)
				}
			}
			s.expectText(test.want)
			s.expectText("behind")
		})
	}
}

// TestPingWithinCompressed: a ping between the frames of a compressed message is answered
// while the message waits for its end (Semantics 38).
func TestPingWithinCompressed(t *testing.T) {
	s := openRaw(t, gatewaytest.Start(t, gatewaytest.Options{}), "permessage-deflate")
	all := finalBlocks(t, `{"text":"hello"}`) + "\x00"
	s.write(masked(0x41, all[:4]) + short(0x89, "here"))
	if opcode, payload := s.frame(); opcode != 10 || string(payload) != "here" {
		t.Fatalf("opcode %d, %q", opcode, payload)
	}
	s.write(masked(0x80, all[4:]))
	s.expectText("hello")
}

// TestEmptyCompressed: an empty message, compressed or with no bytes at all, is the
// half-close (Semantics 38).
func TestEmptyCompressed(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	for name, frames := range map[string]string{
		"an empty block": masked(0xc1, "\x00"), "a final block": masked(0xc1, "\x03\x00\x00"), "two blocks": masked(0xc1, "\x00\x00\x00\xff\xff\x00"),
		"no bytes": masked(0xc1, ""), "no bytes in two frames": masked(0x41, "") + masked(0x80, ""),
	} {
		t.Run(name, func(t *testing.T) {
			s := openRaw(t, g, "permessage-deflate")
			s.T = t
			s.write(masked(0x81, `{"text":"hello"}`) + frames)
			s.expectText("hello")
			if opcode, payload := s.frame(); opcode != 8 || string(payload) != "\x03\xe8" {
				t.Errorf("opcode %d, %q, want the close frame of a call that went well", opcode, payload)
			}
		})
	}
}

// TestTooManyFinalBlocks: each costs the copy of a window, so their number is bounded
// (Semantics 303).
func TestTooManyFinalBlocks(t *testing.T) {
	s := openRaw(t, gatewaytest.Start(t, gatewaytest.Options{}), "permessage-deflate")
	s.write(masked(0xc1, strings.Repeat("\x03\x00", 500_000)))
	for {
		opcode, payload := s.frame()
		if opcode == 8 {
			if code := binary.BigEndian.Uint16(payload); code != 1007 || !strings.Contains(string(payload), "more than 1000 final blocks") {
				t.Errorf("%d %q", code, payload[2:])
			}
			return
		}
	}
}

// TestDeflateOffers: an offer that names what RFC 7692, 7.1, does not know or the gateway
// does not keep to is declined, and the first good one is taken (Semantics 38).
func TestDeflateOffers(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	const plain = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"
	for _, test := range []struct{ name, offers, want string }{
		{"the plain one", "permessage-deflate", plain},
		{"a browser's", "permessage-deflate; client_max_window_bits", plain},
		{"all parameters", "permessage-deflate ;server_no_context_takeover;\tclient_no_context_takeover; client_max_window_bits = 8", plain},
		{"the largest window", "permessage-deflate; server_max_window_bits=15", plain + "; server_max_window_bits=15"},
		{"a smaller window", "permessage-deflate; server_max_window_bits=10", ""},
		{"a window without a value", "permessage-deflate; server_max_window_bits", ""},
		{"99", "permessage-deflate; client_max_window_bits=99", ""},
		{"7", "permessage-deflate; client_max_window_bits=7", ""},
		{"08", "permessage-deflate; client_max_window_bits=08", ""},
		{"no number", "permessage-deflate; client_max_window_bits=", ""},
		{"in quotes", `permessage-deflate; client_max_window_bits="15"`, ""},
		{"99 in quotes", `permessage-deflate; client_max_window_bits="99"`, ""},
		{"a parameter twice", "permessage-deflate; client_max_window_bits; client_max_window_bits=15", ""},
		{"a flag twice", "permessage-deflate; server_no_context_takeover; server_no_context_takeover", ""},
		{"a flag with a value", "permessage-deflate; server_no_context_takeover=true", ""},
		{"an unknown parameter", "permessage-deflate; level=9", ""},
		{"an empty parameter", "permessage-deflate;", ""},
		{"another case", "Permessage-Deflate", ""},
		{"another extension", "permessage-bzip2, x-webkit-deflate-frame", ""},
		{"the second offer", "permessage-deflate; client_max_window_bits=99, permessage-deflate; client_max_window_bits", plain},
		{"the third offer", "foo; bar,, permessage-deflate; server_max_window_bits=9 ,permessage-deflate", plain},
		{"the first of two", "permessage-deflate, permessage-deflate; server_max_window_bits=15", plain},
		{"in a second line", "foo|permessage-deflate", plain},
		{"within quotes", `foo; a="x, permessage-deflate"`, ""},
		{"within quotes with a quote", `foo; a="\", permessage-deflate"`, ""},
		{"behind quotes", `foo; a="x;y", permessage-deflate`, plain},
		{"an open quote", `foo; a="x, permessage-deflate`, ""},
		{"nothing", "", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := openRaw(t, g, strings.Split(test.offers, "|")...)
			s.T = t
			if s.agreed != test.want {
				t.Errorf("%q is answered %q", test.offers, s.agreed)
			}
			s.write(masked(0x81, `{"text":"hello"}`))
			s.expectText("hello")
		})
	}
}

// TestCloseFrames: a close frame that RFC 6455, 5.5.1 and 7.4, forbids is answered with
// 1002, or 1007 where its reason is not UTF-8; a good one with its own code
// (Semantics 38).
func TestCloseFrames(t *testing.T) {
	g := gatewaytest.Start(t, gatewaytest.Options{})
	code := func(n uint16) string { return string(binary.BigEndian.AppendUint16(nil, n)) }
	tests := map[string]uint16{
		"":                                    0,
		"\x03":                                1002,
		code(1000):                            1000,
		code(1001):                            1001,
		code(1011):                            1011,
		code(3000):                            3000,
		code(4999):                            4999,
		code(1000) + "bye, ü":                 1000,
		code(1000) + strings.Repeat("x", 123): 1000,
		code(1000) + "\xff":                   1007,
		code(1000) + "\xed\xa0\x80":           1007, // a surrogate
		code(4000) + "caf\xc3":                1007,
		code(4000) + strings.Repeat("x", 122) + "\xc3": 1007,
		code(1000) + strings.Repeat("x", 124):          1002, // 126 bytes
	}
	for _, n := range []uint16{0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2999, 5000, 65535} {
		tests[code(n)] = 1002
		tests[code(n)+"why"] = 1002
	}
	for payload, want := range tests {
		for name, before := range map[string]string{"": "", ", within a message": masked(0x01, `{"te`), ", within a compressed message": masked(0x41, "\xaa")} {
			t.Run(fmt.Sprintf("%.20q%s", payload, name), func(t *testing.T) {
				s := openRaw(t, g, "permessage-deflate")
				s.T = t
				closing := short(0x88, payload)
				if len(payload) > 125 {
					closing = masked(0x88, payload)
				}
				s.write(before + closing)
				for {
					opcode, answer := s.frame()
					if opcode != 8 {
						continue // the status
					}
					if want == 0 && len(answer) > 0 || want > 0 && (len(answer) < 2 || binary.BigEndian.Uint16(answer) != want) {
						t.Errorf("answered with %q, want %d", answer, want)
					}
					break
				}
				if rest, err := io.ReadAll(s.r); err == nil && len(rest) > 0 {
					t.Errorf("behind the close frame: %q", rest)
				}
			})
		}
	}
}
