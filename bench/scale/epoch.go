package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

// epoch is what it takes to end an epoch in which every worker took part with one receipt.
type epoch struct {
	Workers int `json:"workers"`
	Cells   int `json:"cells"` // 1: one tree over all of them

	Assign   float64 `json:"assign_seconds"` // workers to cells
	Largest  int     `json:"largest_cell"`
	Smallest int     `json:"smallest_cell"`

	Receipts float64 `json:"receipts_tree_seconds"` // encode each receipt, hash, build
	Pay      float64 `json:"pay_tree_seconds"`      // sort the workers, hash, build
	Proofs   float64 `json:"proofs_seconds"`        // a proof of each worker's pay, one after another
	Total    float64 `json:"total_seconds"`         // both roots and all proofs
	CPU      float64 `json:"total_cpu_seconds"`     // of the processor: what counts where the machine did other things too
	Peak     uint64  `json:"peak_bytes"`            // of the heap, above what was there before

	ProofBytes   float64 `json:"proof_bytes"` // of a pay proof, mean, as the ledger's message has it
	AllProofs    uint64  `json:"all_proofs_bytes"`
	VerifyPerSec float64 `json:"proofs_verified_per_second"` // by one core
	CommitBytes  int     `json:"commit_bytes"`               // of one cell's MsgCommitEpoch in its transaction
	LedgerBytes  int     `json:"ledger_bytes"`               // of all cells'
	ReceiptBytes int     `json:"receipt_bytes"`

	sample struct {
		proof   work.Proof
		receipt []byte
	}
}

// keysOf makes so many public keys. Nothing here signs, so they are only random numbers.
func keysOf(n int) []work.PublicKey {
	all := make([]byte, 32*n)
	rand.Read(all)
	keys := make([]work.PublicKey, n)
	for i := range keys {
		keys[i] = work.PublicKey(all[32*i:])
	}
	return keys
}

func cellNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("cell-%d", i+1)
	}
	return names
}

// assign puts workers into cells.
func assign(keys []work.PublicKey, names []string) map[string][]work.PublicKey {
	cells := make(map[string][]work.PublicKey, len(names))
	if len(names) == 1 {
		cells[names[0]] = slices.Clone(keys)
		return cells
	}
	for _, k := range keys {
		c := work.CellOf(k, names)
		cells[c] = append(cells[c], k)
	}
	return cells
}

