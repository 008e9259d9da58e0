package crawl

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/cantus-network/cantus/kinds/crawl/weburl"
	"github.com/cantus-network/cantus/work"
)

// client does HTTP/1.1 exchanges. It speaks the protocol itself rather than through
// net/http's transport because the WARC records hold the heads byte for byte.
type client struct {
	times timeouts
	roots *x509.CertPool // nil: the system's
	pool  pool
}

// exchange is one request and its response.
type exchange struct {
	start       time.Time
	ip          string
	requestHead []byte
	head        []byte // of the response, as sent; bare line feeds became CRLF
	response    *http.Response
	body        []byte // with the transfer coding undone
	truncated   bool
}

// wish is what to do with a response's body, said when the head is in.
type wish struct {
	limit uint64 // bytes to read
	skip  bool   // the body is not wanted at all
}

// do asks for u. The body is read as want says of its head.
func (c *client) do(ctx context.Context, env work.Env, u weburl.URL, want func(*http.Response) wish) (*exchange, error) {
	ctx, cancel := context.WithTimeout(ctx, c.times.total)
	defer cancel()
	request := requestHead(u)
	for {
		cn, err := c.connect(ctx, env.Dial, u)
		if err != nil {
			return nil, err
		}
		reused := cn.used
		ex, answered, err := c.exchange(ctx, env.Now, cn, u, request, want)
		if err != nil {
			cn.Close()
			// A server may close a kept connection just when it is used again. That is no
			// exchange: nothing was answered, so it is asked once more on a new one.
			if reused && !answered && ctx.Err() == nil && classify(err) == ErrReset {
				continue
			}
			return nil, err
		}
		return ex, nil
	}
}

func requestHead(u weburl.URL) []byte {
	return []byte("GET " + u.Target() + " HTTP/1.1\r\n" +
		"Host: " + u.Authority() + "\r\n" +
		"User-Agent: " + UserAgent + "\r\n" +
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,text/*;q=0.8,*/*;q=0.5\r\n" +
		"Accept-Encoding: gzip\r\n" +
		"\r\n")
}

// connect gives a kept connection to u's origin or opens one.
func (c *client) connect(ctx context.Context, dial work.DialFunc, u weburl.URL) (*conn, error) {
	if cn := c.pool.get(u.Origin()); cn != nil {
		return cn, nil
	}
	host := strings.Trim(u.Host(), "[]")
	dctx, cancel := context.WithTimeout(ctx, c.times.dial)
	defer cancel()
	raw, err := dial(dctx, "tcp", net.JoinHostPort(host, u.Port()))
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w: %w", u.Authority(), errDial, err)
	}
	cn := &conn{Conn: raw, origin: u.Origin()}
	if ap, err := netip.ParseAddrPort(raw.RemoteAddr().String()); err == nil {
		cn.ip = ap.Addr().Unmap().WithZone("").String()
	}
	if u.Scheme() == "https" {
		t := tls.Client(raw, &tls.Config{ServerName: host, RootCAs: c.roots, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12})
		tctx, cancel := context.WithTimeout(ctx, c.times.tls)
		defer cancel()
		if err := t.HandshakeContext(tctx); err != nil {
			raw.Close()
			if tctx.Err() != nil {
				err = tctx.Err()
			} else {
				err = fmt.Errorf("%w: %w", errTLS, err)
			}
			return nil, fmt.Errorf("secure the connection to %s: %w", u.Authority(), err)
		}
		cn.Conn = t
	}
	cn.br = bufio.NewReaderSize(cn.Conn, 16<<10)
	return cn, nil
}

