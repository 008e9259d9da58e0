package plane_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/internal/fault"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
)

// proxied is a client whose link to the plane is in the test's hands.
func (w *world) proxied(t *testing.T, change ...func(*plane.Options)) (*plane.Client, *fault.Proxy, work.PublicKey) {
	t.Helper()
	p, err := fault.NewProxy(strings.TrimPrefix(w.url("nats"), "nats://"))
	require.NoError(t, err)
	t.Cleanup(p.Close)
	key := newKey(t)
	w.enrol(key.Public())
	opts := w.opts()
	for _, c := range change {
		c(&opts)
	}
	c, err := plane.Dial(t.Context(), "nats://"+p.Addr(), key, opts)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	_, err = c.Hello(t.Context(), hello)
	require.NoError(t, err)
	return c, p, key.Public()
}

func impatient(o *plane.Options) {
	o.RequestTime, o.ConnectTime = 100*time.Millisecond, 200*time.Millisecond
}

// lasting asks until it is answered.
func lasting(t *testing.T, c *plane.Client) {
	t.Helper()
	var err error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if _, err = c.Lease(t.Context(), lease); err == nil {
			return
		}
	}
	t.Fatalf("never answered again: %v", err)
}

// TestForgottenConnection: a router on the way lost its table. Nothing says so; the client
// finds out by itself and connects anew.
func TestForgottenConnection(t *testing.T) {
	w := start(t)
	c, p, _ := w.proxied(t, impatient)
	p.Forget()
	_, err := c.Lease(t.Context(), lease)
	require.Error(t, err)
	select {
	case <-c.Reconnects():
	case <-time.After(30 * time.Second):
		t.Fatal("the client holds on to a dead connection")
	}
	lasting(t, c)
}

// TestStalledLink: nothing passes for a while, as when a cable is out, and then everything.
func TestStalledLink(t *testing.T) {
	w := start(t)
	c, p, _ := w.proxied(t, impatient)
	for range 2 {
		p.Stall(true)
		_, err := c.Lease(t.Context(), lease)
		require.Error(t, err)
		p.Stall(false)
		lasting(t, c)
	}
	// Long enough for the client to give the connection up and to try others in vain.
	p.Stall(true)
	require.Eventually(t, func() bool { return !c.Connected() || try(t, c) != nil && !c.Connected() }, 30*time.Second, time.Millisecond)
	p.Stall(false)
	lasting(t, c)
}

func try(t *testing.T, c *plane.Client) error {
	_, err := c.Lease(t.Context(), lease)
	return err
}

// TestBusyIsNotDead: a gateway that takes longer than a request may is no reason to give
// the connection up, nor is a link on which a reply takes long but something comes.
func TestBusyIsNotDead(t *testing.T) {
	w := start(t)
	c, p, _ := w.proxied(t, impatient)
	release := make(chan struct{})
	w.handler.onLease(func(context.Context, work.PublicKey, plane.LeaseRequest) (plane.LeaseReply, error) {
		<-release
		return plane.LeaseReply{Wait: 7}, nil
	})
	_, err := c.Lease(t.Context(), lease)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	close(release)
	lasting(t, c)
	// A reply of some 200 KB at 256 KB/s takes longer than the request's time, many times.
	body := make([]byte, 50<<10)
	w.handler.onLease(func(context.Context, work.PublicKey, plane.LeaseRequest) (plane.LeaseReply, error) {
		return plane.LeaseReply{Bundles: []plane.Bundle{{Job: 1, Kind: "test/1", Deadline: 1, Tasks: []plane.Lease{
			{Seq: 1, Attempt: 1, Body: body}, {Seq: 2, Attempt: 1, Body: body}, {Seq: 3, Attempt: 1, Body: body}, {Seq: 4, Attempt: 1, Body: body}}}}}, nil
	})
	p.Throttle(256 << 10)
	_, err = c.Lease(t.Context(), lease)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Never(t, func() bool { return !c.Connected() }, 400*time.Millisecond, 5*time.Millisecond)
	p.Throttle(0)
	lasting(t, c)
	select {
	case <-c.Reconnects():
		t.Fatal("the connection was given up")
	default:
	}
}

// TestSlowLink: half a second each way, and 64 KB/s: all goes through, only slower.
func TestSlowLink(t *testing.T) {
	w := start(t)
	c, p, _ := w.proxied(t)
	p.Delay(500*time.Millisecond, 500*time.Millisecond)
	_, err := c.Hello(t.Context(), hello)
	require.NoError(t, err)
	p.Delay(0, 0)
	p.Throttle(64 << 10)
	req := report(t, newKey(t), 200)
	_, err = c.Done(t.Context(), req)
	require.NoError(t, err)
	w.handler.mu.Lock()
	defer w.handler.mu.Unlock()
	require.Len(t, w.handler.dones, 1)
	require.True(t, same(t, req, w.handler.dones[0]))
}

// report has n receipts.
func report(t *testing.T, key work.PrivateKey, n int) (r plane.DoneRequest) {
	for i := range n {
		s, err := work.SignReceipt(key, work.Receipt{Chain: "test-1", Job: 1, Seq: uint64(i + 1), Attempt: 1, Task: artifact.Digest{1}, Result: artifact.Digest{2}, Units: 3, Started: 1, Finished: 2})
		require.NoError(t, err)
		r.Receipts = append(r.Receipts, s)
	}
	return r
}

