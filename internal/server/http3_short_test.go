package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"

	"github.com/transom-gateway/transom/internal/testing/poll"
)

// shortAnswers3 are handlers that answer in ways of which some are short, and how.
var shortAnswers3 = map[string]http.HandlerFunc{
	"short": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header()["X-Two"] = []string{"one", "two"}
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, `{"a":`)
		_, _ = io.WriteString(w, `1}`)
	},
	"length": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Length", "5")
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, "hello")
	},
	"a longer body than told": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Length", "5")
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, "hello")
		if _, err := io.WriteString(w, "!"); !errors.Is(err, http.ErrContentLength) {
			panic(err)
		}
	},
	"a shorter body than told": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Length", "7")
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, "hello")
	},
	"no length": func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Content-Length"] = nil
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, "hello")
	},
	"a wrong length": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Length", "five")
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, "hello")
	},
	"no body": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
	"a type and no header": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, "hello")
	},
	"long, no header": func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<html>"+strings.Repeat("x", 8<<10))
	},
	"no header": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") },
	"nothing":   func(http.ResponseWriter, *http.Request) {},
	"no type": func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, "<html>")
	},
	"204": func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
		if _, err := io.WriteString(w, "x"); !errors.Is(err, http.ErrBodyNotAllowed) {
			panic(err)
		}
	},
	"304": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) },
	"two headers": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusAccepted)
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, "hello")
	},
	"an interim answer": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</a>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, "hello")
	},
	"an announced trailer": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Trailer", "X-After")
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, "hello")
		w.Header().Set("X-After", "yes")
	},
	"a trailer": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, "hello")
		w.Header().Set(http.TrailerPrefix+"X-After", "yes")
	},
	"in two parts": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, "hel")
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, "lo")
	},
	"a flush alone": func(w http.ResponseWriter, _ *http.Request) { _ = http.NewResponseController(w).Flush() },
	"long": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusOK)
		for range 3 {
			_, _ = io.WriteString(w, strings.Repeat("x", shortBody))
		}
	},
	"as long as may be": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, strings.Repeat("x", shortBody))
	},
	"a long header": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("X-Long", strings.Repeat("~", 8<<10))
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, "hello")
	},
	"a header that leaves no room": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("X-Long", strings.Repeat("0", 800))
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, strings.Repeat("x", shortBody))
	},
	"broken off": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, "hello")
		panic(http.ErrAbortHandler)
	},
	"too late": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, "hello")
		_ = http.NewResponseController(w).SetWriteDeadline(time.Unix(1, 0))
	},
}

// unsendable3 are handlers whose answers have fields that HTTP/3 forbids.
var unsendable3 = map[string]http.HandlerFunc{
	"short": func(w http.ResponseWriter, _ *http.Request) {
		setUnsendable(w.Header(), "")
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, "hello")
	},
	"short, set late": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, "hello")
		w.Header()["X-A"] = []string{"fine"}
		w.Header()["Connection"] = []string{"close"}
	},
	"long": func(w http.ResponseWriter, _ *http.Request) {
		setUnsendable(w.Header(), "")
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, strings.Repeat("x", 5*shortBody))
	},
	"longer than short": func(w http.ResponseWriter, _ *http.Request) {
		setUnsendable(w.Header(), "")
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, "hello")
		_, _ = io.WriteString(w, strings.Repeat("x", 5*shortBody))
	},
	"no status": func(w http.ResponseWriter, _ *http.Request) {
		setUnsendable(w.Header(), "")
		_, _ = io.WriteString(w, strings.Repeat("x", 5*shortBody))
	},
	"no status, an interim one": func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		setUnsendable(w.Header(), "")
		_, _ = io.WriteString(w, strings.Repeat("x", 5*shortBody))
	},
	"an interim answer": func(w http.ResponseWriter, _ *http.Request) {
		setUnsendable(w.Header(), "")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusOK)
	},
	"a flush alone": func(w http.ResponseWriter, _ *http.Request) {
		setUnsendable(w.Header(), "")
		_ = http.NewResponseController(w).Flush()
	},
	"nothing": func(w http.ResponseWriter, _ *http.Request) { setUnsendable(w.Header(), "") },
	"a trailer": func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["X-A"] = []string{"fine"}
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, "hello")
		setUnsendable(w.Header(), http.TrailerPrefix)
	},
}

