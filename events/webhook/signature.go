package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/transom-gateway/transom/events"
)

// secretPrefix begins the text of a secret.
const secretPrefix = "whsec_"

// Bounds of a secret, in bytes.
const (
	minSecret = 24
	maxSecret = 64
)

// Key is the key that the text of a secret stands for. Its error does not tell the secret.
func Key(secret string) ([]byte, error) {
	text, ok := strings.CutPrefix(secret, secretPrefix)
	if !ok {
		return nil, errors.New(`found another text, expected "whsec_" and base64 of 24 to 64 bytes`)
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New(`found no base64 behind "whsec_", expected that of 24 to 64 bytes`)
	}
	if len(key) < minSecret || len(key) > maxSecret {
		return nil, fmt.Errorf("found %d bytes, expected %d to %d", len(key), minSecret, maxSecret)
	}
	return key, nil
}

// sign is the value of webhook-signature: one signature for each key.
func sign(keys [][]byte, id string, at time.Time, body []byte) string {
	var value strings.Builder
	for i, key := range keys {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
		h.Write(body)
		if i > 0 {
			value.WriteByte(' ')
		}
		value.WriteString("v1," + base64.StdEncoding.EncodeToString(h.Sum(nil)))
	}
	return value.String()
}

// maxID is the longest webhook-id.
const maxID = 128

// identity is the value of webhook-id of a request with these events: the same whenever the
// same are sent.
func identity(all []*events.Event) string {
	if len(all) == 1 && plain(all[0].ID) {
		return all[0].ID
	}
	h := sha256.New()
	for _, e := range all {
		_, _ = fmt.Fprintf(h, "%d:%s", len(e.ID), e.ID)
	}
	return "evt_" + hex.EncodeToString(h.Sum(nil)[:16])
}

// plain reports whether an id can stand in a header, and before a dot.
func plain(id string) bool {
	return id != "" && len(id) <= maxID && strings.Trim(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}
