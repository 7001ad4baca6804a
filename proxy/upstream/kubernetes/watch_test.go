package kubernetes

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const listed = "10.244.1.17:50051+[fd00:10:244:1::17]:50051@eu-1a 10.244.2.10:50051(last)@eu-1b 10.244.2.9:50051@eu-1b"

// TestWatch: Traffic 175: endpoints are listed, changes are told as they come, watches go
// on where the one before ended, and a version that is forgotten has all listed anew.
func TestWatch(t *testing.T) {
	s := startAPI(t)
	first, second, third := make(chan string, 10), make(chan string, 10), make(chan string, 10)
	s.lists <- answer{200, recorded(t, "list.json")}
	s.watches <- watch{answer{200, ""}, first}
	told := s.follow(t, "books.shop:grpc")
	want(t, told, listed)
	if q := <-s.asked; q.Get("limit") == "" || q.Get("token") != "Bearer first" {
		t.Errorf("the list is asked for by %v", q)
	}
	if q := <-s.asked; q.Get("resourceVersion") != "812304" || q.Get("allowWatchBookmarks") != "true" || q.Get("timeoutSeconds") == "" {
		t.Errorf("the watch is asked for by %v", q)
	}
	events := strings.SplitAfter(recorded(t, "events.json"), "\n")
	first <- events[0][:100]
	first <- events[0][100:] // an event comes in pieces
	want(t, told, "10.244.1.17:50051+[fd00:10:244:1::17]:50051@eu-1a 10.244.2.11:50051@eu-1b")
	first <- events[1] // a bookmark tells nobody anything
	first <- events[2]
	want(t, told, "10.244.1.17:50051@eu-1a 10.244.2.11:50051@eu-1b")
	first <- events[3]
	want(t, told, "10.244.1.17:50051@eu-1a 10.244.2.11:50051@eu-1b 10.244.9.9:50052@eu-1c")
	s.put(t, "token", "second")
	close(first)
	if q := <-s.asked; q.Get("resourceVersion") != "812402" || q.Get("token") != "Bearer second" {
		t.Errorf("the second watch is asked for by %v", q)
	}
	s.watches <- watch{answer{200, ""}, second}
	second <- recorded(t, "gone.json")
	if q := <-s.asked; q.Get("watch") != "" || q.Get("resourceVersion") != "" {
		t.Errorf("after status 410: %v", q)
	}
	s.lists <- answer{200, recorded(t, "list.json")}
	want(t, told, listed)
	<-s.asked
	s.watches <- watch{answer{410, `{"kind":"Status","code":410,"message":"expired"}`}, third}
	close(third)
	if q := <-s.asked; q.Get("watch") != "" {
		t.Errorf("after status 410 in place of a watch: %v", q)
	}
}

func want(t *testing.T, told chan string, text string) {
	t.Helper()
	if got := <-told; got != text {
		t.Fatalf("told %s\nwant %s", got, text)
	}
}

// TestBookmark: Traffic 175: a bookmark moves the version that the next watch goes on
// from.
func TestBookmark(t *testing.T) {
	s := startAPI(t)
	s.lists <- answer{200, recorded(t, "list.json")}
	events := make(chan string, 1)
	s.watches <- watch{answer{200, ""}, events}
	want(t, s.follow(t, "books:grpc"), listed)
	events <- strings.SplitAfter(recorded(t, "events.json"), "\n")[1]
	close(events)
	<-s.asked
	<-s.asked
	if q := <-s.asked; q.Get("resourceVersion") != "812400" {
		t.Errorf("the next watch goes on from %v", q)
	}
}

