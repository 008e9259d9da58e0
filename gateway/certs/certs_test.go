package certs_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/cantus-network/cantus/gateway/certs"
)

// selfSigned writes a certificate for names and its key into a directory.
func selfSigned(t *testing.T, dir string, serial int64, names ...string) (cert, key string, pool *x509.CertPool) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: names, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	require.NoError(t, err)
	kb, err := x509.MarshalPKCS8PrivateKey(k)
	require.NoError(t, err)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: kb}), 0o600))
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return cert, key, pool
}

// serve answers HTTPS with a configuration and returns the address.
func serve(t *testing.T, c *tls.Config) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &http.Server{TLSConfig: c, Handler: http.NotFoundHandler(), ErrorLog: log.New(io.Discard, "", 0)}
	go s.ServeTLS(l, "", "")
	t.Cleanup(func() { s.Close() })
	return l.Addr().String()
}

// served is the certificate that a server shows.
func served(addr, name string, roots *x509.CertPool) (*x509.Certificate, error) {
	d := &net.Dialer{Timeout: 30 * time.Second}
	c, err := tls.DialWithDialer(d, "tcp", addr, &tls.Config{ServerName: name, RootCAs: roots, InsecureSkipVerify: roots == nil})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0], nil
}

// TestFiles: a renewed certificate is served without a restart, and a broken renewal leaves
// the old one.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	cert, key, _ := selfSigned(t, dir, 1, "a.example")
	c, err := certs.Files(cert, key)
	require.NoError(t, err)
	addr := serve(t, c)
	x, err := served(addr, "a.example", nil)
	require.NoError(t, err)
	require.EqualValues(t, 1, x.SerialNumber.Int64())
	require.NoError(t, os.WriteFile(cert, []byte("half of a certif"), 0o600))
	for range 30 {
		x, err = served(addr, "a.example", nil)
		require.NoError(t, err)
		require.EqualValues(t, 1, x.SerialNumber.Int64())
		time.Sleep(50 * time.Millisecond)
	}
	selfSigned(t, dir, 2, "a.example")
	for x.SerialNumber.Int64() != 2 {
		if x, err = served(addr, "a.example", nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	_, err = certs.Files(cert, "")
	require.ErrorContains(t, err, "both files")
	_, err = certs.Files(cert, filepath.Join(dir, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// nameServer says of every name that it is this machine. It speaks DNS over TCP, which is
// what pebble asks by.
func nameServer(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go answer(c)
		}
	}()
	return l.Addr().String()
}

func answer(c net.Conn) {
	defer c.Close()
	var size [2]byte
	for {
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		b := make([]byte, binary.BigEndian.Uint16(size[:]))
		var m dnsmessage.Message
		if _, err := io.ReadFull(c, b); err != nil || m.Unpack(b) != nil || len(m.Questions) != 1 {
			return
		}
		m.Response, m.Additionals = true, nil
		if m.Questions[0].Type == dnsmessage.TypeA {
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET, TTL: 1},
				Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
			}}
		}
		out, err := m.Pack()
		if err != nil {
			return
		}
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...)); err != nil {
			return
		}
	}
}