func same(t *testing.T, a, b plane.DoneRequest) bool {
	x, err := work.Encode(a)
	require.NoError(t, err)
	y, err := work.Encode(b)
	require.NoError(t, err)
	return bytes.Equal(x, y)
}

// TestCutInTheMiddle cuts the link at each byte of a report: the gateway sees the whole of
// it or nothing, the worker learns that it does not know, and sends it again.
func TestCutInTheMiddle(t *testing.T) {
	w := start(t)
	c, p, _ := w.proxied(t)
	req := report(t, newKey(t), 2)
	before, _ := p.Passed()
	_, err := c.Done(t.Context(), req)
	require.NoError(t, err)
	after, _ := p.Passed()
	for n := range fault.Positions(int(after-before)+20, 30) {
		w.handler.mu.Lock()
		w.handler.dones = nil
		w.handler.mu.Unlock()
		p.CutAfter(int64(n))
		_, err := c.Done(t.Context(), req)
		if err != nil {
			require.ErrorIs(t, err, plane.ErrDisconnected, "cut after %d", n)
		}
		p.Cut()
		p.Mend()
		for deadline := time.Now().Add(30 * time.Second); ; {
			if _, err = c.Done(t.Context(), req); err == nil {
				break
			}
			require.ErrorIs(t, err, plane.ErrDisconnected)
			require.True(t, time.Now().Before(deadline), "cut after %d: never connected again", n)
			time.Sleep(2 * time.Millisecond)
		}
		w.handler.mu.Lock()
		require.NotEmpty(t, w.handler.dones)
		require.LessOrEqual(t, len(w.handler.dones), 2)
		for _, got := range w.handler.dones {
			require.True(t, same(t, req, got), "cut after %d: a part of a report was taken for the whole", n)
		}
		w.handler.mu.Unlock()
	}
}

// TestTruncated: a prefix of a message is no message, nor is a frame that ends early.
func TestTruncated(t *testing.T) {
	w := start(t, func(c *plane.Config) { c.Limits.Rate, c.Limits.Burst = 1e6, 1e6 })
	key := newKey(t)
	w.enrol(key.Public())
	prefix := "cantus.1." + key.Public().String()
	conn := w.raw(t, key, nats.CustomInboxPrefix(prefix+".in"))
	whole, err := work.Encode(report(t, key, 2))
	require.NoError(t, err)
	for n := range fault.Positions(len(whole), 120) {
		m, err := conn.RequestWithContext(t.Context(), prefix+".done", whole[:n])
		require.NoError(t, err)
		_, err = plane.DecodeLeaseReply(m.Data)
		require.ErrorIs(t, err, plane.ErrInvalid, "%d of %d bytes", n, len(whole))
	}
	for n := range fault.Positions(len(whole), 20) {
		socket, nonce := w.bare(t)
		_, err := fmt.Fprintf(socket, "%sPUB %s.done %s.in.x %d\r\n%s", w.login(key, nonce), prefix, prefix, len(whole), whole[:n])
		require.NoError(t, err)
		require.NoError(t, socket.Close())
	}
	// The other connections with this key are ended by those; a fresh one still works.
	_, err = w.dial(t, key).Lease(t.Context(), lease)
	require.NoError(t, err)
	w.handler.mu.Lock()
	defer w.handler.mu.Unlock()
	require.Empty(t, w.handler.dones)
}

// TestReordered: requests of many workers that overtake each other on the way are answered
// each to its own.
func TestReordered(t *testing.T) {
	w := start(t)
	w.handler.onLease(func(_ context.Context, _ work.PublicKey, r plane.LeaseRequest) (plane.LeaseReply, error) {
		return plane.LeaseReply{Wait: r.Max}, nil
	})
	var wg sync.WaitGroup
	errs := make(chan error, 64)
	for range 4 {
		c, p, _ := w.proxied(t)
		p.Delay(0, 20*time.Millisecond)
		for i := range uint32(2) {
			wg.Go(func() {
				for n := range uint32(8) {
					r, err := c.Lease(t.Context(), plane.LeaseRequest{Max: i*8 + n, Kinds: lease.Kinds})
					if err == nil && r.Wait != i*8+n {
						err = fmt.Errorf("%d was answered as %d", i*8+n, r.Wait)
					}
					errs <- err
				}
			})
		}
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
}

// TestWrongClockTLS: a worker whose clock is years off can't tell a good certificate; the
// error says where to look.
func TestWrongClockTLS(t *testing.T) {
	certFile, keyFile, pool := certificate(t)
	w := start(t, func(c *plane.Config) { c.CertFile, c.KeyFile = certFile, keyFile })
	key := newKey(t)
	w.enrol(key.Public())
	off := func(d time.Duration) error {
		opts := w.opts()
		opts.TLS = &tls.Config{RootCAs: pool, Time: func() time.Time { return time.Now().Add(d) }}
		c, err := plane.Dial(t.Context(), w.url("tls"), key, opts)
		if err == nil {
			c.Close()
		}
		return err
	}
	require.NoError(t, off(0))
	require.NoError(t, off(-time.Hour))
	for _, d := range []time.Duration{2 * time.Hour, 20 * 365 * 24 * time.Hour} {
		require.ErrorContains(t, off(d), "see whether this machine's clock is right", d)
	}
}
