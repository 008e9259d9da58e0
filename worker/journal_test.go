package worker

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
)

var quiet = slog.New(slog.DiscardHandler)

func readJournal(t *testing.T, path string) (rs []record, cut int64) {
	t.Helper()
	j, cut, err := openJournal(path, func(r record) error {
		rs = append(rs, record{r.kind, bytes.Clone(r.payload)})
		return nil
	})
	require.NoError(t, err)
	require.NoError(t, j.close())
	return rs, cut
}

// Wherever a crash cuts the file, what was appended before is there, whole, and the
// journal goes on.
func TestTornJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	j, _, err := openJournal(path, nil)
	require.NoError(t, err)
	var ends []int64
	var want []record
	for i := range 5 {
		r := record{byte('a' + i), bytes.Repeat([]byte{byte(i)}, i*7)}
		require.NoError(t, j.append(r))
		want, ends = append(want, r), append(ends, j.size)
	}
	require.NoError(t, j.close())
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for n := len(whole); n >= 0; n-- {
		require.NoError(t, os.WriteFile(path, whole[:n], 0o600))
		intact := 0
		for intact < len(ends) && ends[intact] <= int64(n) {
			intact++
		}
		got, cut := readJournal(t, path)
		require.Len(t, got, intact)
		for i := range got {
			require.Equal(t, want[i].kind, got[i].kind)
			require.True(t, bytes.Equal(want[i].payload, got[i].payload))
		}
		again, none := readJournal(t, path)
		require.Len(t, again, intact)
		require.Zero(t, none, "cut once (%d bytes at %d)", cut, n)
	}
	for i := len(journalMagic); i < len(whole); i++ {
		b := bytes.Clone(whole)
		b[i] ^= 0x10
		require.NoError(t, os.WriteFile(path, b, 0o600))
		if int64(i) < ends[len(ends)-2] { // something whole follows: no crash did this
			_, _, err := openJournal(path, func(record) error { return nil })
			require.ErrorIs(t, err, ErrJournal)
			require.ErrorContains(t, err, "damaged")
			is, err := os.ReadFile(path)
			require.NoError(t, err)
			require.True(t, bytes.Equal(b, is), "what is refused stays as it is")
			continue
		}
		got, cut := readJournal(t, path)
		require.Less(t, len(got), len(want))
		require.Positive(t, cut)
	}
	require.NoError(t, os.WriteFile(path, []byte("something else entirely"), 0o600))
	_, _, err = openJournal(path, nil)
	require.ErrorIs(t, err, ErrJournal)
}

func FuzzJournal(f *testing.F) {
	f.Add(appendRecord(nil, record{'R', []byte("x")}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &state{pending: map[plane.LeaseID]waiting{}, jobs: map[work.JobID]account{}, verdicts: map[sampleID]verdictRecord{}}
		for {
			r, n := nextRecord(b)
			if n == 0 {
				return
			}
			if got := appendRecord(nil, r); !bytes.Equal(got, b[:n]) {
				t.Fatalf("%x became %x", b[:n], got)
			}
			_ = r.each(s.apply) // must not panic
			b = b[n:]
		}
	})
}

func testReceipt(t *testing.T, seq uint64) receiptRecord {
	k, err := work.PrivateKeyFromSeed(make([]byte, 32))
	require.NoError(t, err)
	s, err := work.SignReceipt(k, work.Receipt{Chain: "c-1", Job: 1, Seq: seq, Attempt: 1, Units: 3, Started: 1, Finished: 2})
	require.NoError(t, err)
	return receiptRecord{Receipt: s, Blobs: []artifact.Digest{artifact.Sum([]byte{byte(seq)})}}
}

// What a state was told is what it knows after any number of restarts and rewrites.
func TestState(t *testing.T) {
	dir := t.TempDir()
	now := time.Unix(2_000_000_000, 0)
	s, err := openState(dir, now, quiet)
	require.NoError(t, err)
	reopen := func() {
		require.NoError(t, s.close())
		s, err = openState(dir, now, quiet)
		require.NoError(t, err)
	}
	a, b, c := testReceipt(t, 1), testReceipt(t, 2), testReceipt(t, 3)
	require.NoError(t, s.addReceipts([]receiptRecord{a, b, c}))
	reopen()
	require.Equal(t, []receiptRecord{a, b, c}, s.receipts())
	require.NoError(t, s.setUploaded([]plane.LeaseID{leaseOf(b.Receipt)}))
	reopen()
	require.Equal(t, map[artifact.Digest]int{a.Blobs[0]: 1, c.Blobs[0]: 1}, s.blobs())
	k, err := work.PrivateKeyFromSeed(make([]byte, 32))
	require.NoError(t, err)
	v, err := work.SignVoucher(k, work.Voucher{Chain: "c-1", Job: 1, Worker: k.Public(), Epoch: 1, Units: 3})
	require.NoError(t, err)
	require.NoError(t, s.settle([]plane.LeaseID{leaseOf(a.Receipt)}, map[work.JobID]uint64{1: 3}, []work.SignedVoucher{v}))
	require.NoError(t, s.addVerdict(verdictRecord{Job: 1, Epoch: 2, Sample: 3, Outcome: work.Pass, Salt: [32]byte{9}, At: now.Unix()}))
	require.NoError(t, s.addVerdict(verdictRecord{Job: 1, Epoch: 2, Sample: 4, Outcome: work.Pass, At: now.Add(-2 * keepVerdict).Unix()}))
	reopen()
	require.Equal(t, 2, s.waiting())
	require.Equal(t, account{earned: 3, voucher: &v}, s.account(1))
	got, ok := s.verdict(sampleID{1, 2, 3})
	require.True(t, ok)
	require.Equal(t, [32]byte{9}, got.Salt)
	_, ok = s.verdict(sampleID{1, 2, 4})
	require.False(t, ok, "old verdicts go")
	require.NoError(t, s.shorten())
	reopen()
	require.Equal(t, account{earned: 3, voucher: &v}, s.account(1))
	require.Equal(t, 2, s.waiting())
}