func freePort(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// authority is pebble, the ACME server that Let's Encrypt tests clients with.
type authority struct {
	directory string
	trust     *x509.CertPool // for talking to it
	roots     *x509.CertPool // of what it issues
}

// pebble starts one that validates at these ports of this machine.
func pebble(t *testing.T, tlsPort, httpPort int) authority {
	program := os.Getenv("PEBBLE")
	if program == "" {
		var err error
		program, err = filepath.Abs("../../bin/pebble")
		require.NoError(t, err)
	}
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("no ACME server to test against: %v", err)
		}
		t.Skipf("no ACME server to test against: %v; `.ci/run prepare` builds one", err)
	}
	dir := t.TempDir()
	cert, key, pool := selfSigned(t, dir, 1, "localhost")
	listen, manage := net.JoinHostPort("127.0.0.1", itoa(freePort(t))), net.JoinHostPort("127.0.0.1", itoa(freePort(t)))
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": listen, "managementListenAddress": manage, "certificate": cert, "privateKey": key,
		"httpPort": httpPort, "tlsPort": tlsPort, "retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles": map[string]any{"default": map[string]any{"description": "d", "validityPeriod": 7776000}},
	}})
	require.NoError(t, err)
	file := filepath.Join(dir, "config.json")
	require.NoError(t, os.WriteFile(file, config, 0o600))
	cmd := exec.Command(program, "-config", file, "-dnsserver", nameServer(t))
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		if t.Failed() {
			t.Log(said.String())
		}
	})
	a := authority{directory: "https://" + listen + "/dir", trust: pool, roots: x509.NewCertPool()}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	for {
		resp, err := client.Get("https://" + manage + "/roots/0")
		if err == nil {
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			require.NoError(t, err)
			require.True(t, a.roots.AppendCertsFromPEM(b))
			return a
		}
		select {
		case <-ended:
			t.Fatalf("pebble ended: %s", said.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func itoa(n int) string { return big.NewInt(int64(n)).String() }

func TestACME(t *testing.T) {
	for name, byTLS := range map[string]bool{"asked over TLS": true, "asked over HTTP": false} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "acme")
			tlsPort, httpPort := freePort(t), freePort(t)
			a := pebble(t, tlsPort, httpPort)
			c, plain, err := certs.ACME{Domains: []string{"gw.example.org", "b.example.org"}, Dir: dir, Email: "op@example.org", Directory: a.directory, Roots: a.trust}.Open()
			require.NoError(t, err)
			addr := serve(t, c)
			if byTLS {
				// What the authority knows as port 443 leads to the server.
				forward(t, tlsPort, addr)
			} else {
				l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", itoa(httpPort)))
				require.NoError(t, err)
				s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					r.Host, _, _ = net.SplitHostPort(r.Host) // as it comes at port 80
					plain.ServeHTTP(w, r)
				})}
				go s.Serve(l)
				t.Cleanup(func() { s.Close() })
			}
			x, err := served(addr, "gw.example.org", a.roots)
			require.NoError(t, err)
			require.Equal(t, []string{"gw.example.org"}, x.DNSNames)
			_, err = served(addr, "evil.example.org", a.roots)
			require.Error(t, err, "a name that is not ours")

			// It is kept, for its owner alone, and served after a restart without asking again.
			info, err := os.Stat(dir)
			require.NoError(t, err)
			require.EqualValues(t, 0o700, info.Mode().Perm())
			again, _, err := certs.ACME{Domains: []string{"gw.example.org"}, Dir: dir, Directory: "https://127.0.0.1:1/dir"}.Open()
			require.NoError(t, err)
			// A client that names no server, as one that dials an address, gets the first.
			y, err := served(serve(t, again), "", nil)
			require.NoError(t, err)
			require.Equal(t, x.SerialNumber, y.SerialNumber)
		})
	}
}

// forward leads connections to a port of this machine on to an address.
func forward(t *testing.T, port int, to string) {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", itoa(port)))
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer in.Close()
				out, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer out.Close()
				go func() { _, _ = io.Copy(out, in) }()
				_, _ = io.Copy(in, out)
			}()
		}
	}()
}

func TestACMERefuses(t *testing.T) {
	for _, domain := range []string{"", "localhost", "192.0.2.1", "a.example/b", "*.example.org", "a b.example"} {
		_, _, err := certs.ACME{Domains: []string{domain}, Dir: t.TempDir()}.Open()
		require.ErrorContains(t, err, "no full host name", domain)
	}
	_, _, err := certs.ACME{Dir: t.TempDir()}.Open()
	require.ErrorContains(t, err, "no domain")
	open := t.TempDir()
	require.NoError(t, os.Chmod(open, 0o755))
	_, _, err = certs.ACME{Domains: []string{"a.example"}, Dir: open}.Open()
	require.ErrorContains(t, err, "chmod 700")
}
