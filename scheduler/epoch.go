package scheduler

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/cantus-network/cantus/work"
)

// epochState is a sealed epoch. The job's mutex guards it.
type epochState struct {
	record   epochRecord
	live     *work.Epoch // as the ledger last showed it
	verdicts map[auditorOf]verdictRecord
	asked    map[work.PublicKey]bool // who has orders
	failed   int                     // sends in a row; the job's loop's own
	accused  map[work.PublicKey]bool // whose samples were found false
}

// seal closes the open epoch, if there is anything in it, so that no receipt enters it
// any more. With final the job takes no further receipts at all.
func (j *job) seal(ctx context.Context, final bool, reason string) error {
	if err := j.closeEpoch(final, reason); err != nil {
		return err
	}
	return j.fixAll(ctx)
}

// closeEpoch is seal without the roots, which the job's loop works out once the ledger
// answers.
func (j *job) closeEpoch(final bool, reason string) error {
	j.mu.Lock()
	if j.inOpen > 0 {
		j.plants.newEpoch()
		j.rec.Open++
		j.inOpen = 0
	}
	j.rec.Sealed = j.s.height.Load()
	b := j.s.store.batch()
	var lost []*bundle
	if final {
		j.rec.Phase, j.rec.Reason = PhaseSettling, reason
		j.leasing.Store(false)
		lost = j.abandon(b)
	}
	j.setRecord(b)
	p, err := j.s.store.apply(b)
	j.mu.Unlock()
	for _, x := range lost {
		j.s.worker(x.worker).lose(x, 1)
	}
	if err == nil {
		err = p.wait()
	}
	if err != nil {
		return err
	}
	if final {
		j.log.Info("the job takes no more receipts", "reason", reason)
	}
	j.notify()
	return nil
}

// abandon drops what is out and what waits. The caller holds j.mu.
func (j *job) abandon(b writer) (leased []*bundle) {
	seen := map[*bundle]bool{}
	for _, t := range j.tasks {
		if t.leased && !seen[t.bundle] {
			seen[t.bundle] = true
			j.s.leases.drop(t.bundle.expiry)
			leased = append(leased, t.bundle)
		}
		t.leased = false
	}
	for x := range seen {
		x.leased = 0
	}
	clear(j.tasks)
	j.ready, j.out, j.held = nil, 0, newTallies()
	prefix := jobKey(spaceBundle, j.id)
	_ = b.DeleteRange(prefix, after(prefix), nil)
	if err := j.closePlan(); err != nil {
		j.log.Warn("closing a plan", "err", err)
	}
	return leased
}

// fixAll works out the roots of sealed epochs that have none yet. They follow from the
// receipts and from what is written with them, so it does not matter how often this was
// begun before.
func (j *job) fixAll(ctx context.Context) error {
	j.mu.Lock()
	open := j.rec.Open
	n := open
	for n > 1 && j.epochs[n-1] == nil {
		n--
	}
	j.mu.Unlock()
	for ; n < open; n++ {
		if err := j.fix(ctx, n); err != nil {
			return fmt.Errorf("seal epoch %d: %w", n, err)
		}
	}
	return nil
}

// fix writes an epoch's roots together with what they depend on besides the receipts: who
// was on probation, and the salt that hides the plants. Only then may anybody use them.
func (j *job) fix(ctx context.Context, n uint64) error {
	list, earned, err := j.readReceipts(n)
	if err != nil {
		return err
	}
	first, err := j.s.onProbation(ctx, earned)
	if err != nil {
		return err
	}
	rt, err := newReceiptTree(list, first)
	if err != nil {
		return err
	}
	pay, err := j.payAsOf(n - 1)
	if err != nil {
		return err
	}
	b := j.s.store.batch()
	for w, units := range earned {
		pay[w] += units
		_ = b.Set(payKey(j.id, w, n), binary.BigEndian.AppendUint64(nil, pay[w]), nil)
	}
	pt, err := newPayTree(pay)
	if err != nil {
		return err
	}
	rec := epochRecord{
		Receipts: recordOf(rt.tree.Root()), Pay: recordOf(pt.tree.Root()),
	}
	if rt.firstUnits > 0 { // what is worth nothing is never drawn, so it is no part of its own
		rec.ProbationReceipts, rec.ProbationUnits = rt.first, rt.firstUnits
	}
	if len(first) > 0 {
		_ = b.Set(numberKey(spaceOrder, j.id, n), encode(orderOf(first)), nil)
	}
	plants, hidden, err := j.hidePlants(n, rt.seqs)
	if err != nil {
		return err
	}
	if rec.Plants = plants; hidden != nil {
		_ = b.Set(numberKey(spacePlants, j.id, n), encode(*hidden), nil)
	}
	_ = b.Set(numberKey(spaceEpoch, j.id, n), encode(rec), nil)
	if err := j.s.store.commit(b); err != nil {
		return err
	}
	j.trees.put(n, rt, pt)
	j.mu.Lock()
	j.epochs[n] = &epochState{record: rec}
	j.mu.Unlock()
	j.s.m.sealed.Inc()
	j.log.Info("an epoch is sealed", "epoch", n, "receipts", rec.Receipts.Leaves, "units", rec.Receipts.Sum, "workers", rec.Pay.Leaves, "root", fmt.Sprintf("%x", rec.Receipts.Hash))
	j.notify()
	return nil
}

