package scheduler

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

// Plants show whether auditors look. A plant is a receipt of a decoy, a worker whose key
// this gateway's operator holds, for a task that a genuine receipt of the same epoch
// answers too, with a result that the kind spoiled. It enters the open epoch like any other
// receipt, at about the time when it would have come in, so that neither the job's figures
// nor the epoch's tree tell it from one:
//
//   - its task's number is one that was set aside (number.go),
//   - its time, attempt and units are as usual, its result is in the artifact store,
//   - the decoy has an account, and its units are in the pay tree; the ledger forfeits them,
//   - the gateway hands out an epoch's receipts and bodies only once its plants are shown:
//     side by side, two receipts of one task would tell.
//
// What remains: whoever did the genuine task may recognise the task. An operator that does
// the share s of a job recognises the share s of its plants. And a decoy that was shown is
// known, so another plants in the next epoch while there is one.
//
// With the epoch's roots goes a commitment to its plants, also to none, whose salt is on
// disk before; once the ledger has decided the epoch the plants are shown.

const (
	plantsAtOnce  = 4  // made in one step of a job's loop
	maxCandidates = 64 // receipts that a plant may be made from
	plantTries    = 16 // receipts that a kind can't spoil, in a row, before one is given up
)

// planting is what a job plants. The job's mutex guards it.
type planting struct {
	spares     []spare
	owed       int
	tries      int
	candidates []uint64                          // numbers of receipts of the open epoch
	seen       int                               // how many there were
	made       map[uint64]map[uint64]plantRecord // by epoch and number
	refunded   uint64                            // units of plants that were settled
}

func newPlanting() planting { return planting{made: map[uint64]map[uint64]plantRecord{}} }

// decoy is a key that plants.
type decoy struct {
	key  work.PrivateKey
	name work.PublicKey
}

func (s *Scheduler) setDecoys() error {
	for _, k := range s.cfg.Decoys {
		d := decoy{k, k.Public()}
		if d.name.IsZero() || d.name == s.cfg.Key.Public() {
			return errors.New("scheduler: a key in Config.Decoys is empty or the gateway's own")
		}
		s.decoys = append(s.decoys, d)
	}
	slices.SortFunc(s.decoys, func(a, b decoy) int { return a.name.Compare(b.name) })
	s.decoys = slices.CompactFunc(s.decoys, func(a, b decoy) bool { return a.name == b.name })
	s.decoySecret = sha256.Sum256(append([]byte("cantus/decoys\x00"), s.cfg.Key.Seed()...))
	return nil
}

// plantsIn reports whether a key is of a decoy that plants in a job, if it plants, and so
// gets no tasks of it. About half of the decoys do, so that each of them also has receipts
// of its own work elsewhere; which half, only this gateway can tell.
func (s *Scheduler) plantsIn(id work.JobID, key work.PublicKey) bool {
	if len(s.decoys) == 0 {
		return false
	}
	at, ok := s.findDecoy(key)
	if !ok {
		return false
	}
	return s.coin(id, key) || int(uint64(id)%uint64(len(s.decoys))) == at // one at least
}

func (s *Scheduler) findDecoy(key work.PublicKey) (int, bool) {
	return slices.BinarySearchFunc(s.decoys, key, func(d decoy, k work.PublicKey) int { return d.name.Compare(k) })
}

func (s *Scheduler) isDecoy(key work.PublicKey) bool {
	_, ok := s.findDecoy(key)
	return ok
}

func (s *Scheduler) coin(id work.JobID, key work.PublicKey) bool {
	b := binary.BigEndian.AppendUint64(s.decoySecret[:len(s.decoySecret):len(s.decoySecret)], uint64(id))
	h := sha256.Sum256(append(b, key[:]...))
	return h[0]&1 == 0
}

// draw is a number below n, from Config.Rand.
func (s *Scheduler) draw(n int) (int, error) {
	var b [8]byte
	if _, err := io.ReadFull(s.cfg.Rand, b[:]); err != nil {
		return 0, fmt.Errorf("read randomness: %w", err)
	}
	return int(binary.BigEndian.Uint64(b[:]) % uint64(n)), nil
}

// consider lets chance decide how many plants good receipts call for. The caller holds
// j.mu.
func (j *job) consider(good []*claim) {
	if len(j.s.decoys) == 0 || j.s.cfg.PlantBps <= 0 {
		return
	}
	p := &j.plants
	for _, c := range good {
		if c.receipt.Receipt.Units == 0 {
			continue
		}
		if n, err := j.s.draw(10_000); err == nil && n < j.s.cfg.PlantBps {
			p.owed = min(p.owed+1, work.MaxPlants)
		}
		// Each receipt of the epoch has the same chance to be among the candidates.
		p.seen++
		if len(p.candidates) < maxCandidates {
			p.candidates = append(p.candidates, c.task.seq)
		} else if i, err := j.s.draw(p.seen); err == nil && i < maxCandidates {
			p.candidates[i] = c.task.seq
		}
	}
}