// TestPages: Traffic 175: a list of several pages is one list.
func TestPages(t *testing.T) {
	s := startAPI(t)
	const item = `{"metadata":{"name":"NAME"},"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.NAME"]}],"ports":[{"name":"grpc","port":1}]}`
	s.lists <- answer{200, `{"metadata":{"resourceVersion":"5","continue":"next"},"items":[` + strings.ReplaceAll(item, "NAME", "1") + `]}`}
	s.lists <- answer{200, `{"metadata":{"resourceVersion":"5"},"items":[` + strings.ReplaceAll(item, "NAME", "2") + `]}`}
	want(t, s.follow(t, "books.shop:grpc"), "10.0.0.1:1 10.0.0.2:1")
	<-s.asked
	if q := <-s.asked; q.Get("continue") != "next" {
		t.Errorf("the second page is asked for by %v", q)
	}
}

// TestRefused: Traffic 175: what the API refuses is said with what to do; what was told
// before is told again once the API answers.
func TestRefused(t *testing.T) {
	t.Run("list", func(t *testing.T) {
		s := startAPI(t)
		s.lists <- answer{403, strings.ReplaceAll(recorded(t, "forbidden.json"), "watch", "list")}
		told := <-s.follow(t, "books.shop:grpc")
		for _, want := range []string{`User "system:serviceaccount:shop:transom" cannot list resource`, `allow the pod's service account the verb "list" on endpointslices`, "namespace shop"} {
			if !strings.Contains(told, want) {
				t.Errorf("%s\nlacks %s", told, want)
			}
		}
	})
	t.Run("watch", func(t *testing.T) {
		s := startAPI(t)
		s.lists <- answer{200, recorded(t, "list.json")}
		none := make(chan string)
		close(none)
		s.watches <- watch{answer{403, recorded(t, "forbidden.json")}, none}
		told := s.follow(t, "books.shop:grpc")
		want(t, told, listed)
		if got := <-told; !strings.Contains(got, `the verb "watch"`) {
			t.Error(got)
		}
		s.watches <- watch{answer{200, ""}, make(chan string)}
		want(t, told, listed)
	})
	t.Run("token", func(t *testing.T) {
		s := startAPI(t)
		s.lists <- answer{401, `{"message":"Unauthorized"}`}
		told := s.follow(t, "books.shop:grpc")
		if got := <-told; !strings.Contains(got, "the token of the pod's service account is not accepted") {
			t.Error(got)
		}
		s.put(t, "token", "renewed")
		s.lists <- answer{200, recorded(t, "list.json")}
		want(t, told, listed)
	})
	t.Run("a redirect, which would take the token away", func(t *testing.T) {
		s := startAPI(t)
		s.lists <- answer{307, ""}
		if got := <-s.follow(t, "books.shop:grpc"); !strings.Contains(got, "307") {
			t.Error(got)
		}
	})
}

