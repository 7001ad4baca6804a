package kubernetes

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
)

// newClient trusts nobody but the cluster's authorities, follows no redirect, which
// would take the token elsewhere, and asks connections that are silent whether they
// are there: a watch may be silent for long.
func newClient(authorities *x509.CertPool) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			TLSClientConfig:       &tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS12},
			Protocols:             protocols,
			HTTP2:                 &http.HTTP2Config{SendPingTimeout: silence, PingTimeout: silence},
			TLSHandshakeTimeout:   answerTime,
			ResponseHeaderTimeout: answerTime,
			MaxIdleConns:          2,
		},
	}
}
