package scheduler

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
)

// How leases are shared where somebody could claim them all under many names. Bonds make
// names dear; these limits make many names worth less than one: workers on probation
// together, each operator and each network hold at most a share of a job's leases in flight.
// A limit holds only while there are others to give the rest to, and never goes below a
// few tasks, so nobody starves and nothing stands still.
const (
	presentFor    = 45 * time.Second // a worker that was heard of since counts as there
	censusAge     = time.Second
	manySides     = 4 // operators, or networks, from which on their limits hold
	probationLeft = 4 // tasks that workers on probation may always hold together
	sideLeft      = 16
)

// standing is what a worker's leases count for.
type standing struct {
	operator  string
	network   string // the prefix that its address is of; "" for one that is not public
	probation bool
}

// tallies count a job's tasks in flight. The job's mutex guards them.
type tallies struct {
	probation         int
	operator, network map[string]int
}

func newTallies() tallies {
	return tallies{operator: map[string]int{}, network: map[string]int{}}
}

func (t *tallies) add(s standing, n int) {
	if s.probation {
		t.probation += n
	}
	count := func(m map[string]int, key string) {
		if key == "" {
			return
		}
		if m[key] += n; m[key] <= 0 {
			delete(m, key)
		}
	}
	count(t.operator, s.operator)
	count(t.network, s.network)
}

// census is who is there.
type census struct {
	at                  time.Time
	operators, networks int
	established         map[work.Name]int // workers not on probation, by kind
	probation, low      int               // workers on probation by the ledger's word, by their score
}

// census counts who is there: anew if the last count is old, or there are few to count.
func (s *Scheduler) census(now time.Time) *census {
	if c := s.counted.Load(); c != nil && !now.Before(c.at) && now.Sub(c.at) < censusAge && !s.recount.Swap(false) {
		return c
	}
	s.mu.Lock()
	workers := make([]*worker, 0, len(s.workers))
	for _, w := range s.workers {
		workers = append(workers, w)
	}
	s.mu.Unlock()
	c := &census{at: now, established: map[work.Name]int{}}
	operators, networks := map[string]bool{}, map[string]bool{}
	for _, w := range workers {
		w.mu.Lock()
		st, kinds, low := w.standing, w.kinds, w.score.value(now) < lowScore
		there := st.operator != "" && now.Sub(w.seen) < presentFor
		w.mu.Unlock()
		if !there {
			continue
		}
		operators[st.operator] = true
		if st.network != "" {
			networks[st.network] = true
		}
		switch {
		case low:
			c.low++
		case st.probation:
			c.probation++
		case s.isDecoy(w.key): // it may plant, and then takes no tasks
		default:
			for _, k := range kinds {
				c.established[k]++
			}
		}
	}
	c.operators, c.networks = len(operators), len(networks)
	s.counted.Store(c)
	return c
}

