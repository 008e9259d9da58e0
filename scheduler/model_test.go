package scheduler_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"sync"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

// model is a ledger in memory that holds a scheduler to the market's rules: numbering,
// sums, escrow, openings, auditors, verdicts, windows, claims.
type model struct {
	mu         sync.Mutex
	chain      string
	gateway    work.PublicKey
	height     int64
	hash       []byte
	changed    chan struct{}
	params     scheduler.Params
	openBlocks int64
	auditors   int
	maxSamples uint32

	jobs       map[work.JobID]*modelJob
	workers    map[work.PublicKey]work.Worker
	challenges map[uint64]*scheduler.Challenge
	faults     []string
	sends      map[string]int
	trouble    func(what string) (before, after error) // injected into sends
}

type modelJob struct {
	work.Job
	closing int64
	epochs  []*work.Epoch
	claimed map[work.PublicKey]uint64
	forfeit map[work.PublicKey]bool
	planted map[work.PublicKey]uint64 // units of plants, which are nobody's
	plants  map[uint64]bool           // numbers of shown plants
}

func newModel(gateway work.PublicKey) *model {
	return &model{
		chain: "test-1", gateway: gateway, height: 1, hash: make([]byte, 32), changed: make(chan struct{}),
		params:     scheduler.Params{GraceBlocks: 60, MaxWorkersPerTx: 3},
		openBlocks: 400, auditors: 2, maxSamples: 8,
		jobs: map[work.JobID]*modelJob{}, workers: map[work.PublicKey]work.Worker{},
		challenges: map[uint64]*scheduler.Challenge{}, sends: map[string]int{},
	}
}

func (m *model) open(kind work.Name, spec artifact.Digest, escrow, price int64, epochBlocks int64) work.JobID {
	m.mu.Lock()
	defer m.mu.Unlock()
	id := work.JobID(len(m.jobs) + 1)
	m.jobs[id] = &modelJob{
		Job: work.Job{ID: id, Buyer: "buyer", Gateway: "gw", Kind: kind, Spec: spec, Escrow: big.NewInt(escrow), Price: big.NewInt(price),
			WorkerPrice: big.NewInt(price), AuditBps: 1000, EpochBlocks: epochBlocks, OpenedHeight: m.height, ExpiryHeight: m.height + 1<<40, Status: work.JobOpen},
		claimed: map[work.PublicKey]uint64{}, forfeit: map[work.PublicKey]bool{},
		planted: map[work.PublicKey]uint64{}, plants: map[uint64]bool{},
	}
	return id
}

func (m *model) enroll(k work.PublicKey, operator string, kinds ...work.Name) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.workers[k] = work.Worker{Key: k, Operator: operator, Kinds: kinds, Active: true}
}

func (m *model) setActive(k work.PublicKey, active bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.workers[k]
	w.Active = active
	m.workers[k] = w
}

// block makes one block.
func (m *model) block() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.height++
	h := sha256.Sum256(binary.BigEndian.AppendUint64(m.hash, uint64(m.height)))
	m.hash = h[:]
	for _, j := range m.jobs {
		for _, e := range j.epochs {
			m.wakeEpoch(j, e)
		}
		m.wakeJob(j)
	}
	close(m.changed)
	m.changed = make(chan struct{})
}

func (m *model) wakeEpoch(j *modelJob, e *work.Epoch) {
	switch e.Status {
	case work.EpochCommitted:
		if e.CommitHeight >= m.height {
			return
		}
		e.Beacon = work.Beacon(m.chain, j.ID, e.Number, m.hash)
		e.Status, e.Deadline = work.EpochSampled, m.height+m.openBlocks
		shape := work.Shape{Receipts: e.Receipts.Leaves, Units: e.Receipts.Sum, ProbationReceipts: e.ProbationReceipts, ProbationUnits: e.ProbationUnits}
		rates := work.Rates{AuditBps: j.AuditBps, ProbationBps: m.params.ProbationAuditBps, MaxSamples: m.maxSamples}
		for _, unit := range work.EpochSamples(e.Beacon, shape, rates) {
			e.Samples = append(e.Samples, work.Sample{Unit: unit, Status: work.SampleDrawn, Deadline: e.Deadline})
		}
	case work.EpochSampled, work.EpochAuditing:
		for i := range e.Samples {
			s := &e.Samples[i]
			if s.Deadline > m.height {
				continue
			}
			switch s.Status {
			case work.SampleDrawn:
				m.fault(j, fmt.Sprintf("epoch %d: sample %d was not opened", e.Number, i))
				return
			case work.SampleOpened:
				s.Status, s.Deadline = work.SampleRevealing, m.height+m.openBlocks
			case work.SampleRevealing:
				m.decide(j, s)
			}
		}
	}
	m.advance(j, e)
}

