package scheduler

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/big"
	"slices"
	"sync"
	"time"

	"github.com/cantus-network/cantus/work"
)

// ErrUnknownJob is returned for a job that is not at this gateway.
var ErrUnknownJob = errors.New("this gateway has no such job")

// Progress is what people see of a job.
type Progress struct {
	Job     work.Job // the ledger's record as last read; its Status is "" until it was
	Phase   Phase
	Reason  string // why it is in this phase
	Trouble string // what keeps it from getting on now
	Height  int64

	Queued, Out, Ready, Done, Failed uint64
	Counts                           map[string]uint64 // the kind's own figures
	Units, Receipts                  uint64            // accepted
	Spent                            *big.Int          // units × price, settled or not
	Rate                             float64           // tasks per second
	ETA                              time.Duration     // of what is known to be left; negative: unknown
	Workers                          []WorkerProgress  // at most MaxWorkersShown, those with most units
	WorkerCount                      int
	Epochs                           []EpochProgress // at most MaxEpochsShown, the newest
	EpochCount                       uint64          // sealed
	Claimed                          bool
	TakenAt, EndedAt                 time.Time // EndedAt is zero while the job lives
}

// How much of a job with very many workers or epochs is shown.
const (
	MaxWorkersShown = 256
	MaxEpochsShown  = 256
)

// WorkerProgress is what a worker earned in a job.
type WorkerProgress struct {
	Worker   work.PublicKey
	Units    uint64
	Receipts uint64
}

// EpochProgress is a sealed epoch.
type EpochProgress struct {
	Number                                     uint64
	Receipts, Pay                              work.Root
	Status                                     work.EpochStatus // "" until it is committed
	CommitHeight, SettledHeight                int64
	Drawn, Upheld, False, Undecided, Unaudited uint32
	Label                                      work.Label
}

// Progress returns how a job gets on.
func (s *Scheduler) Progress(id work.JobID) (Progress, error) {
	j := s.job(id)
	if j == nil {
		return Progress{}, fmt.Errorf("job %d: %w", id, ErrUnknownJob)
	}
	return j.progress(), nil
}

// Jobs lists all jobs of this gateway, the newest first.
func (s *Scheduler) Jobs() []Progress {
	jobs := s.all()
	slices.SortFunc(jobs, func(a, b *job) int { return cmp.Compare(b.id, a.id) })
	ps := make([]Progress, len(jobs))
	for i, j := range jobs {
		ps[i] = j.progress()
	}
	return ps
}

func (j *job) progress() Progress {
	view := *j.view.Load()
	j.mu.Lock()
	defer j.mu.Unlock()
	p := Progress{
		Job: view, Phase: j.rec.Phase, Reason: j.rec.Reason, Trouble: j.trouble, Height: j.s.height.Load(),
		Queued: j.status.Queued, Out: uint64(j.out), Ready: uint64(len(j.tasks) - j.out),
		Done: j.receipts, Failed: j.rec.Failed, Counts: maps.Clone(j.status.Counts),
		Units: j.units, Receipts: j.receipts, Spent: new(big.Int),
		WorkerCount: len(j.accounts), EpochCount: j.rec.Open - 1, Claimed: j.rec.Claimed,
		TakenAt: time.UnixMilli(j.rec.TakenAt), ETA: -1,
	}
	if j.rec.EndedAt != 0 {
		p.EndedAt = time.UnixMilli(j.rec.EndedAt)
	}
	if err := j.s.store.diskError(); err != nil && p.Trouble == "" && p.Phase == PhaseRunning {
		p.Trouble = err.Error()
	}
	// Plants that were shown are nobody's work and cost the buyer nothing.
	units, receipts, shown := j.shownPlants()
	p.Done, p.Units, p.Receipts = p.Done-receipts, p.Units-units, p.Receipts-receipts
	if view.Price != nil {
		p.Spent.Mul(view.Price, new(big.Int).SetUint64(p.Units))
	}
	p.Rate = j.rate.per(j.s.now())
	if left := p.Queued + p.Out + p.Ready; p.Phase == PhaseRunning && p.Rate > 0 {
		p.ETA = time.Duration(math.Min(float64(left)/p.Rate, 1e8) * float64(time.Second))
	}
	for w, a := range j.accounts {
		x := WorkerProgress{w, a.Units - shown[w].Units, a.Receipts - shown[w].Receipts}
		if x.Receipts == 0 {
			p.WorkerCount--
			continue
		}
		p.Workers = append(p.Workers, x)
	}
	slices.SortFunc(p.Workers, func(a, b WorkerProgress) int {
		return cmp.Or(cmp.Compare(b.Units, a.Units), a.Worker.Compare(b.Worker))
	})
	p.Workers = p.Workers[:min(len(p.Workers), MaxWorkersShown)]
	first := uint64(1)
	if j.rec.Open > MaxEpochsShown {
		first = j.rec.Open - MaxEpochsShown
	}
	for n := first; n < j.rec.Open; n++ {
		if es := j.epochs[n]; es != nil {
			p.Epochs = append(p.Epochs, es.progress(n))
		}
	}
	return p
}