// met notes who a worker is by the ledger's record and by what it wants to do, and returns
// what its leases count for now.
func (s *Scheduler) met(w *worker, rec work.Worker, kinds []work.Name, now time.Time) standing {
	probation := false
	if p := s.params.Load(); p != nil {
		probation = rec.AuditsPassed < p.ProbationAudits
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	probation = probation || w.score.value(now) < lowScore
	fresh := w.standing.operator == "" || w.standing.probation != probation
	w.standing.operator, w.standing.probation = rec.Operator, probation
	w.declared = rec.Network
	if !slices.Equal(w.kinds, kinds) {
		w.kinds, fresh = slices.Clone(kinds), true
	}
	// A count that misses a newcomer is wrong by much only where there are few.
	if c := s.counted.Load(); fresh && (c == nil || c.operators < 4*manySides) {
		s.recount.Store(true)
	}
	return w.standing
}

// quota is how many more tasks of the job a worker of this standing may have now.
func (j *job) quota(st standing, c *census) int {
	limit := plane.MaxTasks
	cfg := &j.s.cfg
	if st.probation && c.established[j.rec.Kind] > 0 {
		limit = min(limit, part(j.out, j.held.probation, cfg.ProbationShare, probationLeft))
	}
	if c.operators >= manySides {
		limit = min(limit, part(j.out, j.held.operator[st.operator], cfg.OperatorShare, sideLeft))
	}
	if st.network != "" && c.networks >= manySides {
		limit = min(limit, part(j.out, j.held.network[st.network], cfg.NetworkShare, sideLeft))
	}
	return limit
}

// part is how many tasks somebody who holds mine of all may get on top, so that it has no
// more than so many basis points of what is out then, or as many as are always left to it.
func part(all, mine int, bps uint32, left int) int {
	if bps >= 10_000 {
		return plane.MaxTasks
	}
	n := (int(bps)*all - 10_000*mine) / int(10_000-bps)
	return max(n, left-mine, 0)
}

// observed is the network that an address is of, as limits see it: its /24 or /48. An
// address that is not public is of none, so that a network on one machine is no crowd.
func observed(a netip.Addr) string {
	a = a.Unmap()
	if !a.IsValid() || a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsUnspecified() {
		return ""
	}
	bits := 24
	if a.Is6() {
		bits = 48
	}
	p, err := a.WithZone("").Prefix(bits)
	if err != nil {
		return ""
	}
	return p.String()
}

// contradicts reports whether the network that an operator declared for a worker can't be
// that of the address it comes from. A prefix must hold the address; any other name
// is held against Config.Networks, where there is such a table and it knows the address.
func (s *Scheduler) contradicts(declared string, a netip.Addr) bool {
	if declared == "" || observed(a) == "" {
		return false
	}
	if p, err := netip.ParsePrefix(declared); err == nil {
		return !p.Contains(a.Unmap().WithZone(""))
	}
	if s.cfg.Networks == nil {
		return false
	}
	name := s.cfg.Networks(a)
	return name != "" && name != declared
}

// comesFrom notes a worker's address.
func (s *Scheduler) comesFrom(w *worker, declared string, a netip.Addr) {
	wrong := s.contradicts(declared, a)
	w.mu.Lock()
	w.address, w.standing.network, w.mismatch = a, observed(a), wrong
	w.mu.Unlock()
	if wrong {
		s.m.mismatches.Inc()
		s.log.Warn("a worker does not come from the network that its operator declared; its leases count for the one it comes from",
			"worker", w.key.Short(), "declared", declared, "address", a.String(), "counts for", observed(a))
	}
}

// accuse stops all leases to a worker while an epoch has a sample of its that was found
// false; once the epoch is over the ledger's own record says whether it may work.
func (s *Scheduler) accuse(key work.PublicKey, id work.JobID, epoch uint64) {
	w := s.worker(key)
	w.mu.Lock()
	defer w.mu.Unlock()
	at := accusation{id, epoch}
	if w.accused[at] {
		return
	}
	if w.accused == nil {
		w.accused = map[accusation]bool{}
	}
	w.accused[at] = true
	s.log.Warn("a sample was found false: its worker gets no more tasks", "worker", key.Short(), "job", uint64(id), "epoch", epoch)
}

// acquit ends what accuse began. The ledger is asked anew before the next lease.
func (s *Scheduler) acquit(key work.PublicKey, id work.JobID, epoch uint64) {
	w := s.worker(key)
	w.mu.Lock()
	delete(w.accused, accusation{id, epoch})
	w.mu.Unlock()
	s.mu.Lock()
	delete(s.known, key)
	s.mu.Unlock()
}

type accusation struct {
	job   work.JobID
	epoch uint64
}

func (w *worker) isAccused() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.accused) > 0
}

// WorkerView is how a worker stands at this gateway.
type WorkerView struct {
	Worker    work.PublicKey
	Operator  string
	Network   string // as observed; "" for an address that is not public
	Declared  string // as the ledger has it
	Mismatch  bool   // the two contradict each other
	Probation bool   // its leases count for the share of workers on probation
	Score     float64
	Share     float64 // of what its capacity allows
	Capacity  int
	Out       int // tasks in hand
	Accused   bool
	Seen      time.Time
}

// Workers lists the workers that this gateway heard of in the last hour, sorted by key.
func (s *Scheduler) Workers() []WorkerView {
	now := s.now()
	s.mu.Lock()
	workers := make([]*worker, 0, len(s.workers))
	for _, w := range s.workers {
		workers = append(workers, w)
	}
	s.mu.Unlock()
	views := make([]WorkerView, 0, len(workers))
	for _, w := range workers {
		w.mu.Lock()
		views = append(views, WorkerView{
			Worker: w.key, Operator: w.standing.operator, Network: w.standing.network, Declared: w.declared, Mismatch: w.mismatch,
			Probation: w.standing.probation, Score: w.score.value(now), Share: w.share, Capacity: w.capacity, Out: w.tasks,
			Accused: len(w.accused) > 0, Seen: w.seen,
		})
		w.mu.Unlock()
	}
	slices.SortFunc(views, func(a, b WorkerView) int { return cmp.Or(a.Worker.Compare(b.Worker)) })
	return views
}