// notSent is shared by answers, as values may be.
var notSent = []string{"a\r\nb: c", "fine", "a\x00"}

// setUnsendable sets fields of which "X-A: fine" alone may be sent, beside a type.
func setUnsendable(h http.Header, prefix string) {
	for _, name := range []string{"Connection", "connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade", "X B", "X\nC", ":status", ""} {
		h[prefix+name] = []string{"close"}
	}
	h[prefix+"X-A"] = notSent
	if prefix == "" {
		h["Content-Type"] = []string{"text/plain"}
	}
}

// TestHTTP3Unsendable: an answer with fields that HTTP/3 forbids reaches its client without them, as by HTTP/2.
func TestHTTP3Unsendable(t *testing.T) {
	s := serveHTTP3(t, &http3Front{o: frontOptions{header: time.Minute, handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		unsendable3[r.URL.Query().Get("how")](w, r)
	})}})
	want := http.Header{"X-A": {"fine"}, "Content-Type": {"text/plain"}}
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		for how := range unsendable3 {
			got := s.ask(t, method, how)
			for _, name := range []string{"Date", "Content-Length"} {
				got.Header.Del(name)
			}
			if got.Failed || got.Status != http.StatusOK || !reflect.DeepEqual(got.Header, want) {
				t.Errorf("%s, %s: found\n%+v, expected the header %v", method, how, got, want)
			}
			if fields := (http.Header{"X-A": {"fine"}}); how == "a trailer" && method != http.MethodHead && !reflect.DeepEqual(got.Trailer, fields) {
				t.Errorf("%s, %s: found the trailer %v, expected %v", method, how, got.Trailer, fields)
			}
		}
	}
	if len(notSent) != 3 || notSent[1] != "fine" || notSent[2] != "a\x00" {
		t.Errorf("values that answers share became %q", notSent)
	}
}

// heard3 is what a client gets to see.
type heard3 struct {
	Status          int
	Header, Trailer http.Header
	Body            string
	Interim         []int
	Failed          bool
}

// TestHTTP3ShortAnswers: a client sees the same of an answer that is sent whole and of what quic-go sends.
func TestHTTP3ShortAnswers(t *testing.T) {
	answer := func(w http.ResponseWriter, r *http.Request) { shortAnswers3[r.URL.Query().Get("how")](w, r) }
	ours := serveHTTP3(t, &http3Front{o: frontOptions{handler: http.HandlerFunc(answer), header: time.Minute}})
	theirs := serveHTTP3(t, http.HandlerFunc(answer))
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		for how := range shortAnswers3 {
			if method == http.MethodHead && (how == "204" || how == "a longer body than told") {
				continue // their handlers have no error there
			}
			got, want := ours.ask(t, method, how), theirs.ask(t, method, how)
			if _, err := http.ParseTime(got.Header.Get("Date")); err != nil && !got.Failed {
				t.Errorf("%s, %s: %v", method, how, err)
			}
			got.Header.Del("Date")
			want.Header.Del("Date")
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s, %s: found\n%+v, expected\n%+v", method, how, got, want)
			}
		}
	}
}

