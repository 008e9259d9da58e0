package worker

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/internal/fault"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
)

var faultTime = time.Unix(2_000_000_000, 0)

// step is one thing that a worker entrusts to its journal, by one call.
type step func(*state) error

// life is what happens to a worker, such that no two steps leave the same state.
func life(t *testing.T) []step {
	k, err := work.PrivateKeyFromSeed(make([]byte, 32))
	require.NoError(t, err)
	voucher := func(units uint64) work.SignedVoucher {
		v, err := work.SignVoucher(k, work.Voucher{Chain: "c-1", Job: 1, Worker: k.Public(), Epoch: 1, Units: units})
		require.NoError(t, err)
		return v
	}
	var r []receiptRecord
	for i := range uint64(8) {
		r = append(r, testReceipt(t, i+1))
	}
	id := func(i int) plane.LeaseID { return leaseOf(r[i].Receipt) }
	return []step{
		func(s *state) error { return s.addReceipts(r[:5]) },
		func(s *state) error { return s.setUploaded([]plane.LeaseID{id(0), id(1), id(2)}) },
		func(s *state) error {
			return s.settle([]plane.LeaseID{id(0), id(1), id(2)}, map[work.JobID]uint64{1: 9}, []work.SignedVoucher{voucher(9)})
		},
		func(s *state) error {
			return s.addVerdict(verdictRecord{Job: 1, Epoch: 2, Sample: 3, Outcome: work.Pass, Salt: [32]byte{9}, At: faultTime.Unix()})
		},
		func(s *state) error { return s.addReceipts(r[5:]) },
		func(s *state) error {
			return s.settle([]plane.LeaseID{id(3), id(4), id(5)}, map[work.JobID]uint64{1: 18}, []work.SignedVoucher{voucher(18)})
		},
	}
}

// known is all that a state would act on.
func known(s *state) string {
	var b strings.Builder
	for _, r := range s.receipts() {
		fmt.Fprintf(&b, "owed %d %d blobs %x\n", r.Receipt.Receipt.Seq, len(r.Blobs), r.Receipt.Signature[:4])
	}
	for job, a := range s.jobs {
		fmt.Fprintf(&b, "job %d earned %d", job, a.earned)
		if a.voucher != nil {
			fmt.Fprintf(&b, " promised %d", a.voucher.Voucher.Units)
		}
		b.WriteByte('\n')
	}
	for id, v := range s.verdicts {
		fmt.Fprintf(&b, "verdict %v %v %x\n", id, v.Outcome, v.Salt[:2])
	}
	return b.String()
}

// lived is the journal after a life, and what was known at which of its sizes.
func lived(t *testing.T) (journal []byte, sizes []int64, states []string) {
	dir := t.TempDir()
	s, err := openState(dir, faultTime, quiet)
	require.NoError(t, err)
	sizes, states = []int64{s.journal.size}, []string{known(s)}
	for _, do := range life(t) {
		require.NoError(t, do(s))
		sizes, states = append(sizes, s.journal.size), append(states, known(s))
	}
	require.NoError(t, s.close())
	journal, err = os.ReadFile(filepath.Join(dir, "journal"))
	require.NoError(t, err)
	require.EqualValues(t, len(journal), sizes[len(sizes)-1])
	return journal, sizes, states
}

// TestTornStateIsOneThatWas tears the journal at each byte: the worker knows what it knew
// after the last call that was whole, never a part of what one call said. (A report of which
// the receipts were settled and the units not counted would let a gateway underpay unseen,
// or have an honest one accused.)
func TestTornStateIsOneThatWas(t *testing.T) {
	whole, sizes, states := lived(t)
	path := filepath.Join(t.TempDir(), "journal")
	for n := range fault.Positions(len(whole)+1, 250) {
		require.NoError(t, os.WriteFile(path, whole[:n], 0o600))
		got, err := readState(path)
		require.NoError(t, err, "cut at %d", n)
		last := 0
		for last+1 < len(sizes) && sizes[last+1] <= int64(n) {
			last++
		}
		require.Equal(t, states[last], got, "cut at %d", n)
	}
}

// TestFlippedJournal alters each byte: a damage that something whole follows is refused, one
// at the end is taken for a torn append. Nothing else comes out of either.
func TestFlippedJournal(t *testing.T) {
	whole, sizes, states := lived(t)
	path := filepath.Join(t.TempDir(), "journal")
	for n := range fault.Positions(len(whole), 250) {
		b := bytes.Clone(whole)
		b[n] ^= byte(1 + n%255)
		require.NoError(t, os.WriteFile(path, b, 0o600))
		got, err := readState(path)
		if n < int(sizes[len(sizes)-2]) {
			require.ErrorIs(t, err, ErrJournal, "byte %d", n)
			require.ErrorContains(t, err, path)
			require.ErrorContains(t, err, "move it away", "it says what to do")
			continue
		}
		require.NoError(t, err, "byte %d", n)
		require.Equal(t, states[len(states)-2], got, "byte %d", n)
	}
}

// readState reads a journal without shortening it.
func readState(path string) (string, error) {
	s := &state{pending: map[plane.LeaseID]waiting{}, jobs: map[work.JobID]account{}, verdicts: map[sampleID]verdictRecord{}}
	j, _, err := openJournal(path, s.apply)
	if err != nil {
		return "", err
	}
	return known(s), j.close()
}

