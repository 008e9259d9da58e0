package dataset

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/kinds/crawl"
	"github.com/cantus-network/cantus/work"
)

// errChain marks entries that cannot be the leaves of one job's epochs.
var errChain = errors.New("not the receipts of the job's epochs")

// chain goes through a job's entries in order and computes what the ledger has of them.
// It keeps about 150 bytes for each entry of the current epoch and 8 for each before.
type chain struct {
	name string
	job  work.JobID
	spec []byte
	last uint64 // settled epoch

	epochs   []epochRoots
	leaves   []work.Node
	seqs     []uint64
	units    map[work.PublicKey]uint64 // cumulative
	total    uint64
	receipts uint64
	settled  [32]byte
}

// epochRoots is what the ledger must have of an epoch.
type epochRoots struct {
	number        uint64
	receipts, pay work.Root
}

// maxEpochs bounds the settled epochs of a job, empty ones included.
const maxEpochs = 1 << 16

// newChain begins with the first of a job's epochs; last is the number of those settled.
func newChain(name string, job work.JobID, spec []byte, last uint64) *chain {
	return &chain{name: name, job: job, spec: spec, last: min(last, maxEpochs), units: map[work.PublicKey]uint64{}}
}

// add takes the next entry. Its signature, its task and its result's digest are checked by
// bind, which can run for many entries at once.
func (c *chain) add(e entry) error {
	r := e.signed.Receipt
	if e.Epoch == 0 || e.Epoch > c.last {
		return fmt.Errorf("%w: a receipt of epoch %d, and the job has %d", errChain, e.Epoch, c.last)
	}
	for e.Epoch > uint64(len(c.epochs)) { // epochs without receipts have no entries
		if err := c.nextEpoch(); err != nil {
			return err
		}
	}
	if e.Epoch != uint64(len(c.epochs)) || e.Index != uint64(len(c.leaves)) {
		return fmt.Errorf("%w: receipt %d of epoch %d comes after %d of epoch %d", errChain, e.Index, e.Epoch, len(c.leaves), len(c.epochs))
	}
	c.leaves = append(c.leaves, work.ReceiptLeaf(e.Signed, r.Units))
	c.seqs = append(c.seqs, r.Seq)
	total := c.total + r.Units
	if total < c.total {
		return fmt.Errorf("%w: their units overflow", errChain)
	}
	c.total = total
	c.units[r.Worker] += r.Units
	c.receipts++
	return nil
}

// bind checks what an entry says by itself: of this job, signed, of this task and result.
func (c *chain) bind(e entry) error {
	r := e.signed.Receipt
	at := fmt.Sprintf("receipt %d of epoch %d", e.Index, e.Epoch)
	if r.Chain != c.name || r.Job != c.job {
		return fmt.Errorf("%w: %s is of job %d of chain %.64q", errChain, at, r.Job, r.Chain)
	}
	if err := e.signed.Verify(); err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	if len(e.Task) > work.MaxTask {
		return fmt.Errorf("%w: %s: a task of %d bytes", errChain, at, len(e.Task))
	}
	task := work.Task{Job: c.job, Seq: r.Seq, Spec: c.spec, Body: e.Task}
	if task.Digest() != r.Task {
		return fmt.Errorf("%w: %s is not of the task beside it", errChain, at)
	}
	if artifact.Sum(e.record) != r.Result {
		return fmt.Errorf("%w: %s does not sign the record beside it", errChain, at)
	}
	return nil
}

// nextEpoch closes the current epoch and begins the next.
func (c *chain) nextEpoch() error {
	if err := c.closeEpoch(); err != nil {
		return err
	}
	c.epochs = append(c.epochs, epochRoots{number: uint64(len(c.epochs)) + 1})
	return nil
}

func (c *chain) closeEpoch() error {
	n := len(c.epochs)
	if n == 0 {
		return nil
	}
	e := &c.epochs[n-1]
	tree, err := work.NewTree(c.leaves)
	if err != nil {
		return fmt.Errorf("epoch %d: %w", e.number, err)
	}
	if e.pay, err = payRoot(c.units); err != nil {
		return fmt.Errorf("epoch %d: %w", e.number, err)
	}
	e.receipts = tree.Root()
	c.settled = work.SettledRoot(c.settled, c.job, e.number, e.receipts.Hash)
	c.leaves = nil
	return nil
}

// payRoot is the root over the workers' cumulative units, sorted by worker.
func payRoot(units map[work.PublicKey]uint64) (work.Root, error) {
	keys := make([]work.PublicKey, 0, len(units))
	for k := range units {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, work.PublicKey.Compare)
	leaves := make([]work.Node, len(keys))
	for i, k := range keys {
		leaves[i] = work.PayLeaf(k, units[k])
	}
	tree, err := work.NewTree(leaves)
	if err != nil {
		return work.Root{}, err
	}
	return tree.Root(), nil
}

// end closes the last epochs and checks that no task has two receipts.
func (c *chain) end() error {
	for uint64(len(c.epochs)) < c.last {
		if err := c.nextEpoch(); err != nil {
			return err
		}
	}
	if err := c.closeEpoch(); err != nil {
		return err
	}
	slices.Sort(c.seqs)
	for i := 1; i < len(c.seqs); i++ {
		if c.seqs[i] == c.seqs[i-1] {
			return fmt.Errorf("%w: task %d has two receipts", errChain, c.seqs[i])
		}
	}
	c.seqs = nil
	return nil
}

// survey is what the rows need to know of all entries beforehand.
type survey struct {
	redirects map[string]string
	from, to  int64 // Unix milliseconds
}

func (s *survey) add(f crawl.Fetch, r crawl.Record) {
	if s.from == 0 || r.Time < s.from {
		s.from = r.Time
	}
	s.to = max(s.to, r.Time)
	if f.Mode == crawl.ModePage && r.Location != "" && r.Location != r.URL {
		if s.redirects == nil {
			s.redirects = map[string]string{}
		}
		s.redirects[r.URL] = r.Location
	}
}
