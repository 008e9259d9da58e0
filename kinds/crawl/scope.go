package crawl

import (
	"strings"

	"github.com/cantus-network/cantus/kinds/crawl/weburl"
)

// scope says which addresses belong to a job.
type scope struct {
	kind     Scope
	hosts    map[string]struct{} // of ScopeHost
	domains  map[string]struct{} // of every scope: the seeds' registrable domains
	prefixes map[string][]string // of ScopePrefix: by origin
}

func newScope(kind Scope) *scope {
	return &scope{kind: kind, hosts: map[string]struct{}{}, domains: map[string]struct{}{}, prefixes: map[string][]string{}}
}

// site is a host with its port where that is not the usual one: http and https of the
// same host belong together, two servers on different ports don't.
func site(u weburl.URL) string {
	return u.Authority()
}

// domain is a registrable domain, with the port where a host has no other: servers on
// different ports of an address are different sites.
func domain(u weburl.URL) string {
	d := weburl.Domain(u.Host())
	if d == u.Host() && u.Authority() != u.Host() {
		return u.Authority()
	}
	return d
}

// add makes an address and what goes with it part of the crawl.
func (s *scope) add(u weburl.URL) {
	s.hosts[site(u)] = struct{}{}
	s.domains[domain(u)] = struct{}{}
	s.prefixes[u.Origin()] = append(s.prefixes[u.Origin()], u.Dir())
}

func (s *scope) has(u weburl.URL) bool {
	switch s.kind {
	case ScopeHost:
		_, ok := s.hosts[site(u)]
		return ok
	case ScopeDomain:
		return s.sameDomain(u)
	}
	for _, p := range s.prefixes[u.Origin()] {
		if strings.HasPrefix(u.String(), p) {
			return true
		}
	}
	return false
}

// sameDomain reports whether an address is of a seed's registrable domain. Sitemaps may
// lie anywhere there.
func (s *scope) sameDomain(u weburl.URL) bool {
	_, ok := s.domains[domain(u)]
	return ok
}
