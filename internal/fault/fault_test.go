package fault_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/internal/fault"
)

// echo is a server that sends back what it gets.
func echo(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	return l.Addr().String()
}

func proxy(t *testing.T) *fault.Proxy {
	p, err := fault.NewProxy(echo(t))
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}

func dial(t *testing.T, p *fault.Proxy) net.Conn {
	c, err := net.Dial("tcp", p.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestProxyPasses(t *testing.T) {
	p := proxy(t)
	for range 2 {
		c := dial(t, p)
		sent := bytes.Repeat([]byte("0123456789"), 50_000)
		go func() {
			_, _ = c.Write(sent)
			_ = c.(*net.TCPConn).CloseWrite()
		}()
		got, err := io.ReadAll(c)
		require.NoError(t, err)
		require.True(t, bytes.Equal(sent, got))
		p.Delay(time.Millisecond, 3*time.Millisecond)
		p.Throttle(4 << 20)
	}
	up, down := p.Passed()
	require.EqualValues(t, 1_000_000, up)
	require.EqualValues(t, 1_000_000, down)
}

func TestProxyStallsAndGoesOn(t *testing.T) {
	p := proxy(t)
	c := dial(t, p)
	p.Stall(true)
	_, err := c.Write([]byte("hello"))
	require.NoError(t, err)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	buf := make([]byte, 5)
	_, err = c.Read(buf)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	p.Stall(false)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(30*time.Second)))
	_, err = io.ReadFull(c, buf)
	require.NoError(t, err)
	require.Equal(t, "hello", string(buf))
}

func TestProxyForgets(t *testing.T) {
	p := proxy(t)
	old := dial(t, p)
	buf := make([]byte, 1)
	_, err := old.Write([]byte("x"))
	require.NoError(t, err)
	_, err = io.ReadFull(old, buf)
	require.NoError(t, err)
	p.Forget()
	_, err = old.Write([]byte("y"))
	require.NoError(t, err, "nothing says that it is gone")
	require.NoError(t, old.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, err = old.Read(buf)
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	fresh := dial(t, p)
	_, err = fresh.Write([]byte("z"))
	require.NoError(t, err)
	_, err = io.ReadFull(fresh, buf)
	require.NoError(t, err)
	require.Equal(t, "z", string(buf))
}

func TestProxyCuts(t *testing.T) {
	p := proxy(t)
	c := dial(t, p)
	p.CutAfter(10)
	_, err := c.Write(make([]byte, 100))
	require.NoError(t, err)
	n, err := io.Copy(io.Discard, c)
	require.Error(t, err)
	require.LessOrEqual(t, n, int64(10))
	up, _ := p.Passed()
	require.EqualValues(t, 10, up)
	require.True(t, p.IsCut())
	refused, err := net.Dial("tcp", p.Addr())
	if err == nil {
		_, err = refused.Read(make([]byte, 1))
	}
	require.Error(t, err)
	p.Mend()
	_, err = dial(t, p).Write([]byte("x"))
	require.NoError(t, err)
}

func TestDisk(t *testing.T) {
	fault.OnDisk(t, func(d *fault.Disk) {
		for n := range 4 {
			d.Clear()
			d.Pages(n)
			err := os.WriteFile(d.Path("f"), make([]byte, 3*4096), 0o600)
			require.Equal(t, n < 3, errors.Is(err, syscall.ENOSPC), "%d pages: %v", n, err)
		}
		d.Clear()
		d.Files(1)
		require.NoError(t, os.Mkdir(d.Path("d"), 0o700))
		require.ErrorIs(t, os.WriteFile(d.Path("d", "f"), nil, 0o600), syscall.ENOSPC)
		pages, files := d.Used()
		require.Equal(t, 0, pages)
		require.Equal(t, 1, files)
	})
}

func TestPositions(t *testing.T) {
	t.Setenv("FAULTS", "")
	var got []int
	for i := range fault.Positions(20, 5) {
		got = append(got, i)
	}
	require.Equal(t, []int{0, 1, 2, 4, 8, 12, 16, 17, 18, 19}, got)
	t.Setenv("FAULTS", "all")
	got = nil
	for i := range fault.Positions(20, 5) {
		got = append(got, i)
	}
	require.Len(t, got, 20)
}