func (m *model) advance(j *modelJob, e *work.Epoch) {
	if e.Status != work.EpochSampled && e.Status != work.EpochAuditing {
		return
	}
	over, drawn := true, false
	for i := range e.Samples {
		s := &e.Samples[i]
		committed, revealed := 0, 0
		for _, slot := range s.Slots {
			if slot.Committed {
				committed++
			}
			if slot.Outcome != 0 {
				revealed++
			}
		}
		if s.Status == work.SampleOpened && committed == len(s.Slots) {
			s.Status, s.Deadline = work.SampleRevealing, m.height+m.openBlocks
		}
		if s.Status == work.SampleRevealing && revealed == committed {
			m.decide(j, s)
		}
		drawn = drawn || s.Status == work.SampleDrawn
		over = over && !slices.Contains([]work.SampleStatus{work.SampleDrawn, work.SampleOpened, work.SampleRevealing}, s.Status)
	}
	if !drawn {
		e.Status = work.EpochAuditing
	}
	if over {
		e.Status, e.Deadline = work.EpochDecided, max(e.CommitHeight+3, m.height)
	}
}

func (m *model) decide(j *modelJob, s *work.Sample) {
	pass, fail := 0, 0
	for _, slot := range s.Slots {
		switch slot.Outcome {
		case work.Pass:
			pass++
		case work.Fail:
			fail++
		}
	}
	s.Deadline = 0
	switch {
	case fail > pass:
		s.Status = work.SampleFalse
	case pass > fail:
		s.Status = work.SampleUpheld
		r, _ := work.DecodeReceipt(s.Receipt)
		w := m.workers[r.Receipt.Worker]
		w.AuditsPassed++
		m.workers[r.Receipt.Worker] = w
	default:
		s.Status = work.SampleUndecided
	}
}

func (m *model) wakeJob(j *modelJob) {
	if j.Status != work.JobOpen && j.Status != work.JobClosing {
		return
	}
	for j.Settled < j.Epochs {
		e := j.epochs[j.Settled]
		if e.Status != work.EpochDecided || m.height < e.Deadline {
			break
		}
		if !e.Plants.IsZero() && !e.PlantsShown {
			if m.height > e.Deadline+m.openBlocks {
				m.fault(j, fmt.Sprintf("epoch %d: its plants were not shown", e.Number))
			}
			break
		}
		m.convict(j, e)
		e.Status, e.SettledHeight, e.Label = work.EpochSettled, m.height, work.Agreed
		j.Settled++
		j.UnitsSettled += e.Receipts.Sum
	}
	if j.Status == work.JobOpen && m.height >= j.ExpiryHeight {
		j.Status, j.closing = work.JobClosing, m.height
	}
	if j.Status == work.JobClosing && (j.Finished || m.height > j.closing+m.params.GraceBlocks) && j.Settled == j.Epochs {
		j.Status = work.JobClosed
	}
}

// convict takes its pay from whoever has a sample that was found false and is no plant.
func (m *model) convict(j *modelJob, e *work.Epoch) {
	for _, s := range e.Samples {
		if s.Status != work.SampleFalse {
			continue
		}
		r, _ := work.DecodeReceipt(s.Receipt)
		if j.plants[r.Receipt.Seq] {
			continue
		}
		j.forfeit[r.Receipt.Worker] = true
		w := m.workers[r.Receipt.Worker]
		w.Active = false
		m.workers[r.Receipt.Worker] = w
	}
}

