package worker

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
)

// state is what a worker must not forget towards one gateway of one chain. Each change is
// durable when the method returns.
type state struct {
	mu       sync.Mutex
	journal  *journal
	pending  map[plane.LeaseID]waiting // signed and without a voucher
	added    uint64                    // receipts ever added
	jobs     map[work.JobID]account
	verdicts map[sampleID]verdictRecord
	doubts   map[sampleID]doubtRecord
	compact  int64 // the size from which on the journal is shortened
}

// waiting is a receipt and its place among those that came.
type waiting struct {
	receiptRecord
	place uint64
}

// account is what a worker did for one job and what it was promised for it.
type account struct {
	earned  uint64 // units of all receipts that were taken
	voucher *work.SignedVoucher
	proof   *proofRecord // the newest that was good
	cases   []caseRecord // challenges
	over    int64        // Unix seconds: since when nothing is left to do about it
}

type sampleID struct {
	job    work.JobID
	epoch  uint64
	sample uint32
}

// Types of records.
const (
	recordReceipt  = 'R'
	recordUploaded = 'U'
	recordSettled  = 'S'
	recordEarned   = 'E'
	recordVoucher  = 'V'
	recordVerdict  = 'A'
	recordDecided  = 'D' // the ledger decided on a sample: its verdict is not needed any more
	recordProof    = 'P'
	recordCase     = 'C'
	recordOver     = 'O'
	recordDoubt    = 'F' // a receipt that this auditor found false, and may have to prove so
	recordDropped  = 'X' // and need not any more
)

type receiptRecord struct {
	_       struct{} `cbor:",toarray"`
	Receipt work.SignedReceipt
	Blobs   []artifact.Digest // kept in the spool because they are not uploaded yet
}

func leaseOf(s work.SignedReceipt) plane.LeaseID {
	return plane.LeaseID{Job: s.Receipt.Job, Seq: s.Receipt.Seq, Attempt: s.Receipt.Attempt}
}

type earnedRecord struct {
	_     struct{} `cbor:",toarray"`
	Job   work.JobID
	Units uint64
}

type verdictRecord struct {
	_        struct{} `cbor:",toarray"`
	Job      work.JobID
	Epoch    uint64
	Sample   uint32
	Outcome  work.AuditOutcome
	Evidence artifact.Digest
	Salt     [work.SaltSize]byte
	At       int64 // Unix seconds
	Score    int32
}

// decidedRecord names a sample.
type decidedRecord struct {
	_      struct{} `cbor:",toarray"`
	Job    work.JobID
	Epoch  uint64
	Sample uint32
}

// proofRecord shows this worker's units in the pay tree of an epoch.
type proofRecord struct {
	_     struct{} `cbor:",toarray"`
	Job   work.JobID
	Epoch uint64
	Units uint64
	Index uint64
	Path  []pathNode
}

type pathNode struct {
	_    struct{} `cbor:",toarray"`
	Hash work.Hash
	Sum  uint64
}

func (p proofRecord) proof() work.Proof {
	out := work.Proof{Index: p.Index}
	for _, n := range p.Path {
		out.Siblings = append(out.Siblings, work.Node{Hash: n.Hash, Sum: n.Sum})
	}
	return out
}

// caseRecord is a challenge: noted before it is sent, and again when it is on the ledger.
type caseRecord struct {
	_     struct{} `cbor:",toarray"`
	Job   work.JobID
	Units uint64 // of the voucher
	Blind bool   // nothing proves the gateway wrong; it only doesn't show that it is right
	Sent  bool   // the ledger has it
	At    int64  // Unix seconds
}

type overRecord struct {
	_   struct{} `cbor:",toarray"`
	Job work.JobID
	At  int64 // Unix seconds
}

func (v verdictRecord) id() sampleID { return sampleID{v.Job, v.Epoch, v.Sample} }

const (
	minCompact  = 4 << 20
	keepVerdict = 14 * 24 * time.Hour // longer than any window in which it may be asked for
	keepOver    = 14 * 24 * time.Hour // of an account about which nothing is left to do
	// keepAnswering is how long after a verdict its gateway may still ask for it, in a
	// network of the usual windows.
	keepAnswering = 6 * time.Hour
)

