package scheduler

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
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
}

// seal closes the open epoch, if there is anything in it, so that no receipt enters it
// any more. With final the job takes no further receipts at all.
func (j *job) seal(final bool, reason string) error {
	j.mu.Lock()
	if j.inOpen > 0 {
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
	return j.fixAll()
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
	j.ready, j.out = nil, 0
	prefix := jobKey(spaceBundle, j.id)
	_ = b.DeleteRange(prefix, after(prefix), nil)
	if err := j.closePlan(); err != nil {
		j.log.Warn("closing a plan", "err", err)
	}
	return leased
}

// fixAll works out the roots of sealed epochs that have none yet. They follow from the
// receipts, so it does not matter how often this was begun before.
func (j *job) fixAll() error {
	j.mu.Lock()
	open := j.rec.Open
	n := open
	for n > 1 && j.epochs[n-1] == nil {
		n--
	}
	j.mu.Unlock()
	for ; n < open; n++ {
		if err := j.fix(n); err != nil {
			return fmt.Errorf("seal epoch %d: %w", n, err)
		}
	}
	return nil
}

func (j *job) fix(n uint64) error {
	rt, earned, err := j.readReceipts(n)
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
	rec := epochRecord{Receipts: recordOf(rt.tree.Root()), Pay: recordOf(pt.tree.Root())}
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

// receiptTree is the tree over an epoch's receipts, in the order of their tasks.
type receiptTree struct {
	tree *work.Tree
	seqs []uint64
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

// readReceipts builds the tree of a sealed epoch and sums what each worker earned in it.
func (j *job) readReceipts(n uint64) (*receiptTree, map[work.PublicKey]uint64, error) {
	t := &receiptTree{}
	earned := map[work.PublicKey]uint64{}
	var leaves []work.Node
	prefix := numberKey(spaceReceipt, j.id, n)
	err := j.s.store.scan(prefix, after(prefix), func(k, v []byte) (bool, error) {
		encoded, _, err := splitReceipt(v)
		if err != nil {
			return false, err
		}
		r, err := work.DecodeReceipt(encoded)
		if err != nil {
			return false, fmt.Errorf("%w: %v", ErrCorrupt, err)
		}
		leaves = append(leaves, work.ReceiptLeaf(encoded, r.Receipt.Units))
		t.seqs = append(t.seqs, lastNumber(k))
		earned[r.Receipt.Worker] += r.Receipt.Units
		return true, nil
	})
	if err != nil {
		return nil, nil, err
	}
	t.tree, err = work.NewTree(leaves)
	return t, earned, err
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
	t, _, err := j.readReceipts(n)
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
	proof, err := t.tree.Prove(i)
	if err != nil {
		return Opening{}, err
	}
	v, err := j.s.store.get(receiptKey(j.id, n, t.seqs[i]))
	if err != nil {
		return Opening{}, err
	}
	encoded, _, err := splitReceipt(v)
	if err != nil {
		return Opening{}, err
	}
	return Opening{Sample: sample, Receipt: encoded, Proof: proof}, nil
}
