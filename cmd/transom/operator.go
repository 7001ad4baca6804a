package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// Bounds of an answer of the admin listener.
const (
	operatorTime   = 30 * time.Second
	operatorAnswer = 16 << 20
)

// operator asks the admin listener of a gateway that runs.
type operator struct {
	address, ca string
}

// open makes one request whose answer is read as it comes.
func (o *operator) open(ctx context.Context, path string) (io.ReadCloser, error) {
	client, err := o.client()
	if err != nil {
		return nil, err
	}
	client.Timeout = 0
	answer, err := o.send(ctx, client, http.MethodGet, path)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		defer func() { _ = answer.Body.Close() }()
		body, _ := io.ReadAll(io.LimitReader(answer.Body, operatorAnswer))
		if !fromAdmin(answer) {
			return nil, o.wrongPort(answer, body)
		}
		return nil, refusal(answer, body)
	}
	return answer.Body, nil
}

// send sends one request.
func (o *operator) send(ctx context.Context, client *http.Client, method, path string) (*http.Response, error) {
	base := o.address
	if strings.HasPrefix(base, "unix:") {
		base = "http://localhost"
	}
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	r, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(base, "/")+path, nil)
	if err != nil {
		return nil, fmt.Errorf("--admin: %w", err)
	}
	if token := os.Getenv("TRANSOM_ADMIN_TOKEN"); token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("the admin listener cannot be asked; is --admin its address? %w", err)
	}
	return answer, nil
}

// ask makes one request, and reads the answer into out: its JSON, or its text if that is a
// string; nothing if it is nil.
func (o *operator) ask(ctx context.Context, method, path string, out any) error {
	client, err := o.client()
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	answer, err := o.send(ctx, client, method, path)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, operatorAnswer))
	switch {
	case err != nil:
		return fmt.Errorf("the admin listener's answer: %w", err)
	case !fromAdmin(answer):
		return o.wrongPort(answer, body)
	case answer.StatusCode == http.StatusNotFound && strings.Contains(string(body), "page"):
		return fmt.Errorf("the admin listener at %s, if it is one, answers %s: %s; is --admin its address?", o.address, answer.Status, strings.TrimSpace(string(body)))
	case answer.StatusCode != http.StatusOK:
		return refusal(answer, body)
	case out == nil:
		return nil
	}
	if text, ok := out.(*string); ok {
		*text = string(body)
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("the admin listener's answer: %w", err)
	}
	return nil
}

// refusal is the error of an answer of the admin listener.
func refusal(answer *http.Response, body []byte) error {
	if answer.StatusCode == http.StatusUnauthorized {
		if os.Getenv("TRANSOM_ADMIN_TOKEN") == "" {
			return errors.New("the admin listener wants a token: set the environment variable TRANSOM_ADMIN_TOKEN to one of admin.tokens in the gateway's configuration")
		}
		return errors.New("the admin listener does not take the token of the environment variable TRANSOM_ADMIN_TOKEN: set it to one of admin.tokens in the gateway's configuration")
	}
	text := strings.TrimSpace(string(body))
	switch answer.StatusCode {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusConflict: // the listener is well, and says what is wrong
		if text != "" {
			return errors.New(text)
		}
	}
	return fmt.Errorf("the admin listener: %s: %s", answer.Status, text)
}

// fromAdmin reports whether an answer may be an admin listener's, whose errors are plain text.
func fromAdmin(answer *http.Response) bool {
	text := strings.HasPrefix(answer.Header.Get("Content-Type"), "text/plain")
	return answer.StatusCode == http.StatusOK && !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/html") ||
		answer.StatusCode != http.StatusOK && text && answer.Header.Get("Server") == ""
}

// wrongPort is the error where something else answers at the address.
func (o *operator) wrongPort(answer *http.Response, body []byte) error {
	var told struct {
		Code    *int   `json:"code"`
		Message string `json:"message"`
	}
	found := "another server, which answers " + answer.Status
	if json.Unmarshal(body, &told) == nil && told.Code != nil {
		found = fmt.Sprintf("a listener for clients, which answers %s (%s)", answer.Status, told.Message)
	}
	return fmt.Errorf("no admin listener is at %s: found %s; set --admin to the address that stands under admin in the gateway's configuration, which is 127.0.0.1:9901 where nothing does", o.address, found)
}

// client makes requests by the flags.
func (o *operator) client() (*http.Client, error) {
	t := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if path, ok := strings.CutPrefix(o.address, "unix:"); ok {
		t.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
	}
	if o.ca != "" {
		pem, err := os.ReadFile(o.ca)
		if err != nil {
			return nil, fmt.Errorf("--admin-ca: %w", err)
		}
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("--admin-ca: found no certificate in %s", o.ca)
		}
	}
	return &http.Client{Timeout: operatorTime, Transport: t}, nil
}
