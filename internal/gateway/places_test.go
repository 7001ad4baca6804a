package gateway_test

import (
	"io"
	"net/http"
	"testing"

	"google.golang.org/grpc/metadata"

	"github.com/transom-gateway/transom/internal/testing/gateway"
	"github.com/transom-gateway/transom/internal/testing/grpctest"
)

// TestAnUnfinishedRequestTakesNoPlace: a unary call takes its place under concurrency
// when it goes to the backend. One whose body has not arrived keeps nobody out; one that
// finds no place is refused in the form of its protocol, and the backend never hears of
// it.
func TestAnUnfinishedRequestTakesNoPlace(t *testing.T) {
	keeper := &doorBackend{held: make(chan struct{}, 100), told: map[string][]metadata.MD{}}
	g := gatewaytest.Start(t, gatewaytest.Options{
		Backend: grpctest.ServeAny(t, keeper.serve), NoBookstore: true, Protos: map[string]string{"door/v1/door.proto": doorProto()},
		Config: `metadata: { request_headers: [x-case] }
policies:
  - selector: door.v1.Busy.*
    policy: { concurrency: { max: 1 } }
`,
	})
	body, write := io.Pipe()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL+"/Busy/ask", body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Case", "slow")
	slow := make(chan int, 1)
	go func() {
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			slow <- 0
			return
		}
		_ = response.Body.Close()
		slow <- response.StatusCode
	}()
	if _, err := io.WriteString(write, `{"text":`); err != nil { // it has been taken, so the call is under way
		t.Fatal(err)
	}
	if a := g.Do(t, "POST", "/Busy/ask", `{"text":"quick"}`, "X-Case", "quick"); a.Status != 200 {
		t.Errorf("beside a call whose body has not arrived: %d %s, want 200", a.Status, a.Body)
	}
	release := keeper.hold(t, g, "/door.v1.Busy/Ask")
	if _, err := io.WriteString(write, `"slow"}`); err != nil {
		t.Fatal(err)
	}
	_ = write.Close()
	if status := <-slow; status != 503 {
		t.Errorf("with the place taken: %d, want 503", status)
	}
	if told := keeper.of("slow"); len(told) > 0 {
		t.Error("the backend was called")
	}
	release()
}
