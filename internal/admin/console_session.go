package admin

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	sessionPath   = "/console/session"
	sessionCookie = "transom_console"
	// sessionTime is how long a token that was pasted is good for.
	sessionTime = 12 * time.Hour
)

// sessions adds what browsers prove who they are by, which cannot send a token with a page
// (Surface 231): it is pasted once and becomes a cookie. Nothing is kept here: the cookie is
// signed with the token, so that it ends with that, and not with this process.
func (s *server) sessions() {
	s.mux.HandleFunc("GET "+sessionPath, func(w http.ResponseWriter, r *http.Request) {
		who, role := s.Access.of(r)
		answer(w, http.StatusOK, map[string]any{"who": name(who), "role": role.String(), "demanded": s.Access.demands()})
	})
	s.mux.HandleFunc("POST "+sessionPath, s.signIn)
	s.mux.HandleFunc("DELETE "+sessionPath, func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, cookie("", -1))
		w.WriteHeader(http.StatusNoContent)
	})
}

// cookie is that of a session. Browsers send Secure cookies over cleartext to this machine alone.
func cookie(value string, seconds int) *http.Cookie {
	return &http.Cookie{Name: sessionCookie, Value: value, Path: "/", MaxAge: seconds, HttpOnly: true, Secure: true, SameSite: http.SameSiteStrictMode}
}

// signIn takes a token and answers with the cookie.
func (s *server) signIn(w http.ResponseWriter, r *http.Request) {
	var given struct {
		Token string `json:"token"`
	}
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxQuestion)).Decode(&given); err != nil {
		http.Error(w, `expected a body such as {"token": "…"}`, http.StatusBadRequest)
		return
	}
	t := s.Access.token(strings.TrimSpace(given.Token))
	if t == nil {
		s.Audit.failed(Entry{Event: "auth_failed", From: r.RemoteAddr, What: r.Method + " " + r.URL.Path})
		http.Error(w, "this is none of admin.tokens", http.StatusUnauthorized)
		return
	}
	http.SetCookie(w, cookie(t.session(time.Now().Add(sessionTime)), int(sessionTime.Seconds())))
	w.WriteHeader(http.StatusNoContent)
}

// session is the value of a cookie that proves the token until the end.
func (t *Token) session(end time.Time) string {
	until := strconv.FormatInt(end.Unix(), 10)
	return base64.RawURLEncoding.EncodeToString([]byte(t.Name)) + "." + until + "." + base64.RawURLEncoding.EncodeToString(t.sign(until))
}

func (t *Token) sign(until string) []byte {
	mac := hmac.New(sha256.New, []byte(t.Secret))
	mac.Write([]byte("transom console " + t.Name + " " + until))
	return mac.Sum(nil)
}

// ofSession is the token that a cookie proves; nil for none.
func (a *Access) ofSession(r *http.Request, now time.Time) *Token {
	c, err := r.Cookie(sessionCookie)
	if err != nil {
		return nil
	}
	parts := strings.Split(c.Value, ".")
	if len(parts) != 3 {
		return nil
	}
	until, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || now.Unix() >= until {
		return nil
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return nil
	}
	for i := range a.Tokens {
		t := &a.Tokens[i]
		if base64.RawURLEncoding.EncodeToString([]byte(t.Name)) == parts[0] && hmac.Equal(signature, t.sign(parts[1])) {
			return t
		}
	}
	return nil
}
