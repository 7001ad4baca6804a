// Package client is what the header of a request tells of who sent it: on what device, whether it
// is a program, and whether it asks not to be known.
//
//	device := client.DeviceOf(h.Get("User-Agent"), client.HintsOf(h))
//	if client.OptedOut(h, false) { … }
//
// Headers are claims: nothing here may decide who may do what. It tells families alone, as browsers
// have frozen the rest; who needs versions reads the header User-Agent that events keep.
package client
