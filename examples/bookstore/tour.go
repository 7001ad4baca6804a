package bookstore

// Tour returns five curl commands that show a newcomer what a gateway in front
// of the bookstore answers. Base is where the gateway listens, such as
// "http://localhost:8080". They can be run in any order and again.
func Tour(base string) []string {
	return []string{
		// A unary call; the path is the resource's name.
		`curl ` + base + `/v1/shelves/1/books/1`,
		// Query parameters become fields of the request.
		`curl '` + base + `/v1/books:search?query=sea&inStock=true'`,
		// The body is one field of the request, the shelf comes from the path.
		`curl --json '{"title":"My first book","authors":[{"displayName":"Me"}]}' ` + base + `/v1/shelves/3/books`,
		// The keys of the body become the update mask.
		`curl -X PATCH --json '{"inStock":true,"price":{"currency":"EUR","units":"8"}}' ` + base + `/v1/shelves/1/books/2`,
		// A server stream as Server-Sent Events: two books, then three ticks.
		`curl -N -H 'Accept: text/event-stream' '` + base + `/v1/shelves/1/books:watch?count=3'`,
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