// newEpoch forgets what plants of the sealed epoch could have been made from. What is owed
// stays. The caller holds j.mu.
func (p *planting) newEpoch() { p.candidates, p.seen = nil, 0 }

// plant makes some of the plants that are owed. Only the job's loop calls it.
func (j *job) plant(ctx context.Context) error {
	if len(j.s.decoys) == 0 || j.s.cfg.PlantBps <= 0 {
		return nil
	}
	for range plantsAtOnce {
		j.mu.Lock()
		p := &j.plants
		open := j.rec.Phase == PhaseRunning || j.rec.Phase == PhaseDraining
		seq, epoch := uint64(0), j.rec.Open
		if n := len(p.candidates); open && p.owed > 0 && n > 0 && len(p.spares) > 0 && len(p.made[epoch]) < work.MaxPlants && j.kind != nil {
			i, err := j.s.draw(n)
			if err != nil {
				j.mu.Unlock()
				return err
			}
			seq = p.candidates[i]
			p.candidates = slices.Delete(p.candidates, i, i+1)
		}
		j.mu.Unlock()
		if seq == 0 {
			return nil
		}
		err := j.plantFrom(ctx, epoch, seq)
		j.mu.Lock()
		switch {
		case err == nil:
			p.owed, p.tries = p.owed-1, 0
		case errors.Is(err, work.ErrUnspoilable):
			if p.tries++; p.tries >= plantTries {
				p.owed, p.tries = p.owed-1, 0
			}
			err = nil
		}
		j.mu.Unlock()
		if errors.Is(err, errNoDecoy) {
			return nil // the receipts go unwatched, but they go on
		}
		if err != nil {
			return fmt.Errorf("plant a receipt: %w", err)
		}
	}
	return nil
}

var errNoDecoy = errors.New("no decoy can plant now")

// plantFrom makes a plant from the receipt of a task.
func (j *job) plantFrom(ctx context.Context, epoch, seq uint64) error {
	spoiler, ok := j.kind.(work.Spoiler)
	if !ok {
		return errNoDecoy
	}
	v, err := j.s.store.get(receiptKey(j.id, epoch, seq))
	if err != nil {
		return err
	}
	encoded, body, err := splitReceipt(v)
	if err != nil {
		return err
	}
	genuine, err := work.DecodeReceipt(encoded)
	if err != nil {
		return fmt.Errorf("%w: %v", ErrCorrupt, err)
	}
	twin := genuine.Receipt
	d, err := j.decoy(ctx, epoch)
	if err != nil {
		return err
	}
	right, err := j.s.cfg.Artifacts.Get(ctx, twin.Result, work.MaxResult)
	if err != nil {
		return fmt.Errorf("read the result of task %d: %w", seq, err)
	}

	// It took about as long, and has just come in.
	a, err := j.s.draw(1000)
	if err != nil {
		return err
	}
	lag, err := j.s.draw(700)
	if err != nil {
		return err
	}
	now := j.s.now()
	took := min(time.Duration(twin.Finished-twin.Started)*time.Millisecond, j.needs.TaskTime)
	took = took*3/4 + took*time.Duration(a)/2000
	finished := now.Add(-time.Duration(lag) * time.Millisecond)
	started := finished.Add(-took)
	j.mu.Lock()
	number, ok := j.spare(started)
	j.mu.Unlock()
	if !ok {
		return errNoDecoy
	}
	if started.Before(number.at) {
		started, finished = number.at, number.at.Add(took)
	}

	from := j.s.clock.wall(started)
	t := work.Task{Job: j.id, Seq: number.seq, Spec: j.spec, Body: body}
	env := work.Env{Now: func() time.Time { return from.Add(took / 8) }, Rand: j.s.cfg.Rand, Blobs: j.s.cfg.Artifacts, Log: j.log}
	wrong, err := spoil(ctx, spoiler, env, t, work.Result{Body: right})
	if err != nil {
		return fmt.Errorf("spoil the result of task %d: %w", seq, err)
	}
	units, err := meter(j.kind, t, work.Result{Body: wrong.Body})
	if err != nil || units != twin.Units || wrong.Digest() == twin.Result {
		return fmt.Errorf("spoil the result of task %d: %d units instead of %d (%v): %w", seq, units, twin.Units, err, work.ErrUnspoilable)
	}
	result, err := j.s.cfg.Artifacts.Put(ctx, wrong.Body)
	if err != nil {
		return fmt.Errorf("store a plant's result: %w", err)
	}
	r, err := work.SignReceipt(d.key, work.Receipt{
		Chain: j.s.cfg.Chain, Job: j.id, Seq: t.Seq, Attempt: 1, Task: t.Digest(), Result: result, Units: units,
		Started: max(0, from.UnixMilli()), Finished: max(0, from.UnixMilli(), j.s.clock.wall(finished).UnixMilli()),
	})
	if err != nil {
		return err
	}
	return j.enterPlant(epoch, d.name, r, body)
}