// openState opens the journal in dir.
func openState(dir string, now time.Time, log *slog.Logger) (*state, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the worker's state directory: %w", room(err))
	}
	s := &state{
		pending: map[plane.LeaseID]waiting{}, jobs: map[work.JobID]account{},
		verdicts: map[sampleID]verdictRecord{}, doubts: map[sampleID]doubtRecord{}, compact: minCompact,
	}
	path := filepath.Join(dir, "journal")
	j, cut, err := openJournal(path, s.apply)
	if err != nil {
		return nil, err
	}
	s.journal = j
	if cut > 0 {
		log.Warn("the journal's end was torn by a crash and cut off; nothing acknowledged was in it", "path", path, "bytes", cut)
	}
	maps.DeleteFunc(s.verdicts, func(_ sampleID, v verdictRecord) bool {
		return now.Sub(time.Unix(v.At, 0)) > keepVerdict
	})
	maps.DeleteFunc(s.doubts, func(_ sampleID, d doubtRecord) bool {
		return now.Sub(time.Unix(d.At, 0)) > keepVerdict
	})
	maps.DeleteFunc(s.jobs, func(_ work.JobID, a account) bool {
		return a.over != 0 && now.Sub(time.Unix(a.over, 0)) > keepOver
	})
	if err := s.shorten(); err != nil {
		return nil, errors.Join(err, j.close())
	}
	return s, nil
}

func (s *state) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.journal.close()
}

// apply does what a record says, when it was just written and when it is read again.
func (s *state) apply(r record) error {
	switch r.kind {
	case recordReceipt:
		v, err := work.Decode[receiptRecord](r.payload, maxRecord)
		if err != nil {
			return err
		}
		id := leaseOf(v.Receipt)
		s.added++
		s.pending[id] = waiting{v, s.added}
	case recordUploaded:
		id, err := work.Decode[plane.LeaseID](r.payload, maxRecord)
		if err != nil {
			return err
		}
		if v, ok := s.pending[id]; ok {
			v.Blobs = nil
			s.pending[id] = v
		}
	case recordSettled:
		id, err := work.Decode[plane.LeaseID](r.payload, maxRecord)
		if err != nil {
			return err
		}
		delete(s.pending, id)
	case recordEarned:
		v, err := work.Decode[earnedRecord](r.payload, maxRecord)
		if err != nil {
			return err
		}
		a := s.jobs[v.Job]
		a.earned = v.Units
		s.jobs[v.Job] = a
	case recordVoucher:
		v, err := work.DecodeVoucher(r.payload)
		if err != nil {
			return err
		}
		a := s.jobs[v.Voucher.Job]
		if a.voucher == nil || a.voucher.Voucher.Units < v.Voucher.Units {
			a.over = 0 // there is something new to look after
		}
		a.voucher = &v
		s.jobs[v.Voucher.Job] = a
	case recordVerdict:
		v, err := decodeVerdict(r.payload)
		if err != nil {
			return err
		}
		s.verdicts[v.id()] = v
	case recordDecided:
		v, err := work.Decode[decidedRecord](r.payload, maxRecord)
		if err != nil {
			return err
		}
		delete(s.verdicts, sampleID{v.Job, v.Epoch, v.Sample})
	case recordDoubt:
		v, err := work.Decode[doubtRecord](r.payload, maxRecord)
		if err != nil {
			return err
		}
		s.doubts[v.id()] = v
	case recordDropped:
		v, err := work.Decode[decidedRecord](r.payload, maxRecord)
		if err != nil {
			return err
		}
		delete(s.doubts, sampleID{v.Job, v.Epoch, v.Sample})
	case recordProof:
		v, err := work.Decode[proofRecord](r.payload, maxRecord)
		if err != nil {
			return err
		}
		a := s.jobs[v.Job]
		a.proof = &v
		s.jobs[v.Job] = a
	case recordCase:
		v, err := work.Decode[caseRecord](r.payload, maxRecord)
		if err != nil {
			return err
		}
		a := s.jobs[v.Job]
		a.cases = slices.DeleteFunc(slices.Clone(a.cases), func(c caseRecord) bool { return c.Units == v.Units })
		a.cases = append(a.cases, v)
		s.jobs[v.Job] = a
	case recordOver:
		v, err := work.Decode[overRecord](r.payload, maxRecord)
		if err != nil {
			return err
		}
		a := s.jobs[v.Job]
		a.over = v.At
		s.jobs[v.Job] = a
	default:
		return fmt.Errorf("a record of unknown type %q: it was written by a newer program", r.kind)
	}
	return nil
}

