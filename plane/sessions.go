package plane

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/cantus-network/cantus/work"
)

// maxConnections is how many connections one key may have: the second is for a worker
// that comes back before its old connection was seen to be dead. A third ends the oldest.
const maxConnections = 2

// peer is what the server knows of one connected worker.
type peer struct {
	key      work.PublicKey
	limiter  *rate.Limiter // requests
	strikes  *rate.Limiter // requests beyond the limits, until the worker is cut off
	inFlight atomic.Int32
	conns    []uint64                   // oldest first; guarded by sessions.mu
	remote   atomic.Pointer[netip.Addr] // of its last login
}

// sessions knows who is connected. The server tells it of logins; that a connection
// ended it finds out by asking alive, since the server has no hook for it.
type sessions struct {
	limits Limits
	alive  func(conn uint64) bool
	cut    func(conn uint64)

	mu     sync.RWMutex
	peers  map[work.PublicKey]*peer
	conns  map[uint64]work.PublicKey
	banned map[work.PublicKey]time.Time // until when
}

func newSessions(l Limits, alive func(uint64) bool, cut func(uint64)) *sessions {
	return &sessions{
		limits: l, alive: alive, cut: cut,
		peers:  map[work.PublicKey]*peer{},
		conns:  map[uint64]work.PublicKey{},
		banned: map[work.PublicKey]time.Time{},
	}
}

// known reports whether a connection has already logged in.
func (s *sessions) known(conn uint64) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, ok := s.conns[conn]
	return ok
}

// ban keeps a key out for a while.
func (s *sessions) ban(key work.PublicKey, until time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.banned[key] = until
}

func (s *sessions) bannedUntil(key work.PublicKey) time.Time {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.banned[key]
}

// add notes a login from an address and ends the key's oldest connection if it has too
// many.
func (s *sessions) add(key work.PublicKey, conn uint64, remote netip.Addr) {
	s.mu.Lock()
	p := s.peers[key]
	if p == nil {
		p = &peer{
			key:     key,
			limiter: rate.NewLimiter(rate.Limit(s.limits.Rate), s.limits.Burst),
			strikes: rate.NewLimiter(rate.Limit(s.limits.Rate), 4*s.limits.Burst),
		}
		s.peers[key] = p
	}
	s.dropDead(p)
	p.conns = append(p.conns, conn)
	p.remote.Store(&remote)
	s.conns[conn] = key
	var surplus []uint64
	for len(p.conns) > maxConnections {
		surplus = append(surplus, p.conns[0])
		s.forget(p, 0)
	}
	s.mu.Unlock()
	for _, c := range surplus {
		s.cut(c)
	}
}

// forget drops the i-th connection of p. The caller holds mu.
func (s *sessions) forget(p *peer, i int) {
	delete(s.conns, p.conns[i])
	p.conns = append(p.conns[:i:i], p.conns[i+1:]...)
}

// dropDead forgets the ended connections of p. The caller holds mu.
func (s *sessions) dropDead(p *peer) {
	for i := len(p.conns) - 1; i >= 0; i-- {
		if !s.alive(p.conns[i]) {
			s.forget(p, i)
		}
	}
}

// get returns a connected worker, or nil.
func (s *sessions) get(key work.PublicKey) *peer {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.peers[key]
}

// remove forgets a worker and returns its connections.
func (s *sessions) remove(key work.PublicKey) []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peers[key]
	if p == nil {
		return nil
	}
	for _, c := range p.conns {
		delete(s.conns, c)
	}
	delete(s.peers, key)
	return p.conns
}

// connected lists the workers with a live connection, in no order.
func (s *sessions) connected() []work.PublicKey {
	s.mu.RLock()
	defer s.mu.RUnlock()
	keys := make([]work.PublicKey, 0, len(s.peers))
	for k, p := range s.peers {
		for _, c := range p.conns {
			if s.alive(c) {
				keys = append(keys, k)
				break
			}
		}
	}
	return keys
}

// sweep forgets whoever left and every ban that is over.
func (s *sessions) sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, p := range s.peers {
		s.dropDead(p)
		if len(p.conns) == 0 && p.inFlight.Load() == 0 {
			delete(s.peers, k)
		}
	}
	for k, until := range s.banned {
		if now.After(until) {
			delete(s.banned, k)
		}
	}
}
