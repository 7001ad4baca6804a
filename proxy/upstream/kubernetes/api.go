package kubernetes

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/transom-gateway/transom/internal/regularfile"
	"github.com/transom-gateway/transom/internal/tlsfiles"
)

const (
	// serviceAccount is where a pod finds what it needs to ask the API.
	serviceAccount = "/var/run/secrets/kubernetes.io/serviceaccount"
	// maxToken bounds the token and the name of the namespace, in bytes.
	maxToken = 64 << 10
	// maxStatus bounds what is read of an answer that is an error, in bytes.
	maxStatus = 64 << 10
	// answerTime bounds a list, and the wait for the begin of a watch.
	answerTime = 15 * time.Second
	// silence is after how long a connection is asked whether it is still there, and how
	// long that may take.
	silence = 15 * time.Second
)

// api asks the API server as the pod's service account.
type api struct {
	folder string
	ca     *tlsfiles.Kept[*x509.CertPool]
	pool   *x509.CertPool // that client was made with
	client *http.Client
}

// statusError is an answer that is none.
type statusError struct {
	code int
	text string
}

// Error implements error.
func (e *statusError) Error() string { return e.text }

// gone reports whether the API has forgotten where a watch was to go on.
func gone(err error) bool {
	var status *statusError
	return errors.As(err, &status) && status.code == http.StatusGone
}

// namespace is the pod's own.
func (a *api) namespace() (string, error) {
	text, err := regularfile.Read(filepath.Join(a.folder, "namespace"), maxToken)
	if err != nil {
		return "", outside(err)
	}
	name := strings.TrimSpace(string(text))
	if !label.MatchString(name) {
		return "", fmt.Errorf("%s holds no name of a namespace", filepath.Join(a.folder, "namespace"))
	}
	return name, nil
}

// outside says what an error means in most cases.
func outside(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: targets k8s:/// need a pod with a service account whose token is mounted", err)
	}
	return err
}

// server is where the API is.
func server() (string, error) {
	host, port := os.Getenv("KUBERNETES_SERVICE_HOST"), os.Getenv("KUBERNETES_SERVICE_PORT")
	if host == "" || port == "" {
		return "", errors.New("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: targets k8s:/// work in a pod alone")
	}
	return "https://" + net.JoinHostPort(host, port), nil
}

// connect makes a client that trusts the cluster's authority as its file is now.
func (a *api) connect() error {
	if a.ca == nil {
		ca, err := tlsfiles.Authorities(filepath.Join(a.folder, "ca.crt"), "ca.crt of the service account")
		if err != nil {
			return outside(err)
		}
		a.ca = ca
	}
	now := a.ca.Get()
	if a.client != nil && a.pool == now {
		return nil
	}
	a.close()
	a.pool, a.client = now, newClient(now)
	return nil
}

func (a *api) close() {
	if a.client != nil {
		a.client.CloseIdleConnections()
	}
}

// get asks for a path. The token is read each time: it lives for an hour. verb is what
// the service account must be allowed.
func (a *api) get(ctx context.Context, verb, namespace string, query url.Values) (io.ReadCloser, error) {
	base, err := server()
	if err != nil {
		return nil, err
	}
	if err := a.connect(); err != nil {
		return nil, err
	}
	token, err := regularfile.Read(filepath.Join(a.folder, "token"), maxToken)
	if err != nil {
		return nil, outside(err)
	}
	path := base + "/apis/discovery.k8s.io/v1/namespaces/" + url.PathEscape(namespace) + "/endpointslices?" + query.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "transom")
	answer, err := a.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("asking Kubernetes: %w", err)
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	defer func() { _ = answer.Body.Close() }() // only read
	return nil, refused(answer, verb, namespace)
}

// refused says what the API answered instead.
func refused(answer *http.Response, verb, namespace string) error {
	var told struct {
		Message string `json:"message"`
	}
	body, _ := io.ReadAll(io.LimitReader(answer.Body, maxStatus)) // what there is of it will do
	_ = json.Unmarshal(body, &told)                               // else there is no message
	e := &statusError{code: answer.StatusCode, text: "Kubernetes answered " + answer.Status}
	if len(told.Message) > 500 {
		told.Message = told.Message[:500] + "…"
	}
	if told.Message != "" {
		e.text += ": " + told.Message
	}
	switch answer.StatusCode {
	case http.StatusForbidden:
		e.text += fmt.Sprintf(`: allow the pod's service account the verb %q on endpointslices of the group discovery.k8s.io in namespace %s, by a Role and a RoleBinding`, verb, namespace)
	case http.StatusUnauthorized:
		e.text += ": the token of the pod's service account is not accepted"
	}
	return e
}