// TestFullDiskJournal lets the disk be full at each byte of what a worker writes to its
// journal: the call fails and says what to do, and the worker knows afterwards what it knew
// after the last call that did not. With room again it goes on.
func TestFullDiskJournal(t *testing.T) {
	fault.OnDisk(t, func(d *fault.Disk) {
		whole, sizes, states := lived(t)
		first := pad(t, 0)
		// The first page ends at each byte of the life in turn.
		for n := range fault.Positions(len(whole)-int(sizes[0]), 120) {
			d.Clear()
			dir := d.Path("worker")
			s, err := openState(dir, faultTime, quiet)
			require.NoError(t, err)
			// The padding's receipt is settled with the first record that follows it.
			fill := 4096 - int(s.journal.size) - n - first
			require.NoError(t, s.note(recordReceipt, padding(t, fill)))
			require.EqualValues(t, 4096-n, s.journal.size)
			require.NoError(t, os.WriteFile(d.Path("other"), nil, 0o600))
			d.Pages(0)
			before := 0
			for i, do := range life(t) {
				if err = do(s); err != nil {
					break
				}
				before = i + 1
			}
			require.Error(t, err, "%d bytes left", n)
			require.ErrorIs(t, err, ErrJournal)
			require.ErrorIs(t, err, syscall.ENOSPC)
			require.ErrorContains(t, err, dir, "it says where")
			require.ErrorContains(t, err, "make room on the disk and start the worker again")
			require.NoError(t, s.close())

			_, err = openState(dir, faultTime, quiet)
			require.ErrorIs(t, err, syscall.ENOSPC, "the disk is still full")
			require.ErrorContains(t, err, "make room on the disk and start the worker again")

			d.Plenty()
			s, err = openState(dir, faultTime, quiet)
			require.NoError(t, err)
			require.NoError(t, s.settle([]plane.LeaseID{leaseOf(padding(t, fill).Receipt)}, nil, nil))
			require.Equal(t, states[before], known(s), "%d bytes left", n)
			for _, do := range life(t)[before:] {
				require.NoError(t, do(s))
			}
			require.Equal(t, states[len(states)-1], known(s))
			require.NoError(t, s.close())
		}
	})
}

// padding is a receipt that takes about n bytes in the journal, pad what it takes less n.
func padding(t *testing.T, n int) receiptRecord {
	r := testReceipt(t, 1000)
	for range n / 34 {
		r.Blobs = append(r.Blobs, artifact.Digest{1})
	}
	k, err := work.PrivateKeyFromSeed(make([]byte, 32))
	require.NoError(t, err)
	c := r.Receipt.Receipt
	c.Chain = strings.Repeat("c", 24+n%34)
	r.Receipt, err = work.SignReceipt(k, c)
	require.NoError(t, err)
	return r
}

func pad(t *testing.T, n int) int {
	b, err := work.Encode(padding(t, 34*60+n))
	require.NoError(t, err)
	return len(appendRecord(nil, record{recordReceipt, b})) - 34*60 - n
}

// TestFullDiskSpool lets the disk have no room at each page and file that a worker makes
// to keep its results: whatever receipt the journal has, its blobs are there and whole.
func TestFullDiskSpool(t *testing.T) {
	fault.OnDisk(t, func(d *fault.Disk) {
		dir := d.Path("worker")
		var blobs [][]byte
		for i := range 6 {
			blobs = append(blobs, bytes.Repeat([]byte{byte(i + 1)}, 1+i*3000))
		}
		keep := func() (acked int, err error) {
			s, err := openState(dir, faultTime, quiet)
			if err != nil {
				return 0, err
			}
			defer s.close()
			needs := s.blobs()
			sp, err := openSpool(filepath.Join(dir, "blobs"), &quota{limit: 1 << 30}, func(d artifact.Digest) int { return needs[d] })
			if err != nil {
				return 0, err
			}
			for i, b := range blobs {
				var r receiptRecord
				if r, err = keepOne(t, s, sp, uint64(i+1), b); err != nil {
					return acked, err
				}
				if err = s.addReceipts([]receiptRecord{r}); err != nil {
					return acked, err
				}
				acked++
			}
			return acked, nil
		}
		check := func(acked, n int) {
			s, err := openState(dir, faultTime, quiet)
			require.NoError(t, err)
			needs := s.blobs()
			sp, err := openSpool(filepath.Join(dir, "blobs"), &quota{limit: 1 << 30}, func(d artifact.Digest) int { return needs[d] })
			require.NoError(t, err)
			require.Equal(t, acked, s.waiting(), "after %d", n)
			for _, r := range s.receipts() {
				for _, d := range r.Blobs {
					_, err := sp.get(d)
					require.NoError(t, err, "a blob of a journalled receipt, after %d", n)
				}
			}
			left, err := filepath.Glob(filepath.Join(dir, "blobs", "*.tmp"))
			require.NoError(t, err)
			require.Empty(t, left)
			require.NoError(t, s.close())
		}
		for _, room := range []func(int){d.Pages, d.Files} {
			failed := 0
			for n := 0; ; n++ {
				d.Clear()
				room(n)
				acked, err := keep()
				if err != nil {
					failed++
					require.ErrorIs(t, err, syscall.ENOSPC)
					require.ErrorContains(t, err, dir, "it says where")
					require.ErrorContains(t, err, "make room")
				}
				d.Plenty()
				check(acked, n)
				if err == nil {
					break
				}
				require.Less(t, n, 100)
			}
			require.Greater(t, failed, 5)
		}
	})
}

func keepOne(t *testing.T, s *state, sp *spool, seq uint64, b []byte) (receiptRecord, error) {
	r := testReceipt(t, seq)
	d, err := sp.put(b)
	if err != nil {
		return r, err
	}
	r.Blobs = []artifact.Digest{d}
	return r, sp.sync(r.Blobs)
}
