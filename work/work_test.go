package work_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"testing"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

var rewrite = flag.Bool("rewrite", false, "write testdata/vectors.json anew")

func key(t testing.TB, fill byte) work.PrivateKey {
	t.Helper()
	k, err := work.PrivateKeyFromSeed(bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func receipt(t testing.TB) work.SignedReceipt {
	t.Helper()
	task := work.Task{Job: 7, Seq: 42, Spec: []byte("spec"), Body: []byte("body")}
	s, err := work.SignReceipt(key(t, 1), work.Receipt{
		Chain: "cantus-test-1", Job: 7, Seq: 42, Attempt: 1, Task: task.Digest(),
		Result: artifact.Sum([]byte("result")), Units: 3, Started: 1_700_000_000_000, Finished: 1_700_000_000_250,
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func voucher(t testing.TB) work.SignedVoucher {
	t.Helper()
	s, err := work.SignVoucher(key(t, 2), work.Voucher{Chain: "cantus-test-1", Job: 7, Worker: key(t, 1).Public(), Epoch: 3, Units: 99})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// vectors are what another implementation must reproduce.
type vectors struct {
	ReceiptCBOR, VoucherCBOR, Task, Commitment, CommitmentSignature, Enrollment string
	Beacon, Settled, Root1, Root5                                               string
	Samples                                                                     []uint64
	Auditors                                                                    []string
	Plants, NoPlants                                                            string
	Cells                                                                       []string
	EpochSamples                                                                []uint64
}

func compute(t *testing.T) vectors {
	t.Helper()
	hx := func(b []byte, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return hex.EncodeToString(b)
	}
	id := work.VerdictID{Chain: "cantus-test-1", Job: 7, Epoch: 3, Sample: 1, Auditor: key(t, 3).Public()}
	v := work.Verdict{Outcome: work.Fail, Evidence: artifact.Sum([]byte("seen"))}
	c, err := v.Commitment(id, [32]byte{9})
	if err != nil {
		t.Fatal(err)
	}
	beacon := work.Beacon("cantus-test-1", 7, 3, bytes.Repeat([]byte{0xab}, 32))
	settled := work.SettledRoot([32]byte{}, 7, 1, work.Hash{1})
	out := vectors{
		ReceiptCBOR: hx(receipt(t).Encode()), VoucherCBOR: hx(voucher(t).Encode()),
		Task: receipt(t).Receipt.Task.String(), Commitment: c.String(),
		CommitmentSignature: hx(key(t, 3).SignCommitment(id, c)),
		Enrollment:          hx(key(t, 1).SignEnrollment("cantus-test-1", "cantus1owner")),
		Beacon:              hex.EncodeToString(beacon[:]), Settled: hex.EncodeToString(settled[:]),
		Samples: work.Samples(beacon, 1000, 5),
	}
	for n, dst := range map[int]*string{1: &out.Root1, 5: &out.Root5} {
		var leaves []work.Node
		for i := range n {
			leaves = append(leaves, work.LeafNode([]byte{byte(i)}, uint64(i+1)))
		}
		tree, err := work.NewTree(leaves)
		if err != nil {
			t.Fatal(err)
		}
		r := tree.Root()
		*dst = hex.EncodeToString(r.Hash[:])
	}
	var cs []work.Candidate
	for i := byte(1); i <= 6; i++ {
		cs = append(cs, work.Candidate{Key: key(t, i).Public(), Operator: string('a' + rune(i)), Network: string('x' + rune(i%2))})
	}
	for _, k := range work.Auditors(beacon, 2, cs[0], cs, 3) {
		out.Auditors = append(out.Auditors, k.String())
	}
	plants := func(indices ...uint64) string {
		p := work.Plants{Chain: "cantus-test-1", Job: 7, Epoch: 3, Indices: indices, Salt: [32]byte{9}}
		c, err := p.Commitment()
		if err != nil {
			t.Fatal(err)
		}
		return c.String()
	}
	out.Plants, out.NoPlants = plants(4, 250, 70_000), plants()
	for i := byte(1); i <= 6; i++ {
		out.Cells = append(out.Cells, work.CellOf(key(t, i).Public(), []string{"east", "north", "west"}))
	}
	out.EpochSamples = work.EpochSamples(beacon, work.Shape{Receipts: 1000, Units: 5000, ProbationReceipts: 40, ProbationUnits: 100},
		work.Rates{AuditBps: 30, ProbationBps: 1000, MaxSamples: 64})
	return out
}

func TestVectors(t *testing.T) {
	const file = "testdata/vectors.json"
	got, err := json.MarshalIndent(compute(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *rewrite {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the signed formats changed, which breaks every network that runs:\n%s", got)
	}
}

func TestReceiptRefusals(t *testing.T) {
	good := receipt(t)
	if err := good.Verify(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*work.SignedReceipt){
		"chain":       func(s *work.SignedReceipt) { s.Receipt.Chain = "cantus-test-2" },
		"no chain":    func(s *work.SignedReceipt) { s.Receipt.Chain = "" },
		"job":         func(s *work.SignedReceipt) { s.Receipt.Job++ },
		"task number": func(s *work.SignedReceipt) { s.Receipt.Seq++ },
		"attempt":     func(s *work.SignedReceipt) { s.Receipt.Attempt = 0 },
		"task":        func(s *work.SignedReceipt) { s.Receipt.Task[0] ^= 1 },
		"result":      func(s *work.SignedReceipt) { s.Receipt.Result[31] ^= 1 },
		"units":       func(s *work.SignedReceipt) { s.Receipt.Units++ },
		"many units":  func(s *work.SignedReceipt) { s.Receipt.Units = work.MaxUnits + 1 },
		"time":        func(s *work.SignedReceipt) { s.Receipt.Finished = s.Receipt.Started - 1 },
		"worker":      func(s *work.SignedReceipt) { s.Receipt.Worker = key(t, 5).Public() },
		"signature":   func(s *work.SignedReceipt) { s.Signature[0] ^= 1 },
		"short":       func(s *work.SignedReceipt) { s.Signature = s.Signature[:63] },
	} {
		bad := receipt(t)
		change(&bad)
		if bad.Verify() == nil {
			t.Errorf("%s: a changed receipt verifies", name)
		}
	}
}

func TestVoucherRefusals(t *testing.T) {
	if err := voucher(t).Verify(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*work.SignedVoucher){
		"chain":   func(s *work.SignedVoucher) { s.Voucher.Chain = "x" },
		"job":     func(s *work.SignedVoucher) { s.Voucher.Job++ },
		"worker":  func(s *work.SignedVoucher) { s.Voucher.Worker[0] ^= 1 },
		"gateway": func(s *work.SignedVoucher) { s.Voucher.Gateway = s.Voucher.Worker },
		"epoch":   func(s *work.SignedVoucher) { s.Voucher.Epoch-- },
		"units":   func(s *work.SignedVoucher) { s.Voucher.Units++ },
	} {
		bad := voucher(t)
		change(&bad)
		if bad.Verify() == nil {
			t.Errorf("%s: a changed voucher verifies", name)
		}
	}
	// The same bytes signed for another purpose are worth nothing here.
	k := key(t, 2)
	v := voucher(t)
	b, err := work.Encode(v.Voucher)
	if err != nil {
		t.Fatal(err)
	}
	v.Signature = k.SignNonce(b)
	if !errors.Is(v.Verify(), work.ErrSignature) {
		t.Error("a nonce's signature passes for a voucher's")
	}
}

func TestEnrollmentBindsOwnerAndChain(t *testing.T) {
	k := key(t, 1)
	sig, err := k.SignEnrollment("chain", "owner")
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Public().VerifyEnrollment("chain", "owner", sig); err != nil {
		t.Error(err)
	}
	if k.Public().VerifyEnrollment("chain", "thief", sig) == nil || k.Public().VerifyEnrollment("other", "owner", sig) == nil {
		t.Error("an enrollment serves another owner or chain")
	}
}

func TestVerdictCommitment(t *testing.T) {
	k := key(t, 3)
	id := work.VerdictID{Chain: "c", Job: 1, Epoch: 1, Sample: 0, Auditor: k.Public()}
	v := work.Verdict{Outcome: work.Pass, Evidence: artifact.Sum([]byte("e"))}
	salt := [32]byte{1, 2, 3}
	c, err := v.Commitment(id, salt)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.CheckReveal(id, salt, c); err != nil {
		t.Error(err)
	}
	other := v
	other.Outcome = work.Fail
	copied := id
	copied.Auditor = key(t, 4).Public()
	for name, err := range map[string]error{
		"outcome":  other.CheckReveal(id, salt, c),
		"salt":     v.CheckReveal(id, [32]byte{}, c),
		"copyist":  v.CheckReveal(copied, salt, c),
		"evidence": work.Verdict{Outcome: work.Pass}.CheckReveal(id, salt, c),
	} {
		if !errors.Is(err, work.ErrCommitment) {
			t.Errorf("%s: got %v, want ErrCommitment", name, err)
		}
	}
	if _, err := (work.Verdict{}).Commitment(id, salt); err == nil {
		t.Error("a verdict without an outcome can be committed")
	}
	sig, err := k.SignCommitment(id, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := work.VerifyCommitment(id, c, sig); err != nil {
		t.Error(err)
	}
	if work.VerifyCommitment(copied, c, sig) == nil {
		t.Error("a commitment's signature serves another auditor")
	}
}

func TestTextForms(t *testing.T) {
	k := key(t, 1).Public()
	if back, err := work.ParseKey(k.String()); err != nil || back != k {
		t.Errorf("ParseKey(%s) = %v, %v", k, back, err)
	}
	for _, bad := range []string{"", "ab", k.String() + "00", "Z" + k.String()[1:], "A" + k.String()[1:]} {
		if _, err := work.ParseKey(bad); !errors.Is(err, work.ErrKey) {
			t.Errorf("ParseKey(%q): got %v, want ErrKey", bad, err)
		}
	}
	for _, n := range []work.Name{"", "crawl", "crawl/0", "Crawl/1", "crawl/1/2", "crawl/12345", "-x/1", "crawl /1"} {
		if n.Check() == nil {
			t.Errorf("kind name %q passes", n)
		}
	}
	if err := work.Name("crawl/1").Check(); err != nil {
		t.Error(err)
	}
	if work.Agreed.Stronger(work.Replayed) || work.Weakest(work.Proved, work.Measured) != work.Measured || work.Weakest() != work.Asserted {
		t.Error("labels are out of order")
	}
	if s := key(t, 1).String(); len(s) > 40 {
		t.Errorf("a private key prints itself: %s", s)
	}
}

func FuzzDecodeReceipt(f *testing.F) {
	b, err := receipt(f).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := work.DecodeReceipt(in)
		if err != nil {
			return
		}
		again, err := s.Encode()
		if err != nil || !bytes.Equal(again, in) {
			t.Fatalf("%x decodes and encodes to %x (%v)", in, again, err)
		}
		_ = s.Verify()
	})
}

func FuzzDecodeVoucher(f *testing.F) {
	b, err := voucher(f).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := work.DecodeVoucher(in)
		if err != nil {
			return
		}
		again, err := s.Encode()
		if err != nil || !bytes.Equal(again, in) {
			t.Fatalf("%x decodes and encodes to %x (%v)", in, again, err)
		}
		_ = s.Verify()
	})
}