// TestHTTP3ShortIsWhole: who encodes a short answer is not quic-go, which is left alone.
func TestHTTP3ShortIsWhole(t *testing.T) {
	for how, whole := range map[string]bool{
		"short": true, "length": true, "a shorter body than told": true, "no length": true, "no body": true, "two headers": true, "a type and no header": true, "long, no header": false, "as long as may be": true,
		"broken off": true, // whose end is a panic
		"no header":  false, "nothing": false, "no type": false, "204": false, "304": false, "an interim answer": false, "an announced trailer": false, "a trailer": false,
		"long": false, "a long header": false, "a header that leaves no room": false, "in two parts": false, "a wrong length": false, "a longer body than told": false,
	} {
		s := serveHTTP3(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var f http3Front
			stream, ok := w.(http3.HTTPStreamer)
			if !ok {
				t.Error("quic-go gives no streams")
			}
			answer := &http3Writer{ResponseWriter: w, date: &f.date, stream: stream}
			defer func() {
				if p := recover(); p != nil && how != "broken off" {
					t.Errorf("%s: %v", how, p)
				}
				if got := answer.short != nil && answer.sendShort(); got != whole {
					t.Errorf("%s: sent whole: %t, expected %t", how, got, whole)
				}
			}()
			shortAnswers3[how](answer, r)
		}))
		s.ask(t, http.MethodGet, how)
	}
}

// TestHTTP3ShortWaitsForNobody: Traffic 199: a short answer whose client gives no window holds no goroutine.
func TestHTTP3ShortWaitsForNobody(t *testing.T) {
	var asked atomic.Int64
	f := &http3Front{o: frontOptions{header: time.Minute, handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		shortAnswers3["as long as may be"](w, r)
	})}}
	s := serveHTTP3(t, f)
	c, err := quic.DialAddr(t.Context(), s.address, clientOfHTTP3(), &quic.Config{InitialStreamReceiveWindow: 1, MaxStreamReceiveWindow: 1, KeepAlivePeriod: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.CloseWithError(0, "") }() // it is over
	for range 2 {
		stream, err := c.OpenStream() // which nobody reads
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Write(requestOf3(t)); err != nil {
			t.Fatal(err)
		}
		if err := stream.Close(); err != nil {
			t.Fatal(err)
		}
	}
	poll.Until(t, "the answers", func() bool { return asked.Load() == 2 && f.handling.Load() == 0 })
}

// requestOf3 is a frame of HEADERS.
func requestOf3(t *testing.T) []byte {
	t.Helper()
	var block bytes.Buffer
	fields := qpack.NewEncoder(&block)
	for _, f := range []qpack.HeaderField{{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: "https"}, {Name: ":authority", Value: "localhost"}, {Name: ":path", Value: "/"}} {
		if err := fields.WriteField(f); err != nil {
			t.Fatal(err)
		}
	}
	return append(quicvarint.Append([]byte{headersFrame}, uint64(block.Len())), block.Bytes()...) //nolint:gosec // it is no less than 0
}

// served3 is a server of quic-go's.
type served3 struct {
	address string
	client  *http.Client
}

// serveHTTP3 serves a handler by HTTP/3 until the test is over.
func serveHTTP3(t *testing.T, handler http.Handler) served3 {
	t.Helper()
	certificate, key := certificateFiles(t)
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	server := &http3.Server{Handler: handler, TLSConfig: http3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{pair}})} //nolint:gosec // QUIC has 1.3 alone
	served := make(chan error, 1)
	go func() { served <- server.Serve(udp) }()
	transport := &http3.Transport{TLSClientConfig: clientOfHTTP3()}
	t.Cleanup(func() {
		_, _ = transport.Close(), server.Close() // whatever else went on is over
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		_ = udp.Close() // as above
	})
	return served3{udp.LocalAddr().String(), &http.Client{Transport: transport}}
}

func clientOfHTTP3() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, NextProtos: []string{http3.NextProtoH3}} //nolint:gosec // whose it is does not matter here
}

// ask makes a request.
func (s served3) ask(t *testing.T, method, how string) (heard heard3) {
	t.Helper()
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
		heard.Interim = append(heard.Interim, code)
		return nil
	}})
	r, err := http.NewRequestWithContext(context.WithoutCancel(ctx), method, "https://"+s.address+"/?how="+strings.ReplaceAll(how, " ", "+"), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.client.Do(r)
	if err != nil {
		heard.Failed = true
		return heard
	}
	body, err := io.ReadAll(a.Body)
	_ = a.Body.Close() // it is read
	heard.Status, heard.Header, heard.Trailer, heard.Body, heard.Failed = a.StatusCode, a.Header, a.Trailer, string(body), err != nil
	return heard
}