// processor is what this process has used of all cores.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// watch follows the heap's size until stopped.
func watch() (stop func() uint64) {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before, peak := m.HeapAlloc, m.HeapAlloc
	done, end := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(end)
		for {
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() uint64 { close(done); <-end; return peak - before }
}

func measureEpoch(workers, cells int) (epoch, error) {
	e := epoch{Workers: workers, Cells: cells}
	keys, names := keysOf(workers), cellNames(cells)
	stop := watch()
	began := time.Now()
	of := assign(keys, names)
	e.Assign = time.Since(began).Seconds()
	for i, name := range names {
		members := of[name]
		e.Largest = max(e.Largest, len(members))
		if i == 0 || len(members) < e.Smallest {
			e.Smallest = len(members)
		}
		if len(members) == 0 {
			continue
		}
		if err := e.cell(members); err != nil {
			return e, err
		}
	}
	e.Peak = stop()
	e.Total = e.Receipts + e.Pay + e.Proofs
	e.ProofBytes = float64(e.AllProofs) / float64(workers)
	return e, nil
}

// cell ends the epoch of one cell. Cells are machines of their own: one after another here,
// at the same time there.
func (e *epoch) cell(members []work.PublicKey) error {
	began, used := time.Now(), processor()
	receipts, err := e.receipts(members)
	if err != nil {
		return err
	}
	e.Receipts += time.Since(began).Seconds()

	began = time.Now()
	slices.SortFunc(members, work.PublicKey.Compare)
	leaves := make([]work.Node, len(members))
	for i, k := range members {
		leaves[i] = work.PayLeaf(k, unitsOf(i))
	}
	pay, err := work.NewTree(leaves)
	if err != nil {
		return err
	}
	root := pay.Root()
	e.Pay += time.Since(began).Seconds()

	// A proof is made, written to whoever claims, and forgotten: all of them together would
	// be a hundred times the tree.
	began = time.Now()
	var proof work.Proof
	for i := range members {
		if proof, err = pay.Prove(i); err != nil {
			return err
		}
		e.AllProofs += uint64(sizeOfPayProof(unitsOf(i), proof))
	}
	e.Proofs += time.Since(began).Seconds()
	e.CPU += (processor() - used).Seconds()
	e.sample.proof = proof

	tx := transaction("MsgCommitEpoch", commitEpoch(1<<14, 1<<14, receipts, root))
	e.CommitBytes = max(e.CommitBytes, len(tx))
	e.LedgerBytes += len(tx)
	if e.VerifyPerSec == 0 {
		e.VerifyPerSec, err = verifyRate(pay, members, leaves)
	}
	return err
}

func unitsOf(i int) uint64 { return 1_000_000 + uint64(i%1000) }

// receipts builds the tree over one receipt a worker, each encoded as it lies in the
// database, none kept.
func (e *epoch) receipts(members []work.PublicKey) (work.Root, error) {
	leaves := make([]work.Node, len(members))
	signature := bytes.Repeat([]byte{7}, 64)
	result := artifact.Sum([]byte("a result"))
	for i, k := range members {
		s := work.SignedReceipt{Signature: signature, Receipt: work.Receipt{
			Chain: "cantus-1", Job: 1 << 14, Seq: 1<<33 + uint64(i), Attempt: 1, Task: result, Result: result, Units: 1,
			Started: 1_800_000_000_000, Finished: 1_800_000_001_000, Worker: k,
		}}
		b, err := s.Encode()
		if err != nil {
			return work.Root{}, err
		}
		leaves[i] = work.ReceiptLeaf(b, 1)
		e.ReceiptBytes, e.sample.receipt = len(b), b
	}
	t, err := work.NewTree(leaves)
	if err != nil {
		return work.Root{}, err
	}
	return t.Root(), nil
}

// verifyRate is how many proofs of a tree one core checks in a second.
func verifyRate(t *work.Tree, members []work.PublicKey, leaves []work.Node) (float64, error) {
	root := t.Root()
	began, n := time.Now(), 0
	for ; time.Since(began) < 300*time.Millisecond; n++ {
		i := n * 7919 % len(members)
		p, err := t.Prove(i)
		if err != nil {
			return 0, err
		}
		if _, err := p.Verify(root, leaves[i]); err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(began).Seconds(), nil
}

// move is what happens to workers when cells come and go.
type move struct {
	From    int     `json:"cells_before"`
	To      int     `json:"cells_after"`
	Moved   float64 `json:"moved_share"`
	Ideal   float64 `json:"ideal_share"` // the least that must move
	Wrongly float64 `json:"moved_between_staying_cells"`
	Seconds float64 `json:"seconds"` // to find each worker's cell anew, on one core
}

func measureMove(workers, from, to int) move {
	m := move{From: from, To: to}
	keys := keysOf(workers)
	before, after := cellNames(from), cellNames(to)
	old := make([]string, workers)
	for i, k := range keys {
		old[i] = work.CellOf(k, before)
	}
	began := time.Now()
	moved, wrongly := 0, 0
	for i, k := range keys {
		c := work.CellOf(k, after)
		if c == old[i] {
			continue
		}
		moved++
		if slices.Contains(after, old[i]) && slices.Contains(before, c) {
			wrongly++
		}
	}
	m.Seconds = time.Since(began).Seconds()
	m.Moved, m.Wrongly = float64(moved)/float64(workers), float64(wrongly)/float64(workers)
	m.Ideal = 1 - float64(min(from, to))/float64(max(from, to))
	return m
}
