// Package kubernetes finds the endpoints of a service by its EndpointSlices: it lists
// them and watches for changes, over net/http, as the pod's service account. It knows
// neither what connects to them nor how calls are spread.
//
//	w := kubernetes.Watch(service, "", func(all []kubernetes.Endpoint, err error) { … })
//	defer w.Close()
//
// The service account needs the verbs list and watch on endpointslices of the group
// discovery.k8s.io in the service's namespace.
package kubernetes

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"strconv"
	"sync"
	"time"
)

const (
	// firstPause and maxPause are how long it takes until the API is asked again after a
	// failure; the pause doubles.
	firstPause = time.Second
	maxPause   = 30 * time.Second
	// watchTime is how long one watch lasts, at most.
	watchTime = 5 * time.Minute
	// pageSlices is how many slices one page of a list has.
	pageSlices = 50
	// maxPage bounds one page of a list, maxEvent one event of a watch, in bytes: the
	// API's objects have 1.5 MiB at most.
	maxPage  = 16 << 20
	maxEvent = 4 << 20
	// maxPages bounds a list.
	maxPages = 100
)

// Watcher tells of the endpoints of a service until it is closed.
type Watcher struct {
	service Service
	api     *api
	pause   time.Duration // the first one after a failure
	now     func([]Endpoint, error)

	table   *table
	version string // from which a watch goes on; "" to list first
	failed  bool   // the last word was an error

	cancel context.CancelFunc
	work   sync.WaitGroup
}

// Watch begins to tell what endpoints a service has, by calls of now from one goroutine
// of its own: at first, after each change, and where that is not known an error. folder
// is that of the service account; "" for a pod's usual one.
func Watch(service Service, folder string, now func([]Endpoint, error)) *Watcher {
	w := &Watcher{service: service, api: &api{folder: cmp.Or(folder, serviceAccount)}, pause: firstPause, now: now}
	w.start()
	return w
}

func (w *Watcher) start() {
	var ctx context.Context
	ctx, w.cancel = context.WithCancel(context.Background())
	w.work.Go(func() { w.run(ctx) })
}

// Close waits for the last call of now to return.
func (w *Watcher) Close() {
	w.cancel()
	w.work.Wait()
	w.api.close()
}

func (w *Watcher) run(ctx context.Context) {
	for pause := w.pause; ; {
		began := time.Now()
		err := w.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if gone(err) {
			w.version = ""
			err = nil
		}
		if err != nil {
			w.failed = true
			w.now(nil, err)
		}
		switch lived := time.Since(began); {
		case err != nil:
			rest(ctx, pause)
			pause = min(2*pause, maxPause)
		case lived < w.pause:
			rest(ctx, w.pause) // it takes watches and ends them
		default:
			pause = w.pause
		}
	}
}

// rest waits, longer or shorter by a fifth.
func rest(ctx context.Context, pause time.Duration) {
	timer := time.NewTimer(time.Duration(float64(pause) * (0.8 + 0.4*rand.Float64()))) //nolint:gosec // no secret
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// follow lists where there is no version to go on from, and watches until the watch
// ends, for which nil is the error if the API ended it in good order.
func (w *Watcher) follow(ctx context.Context) error {
	if w.service.Namespace == "" {
		own, err := w.api.namespace()
		if err != nil {
			return err
		}
		w.service.Namespace = own
	}
	if w.version == "" {
		if err := w.list(ctx); err != nil {
			return err
		}
	}
	return w.watch(ctx)
}

func (w *Watcher) query() url.Values {
	return url.Values{"labelSelector": {"kubernetes.io/service-name=" + w.service.Name}}
}

func (w *Watcher) tell() {
	w.failed = false
	w.now(w.table.endpoints())
}

// list asks for all slices, page by page.
func (w *Watcher) list(ctx context.Context) error {
	found := newTable(w.service.Port)
	query := w.query()
	query.Set("limit", strconv.Itoa(pageSlices))
	for range maxPages {
		var page slicePage
		if err := w.page(ctx, query, &page); err != nil {
			return err
		}
		for i := range page.Items {
			found.set(&page.Items[i])
		}
		if page.Metadata.Continue == "" {
			if page.Metadata.ResourceVersion == "" {
				return errors.New("the list of Kubernetes has no resourceVersion")
			}
			w.table, w.version = found, page.Metadata.ResourceVersion
			w.tell()
			return nil
		}
		query.Set("continue", page.Metadata.Continue)
	}
	return fmt.Errorf("the list of Kubernetes has more than %d pages", maxPages)
}

// slicePage is what counts of an EndpointSliceList.
type slicePage struct {
	Metadata struct {
		ResourceVersion string `json:"resourceVersion"`
		Continue        string `json:"continue"`
	} `json:"metadata"`
	Items []slice `json:"items"`
}

func (w *Watcher) page(ctx context.Context, query url.Values, into *slicePage) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	body, err := w.api.get(ctx, "list", w.service.Namespace, query)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // only read
	if err := json.NewDecoder(&allowance{r: body, left: maxPage}).Decode(into); err != nil {
		return fmt.Errorf("reading the list of Kubernetes: %w", err)
	}
	return nil
}

