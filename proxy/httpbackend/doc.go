// Package httpbackend forwards requests to plain HTTP servers: one exchange at a time,
// bodies streamed both ways. HTTP/1.1 it speaks by connections of its own (link), for
// which net/http's ReadResponse reads the answers; HTTP/2 by net/http's Transport. It knows neither routes nor policies, and reads no body.
//
//	pool := httpbackend.NewPool()
//	u, err := pool.Get(options, servers)
//	defer u.Release()
//	result := u.Forward(ctx, &httpbackend.Exchange{W: w, R: r, Target: "/path?query"})
//	if result.Err != nil && result.Status == 0 {
//		// nothing was written: answer the client
//	}
//	if result.Aborted {
//		panic(http.ErrAbortHandler) // the client must not take what it has for the whole
//	}
//
// An exchange has an opening, which ends with the header of the server's answer and of
// which the client sees informational answers at most, and the answer, which is written
// as it comes. What goes on between the two ends of a connection that was upgraded is
// part of Forward, too: it returns when nothing of the exchange runs any more.
package httpbackend
