package httpbackend

import "net/http"

// afterHandshake asks again, once the client's handshake is over, where a server wanted to wait for that. It
// is attempts, and the answer is the one that there is where the client goes before.
func (e *exchange) afterHandshake(tooEarly *http.Response) (*http.Response, error) {
	if e.AfterHandshake(e.ctx) != nil {
		return tooEarly, nil
	}
	_ = tooEarly.Body.Close() // nobody reads what it says
	e.unwatch()
	e.tries.End()
	if err := e.tries.Ask(); err != nil {
		e.result.Refused = true
		return nil, err
	}
	e.shaken = true
	return e.attempts()
}