// spoil asks the kind, and takes one that panics as one that can't.
func spoil(ctx context.Context, k work.Spoiler, env work.Env, t work.Task, right work.Result) (r work.Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: the kind panicked: %v\n%s", work.ErrUnspoilable, p, debug.Stack())
		}
	}()
	return k.Spoil(ctx, env, t, right)
}

// enterPlant makes a plant part of the open epoch, unless that was sealed meanwhile or the
// escrow does not cover it.
func (j *job) enterPlant(epoch uint64, name work.PublicKey, r work.SignedReceipt, body []byte) error {
	encoded, err := r.Encode()
	if err != nil {
		return err
	}
	units := r.Receipt.Units
	j.mu.Lock()
	open := j.rec.Phase == PhaseRunning || j.rec.Phase == PhaseDraining
	reserved := j.reserved() + units
	if !open || j.rec.Open != epoch || reserved > j.view.Load().Affordable() {
		j.mu.Unlock()
		return errNoDecoy
	}
	var a account
	if was := j.accounts[name]; was != nil {
		a = *was
	}
	a.Units, a.Receipts, a.Epoch = a.Units+units, a.Receipts+1, epoch
	rec := plantRecord{Decoy: name, Units: units}
	seq := r.Receipt.Seq
	b := j.s.store.batch()
	_ = b.Set(receiptKey(j.id, epoch, seq), appendReceipt(nil, encoded, body), nil)
	_ = b.Set(numberKey(spaceDone, j.id, seq), binary.BigEndian.AppendUint64(nil, epoch), nil)
	_ = b.Set(accountKey(j.id, name), encode(a), nil)
	_ = b.Set(plantKey(j.id, epoch, seq), encode(rec), nil)
	p, err := j.s.store.apply(b)
	if err != nil {
		j.mu.Unlock()
		return err
	}
	j.accounts[name] = &a
	j.units += units
	j.receipts++
	j.inOpen++
	j.rate.add(1, j.s.now())
	j.notePlant(epoch, seq, rec)
	j.mu.Unlock()
	if err := p.wait(); err != nil {
		return err
	}
	j.s.m.planted.Inc()
	j.notify()
	return nil
}

func (j *job) notePlant(epoch, seq uint64, r plantRecord) {
	if j.plants.made[epoch] == nil {
		j.plants.made[epoch] = map[uint64]plantRecord{}
	}
	j.plants.made[epoch][seq] = r
}

// loadPlants reads which receipts are plants.
func (j *job) loadPlants() error {
	return scanJob(j.s.store, spacePlant, j.id, func(k, v []byte) error {
		r, err := decode[plantRecord]("a plant", v)
		if err != nil {
			return err
		}
		if len(k) != 1+8+8+8 {
			return fmt.Errorf("%w: a plant's key of %d bytes", ErrCorrupt, len(k))
		}
		j.notePlant(binary.BigEndian.Uint64(k[9:]), binary.BigEndian.Uint64(k[17:]), r)
		return nil
	})
}

