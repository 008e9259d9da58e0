package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

// verdict is what was found at the end, when everything is sealed, settled and claimed.
type verdict struct {
	Acknowledged uint64   `json:"acknowledged"` // receipts that the gateway told workers it has
	Sealed       uint64   `json:"sealed"`       // receipts in the ledger's epochs
	Vouchers     int      `json:"vouchers"`
	Units        uint64   `json:"units"`   // committed
	Claimed      uint64   `json:"claimed"` // by workers
	Epochs       int      `json:"epochs"`
	Seconds      float64  `json:"seconds"` // from the job's end to the last claim
	Wrong        []string `json:"wrong,omitempty"`
}

func (v *verdict) wrong(format string, args ...any) {
	if len(v.Wrong) < 20 {
		v.Wrong = append(v.Wrong, fmt.Sprintf(format, args...))
	}
}

// record is what a worker was told of one receipt.
const recordSize = 8 + 8

func recordOf(seq uint64, encoded []byte) [recordSize]byte {
	var r [recordSize]byte
	d := artifact.Sum(encoded)
	binary.BigEndian.PutUint64(r[:8], seq)
	copy(r[8:], d[:8])
	return r
}

// promises is what the workers hold at the end, as they write it for the gateway's process.
type promises struct {
	receipts map[uint64][8]byte
	vouchers map[work.PublicKey]uint64
}

// readPromises reads what writePromises wrote: the vouchers, each verified, and a record a
// receipt.
func readPromises(path string, gateway work.PublicKey) (promises, error) {
	p := promises{receipts: map[uint64][8]byte{}, vouchers: map[work.PublicKey]uint64{}}
	f, err := os.Open(path)
	if err != nil {
		return p, err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, 1<<20)
	var count [8]byte
	if _, err := io.ReadFull(in, count[:]); err != nil {
		return p, fmt.Errorf("read the vouchers: %w", err)
	}
	for range binary.BigEndian.Uint64(count[:]) {
		var n [2]byte
		if _, err := io.ReadFull(in, n[:]); err != nil {
			return p, fmt.Errorf("read the vouchers: %w", err)
		}
		b := make([]byte, binary.BigEndian.Uint16(n[:]))
		if _, err := io.ReadFull(in, b); err != nil {
			return p, fmt.Errorf("read the vouchers: %w", err)
		}
		v, err := work.DecodeVoucher(b)
		if err == nil {
			err = v.Verify()
		}
		if err == nil && v.Voucher.Gateway != gateway {
			err = errors.New("signed by another gateway")
		}
		if err != nil {
			return p, fmt.Errorf("a voucher that a worker holds: %w", err)
		}
		p.vouchers[v.Voucher.Worker] = v.Voucher.Units
	}
	for {
		var r [recordSize]byte
		if _, err := io.ReadFull(in, r[:]); err == io.EOF {
			return p, nil
		} else if err != nil {
			return p, fmt.Errorf("read the receipts: %w", err)
		}
		seq := binary.BigEndian.Uint64(r[:8])
		if _, twice := p.receipts[seq]; twice {
			return p, fmt.Errorf("task %d was acknowledged twice", seq)
		}
		p.receipts[seq] = [8]byte(r[8:])
	}
}

func writePromises(path string, vouchers []work.SignedVoucher, records func(func([]byte) error) error) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	out := bufio.NewWriterSize(f, 1<<20)
	if _, err := out.Write(binary.BigEndian.AppendUint64(nil, uint64(len(vouchers)))); err != nil {
		return err
	}
	for _, v := range vouchers {
		b, err := v.Encode()
		if err != nil {
			return err
		}
		if _, err := out.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)); err != nil {
			return err
		}
	}
	if err := records(func(b []byte) error { _, err := out.Write(b); return err }); err != nil {
		return err
	}
	return out.Flush()
}

// finishTime bounds the way from the job's end to its last claim.
const finishTime = 10 * time.Minute

