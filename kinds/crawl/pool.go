package crawl

import (
	"bufio"
	"net"
	"sync"
	"time"
)

// Bounds of the pool.
const (
	maxIdlePerOrigin = 16
	maxIdle          = 512
	idleTime         = 20 * time.Second
)

// conn is a connection to an origin on which one exchange at a time takes place.
type conn struct {
	net.Conn
	origin string
	ip     string
	br     *bufio.Reader
	used   bool // an exchange has taken place
	expiry *time.Timer
}

// pool keeps connections between exchanges. It belongs to one Kind, and so to one
// worker with one dialer: what the dialer refused can't be had from it.
type pool struct {
	mu   sync.Mutex
	idle map[string][]*conn
	n    int
}

// get takes the connection to origin that was used last, or nil.
func (p *pool) get(origin string) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.idle[origin]
	if len(list) == 0 {
		return nil
	}
	c := list[len(list)-1]
	p.set(origin, list[:len(list)-1])
	p.n--
	c.expiry.Stop()
	return c
}

// put keeps c for the next exchange or closes it.
func (p *pool) put(c *conn) {
	if c.SetDeadline(time.Time{}) != nil || c.br.Buffered() > 0 {
		c.Close()
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.n >= maxIdle || len(p.idle[c.origin]) >= maxIdlePerOrigin {
		c.Close()
		return
	}
	if p.idle == nil {
		p.idle = map[string][]*conn{}
	}
	p.idle[c.origin] = append(p.idle[c.origin], c)
	p.n++
	c.expiry = time.AfterFunc(idleTime, func() { p.drop(c) })
}

// drop closes c if it is still idle.
func (p *pool) drop(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.idle[c.origin]
	for i := range list {
		if list[i] == c {
			p.set(c.origin, append(list[:i], list[i+1:]...))
			p.n--
			c.Close()
			return
		}
	}
}

func (p *pool) set(origin string, list []*conn) {
	if len(list) == 0 {
		delete(p.idle, origin)
		return
	}
	p.idle[origin] = list
}

// close closes all idle connections.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, list := range p.idle {
		for _, c := range list {
			c.expiry.Stop()
			c.Close()
		}
	}
	p.idle, p.n = nil, 0
}
