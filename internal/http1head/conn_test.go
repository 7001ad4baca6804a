package http1head

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// serve answers as handler does over connections that are checked, and opens one.
func serve(t *testing.T, handler http.HandlerFunc) net.Conn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	options := Options{MaxHead: maxHead, Answer: func(net.Conn, Refusal) []byte {
		return []byte(crlf("HTTP/1.1 400 Bad Request\nConnection: close\nContent-Length: 0\n\n"))
	}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(Listener(l, options)) // until it is closed
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

// upgrading switches protocols and sends back what it reads, where it is asked to; it
// refuses at /no. What the other answers hold looks like a switch of protocols.
func upgrading(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if r.Header.Get("Upgrade") == "" || r.URL.Path == "/no" {
		text := switched + string(body) + strings.Repeat(".", 8<<10)
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, text)
		return
	}
	c, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()
	_, _ = io.WriteString(c, crlf(switched+" Switching Protocols\nConnection: upgrade\nUpgrade: echo\n\n"))
	_, _ = io.Copy(c, rw)
}

const (
	plainRequest   = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
	upgradeRequest = " HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"
)

// A switch of protocols holds for the connection, however the requests before it came
// along.
func TestUpgradeBehindRequests(t *testing.T) {
	type option struct {
		apart  bool
		frames string
	}
	for name, before := range map[string]int{"first": 0, "behind one": 1, "behind many": 100} {
		for at, with := range []option{
			{false, "\x81\n\r\n A : b\r\n\r\nthe end"}, {true, "\x81\n\r\n A : b\r\n\r\nthe end"},
			{false, "\r\n\r\n\rthe end"}, {true, "\r\n\r\n\rthe end"}, // no empty lines of HTTP
		} {
			t.Run(name+", frames "+strconv.Itoa(at), func(t *testing.T) {
				apart, frames := with.apart, with.frames
				c := serve(t, upgrading)
				text := strings.Repeat(plainRequest, before) + "GET /" + upgradeRequest
				if !apart {
					text += frames
				}
				go func() { _, _ = io.WriteString(c, text) }()
				r := bufio.NewReader(c)
				for range before {
					wantStatus(t, r, http.StatusOK)
				}
				wantStatus(t, r, http.StatusSwitchingProtocols)
				if apart {
					_, _ = io.WriteString(c, frames)
				}
				got := make([]byte, len(frames))
				if _, err := io.ReadFull(r, got); err != nil || string(got) != frames {
					t.Errorf("%q, %v", got, err)
				}
			})
		}
	}
}

// What an answer holds does not switch protocols, whatever was asked for behind it.
func TestAnswerIsNoSwitch(t *testing.T) {
	for name, text := range map[string]string{
		"behind":         plainRequest + "GET /no" + upgradeRequest,
		"with a body":    "POST /no HTTP/1.1\r\nHost: x\r\nUpgrade: echo\r\nContent-Length: 2\r\n\r\n{}" + plainRequest,
		"asked 2 times":  "GET /no" + upgradeRequest + "GET /no" + upgradeRequest,
		"asked by chunk": "POST /no HTTP/1.1\r\nHost: x\r\nUpgrade: echo\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n" + plainRequest,
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, upgrading)
			go func() { _, _ = io.WriteString(c, text+"GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n") }()
			r := bufio.NewReader(c)
			wantStatus(t, r, http.StatusOK)
			wantStatus(t, r, http.StatusOK)
			wantStatus(t, r, http.StatusBadRequest)
			if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
				t.Errorf("behind the refusal: %q, %v", rest, err)
			}
		})
	}
}

func wantStatus(t *testing.T, r *bufio.Reader, status int) {
	t.Helper()
	response, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != status {
		t.Fatalf("%s, want %d", response.Status, status)
	}
	if status == http.StatusSwitchingProtocols {
		return
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
}