// finish ends the job, waits until everything is settled and claimed, and compares.
func (g *gateway) finish(ctx context.Context, path string) (*verdict, error) {
	began := time.Now()
	g.ledger.close()
	ctx, cancel := context.WithTimeout(ctx, finishTime)
	defer cancel()
	for {
		p, err := g.s.Progress(theJob)
		if err != nil {
			return nil, err
		}
		if !p.EndedAt.IsZero() {
			break
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("the job is %s %v after its end (%s)", p.Phase, finishTime, p.Trouble)
		case <-time.After(50 * time.Millisecond):
		}
	}
	v := &verdict{Seconds: time.Since(began).Seconds()}
	held, err := readPromises(path, g.key.Public())
	if err != nil {
		return nil, err
	}
	v.Acknowledged, v.Vouchers = uint64(len(held.receipts)), len(held.vouchers)
	earned, err := g.compareReceipts(ctx, v, held)
	if err != nil {
		return nil, err
	}
	g.ledger.mu.Lock()
	defer g.ledger.mu.Unlock()
	v.Wrong = append(v.Wrong, g.ledger.trouble...)
	v.Epochs, v.Units = len(g.ledger.epochs), g.ledger.job.Units
	for k, units := range held.vouchers {
		if earned[k] != units {
			v.wrong("worker %s holds a voucher for %d units, its sealed receipts are worth %d", k.Short(), units, earned[k])
		}
	}
	for k, units := range earned {
		if g.ledger.claimed[k] != units {
			v.wrong("worker %s earned %d units and was paid %d", k.Short(), units, g.ledger.claimed[k])
		}
	}
	for _, units := range g.ledger.claimed {
		v.Claimed += units
	}
	if v.Claimed != v.Units {
		v.wrong("%d units were committed, %d claimed", v.Units, v.Claimed)
	}
	return v, nil
}

// compareReceipts goes through the sealed receipts: each task once, all acknowledged ones
// among them, and epoch by epoch the roots that the ledger has.
func (g *gateway) compareReceipts(ctx context.Context, v *verdict, held promises) (map[work.PublicKey]uint64, error) {
	earned := map[work.PublicKey]uint64{}
	seen := map[uint64]bool{}
	var leaves []work.Node
	current := uint64(0)
	closeEpoch := func() {
		if current == 0 {
			return
		}
		g.ledger.mu.Lock()
		e, err := g.ledger.epoch(current)
		g.ledger.mu.Unlock()
		if err != nil {
			v.wrong("epoch %d is sealed and not on the ledger", current)
			return
		}
		t, err := work.NewTree(leaves)
		if err != nil || t.Root() != e.Receipts {
			v.wrong("epoch %d: its receipts do not make the root that the ledger has", current)
		}
		if e.Status != work.EpochSettled {
			v.wrong("epoch %d is %s", current, e.Status)
		}
		leaves = leaves[:0]
	}
	var failed error
	_, _, err := g.s.Receipts(ctx, theJob, scheduler.Cursor{}, func(r scheduler.SealedReceipt) bool {
		if r.Epoch != current {
			closeEpoch()
			current = r.Epoch
		}
		s, err := work.DecodeReceipt(r.Receipt)
		if err != nil {
			failed = fmt.Errorf("epoch %d, receipt %d: %w", r.Epoch, r.Index, err)
			return false
		}
		leaves = append(leaves, work.ReceiptLeaf(r.Receipt, s.Receipt.Units))
		v.Sealed++
		seq := s.Receipt.Seq
		if seen[seq] {
			v.wrong("task %d is sealed twice", seq)
		}
		seen[seq] = true
		earned[s.Receipt.Worker] += s.Receipt.Units
		got := recordOf(seq, r.Receipt)
		if want, ok := held.receipts[seq]; ok && want != [8]byte(got[8:]) {
			v.wrong("task %d is sealed with another receipt than the acknowledged one", seq)
		}
		return true
	})
	if err = errors.Join(err, failed); err != nil {
		return nil, err
	}
	closeEpoch()
	for seq := range held.receipts {
		if !seen[seq] {
			v.wrong("the acknowledged receipt of task %d is in no epoch", seq)
		}
	}
	return earned, nil
}
