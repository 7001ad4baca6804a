package httpbackend

import "net/http"

func (e *exchange) askUpgrade(h http.Header) {}

func (e *exchange) upgrade(response *http.Response) {
	e.result.Err = errUpgrade
}
