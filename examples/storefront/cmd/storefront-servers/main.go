// Command storefront-servers runs the two servers of the example examples/storefront, and the
// gateway in front of them.
//
//	go run ./examples/storefront/cmd/storefront-servers -gateway bin/transom    # all three
//	go run ./examples/storefront/cmd/storefront-servers                         # the servers, at localhost:50054 and localhost:3000
package main

import (
	"github.com/transom-gateway/transom/examples/internal/process"
	"github.com/transom-gateway/transom/examples/storefront"
)

func main() {
	process.Example{
		Name: "storefront-servers", API: "localhost:50054", Site: "localhost:3000", Config: "examples/storefront/transom.yaml",
		APIVariable: "STORE_API", SiteVariable: "STORE_SITE", Serve: storefront.Serve, Hint: "Once the gateway listens, open http://localhost:8080 and log in as ada, with the password lighthouse.",
	}.Main()
}