// A journal that can't be written says so, and nothing is taken for remembered.
func TestJournalFails(t *testing.T) {
	s, err := openState(t.TempDir(), time.Now(), quiet)
	require.NoError(t, err)
	require.NoError(t, s.journal.file.Close())
	require.ErrorIs(t, s.addReceipts([]receiptRecord{testReceipt(t, 1)}), ErrJournal)
	require.Zero(t, s.waiting())
	require.ErrorIs(t, s.addVerdict(verdictRecord{Job: 1, Epoch: 1, Outcome: work.Pass}), ErrJournal)
	_, ok := s.verdict(sampleID{1, 1, 0})
	require.False(t, ok)
}

// The journal stays short however much goes through it.
func TestJournalIsShortened(t *testing.T) {
	s, err := openState(t.TempDir(), time.Now(), quiet)
	require.NoError(t, err)
	s.compact = 8 << 10
	r := testReceipt(t, 1)
	for range 200 {
		require.NoError(t, s.addReceipts([]receiptRecord{r}))
		require.NoError(t, s.settle([]plane.LeaseID{leaseOf(r.Receipt)}, map[work.JobID]uint64{1: 3}, nil))
	}
	st, err := os.Stat(s.journal.path)
	require.NoError(t, err)
	require.Equal(t, s.journal.size, st.Size())
	require.Zero(t, s.waiting())
	s.compact = 0
	require.NoError(t, s.addReceipts([]receiptRecord{r}))
	require.Less(t, s.journal.size, int64(1024))
	require.Len(t, s.receipts(), 1)
	require.NoError(t, s.close())
}

func TestSpool(t *testing.T) {
	dir := t.TempDir()
	q := &quota{limit: 100}
	s, err := openSpool(dir, q, func(artifact.Digest) int { return 0 })
	require.NoError(t, err)
	b := bytes.Repeat([]byte("x"), 60)
	d, err := s.put(b)
	require.NoError(t, err)
	_, err = s.put(b)
	require.NoError(t, err, "the same blob costs nothing")
	_, err = s.put(bytes.Repeat([]byte("y"), 41))
	require.ErrorIs(t, err, artifact.ErrFull)
	require.NoError(t, s.sync([]artifact.Digest{d}))
	s.drop(d)
	require.True(t, s.has(d), "somebody else still needs it")
	got, err := s.get(d)
	require.NoError(t, err)
	require.Equal(t, b, got)
	s.drop(d)
	require.Zero(t, q.held())
	_, err = s.get(d)
	require.ErrorIs(t, err, artifact.ErrNotFound)

	d, err = s.put(b)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, d.String()), []byte("damaged"), 0o600))
	_, err = s.get(d)
	require.ErrorIs(t, err, artifact.ErrNotFound)
	require.Zero(t, q.held())

	d, err = s.put(b)
	require.NoError(t, err)
	other, err := s.put([]byte("z"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "half.tmp"), b, 0o600))
	q = &quota{limit: 100}
	s, err = openSpool(dir, q, func(x artifact.Digest) int {
		if x == d {
			return 1
		}
		return 0
	})
	require.NoError(t, err)
	require.True(t, s.has(d))
	require.False(t, s.has(other))
	require.Equal(t, int64(60), q.held())
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1)
}

func TestBudget(t *testing.T) {
	b := newBudget(10)
	ctx := t.Context()
	require.NoError(t, b.reserve(ctx, 20), "one always fits")
	waiting := make(chan error)
	go func() { waiting <- b.reserve(ctx, 5) }()
	b.adjust(-15)
	require.NoError(t, <-waiting)
	require.Equal(t, int64(10), b.held())
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	require.ErrorIs(t, b.reserve(cancelled, 1), context.Canceled)
}

// A kind that doesn't notice that it was cancelled is left behind.
func TestProtectLeavesBehind(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	hang := make(chan struct{})
	defer close(hang)
	_, err := protect(ctx, func(context.Context) (int, error) { <-hang; return 1, nil })
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "doesn't stop")
}
