package fault

import (
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Proxy passes TCP connections on to a server and does to them what networks do. It
// starts as a good link. Its methods are safe for concurrent use and hold for the
// connections of now and later ones, unless they say otherwise.
type Proxy struct {
	target string
	listen net.Listener
	wg     sync.WaitGroup

	mu       sync.Mutex
	changed  chan struct{} // closed and replaced at each change
	pairs    map[*pair]bool
	min, max time.Duration
	rate     int // bytes a second in each direction, 0 for no limit
	stalled  bool
	cut      bool
	closed   bool
	cutAt    int64 // bytes to the server after which the link is cut; -1 for never
	toServer int64
	toClient int64
}

// NewProxy listens on a loopback port of its own for connections to target.
func NewProxy(target string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for connections to %s: %w", target, err)
	}
	p := &Proxy{target: target, listen: l, changed: make(chan struct{}), pairs: map[*pair]bool{}, cutAt: -1}
	p.wg.Go(p.accept)
	return p, nil
}

// Addr is where clients connect.
func (p *Proxy) Addr() string { return p.listen.Addr().String() }

// change applies f and wakes whoever waits for it.
func (p *Proxy) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

// Delay makes each piece of bytes take between least and most from one end to the other.
// The order within a connection is kept; that of pieces in different ones is not.
func (p *Proxy) Delay(least, most time.Duration) {
	p.change(func() { p.min, p.max = least, max(least, most) })
}

// Throttle lets a number of bytes a second pass on each connection in each direction; 0
// ends it.
func (p *Proxy) Throttle(bytesPerSecond int) { p.change(func() { p.rate = bytesPerSecond }) }

// Stall lets nothing pass while it is on and ends no connection: a cable is out. What was
// sent meanwhile passes when it is off again, as if it had been sent until it came through.
func (p *Proxy) Stall(on bool) { p.change(func() { p.stalled = on }) }

// Forget lets the connections of now go silent for good: whatever either end sends
// vanishes, and neither learns that the other closed. A router on the way has lost its
// table. New connections are good.
func (p *Proxy) Forget() {
	p.change(func() {
		for c := range p.pairs {
			c.forgotten = true
		}
	})
}

// Cut resets the connections of now and refuses new ones until Mend.
func (p *Proxy) Cut() { p.change(p.cutNow) }

// CutAfter cuts the link once n more bytes went to the server, in the middle of whatever
// they are part of.
func (p *Proxy) CutAfter(n int64) { p.change(func() { p.cutAt = p.toServer + n }) }

// Mend takes connections again after a Cut.
func (p *Proxy) Mend() { p.change(func() { p.cut, p.cutAt = false, -1 }) }

// IsCut reports whether the link is cut now.
func (p *Proxy) IsCut() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cut
}

// Passed counts the bytes that went through.
func (p *Proxy) Passed() (toServer, toClient int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.toServer, p.toClient
}

// Close ends everything.
func (p *Proxy) Close() {
	_ = p.listen.Close()
	p.change(func() {
		p.closed = true
		p.cutNow()
	})
	p.wg.Wait()
}

// cutNow is Cut for a caller that holds mu.
func (p *Proxy) cutNow() {
	p.cut, p.cutAt = true, -1
	for c := range p.pairs {
		c.reset()
	}
	clear(p.pairs)
}

func (p *Proxy) accept() {
	for {
		c, err := p.listen.Accept()
		if err != nil {
			return
		}
		p.wg.Go(func() { p.serve(c.(*net.TCPConn)) })
	}
}

// pair is a client's connection and the one to the server that stands for it.
type pair struct {
	client, server *net.TCPConn
	forgotten      bool // guarded by Proxy.mu
}

// reset ends both without the courtesies.
func (c *pair) reset() {
	for _, conn := range []*net.TCPConn{c.client, c.server} {
		_ = conn.SetLinger(0)
		_ = conn.Close()
	}
}

func (p *Proxy) serve(client *net.TCPConn) {
	p.mu.Lock()
	refuse := p.cut
	p.mu.Unlock()
	var server net.Conn
	var err error
	if !refuse {
		server, err = net.Dial("tcp", p.target)
	}
	if refuse || err != nil {
		_ = client.SetLinger(0)
		_ = client.Close()
		return
	}
	c := &pair{client: client, server: server.(*net.TCPConn)}
	p.mu.Lock()
	if p.cut {
		p.mu.Unlock()
		c.reset()
		return
	}
	p.pairs[c] = true
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.pump(c, c.client, c.server, &p.toServer) })
	both.Go(func() { p.pump(c, c.server, c.client, &p.toClient) })
	both.Wait()
	// Of a forgotten pair each end may still be open and must not learn of the other's.
	p.mu.Lock()
	defer p.mu.Unlock()
	if !c.forgotten {
		_ = client.Close()
		_ = server.Close()
		delete(p.pairs, c)
	}
}

// piece is bytes under way.
type piece struct {
	bytes []byte
	due   time.Time
}

// pump carries bytes one way until an end closes.
func (p *Proxy) pump(c *pair, from, to *net.TCPConn, count *int64) {
	way := make(chan piece, 1024)
	var writer sync.WaitGroup
	writer.Go(func() {
		for x := range way {
			time.Sleep(time.Until(x.due))
			if !p.deliver(c, to, x.bytes, count) {
				for range way { // until the reader notices
				}
				return
			}
		}
		if p.pass(c) {
			_ = to.CloseWrite()
		}
	})
	buf := make([]byte, 16<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			p.mu.Lock()
			d := p.min
			if p.max > p.min {
				d += rand.N(p.max - p.min)
			}
			p.mu.Unlock()
			way <- piece{append([]byte(nil), buf[:n]...), time.Now().Add(d)}
		}
		if err != nil {
			break
		}
	}
	close(way)
	writer.Wait()
}

// pass waits while the link is stalled, and reports whether anything passes at all.
func (p *Proxy) pass(c *pair) bool {
	for {
		p.mu.Lock()
		stalled, gone, changed := p.stalled && !p.closed, c.forgotten || !p.pairs[c], p.changed
		p.mu.Unlock()
		if gone {
			return false
		}
		if !stalled {
			return true
		}
		<-changed
	}
}

// deliver writes bytes to their end, slowly if the link is slow. It reports false when the
// connection is over.
func (p *Proxy) deliver(c *pair, to *net.TCPConn, b []byte, count *int64) bool {
	for len(b) > 0 {
		if !p.pass(c) {
			p.mu.Lock()
			defer p.mu.Unlock()
			return c.forgotten // go on swallowing
		}
		p.mu.Lock()
		n := len(b)
		var wait time.Duration
		if p.rate > 0 {
			n = min(n, max(1, p.rate/50))
			wait = time.Duration(n) * time.Second / time.Duration(p.rate)
		}
		last := count == &p.toServer && p.cutAt >= 0 && p.toServer+int64(n) >= p.cutAt
		if last {
			n = int(p.cutAt - p.toServer)
		}
		*count += int64(n)
		p.mu.Unlock()
		_, err := to.Write(b[:n])
		if last {
			// Let what was passed arrive: a reset may overtake it.
			time.Sleep(time.Millisecond)
			p.change(func() {
				if p.cutAt >= 0 { // and not mended meanwhile
					p.cutNow()
				}
			})
		}
		if err != nil {
			_ = to.Close()
			return false
		}
		b = b[n:]
		time.Sleep(wait)
	}
	return true
}
