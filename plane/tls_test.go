package plane_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
)

func certificate(t *testing.T) (certFile, keyFile string, pool *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600))
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool = x509.NewCertPool()
	pool.AddCert(cert)
	return certFile, keyFile, pool
}

func TestTLS(t *testing.T) {
	certFile, keyFile, pool := certificate(t)
	w := start(t, func(c *plane.Config) { c.CertFile, c.KeyFile = certFile, keyFile })
	key := newKey(t)
	w.enrol(key.Public())
	for _, scheme := range []string{"tls", "wss"} {
		t.Run(scheme, func(t *testing.T) {
			opts := w.opts()
			_, err := plane.Dial(t.Context(), w.url(scheme), key, opts)
			require.Error(t, err, "the certificate isn't one the system knows")
			opts.TLS = &tls.Config{RootCAs: pool}
			c, err := plane.Dial(t.Context(), w.url(scheme), key, opts)
			require.NoError(t, err)
			defer c.Close()
			_, err = c.Hello(t.Context(), hello)
			require.NoError(t, err)
		})
	}
}

func TestRefusedConfigurations(t *testing.T) {
	authorize := func(context.Context, work.PublicKey) error { return nil }
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer busy.Close()
	good := plane.Config{Listen: "127.0.0.1:0", Gateway: newKey(t).Public(), Handler: &handler{}, Authorize: authorize}
	for name, tt := range map[string]struct {
		change func(*plane.Config)
		want   string
	}{
		"no handler":       {func(c *plane.Config) { c.Handler = nil }, "Handler"},
		"no authorize":     {func(c *plane.Config) { c.Authorize = nil }, "Authorize"},
		"no key":           {func(c *plane.Config) { c.Gateway = work.PublicKey{} }, "key"},
		"no address":       {func(c *plane.Config) { c.Listen = "" }, "address"},
		"everywhere":       {func(c *plane.Config) { c.Listen = ":0" }, "TLS"},
		"ws everywhere":    {func(c *plane.Config) { c.WebSocket = "0.0.0.0:0" }, "TLS"},
		"bad port":         {func(c *plane.Config) { c.Listen = "127.0.0.1:99999" }, "port"},
		"no port":          {func(c *plane.Config) { c.Listen = "127.0.0.1" }, "host:port"},
		"half certificate": {func(c *plane.Config) { c.CertFile = "x" }, "certificate"},
		"lost certificate": {func(c *plane.Config) { c.CertFile, c.KeyFile = "/nonexistent/c", "/nonexistent/k" }, "/nonexistent/c"},
		"port in use":      {func(c *plane.Config) { c.Listen = busy.Addr().String() }, "address already in use"},
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			tt.change(&c)
			s, err := plane.Listen(c)
			if err == nil {
				s.Close()
			}
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestCheckURL(t *testing.T) {
	for _, u := range []string{"nats://127.0.0.1:1", "ws://localhost:2", "tls://gw.example:4222", "wss://gw.example", "wss://gw.example/plane", "nats://[::1]:3"} {
		_, err := plane.CheckURL(u, false)
		require.NoError(t, err, u)
	}
	for _, u := range []string{"", "http://x", "nats://10.0.0.1:1", "ws://gw.example", "nats://u:p@127.0.0.1:1", "tls://x/y", "tls://x?y", "tls://", "://", "nats://127.0.0.1.evil.example:1"} {
		_, err := plane.CheckURL(u, false)
		require.Error(t, err, u)
	}
	_, err := plane.CheckURL("nats://10.0.0.1:1", false)
	require.ErrorIs(t, err, plane.ErrInsecure)
	_, err = plane.CheckURL("nats://10.0.0.1:1", true)
	require.NoError(t, err)
}