// entry is a record about to be written.
type entry struct {
	kind  byte
	value any
}

// commit writes entries and applies them. The caller holds mu.
func (s *state) commit(entries ...entry) error {
	if len(entries) == 0 {
		return nil
	}
	rs := make([]record, len(entries))
	for i, e := range entries {
		b, err := work.Encode(e.value)
		if err != nil {
			return fmt.Errorf("%w: encode a record: %w", ErrJournal, err)
		}
		rs[i] = record{e.kind, b}
	}
	if err := s.journal.append(rs...); err != nil {
		return err
	}
	for _, r := range rs {
		if err := s.apply(r); err != nil {
			return fmt.Errorf("%w: %w", ErrJournal, err)
		}
	}
	if s.journal.size >= s.compact {
		return s.shorten()
	}
	return nil
}

// shorten rewrites the journal without what is over. The caller holds mu, or is alone.
func (s *state) shorten() error {
	var rs []record
	add := func(kind byte, v any) error {
		b, err := work.Encode(v)
		rs = append(rs, record{kind, b})
		return err
	}
	for _, r := range s.inOrder() {
		if err := add(recordReceipt, r); err != nil {
			return err
		}
	}
	for _, job := range slices.Sorted(maps.Keys(s.jobs)) {
		a := s.jobs[job]
		if err := add(recordEarned, earnedRecord{Job: job, Units: a.earned}); err != nil {
			return err
		}
		if a.voucher != nil {
			if err := add(recordVoucher, *a.voucher); err != nil {
				return err
			}
		}
		if a.proof != nil {
			if err := add(recordProof, *a.proof); err != nil {
				return err
			}
		}
		for _, c := range a.cases {
			if err := add(recordCase, c); err != nil {
				return err
			}
		}
		if a.over != 0 {
			if err := add(recordOver, overRecord{Job: job, At: a.over}); err != nil {
				return err
			}
		}
	}
	for _, v := range s.verdicts {
		if err := add(recordVerdict, v); err != nil {
			return err
		}
	}
	for _, v := range s.doubts {
		if err := add(recordDoubt, v); err != nil {
			return err
		}
	}
	if err := s.journal.rewrite(rs); err != nil {
		return err
	}
	s.compact = max(minCompact, 2*s.journal.size)
	return nil
}

// addReceipts notes signed receipts that are to be reported.
func (s *state) addReceipts(rs []receiptRecord) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries := make([]entry, len(rs))
	for i, r := range rs {
		entries[i] = entry{recordReceipt, r}
	}
	return s.commit(entries...)
}

// setUploaded notes that receipts' blobs are in the artifact store.
func (s *state) setUploaded(ids []plane.LeaseID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	entries := make([]entry, len(ids))
	for i, id := range ids {
		entries[i] = entry{recordUploaded, id}
	}
	return s.commit(entries...)
}

// settle notes what a report came to: leases that are over, what the jobs now owe, and
// the vouchers for it.
func (s *state) settle(over []plane.LeaseID, earned map[work.JobID]uint64, vouchers []work.SignedVoucher) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var entries []entry
	for _, id := range over {
		entries = append(entries, entry{recordSettled, id})
	}
	for _, job := range slices.Sorted(maps.Keys(earned)) {
		entries = append(entries, entry{recordEarned, earnedRecord{Job: job, Units: earned[job]}})
	}
	for _, v := range vouchers {
		entries = append(entries, entry{recordVoucher, v})
	}
	return s.commit(entries...)
}