// watch tells of changes from the version on.
func (w *Watcher) watch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, watchTime+answerTime)
	defer cancel()
	query := w.query()
	query.Set("watch", "1")
	query.Set("allowWatchBookmarks", "true")
	query.Set("resourceVersion", w.version)
	query.Set("timeoutSeconds", strconv.Itoa(int(watchTime/time.Second)))
	body, err := w.api.get(ctx, "watch", w.service.Namespace, query)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // only read
	if w.failed {
		w.tell() // it holds again
	}
	return w.events(body)
}

// broken reports whether a connection has ended, and not what came over it was wrong.
func broken(err error) bool {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	return !errors.As(err, &syntax) && !errors.As(err, &kind) && !errors.Is(err, errLarge)
}

// event is one of a watch.
type event struct {
	Type   string          `json:"type"`
	Object json.RawMessage `json:"object"`
}

// events reads those of a watch to its end.
func (w *Watcher) events(body io.Reader) error {
	bounded := &allowance{r: body}
	decoder := json.NewDecoder(bounded)
	for {
		bounded.left = maxEvent
		var e event
		switch err := decoder.Decode(&e); {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, context.DeadlineExceeded):
			return nil // watches end; the next one goes on from the version
		case err != nil:
			if !broken(err) {
				w.version = "" // what it was to tell is lost
			}
			return fmt.Errorf("reading the watch of Kubernetes: %w", err)
		}
		if err := w.event(e); err != nil {
			w.version = "" // what it was to tell is lost
			return err
		}
	}
}

func (w *Watcher) event(e event) error {
	if e.Type == "ERROR" {
		var status struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		}
		_ = json.Unmarshal(e.Object, &status) // else nothing is known but that it is an error
		return &statusError{code: status.Code, text: fmt.Sprintf("the watch of Kubernetes ended with status %d: %.500s", status.Code, status.Message)}
	}
	var s slice
	if err := json.Unmarshal(e.Object, &s); err != nil {
		return fmt.Errorf("reading an event of Kubernetes: %w", err)
	}
	switch e.Type {
	case "ADDED", "MODIFIED":
		w.table.set(&s)
	case "DELETED":
		w.table.remove(s.Metadata.Name)
	case "BOOKMARK":
	default:
		return fmt.Errorf("found an event of type %.80q in the watch of Kubernetes", e.Type)
	}
	if s.Metadata.ResourceVersion != "" {
		w.version = s.Metadata.ResourceVersion
	}
	if e.Type != "BOOKMARK" {
		w.tell()
	}
	return nil
}

var errLarge = errors.New("it is larger than expected")

// allowance reads until it has given all that is left of it.
type allowance struct {
	r    io.Reader
	left int
}

// Read implements io.Reader.
func (a *allowance) Read(p []byte) (int, error) {
	if a.left <= 0 {
		return 0, errLarge
	}
	n, err := a.r.Read(p[:min(len(p), a.left)])
	a.left -= n
	return n, err
}
