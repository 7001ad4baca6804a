// Command behaviour-servers runs the two servers of the example examples/behaviour, and the
// gateway in front of them.
//
//	go run ./examples/behaviour/cmd/behaviour-servers -gateway bin/transom    # all three
//	go run ./examples/behaviour/cmd/behaviour-servers                         # the servers, at localhost:50055 and localhost:3001
package main

import (
	"github.com/transom-gateway/transom/examples/behaviour"
	"github.com/transom-gateway/transom/examples/internal/process"
)

func main() {
	process.Example{
		Name: "behaviour-servers", API: "localhost:50055", Site: "localhost:3001", Config: "examples/behaviour/transom.yaml",
		APIVariable: "CLICKS", SiteVariable: "SHOP", Serve: behaviour.Serve, Hint: "Once the gateway listens, open http://localhost:8080 in two windows, and click.",
	}.Main()
}