// receiptTree is the tree over an epoch's receipts: first those of workers on probation,
// then the others, each in the order of their tasks.
type receiptTree struct {
	tree              *work.Tree
	seqs              []uint64
	first, firstUnits uint64 // receipts of workers on probation, and their units
}

// listed is a receipt as its tree needs it.
type listed struct {
	seq    uint64
	leaf   work.Node
	worker work.PublicKey
}

func newReceiptTree(list []listed, first map[work.PublicKey]bool) (*receiptTree, error) {
	t := &receiptTree{seqs: make([]uint64, 0, len(list))}
	leaves := make([]work.Node, 0, len(list))
	for _, probation := range []bool{true, false} {
		for i := range list {
			if r := &list[i]; first[r.worker] == probation {
				t.seqs = append(t.seqs, r.seq)
				leaves = append(leaves, r.leaf)
				if probation {
					t.first++
					t.firstUnits += r.leaf.Sum
				}
			}
		}
	}
	var err error
	t.tree, err = work.NewTree(leaves)
	return t, err
}

// probationAsks is how many questions about workers the ledger is asked at once.
const probationAsks = 16

// onProbation asks the ledger which of the workers are on probation. Audits passed are
// only ever added, so an answer that is a block old errs towards probation, where more
// audits than needed do no harm; a worker put first or last wrongly the other way would
// make the epoch's openings fail.
func (s *Scheduler) onProbation(ctx context.Context, earned map[work.PublicKey]uint64) (map[work.PublicKey]bool, error) {
	if err := s.readParams(ctx); err != nil {
		return nil, err
	}
	limit := s.params.Load().ProbationAudits
	if limit == 0 {
		return nil, nil
	}
	var mu sync.Mutex
	first := map[work.PublicKey]bool{}
	keys := make(chan work.PublicKey)
	errs := make(chan error, probationAsks)
	for range probationAsks {
		go func() {
			var failed error
			for key := range keys {
				if failed != nil {
					continue
				}
				w, err := s.cfg.Ledger.Worker(ctx, key)
				if err != nil && !errors.Is(err, ErrNoWorker) {
					failed = fmt.Errorf("ask the ledger whether worker %s is on probation: %w", key.Short(), err)
					continue
				}
				if w.AuditsPassed < limit {
					mu.Lock()
					first[key] = true
					mu.Unlock()
				}
			}
			errs <- failed
		}()
	}
	for key := range earned {
		keys <- key
	}
	close(keys)
	var err error
	for range probationAsks {
		err = errors.Join(err, <-errs)
	}
	return first, err
}

func orderOf(first map[work.PublicKey]bool) orderRecord {
	keys := slices.SortedFunc(maps.Keys(first), work.PublicKey.Compare)
	var r orderRecord
	for _, k := range keys {
		r.Workers = append(r.Workers, k[:]...)
	}
	return r
}

// readOrder reads which workers' receipts come first in an epoch's tree.
func (j *job) readOrder(n uint64) (map[work.PublicKey]bool, error) {
	b, err := j.s.store.get(numberKey(spaceOrder, j.id, n))
	if err != nil || b == nil {
		return nil, err
	}
	r, err := decode[orderRecord]("an epoch's order", b)
	if err != nil {
		return nil, err
	}
	if len(r.Workers)%len(work.PublicKey{}) != 0 {
		return nil, fmt.Errorf("%w: an epoch's order of %d bytes", ErrCorrupt, len(r.Workers))
	}
	first := make(map[work.PublicKey]bool, len(r.Workers)/len(work.PublicKey{}))
	for k := range slices.Chunk(r.Workers, len(work.PublicKey{})) {
		first[work.PublicKey(k)] = true
	}
	return first, nil
}

// payTree is the tree over the workers' cumulative units, in the order of their keys.
type payTree struct {
	tree    *work.Tree
	workers []work.PublicKey
	units   []uint64
}

func newPayTree(pay map[work.PublicKey]uint64) (*payTree, error) {
	t := &payTree{workers: make([]work.PublicKey, 0, len(pay))}
	for w := range pay {
		t.workers = append(t.workers, w)
	}
	slices.SortFunc(t.workers, work.PublicKey.Compare)
	leaves := make([]work.Node, len(t.workers))
	t.units = make([]uint64, len(t.workers))
	for i, w := range t.workers {
		t.units[i] = pay[w]
		leaves[i] = work.PayLeaf(w, pay[w])
	}
	var err error
	t.tree, err = work.NewTree(leaves)
	return t, err
}

func (t *payTree) prove(i int) (PayProof, error) {
	p, err := t.tree.Prove(i)
	return PayProof{Worker: t.workers[i], Units: t.units[i], Proof: p}, err
}