func (es *epochState) progress(n uint64) EpochProgress {
	r := es.record
	e := EpochProgress{
		Number: n, Receipts: r.Receipts.root(), Pay: r.Pay.root(), Status: r.Status,
		CommitHeight: r.Commit, SettledHeight: r.Settled, Label: r.Label,
		Drawn: r.Drawn, Upheld: r.Upheld, False: r.False, Undecided: r.Undecided, Unaudited: r.Unaudited,
	}
	if r.Status == "" && es.live != nil {
		e.Status, e.CommitHeight, e.Label = es.live.Status, es.live.CommitHeight, es.live.Label
		e.Drawn, e.Upheld, e.False, e.Undecided, e.Unaudited = tally(es.live.Samples)
	}
	return e
}

// Subscribe returns a channel that gets a value after the job changed: at most one waits,
// so a slow reader misses none but sees several as one. It is closed by cancel and when
// the scheduler closes.
func (s *Scheduler) Subscribe(id work.JobID) (changes <-chan struct{}, cancel func(), err error) {
	j := s.job(id)
	if j == nil {
		return nil, nil, fmt.Errorf("job %d: %w", id, ErrUnknownJob)
	}
	c, cancel := j.subs.add()
	return c, cancel, nil
}

func (j *job) notify() { j.subs.notify() }

type subscribers struct {
	mu   sync.Mutex
	subs map[chan struct{}]bool
}

func (s *subscribers) add() (<-chan struct{}, func()) {
	c := make(chan struct{}, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.subs == nil {
		s.subs = map[chan struct{}]bool{}
	}
	s.subs[c] = true
	return c, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.subs, c)
	}
}

func (s *subscribers) notify() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.subs {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// rate is how many tasks come in each second, over the last ten or so.
type rate struct {
	value float64
	at    time.Time
	n     int
}

const rateOver = 10.0

func (r *rate) add(n int, now time.Time) {
	if r.at.IsZero() {
		r.at, r.n = now, n
		return
	}
	r.n += n
	r.fold(now)
}

func (r *rate) fold(now time.Time) {
	d := now.Sub(r.at).Seconds()
	if d < 0.5 {
		return
	}
	keep := math.Exp(-d / rateOver)
	if r.value == 0 {
		keep = 0
	}
	r.value = keep*r.value + (1-keep)*float64(r.n)/d
	r.at, r.n = now, 0
}

func (r *rate) per(now time.Time) float64 {
	if !r.at.IsZero() {
		r.fold(now)
	}
	return r.value
}

// Health is whether the gateway can do its work.
type Health struct {
	Height  int64
	Heard   time.Time // when the ledger last answered
	Ledger  error     // what is wrong with it now
	Disk    error     // ErrDisk while there is no space for new work
	Workers int
	Idle    int
}

// Health says how the scheduler is.
func (s *Scheduler) Health() Health {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Health{
		Height: s.height.Load(), Heard: s.heard, Ledger: s.ledgerErr, Disk: s.store.diskError(),
		Workers: len(s.workers), Idle: len(s.idle),
	}
}

// Params returns the ledger's parameters, false until they were read.
func (s *Scheduler) Params() (Params, bool) {
	if p := s.params.Load(); p != nil {
		return *p, true
	}
	return Params{}, false
}