// TestBadAnswers: Traffic 175: what is no answer is told as an error, within bounds.
func TestBadAnswers(t *testing.T) {
	for name, test := range map[string]struct{ body, want string }{
		"no JSON":    {"<html>", "reading the list of Kubernetes: invalid character"},
		"no version": {`{"items":[]}`, "has no resourceVersion"},
		"endless":    {`{"items":["` + strings.Repeat("x", maxPage), "it is larger than expected"},
		"no slices":  {`{"metadata":{"resourceVersion":"1"},"items":[]}`, ErrNone.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			s := startAPI(t)
			s.lists <- answer{200, test.body}
			if got := <-s.follow(t, "books.shop:grpc"); !strings.Contains(got, test.want) {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
	for name, body := range map[string]string{
		"no event": "{]", "another event": `{"type":"RENAMED","object":{}}`, "no object": `{"type":"ADDED","object":[]}`,
		"a fault of the server": `{"type":"ERROR","object":{"code":500,"message":"etcd is away"}}`, "endless": `{"type":"` + strings.Repeat("x", maxEvent),
	} {
		t.Run("watch: "+name, func(t *testing.T) {
			s := startAPI(t)
			s.lists <- answer{200, recorded(t, "list.json")}
			s.watches <- watch{answer{200, body}, make(chan string)}
			told := s.follow(t, "books.shop:grpc")
			want(t, told, listed)
			if got := <-told; !strings.Contains(got, "Kubernetes") {
				t.Error(got)
			}
			s.lists <- answer{200, recorded(t, "list.json")}
			want(t, told, listed)
		})
	}
}

// TestOutside: Traffic 175: outside of a pod it is said what is missing.
func TestOutside(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	told := make(chan error, 10)
	for _, test := range []struct{ service, want string }{
		{"books:grpc", "need a pod with a service account"},
		{"books.shop:grpc", "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set"},
	} {
		service, err := ParseService(test.service)
		if err != nil {
			t.Fatal(err)
		}
		w := Watch(service, t.TempDir(), func(_ []Endpoint, err error) { told <- err })
		if err := <-told; !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", test.service, err)
		}
		w.Close()
	}
}

// TestPorts: Traffic 175: a port is one by its name in the service or by its number at
// the pods; what there is instead is said.
func TestPorts(t *testing.T) {
	for port, want := range map[string]string{
		"grpc": "10.0.0.1:50051", "50051": "10.0.0.1:50051", "dns": "no port of its pods is dns", "80": "no port of its pods is 80; expected one of: admin 9901, grpc 50051",
	} {
		table := newTable(port)
		s := slice{Endpoints: []endpoint{{Addresses: []string{"10.0.0.1"}}}}
		number := func(n int32) *int32 { return &n }
		for name, n := range map[string]int32{"grpc": 50051, "admin": 9901} {
			s.Ports = append(s.Ports, struct {
				Name     string `json:"name"`
				Port     *int32 `json:"port"`
				Protocol string `json:"protocol"`
			}{name, number(n), "TCP"})
		}
		s.Ports = append(s.Ports, struct {
			Name     string `json:"name"`
			Port     *int32 `json:"port"`
			Protocol string `json:"protocol"`
		}{"dns", number(53), "UDP"})
		table.set(&s)
		all, err := table.endpoints()
		got := text(all)
		if err != nil {
			got = err.Error()
			if !errors.Is(err, ErrNone) {
				t.Error(err)
			}
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", port, got, want)
		}
	}
}

// TestParseService: Traffic 175.
func TestParseService(t *testing.T) {
	for text, want := range map[string]Service{
		"books.shop:grpc":                       {"books", "shop", "grpc"},
		"books:50051":                           {"books", "", "50051"},
		"books.shop.svc:grpc":                   {"books", "shop", "grpc"},
		"books.shop.svc.cluster.local:http-api": {"books", "shop", "http-api"},
		"books.shop":                            {}, "books.shop:": {}, ":grpc": {}, "": {}, "books.shop:0": {}, "books.shop:65536": {}, "Books.shop:grpc": {},
		"books..svc:grpc": {}, "books.shop.pod:grpc": {}, "books.sh/op:grpc": {}, "books.shop:grpc/x": {}, "books.:grpc": {},
	} {
		if got, err := ParseService(text); got != want || (err == nil) != (want != Service{}) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	if host := (Service{"books", "shop", "grpc"}).Host(); host != "books.shop.svc" {
		t.Error(host)
	}
}

// TestManyEndpoints: Traffic 175: a service of ten times as many endpoints as are kept
// costs no more.
func TestManyEndpoints(t *testing.T) {
	table := newTable("1")
	for i := range 100 {
		var s slice
		s.Metadata.Name = http.StatusText(100+i) + string(rune('a'+i))
		s.Ports = append(s.Ports, struct {
			Name     string `json:"name"`
			Port     *int32 `json:"port"`
			Protocol string `json:"protocol"`
		}{})
		for n := range 1000 {
			s.Endpoints = append(s.Endpoints, endpoint{Addresses: []string{"10." + strings.Join([]string{itoa(i), itoa(n / 250), itoa(n % 250)}, ".")}})
		}
		table.set(&s)
	}
	if all, err := table.endpoints(); len(all) != maxEndpoints || err != nil {
		t.Errorf("%d endpoints, %v", len(all), err)
	}
}
