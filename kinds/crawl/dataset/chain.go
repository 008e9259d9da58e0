package dataset

import (
	"cmp"
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

func newChain(name string, job work.JobID, spec []byte) *chain {
	return &chain{name: name, job: job, spec: spec, units: map[work.PublicKey]uint64{}}
}

// add takes the next entry. Its signature, its task and its result's digest are checked by
// bind, which can run for many entries at once.
func (c *chain) add(e entry) error {
	r := e.signed.Receipt
	current := uint64(0)
	if n := len(c.epochs); n > 0 {
		current = c.epochs[n-1].number
	}
	switch {
	case e.Epoch == current && current != 0 && e.Index == uint64(len(c.leaves)):
	case e.Epoch > current && e.Index == 0:
		// Epochs without receipts have no entries: the caller knows of them.
		if err := c.endEpoch(); err != nil {
			return err
		}
		c.epochs = append(c.epochs, epochRoots{number: e.Epoch})
	default:
		return fmt.Errorf("%w: receipt %d of epoch %d comes after %d of epoch %d", errChain, e.Index, e.Epoch, len(c.leaves), current)
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

func (c *chain) endEpoch() error {
	n := len(c.epochs)
	if n == 0 {
		return nil
	}
	tree, err := work.NewTree(c.leaves)
	if err != nil {
		return fmt.Errorf("epoch %d: %w", c.epochs[n-1].number, err)
	}
	pay, err := payRoot(c.units)
	if err != nil {
		return fmt.Errorf("epoch %d: %w", c.epochs[n-1].number, err)
	}
	c.epochs[n-1].receipts, c.epochs[n-1].pay = tree.Root(), pay
	c.settled = work.SettledRoot(c.settled, c.job, c.epochs[n-1].number, tree.Root().Hash)
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

// end closes the last epoch and checks that no task has two receipts.
func (c *chain) end() error {
	if err := c.endEpoch(); err != nil {
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

// exclusion is why an entry has neither exchange nor row.
type exclusion struct {
	Epoch  uint64 `json:"epoch"`
	Index  uint64 `json:"index"`
	Reason string `json:"reason"`           // "rejected": the blob is not what the record says; "refuted": an audit proved the receipt false
	Detail string `json:"detail,omitempty"` // for people
	Blob   string `json:"blob,omitempty"`   // where the blob is
}

const (
	rejected = "rejected"
	refuted  = "refuted"
)

func (x exclusion) compare(epoch, index uint64) int {
	return cmp.Or(cmp.Compare(x.Epoch, epoch), cmp.Compare(x.Index, index))
}