// readReceipts lists the receipts of a sealed epoch in the order of their tasks and sums
// what each worker earned in it.
func (j *job) readReceipts(n uint64) (list []listed, earned map[work.PublicKey]uint64, err error) {
	earned = map[work.PublicKey]uint64{}
	prefix := numberKey(spaceReceipt, j.id, n)
	err = j.s.store.scan(prefix, after(prefix), func(k, v []byte) (bool, error) {
		encoded, _, err := splitReceipt(v)
		if err != nil {
			return false, err
		}
		r, err := work.DecodeReceipt(encoded)
		if err != nil {
			return false, fmt.Errorf("%w: %v", ErrCorrupt, err)
		}
		list = append(list, listed{lastNumber(k), work.ReceiptLeaf(encoded, r.Receipt.Units), r.Receipt.Worker})
		earned[r.Receipt.Worker] += r.Receipt.Units
		return true, nil
	})
	return list, earned, err
}

// payAsOf sums the workers' cumulative units at the end of epoch n.
func (j *job) payAsOf(n uint64) (map[work.PublicKey]uint64, error) {
	pay := map[work.PublicKey]uint64{}
	err := scanJob(j.s.store, spacePay, j.id, func(k, v []byte) error {
		if len(v) != 8 || len(k) != 9+32+8 {
			return fmt.Errorf("%w: a pay record of %d bytes", ErrCorrupt, len(v))
		}
		if lastNumber(k) <= n {
			var w work.PublicKey
			copy(w[:], k[9:])
			pay[w] = binary.BigEndian.Uint64(v) // epochs come in order: the last one stays
		}
		return nil
	})
	return pay, err
}

// treeCache keeps the trees that were used last.
type treeCache struct {
	mu   sync.Mutex
	list []cachedTrees
}

type cachedTrees struct {
	epoch    uint64
	receipts *receiptTree
	pay      *payTree
}

const cachedEpochs = 4

func (c *treeCache) put(n uint64, r *receiptTree, p *payTree) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.list {
		if c.list[i].epoch == n {
			x := c.list[i]
			x.receipts, x.pay = cmp.Or(r, x.receipts), cmp.Or(p, x.pay)
			c.list = append(slices.Delete(c.list, i, i+1), x)
			return
		}
	}
	if len(c.list) == cachedEpochs {
		c.list = slices.Delete(c.list, 0, 1)
	}
	c.list = append(c.list, cachedTrees{n, r, p})
}

func (c *treeCache) get(n uint64) cachedTrees {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, x := range c.list {
		if x.epoch == n {
			return x
		}
	}
	return cachedTrees{}
}

func (c *treeCache) drop() {
	c.mu.Lock()
	c.list = nil
	c.mu.Unlock()
}

// errNotSealed is returned for an epoch that is open or does not exist.
var errNotSealed = errors.New("the epoch is not sealed")

func (j *job) sealed(n uint64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.epochs[n] != nil
}

func (j *job) receiptTree(n uint64) (*receiptTree, error) {
	if !j.sealed(n) {
		return nil, errNotSealed
	}
	if t := j.trees.get(n).receipts; t != nil {
		return t, nil
	}
	list, _, err := j.readReceipts(n)
	if err != nil {
		return nil, err
	}
	first, err := j.readOrder(n)
	if err != nil {
		return nil, err
	}
	t, err := newReceiptTree(list, first)
	if err != nil {
		return nil, err
	}
	j.trees.put(n, t, nil)
	return t, nil
}

func (j *job) payTree(n uint64) (*payTree, error) {
	if !j.sealed(n) {
		return nil, errNotSealed
	}
	if t := j.trees.get(n).pay; t != nil {
		return t, nil
	}
	pay, err := j.payAsOf(n)
	if err != nil {
		return nil, err
	}
	t, err := newPayTree(pay)
	if err != nil {
		return nil, err
	}
	j.trees.put(n, nil, t)
	return t, nil
}

// opening proves the receipt that covers a unit of an epoch.
func (j *job) opening(n uint64, sample uint32, unit uint64) (Opening, error) {
	t, err := j.receiptTree(n)
	if err != nil {
		return Opening{}, err
	}
	i, err := t.tree.Find(unit)
	if err != nil {
		return Opening{}, err
	}
	r, err := j.prove(n, t, i)
	return Opening{Sample: sample, Receipt: r.Receipt, Proof: r.Proof}, err
}

// prove shows that a receipt is in its place of an epoch's tree.
func (j *job) prove(n uint64, t *receiptTree, i int) (CommittedReceipt, error) {
	proof, err := t.tree.Prove(i)
	if err != nil {
		return CommittedReceipt{}, err
	}
	v, err := j.s.store.get(receiptKey(j.id, n, t.seqs[i]))
	if err != nil {
		return CommittedReceipt{}, err
	}
	encoded, _, err := splitReceipt(v)
	return CommittedReceipt{Receipt: encoded, Proof: proof}, err
}
