package bookstore

// Tour returns five curl commands that show a newcomer what a gateway in front
// of the bookstore answers. Base is where the gateway listens, such as
// "http://localhost:8080". They can be run in any order and again.
func Tour(base string) []string {
	return []string{
		// A unary call; the path is the resource's name.
		`curl -s ` + base + `/v1/shelves/1/books/1`,
		// Query parameters become fields of the request.
		`curl -s '` + base + `/v1/books:search?query=sea&inStock=true'`,
		// The body is one field of the request, the shelf comes from the path.
		`curl -s --json '{"title":"My first book","authors":[{"displayName":"Me"}]}' ` + base + `/v1/shelves/3/books`,
		// The keys of the body become the update mask.
		`curl -s -X PATCH --json '{"inStock":true,"price":{"currency":"EUR","units":"8"}}' ` + base + `/v1/shelves/1/books/2`,
		// A server stream as Server-Sent Events: two books, then three ticks.
		`curl -sN -H 'Accept: text/event-stream' '` + base + `/v1/shelves/1/books:watch?count=3'`,
	}
}

// TourByGRPC returns the commands of two gRPC clients for a gateway at an address such as
// "localhost:8080": of transom itself, and of grpcurl. certificate is the file of the
// authority that the gateway's certificate is checked with; "" for cleartext.
func TourByGRPC(address, certificate string) []string {
	call, grpcurl := "", "-plaintext"
	if certificate != "" {
		call, grpcurl = " --upstream-ca "+certificate, "-cacert "+certificate
	}
	return []string{
		`transom call bookstore.v1.BookstoreService/GetShelf -d '{"name":"shelves/1"}' --upstream ` + address + call,
		`grpcurl ` + grpcurl + ` -d '{"name":"shelves/1"}' ` + address + ` bookstore.v1.BookstoreService/GetShelf`,
	}
}

// TourInConsole returns lines of JavaScript for the console of a browser that
// shows the bookstore's page, one for each kind of stream that browsers know.
func TourInConsole() []string {
	return []string{
		`new EventSource('/v1/shelves/1/books:watch').onmessage = e => console.log(e.data)`,
		`s = new WebSocket('/v1/discuss:stream'); s.onmessage = e => console.log(e.data); s.onopen = () => s.send('{"text":"hello"}')`,
	}
}