// decoy picks who plants in an epoch: the one that does already, else one that never
// planted in this job, else any.
func (j *job) decoy(ctx context.Context, epoch uint64) (decoy, error) {
	view := j.view.Load()
	var ready []decoy
	for _, d := range j.s.decoys {
		if !j.s.plantsIn(j.id, d.name) {
			continue
		}
		// The ledger faults a gateway that commits a receipt of a worker without a bond.
		rec, err := j.s.cfg.Ledger.Worker(ctx, d.name)
		if errors.Is(err, ErrNoWorker) {
			continue
		}
		if err != nil {
			return decoy{}, fmt.Errorf("ask the ledger about a decoy: %w", err)
		}
		if rec.Active && slices.Contains(rec.Kinds, j.rec.Kind) && rec.Operator != view.Gateway && rec.Operator != view.Buyer {
			ready = append(ready, d)
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	rank := map[work.PublicKey]int{} // 0 never planted here, 1 here and now, 2 before
	worked := map[work.PublicKey]uint64{}
	for n, made := range j.plants.made {
		for _, r := range made {
			worked[r.Decoy]++
			if n == epoch {
				rank[r.Decoy] = max(rank[r.Decoy], 1)
			} else {
				rank[r.Decoy] = 2
			}
		}
	}
	best := func(r int) []decoy {
		return slices.DeleteFunc(slices.Clone(ready), func(d decoy) bool {
			a := j.accounts[d.name]
			return rank[d.name] != r || a != nil && a.Receipts > worked[d.name] // it has work of its own here
		})
	}
	for _, r := range []int{1, 0, 2} {
		if list := best(r); len(list) > 0 {
			i, err := j.s.draw(len(list))
			if err != nil {
				return decoy{}, err
			}
			return list[i], nil
		}
	}
	return decoy{}, errNoDecoy
}

// hidePlants works out the commitment to an epoch's plants, whose places its tree knows.
func (j *job) hidePlants(n uint64, seqs []uint64) (artifact.Digest, *plantsRecord, error) {
	if len(j.s.decoys) == 0 {
		j.mu.Lock()
		none := len(j.plants.made[n]) == 0
		j.mu.Unlock()
		if none {
			return artifact.Digest{}, nil, nil
		}
	}
	var r plantsRecord
	if _, err := io.ReadFull(j.s.cfg.Rand, r.Salt[:]); err != nil {
		return artifact.Digest{}, nil, fmt.Errorf("read randomness: %w", err)
	}
	j.mu.Lock()
	for i, seq := range seqs {
		if _, ok := j.plants.made[n][seq]; ok {
			r.Indices = append(r.Indices, uint64(i))
		}
	}
	j.mu.Unlock()
	c, err := j.plantsOf(n, r).Commitment()
	return c, &r, err
}

func (j *job) plantsOf(n uint64, r plantsRecord) work.Plants {
	return work.Plants{Chain: j.s.cfg.Chain, Job: j.id, Epoch: n, Indices: r.Indices, Salt: r.Salt}
}

// readPlants reads what the plants commitment of a sealed epoch hides; false where there
// is no commitment.
func (j *job) readPlants(n uint64) (plantsRecord, bool, error) {
	b, err := j.s.store.get(numberKey(spacePlants, j.id, n))
	if err != nil || b == nil {
		return plantsRecord{}, false, err
	}
	r, err := decode[plantsRecord]("the plants of an epoch", b)
	return r, err == nil, err
}

// showPlants reveals a decided epoch's plants to the ledger.
func (j *job) showPlants(ctx context.Context, n uint64, ep *work.Epoch) error {
	if ep.Status != work.EpochDecided || ep.Plants.IsZero() || ep.PlantsShown {
		return nil
	}
	r, ok, err := j.readPlants(n)
	if err != nil {
		return err
	}
	if !ok {
		return errors.New("the ledger has a plants commitment that this database does not know")
	}
	if err := j.plantsOf(n, r).Check(ep.Plants); err != nil {
		return err
	}
	var plants []CommittedReceipt
	if len(r.Indices) > 0 {
		t, err := j.receiptTree(n)
		if err != nil {
			return err
		}
		for _, i := range r.Indices {
			o, err := j.prove(n, t, int(i))
			if err != nil {
				return err
			}
			plants = append(plants, o)
		}
	}
	if err := j.s.send("plants", j.s.cfg.Ledger.RevealPlants(ctx, j.id, n, r.Salt, plants)); err != nil {
		return fmt.Errorf("show the plants: %w", err)
	}
	return nil
}

// shown reports whether the world knows which of the epoch's receipts are plants, or knows
// that there are none. The caller holds j.mu.
func (es *epochState) shown() bool {
	return es.record.Plants.IsZero() || es.record.PlantsShown || es.live != nil && es.live.PlantsShown
}

// refund counts an epoch's plants as paid back. The caller holds j.mu.
func (j *job) refund(n uint64, es *epochState) {
	if es.record.Status != work.EpochSettled || !es.record.PlantsShown {
		return
	}
	for _, r := range j.plants.made[n] {
		j.plants.refunded += r.Units
	}
}

// shownPlants sums what plants that the world knows of took of a job's figures, and of
// each decoy's. The caller holds j.mu.
func (j *job) shownPlants() (units, receipts uint64, of map[work.PublicKey]account) {
	for n, made := range j.plants.made {
		if es := j.epochs[n]; es == nil || !es.shown() {
			continue
		}
		for _, r := range made {
			if of == nil {
				of = map[work.PublicKey]account{}
			}
			a := of[r.Decoy]
			a.Units += r.Units
			a.Receipts++
			of[r.Decoy] = a
			units += r.Units
			receipts++
		}
	}
	return units, receipts, of
}
