package proxy

import "context"

// Source is what the message of a unary call is made of, as the client wrote it. Within one
// configuration equal sources make equal messages, or the same error. It is valid until the
// message is received.
type Source struct {
	// Texts are what stands beside the body, such as the path.
	Texts [3]string
	// Body is the request's, decompressed.
	Body []byte
}

// sourced is a Downstream that makes its message of something else, which takes time.
type sourced interface {
	// Source returns what the message will be made of; false where that cannot be told. The
	// error is one that Recv would return.
	Source() (Source, bool, error)
}

// recall asks Known for the answer to a call, if the client's half can tell what was asked.
func (c *Call) recall(ctx context.Context) (known bool, err error) {
	client, ok := c.Downstream.(sourced)
	if !ok {
		return false, nil
	}
	source, ok, err := client.Source()
	if !ok || err != nil {
		return false, err
	}
	c.reply, known, err = c.Known(ctx, source)
	return known, err
}