func (m *model) fault(j *modelJob, why string) {
	m.faults = append(m.faults, why)
	j.Status = work.JobFaulted
	for _, e := range j.epochs[j.Settled:] {
		e.Status = work.EpochVoid
	}
}

func (m *model) closeJob(id work.JobID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	j := m.jobs[id]
	j.Status, j.closing = work.JobClosing, m.height
}

func (m *model) job(id work.JobID) modelJob {
	m.mu.Lock()
	defer m.mu.Unlock()
	return *m.jobs[id]
}

func (m *model) sent(what string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sends[what]
}

// link is one scheduler's connection to the model. Once it is cut nothing passes it.
type link struct {
	m   *model
	mu  sync.RWMutex
	cut bool
}

var _ scheduler.Ledger = (*link)(nil)

var errCut = errors.New("the connection is cut")

func (l *link) disconnect() {
	l.mu.Lock()
	l.cut = true
	l.mu.Unlock()
}

// read and send run f on the model.
func (l *link) read(f func(m *model) error) error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.cut {
		return errCut
	}
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	return f(l.m)
}

func (l *link) send(what string, f func(m *model) error) error {
	return l.read(func(m *model) error {
		var before, after error
		if m.trouble != nil {
			before, after = m.trouble(what)
		}
		if before != nil {
			return before
		}
		if err := f(m); err != nil {
			return err
		}
		m.sends[what]++
		return after
	})
}

func (l *link) WaitHeight(ctx context.Context, above int64) (int64, error) {
	for {
		var h int64
		var changed chan struct{}
		if err := l.read(func(m *model) error { h, changed = m.height, m.changed; return nil }); err != nil {
			return 0, err
		}
		if h > above {
			return h, nil
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-changed:
		}
	}
}

func (l *link) Params(context.Context) (p scheduler.Params, err error) {
	err = l.read(func(m *model) error { p = m.params; return nil })
	return p, err
}

func (l *link) Jobs(context.Context) (js []work.Job, err error) {
	err = l.read(func(m *model) error {
		for _, j := range m.jobs {
			if j.Status == work.JobOpen || j.Status == work.JobClosing {
				js = append(js, j.Job)
			}
		}
		return nil
	})
	return js, err
}

func (l *link) Job(_ context.Context, id work.JobID) (j work.Job, err error) {
	err = l.read(func(m *model) error {
		if m.jobs[id] == nil {
			return scheduler.ErrNoJob
		}
		j = m.jobs[id].Job
		return nil
	})
	return j, err
}

func (m *model) epoch(id work.JobID, n uint64) (*modelJob, *work.Epoch, error) {
	j := m.jobs[id]
	if j == nil {
		return nil, nil, scheduler.ErrNoJob
	}
	if n == 0 || n > uint64(len(j.epochs)) {
		return j, nil, scheduler.ErrNoEpoch
	}
	return j, j.epochs[n-1], nil
}

func (l *link) Epoch(_ context.Context, id work.JobID, n uint64) (e work.Epoch, err error) {
	err = l.read(func(m *model) error {
		_, p, err := m.epoch(id, n)
		if err != nil {
			return err
		}
		e = *p
		e.Samples = slices.Clone(p.Samples)
		for i := range e.Samples {
			e.Samples[i].Slots = slices.Clone(e.Samples[i].Slots)
		}
		return nil
	})
	return e, err
}

func (l *link) Worker(_ context.Context, k work.PublicKey) (w work.Worker, err error) {
	err = l.read(func(m *model) error {
		var ok bool
		if w, ok = m.workers[k]; !ok {
			return scheduler.ErrNoWorker
		}
		return nil
	})
	return w, err
}

func (l *link) Claimed(_ context.Context, id work.JobID, k work.PublicKey) (c scheduler.Claimed, err error) {
	err = l.read(func(m *model) error {
		c = scheduler.Claimed{Units: m.jobs[id].claimed[k], Forfeited: m.jobs[id].forfeit[k]}
		return nil
	})
	return c, err
}

func (l *link) Challenges(context.Context) (cs []scheduler.Challenge, err error) {
	err = l.read(func(m *model) error {
		for _, c := range m.challenges {
			cs = append(cs, *c)
		}
		return nil
	})
	return cs, err
}