// addVerdict notes a verdict, salt included, before anybody learns of it, and what it takes to
// prove it. The first one on a sample stands: it may be on the ledger already.
func (s *state) addVerdict(v verdictRecord, doubts ...doubtRecord) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.verdicts[v.id()]; ok {
		return nil
	}
	entries := []entry{{recordVerdict, v}}
	for _, d := range doubts {
		entries = append(entries, entry{recordDoubt, d})
	}
	return s.commit(entries...)
}

func (s *state) verdict(id sampleID) (verdictRecord, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.verdicts[id]
	return v, ok
}

// note writes one record.
func (s *state) note(kind byte, v any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.commit(entry{kind, v})
}

// openVerdicts lists the verdicts on samples that the ledger has not decided on yet, as
// far as the worker knows.
func (s *state) openVerdicts() []verdictRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.verdicts))
}

// judgedSince reports whether there is an open verdict younger than that.
func (s *state) judgedSince(t time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.verdicts {
		if v.At > t.Unix() {
			return true
		}
	}
	return false
}

// empty reports whether there is nothing that must not be forgotten.
func (s *state) empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pending)+len(s.jobs)+len(s.verdicts)+len(s.doubts) == 0
}

// promised lists the jobs in which there is a voucher to look after.
func (s *state) promised() map[work.JobID]account {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := map[work.JobID]account{}
	for job, a := range s.jobs {
		if a.voucher != nil && a.over == 0 {
			m[job] = a
		}
	}
	return m
}

func (s *state) account(job work.JobID) account {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.jobs[job]
}

// receipts lists what is to be reported, oldest first.
func (s *state) receipts() []receiptRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inOrder()
}

// inOrder is receipts for a caller that holds mu.
func (s *state) inOrder() []receiptRecord {
	all := slices.SortedFunc(maps.Values(s.pending), func(a, b waiting) int { return cmp.Compare(a.place, b.place) })
	rs := make([]receiptRecord, len(all))
	for i, w := range all {
		rs[i] = w.receiptRecord
	}
	return rs
}

func (s *state) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pending)
}

// blobs counts how many need each blob: receipts that wait for it to be uploaded, and doubts.
func (s *state) blobs() map[artifact.Digest]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := map[artifact.Digest]int{}
	for _, r := range s.pending {
		for _, d := range r.Blobs {
			m[d]++
		}
	}
	for _, v := range s.doubts {
		m[v.Task]++
		m[v.Result]++
	}
	return m
}

// Promise is what a gateway signed to a worker for one job.
type Promise struct {
	Earned  uint64 // units that the worker reported and the gateway took
	Voucher *work.SignedVoucher
}

// Vouchers reads the promises that a worker holds from the state directory dir of one that
// is not running, by gateway and job. They are what an operator claims or challenges with.
func Vouchers(dir string) ([]Promise, error) {
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	paths, err := filepath.Glob(filepath.Join(dir, "gateways", "*", "journal"))
	if err != nil {
		return nil, fmt.Errorf("look for journals in %s: %w", dir, err)
	}
	var all []Promise
	for _, p := range paths {
		s := &state{pending: map[plane.LeaseID]waiting{}, jobs: map[work.JobID]account{}, verdicts: map[sampleID]verdictRecord{}}
		j, _, err := openJournal(p, s.apply)
		if err != nil {
			return nil, err
		}
		if err := j.close(); err != nil {
			return nil, fmt.Errorf("%w %s: %w", ErrJournal, p, err)
		}
		for _, a := range s.jobs {
			if a.voucher != nil {
				all = append(all, Promise{a.earned, a.voucher})
			}
		}
	}
	slices.SortFunc(all, func(a, b Promise) int {
		return cmp.Or(a.Voucher.Voucher.Gateway.Compare(b.Voucher.Voucher.Gateway), cmp.Compare(a.Voucher.Voucher.Job, b.Voucher.Voucher.Job))
	})
	return all, nil
}
