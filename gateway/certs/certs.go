// Package certs gets a gateway its certificate: from files, which are read again when they
// change, or from a certificate authority that speaks ACME (RFC 8555), which proves by a
// connection to this machine that the name is its own and renews by itself. Both doors of a
// gateway, HTTP and the plane, go by the same one.
package certs

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"

	"github.com/cantus-network/cantus/plane"
)

// Files serves the certificate in two PEM files. A renewed one is served from the next
// connection on; while the new files can't be read, the old one goes on.
func Files(cert, key string) (*tls.Config, error) {
	if cert == "" || key == "" {
		return nil, errors.New("a certificate needs its key, and a key its certificate: give both files")
	}
	return plane.ServerTLS(cert, key)
}

// ACME says how to get certificates. Using it accepts the authority's terms.
type ACME struct {
	Domains   []string       // the first one is for clients that name none
	Dir       string         // where account and certificates are kept; nobody else may read it
	Email     string         // where the authority may complain; may be empty
	Directory string         // the authority's URL; empty for Let's Encrypt
	Roots     *x509.CertPool // trusted for talking to the authority; nil for the system's
}

// Open makes the directory and returns how to serve, and what answers the authority's
// question over plain HTTP on port 80 and sends everybody else to HTTPS. The authority may
// ask at the TLS listener instead (TLS-ALPN-01), which then must be reachable at port 443.
func (a ACME) Open() (*tls.Config, http.Handler, error) {
	if len(a.Domains) == 0 {
		return nil, nil, errors.New("certificates by ACME: no domain")
	}
	for _, d := range a.Domains {
		if net.ParseIP(d) != nil || !strings.Contains(d, ".") || strings.ContainsAny(d, "/:@* ") {
			return nil, nil, fmt.Errorf("certificates by ACME: %.100q is no full host name", d)
		}
	}
	if err := os.MkdirAll(a.Dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("certificates by ACME: %w", err)
	}
	if info, err := os.Stat(a.Dir); err != nil || info.Mode().Perm()&0o077 != 0 {
		return nil, nil, fmt.Errorf("certificates by ACME: others can read %s, which holds private keys: chmod 700 it", a.Dir)
	}
	client := &acme.Client{DirectoryURL: a.Directory, UserAgent: "cantus-gateway", HTTPClient: &http.Client{
		Timeout:   time.Minute,
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: a.Roots, MinVersion: tls.VersionTLS12}},
	}}
	if a.Directory == "" {
		client.DirectoryURL = autocert.DefaultACMEDirectory
	}
	m := &autocert.Manager{
		Prompt: autocert.AcceptTOS, Cache: autocert.DirCache(a.Dir), HostPolicy: autocert.HostWhitelist(a.Domains...),
		Client: client, Email: a.Email,
	}
	c := m.TLSConfig()
	c.MinVersion = tls.VersionTLS13
	get := c.GetCertificate
	c.GetCertificate = func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if h.ServerName == "" {
			named := *h
			named.ServerName = a.Domains[0]
			h = &named
		}
		return get(h)
	}
	return c, m.HTTPHandler(nil), nil
}