// exchange sends the request and reads the response on cn, which it keeps for later or
// closes, except when it fails. answered says that the server sent something.
func (c *client) exchange(ctx context.Context, now func() time.Time, cn *conn, u weburl.URL, request []byte, want func(*http.Response) wish) (ex *exchange, answered bool, err error) {
	// A cancelled context must end reads that are under way.
	stop := context.AfterFunc(ctx, func() { cn.SetDeadline(time.Unix(1, 0)) })
	clean := false
	defer func() {
		if !stop() {
			clean = false
			if err != nil && ctx.Err() != nil {
				err = fmt.Errorf("ask %s: %w", u.Authority(), ctx.Err())
			}
		}
		switch {
		case err != nil: // the caller closes
		case clean:
			cn.used = true
			c.pool.put(cn)
		default:
			cn.Close()
		}
	}()
	end, _ := ctx.Deadline()
	deadline := func(d time.Duration) {
		at := time.Now().Add(d)
		if at.After(end) {
			at = end
		}
		if ctx.Err() == nil { // else the past deadline must stand
			cn.SetDeadline(at)
		}
	}

	ex = &exchange{start: now(), ip: cn.ip, requestHead: request}
	deadline(c.times.head)
	if _, err := cn.Write(request); err != nil {
		return nil, false, fmt.Errorf("ask %s: %w", u.Authority(), err)
	}
	var body *bufio.Reader
	for interim := 0; ; interim++ {
		var n int
		ex.head, n, err = readHead(cn.br)
		answered = answered || n > 0
		if err != nil {
			return nil, answered, fmt.Errorf("read the response's head from %s: %w", u.Authority(), err)
		}
		// The parser reads the head that is kept, and then the body where the head ended.
		body = readers.Get().(*bufio.Reader)
		body.Reset(io.MultiReader(bytes.NewReader(ex.head), cn.br))
		defer readers.Put(body)
		ex.response, err = http.ReadResponse(body, &http.Request{Method: http.MethodGet})
		if err != nil {
			return nil, true, fmt.Errorf("read the response's head from %s: %w: %w", u.Authority(), errProtocol, err)
		}
		if code := ex.response.StatusCode; code >= 200 && code <= 599 {
			break
		} else if code < 100 || code > 199 || code == http.StatusSwitchingProtocols || interim >= maxInterim || body.Buffered() > 0 {
			return nil, true, fmt.Errorf("read the response from %s: %w: status %d", u.Authority(), errProtocol, code)
		}
	}

	w := want(ex.response)
	src := &patient{r: ex.response.Body, wait: func() { deadline(c.times.idle) }}
	whole := false
	if w.skip {
		ex.truncated = ex.response.ContentLength != 0
		if n := ex.response.ContentLength; n >= 0 && n <= maxDrain {
			_, err := io.Copy(io.Discard, src)
			whole = err == nil
		}
	} else {
		ex.body, whole, err = readBody(src, w.limit, ex.response.ContentLength)
		if err != nil {
			return nil, true, fmt.Errorf("read the response's body from %s: %w", u.Authority(), asProtocol(err))
		}
		ex.truncated = !whole
	}
	clean = whole && !ex.response.Close && body.Buffered() == 0 && cn.br.Buffered() == 0
	return ex, true, nil
}

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 4<<10) }}

// patient renews the deadline before every read, so that a slow body may take its time as
// long as something comes.
type patient struct {
	r    io.Reader
	wait func()
}

func (p *patient) Read(b []byte) (int, error) {
	p.wait()
	return p.r.Read(b)
}

// asProtocol marks errors of the chunked coding, which net/http does not name.
func asProtocol(err error) error {
	var ne net.Error
	if errors.As(err, &ne) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return err
	}
	if classify(err) == ErrProtocol {
		return fmt.Errorf("%w: %w", errProtocol, err)
	}
	return err
}

// readHead reads up to the empty line that ends a head. n counts the bytes that came.
func readHead(br *bufio.Reader) (head []byte, n int, err error) {
	head = make([]byte, 0, 512)
	for {
		line, err := br.ReadSlice('\n')
		n += len(line)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) && n > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, n, err
		}
		if n > maxHead {
			return nil, n, fmt.Errorf("%w: more than %d bytes", errHeadTooLarge, maxHead)
		}
		if err != nil { // the line goes on
			head = append(head, line...)
			continue
		}
		line = line[:len(line)-1]
		if len(line) > 0 && line[len(line)-1] == '\r' {
			line = line[:len(line)-1]
		} else if len(line) == 0 && len(head) > 0 && head[len(head)-1] == '\r' {
			head = head[:len(head)-1] // the CR was the buffer's last byte
		}
		begins := len(head) == 0 || bytes.HasSuffix(head, []byte("\r\n"))
		if len(head) == 0 && len(line) == 0 {
			continue // empty lines before the status line are forgiven
		}
		head = append(append(head, line...), '\r', '\n')
		if begins && len(line) == 0 {
			return head, n, nil
		}
	}
}
