package stream

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

// A cursor is the URL-safe base64 of
//
//	version 1 byte, epoch 8, topic 4, next offset 8, signature 12
//
// so that it can be told from what the gateway did not write. The epoch is that of the log.
const (
	cursorVersion = 1
	cursorSigned  = 1 + 8 + 4 + 8
	cursorMAC     = 12
)

// cursorText is the length of a cursor as a text.
var cursorText = base64.RawURLEncoding.EncodedLen(cursorSigned + cursorMAC)

// earliest asks for all that is there.
const earliest = "earliest"

// Why a stream does not go on where a client asked.
const (
	tooOld     = "too_old"
	otherTopic = "other_topic"
	unknown    = "unknown"
)

// signer writes and reads cursors of one log.
type signer struct {
	epoch uint64
	// macs are hashes that have the key: there is a cursor for each event, and to make a hash takes more than to sign one.
	macs sync.Pool
}

func newSigner(key []byte, epoch uint64) *signer {
	return &signer{epoch: epoch, macs: sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}}
}

func topicHash(topic string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(topic)) // it does not fail
	return h.Sum32()
}

// cursor returns the cursor of the event at the offset, or the first after it.
func (s *signer) cursor(topic string, next uint64) string {
	b := make([]byte, 0, cursorSigned+sha256.Size)
	b = append(b, cursorVersion)
	b = binary.BigEndian.AppendUint64(b, s.epoch)
	b = binary.BigEndian.AppendUint32(b, topicHash(topic))
	b = binary.BigEndian.AppendUint64(b, next)
	return base64.RawURLEncoding.EncodeToString(s.sign(b, topic)[:cursorSigned+cursorMAC])
}

// sign appends the signature of b and a topic to b.
func (s *signer) sign(b []byte, topic string) []byte {
	mac := s.macs.Get().(hash.Hash)
	defer s.macs.Put(mac)
	mac.Reset()
	_, _ = mac.Write(b)
	_, _ = io.WriteString(mac, topic)
	return mac.Sum(b)
}

// parse returns the offset where the stream of a topic goes on; or why it does not, which is
// "" otherwise.
func (s *signer) parse(topic, cursor string) (next uint64, reason string) {
	if len(cursor) != cursorText {
		return 0, unknown
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil || b[0] != cursorVersion || binary.BigEndian.Uint64(b[1:]) != s.epoch {
		return 0, unknown
	}
	if binary.BigEndian.Uint32(b[9:]) != topicHash(topic) {
		return 0, otherTopic
	}
	signed := s.sign(b[:cursorSigned:cursorSigned], topic)
	if !hmac.Equal(signed[cursorSigned:cursorSigned+cursorMAC], b[cursorSigned:]) {
		return 0, unknown
	}
	return binary.BigEndian.Uint64(b[13:]), ""
}

// Files that outlive the process, so that cursors do.
const (
	keyFile   = "stream-key"
	epochFile = "stream-epoch"
	keyBytes  = 32
)

// openSigner reads the key in the directory of all logs, and the epoch in that of one; it makes those
// that are not there.
func openSigner(all, one string) (*signer, error) {
	key, err := secret(filepath.Join(all, keyFile), keyBytes)
	if err != nil {
		return nil, err
	}
	epoch, err := secret(filepath.Join(one, epochFile), 8)
	if err != nil {
		return nil, err
	}
	return newSigner(key, binary.BigEndian.Uint64(epoch)), nil
}

// secret reads a file of n random bytes, which it makes where it is not there or not whole.
// Of several processes that make it at once one wins.
func secret(path string, n int) ([]byte, error) {
	for range 3 {
		b, err := os.ReadFile(path) //nolint:gosec // it is in the data directory
		if err == nil && len(b) == n {
			return b, nil
		}
		if err == nil { // a crash has cut it
			err = os.Remove(path)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		if err := writeSecret(path, n); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%s cannot be made", path)
}

// writeSecret makes a file that was not there, whole or not at all.
func writeSecret(path string, n int) (err error) {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it does not fail
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), path)
}
