package transcoder

import "github.com/transom-gateway/transom/proxy"

// Source tells of what the request's message will be made: of the body, as it came, and what
// stands beside it. Only where there is a body does that save anything.
func (c *restUnary) Source() (proxy.Source, bool, error) {
	r := c.X.R
	types := r.Header["Content-Type"]
	if c.Body.Kind == BodyNone || r.RequestURI == "" || len(types) > 1 {
		return proxy.Source{}, false, nil
	}
	if err := c.ReadBody(); err != nil {
		return proxy.Source{}, false, err
	}
	c.hasRead = true
	// The rule says how path and query are read, and which method of HTTP it is.
	s := proxy.Source{Texts: [3]string{c.Binding.rule, r.RequestURI}, Body: c.Raw}
	if len(types) == 1 {
		s.Texts[2] = types[0]
	}
	return s, true, nil
}
