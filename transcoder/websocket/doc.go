// Package websocket has the edge of calls over a WebSocket: a frame is a message. The
// frames are the library's to read and write; what they may cost is watched here, and
// compressed messages are inflated before it reads them.
//
//	client := websocket.Protocol.Open(binding, x)
package websocket
