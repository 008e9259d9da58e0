package plane

import (
	"bytes"
	"testing"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

// fuzz checks that a decoder takes nothing but the one encoding of what it gives back,
// and never panics.
func fuzz[T checker](f *testing.F, seeds ...T) {
	for _, s := range seeds {
		b, err := work.Encode(s)
		if err != nil {
			f.Fatal(err)
		}
		if _, err := decode[T](b); err != nil {
			f.Fatalf("seed is refused: %v", err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := decode[T](b)
		if err != nil {
			return
		}
		again, err := work.Encode(v)
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x became %x (%v)", b, again, err)
		}
	})
}

var (
	someKey     = work.PublicKey{1}
	someReceipt = work.SignedReceipt{
		Receipt:   work.Receipt{Chain: "c-1", Job: 1, Seq: 2, Attempt: 1, Units: 5, Started: 1, Finished: 2, Worker: someKey},
		Signature: make([]byte, 64),
	}
	someVoucher = work.SignedVoucher{
		Voucher:   work.Voucher{Chain: "c-1", Job: 1, Gateway: someKey, Worker: someKey, Epoch: 1, Units: 5},
		Signature: make([]byte, 64),
	}
)

func FuzzHelloRequest(f *testing.F) {
	fuzz(f, HelloRequest{Version: "v1", Kinds: []work.Name{"crawl/1"}, Capacity: 4})
}

func FuzzHelloReply(f *testing.F) {
	fuzz(f, HelloReply{Chain: "c-1", Gateway: someKey, Artifacts: "http://127.0.0.1:8080", Token: "t", AllowLoopback: true, Now: 1})
}

func FuzzLeaseRequest(f *testing.F) {
	fuzz(f, LeaseRequest{Max: 3, Kinds: []work.Name{"crawl/1"}, Holding: []LeaseID{{Job: 1, Seq: 1, Attempt: 1}}, Held: []artifact.Digest{artifact.Sum(nil)}})
}

func FuzzLeaseReply(f *testing.F) {
	receipt, err := someReceipt.Encode()
	if err != nil {
		f.Fatal(err)
	}
	fuzz(f, LeaseReply{Wait: 10}, LeaseReply{
		Bundles: []Bundle{{Job: 1, Kind: "crawl/1", Pace: 500, Deadline: 1, Tasks: []Lease{{Seq: 1, Attempt: 1, Body: []byte("b")}}}},
		Audits:  []Audit{{Epoch: 1, Sample: 2, Job: 1, Kind: "crawl/1", Seq: 2, Body: []byte("b"), Receipt: receipt, Deadline: 1}},
		Reveals: []Reveal{{Job: 1, Epoch: 1}},
	})
}

func FuzzPartRequest(f *testing.F) {
	fuzz(f, PartRequest{Parts: []Part{{Lease: LeaseID{Job: 1, Seq: 2, Attempt: 1}, Body: []byte("b")}, {Lease: LeaseID{Job: 1, Seq: 3, Attempt: 1}}}})
}

func FuzzPartReply(f *testing.F) {
	fuzz(f, PartReply{}, PartReply{Stop: []LeaseID{{Job: 1, Seq: 2, Attempt: 1}}})
}

func FuzzDoneRequest(f *testing.F) {
	fuzz(f, DoneRequest{
		Receipts: []work.SignedReceipt{someReceipt},
		Failures: []Failure{{Lease: LeaseID{Job: 1, Seq: 3, Attempt: 1}, Reason: "no route"}},
		Verdicts: []VerdictCommit{{Job: 1, Epoch: 1, Commitment: artifact.Sum(nil), Signature: make([]byte, 64)}},
		Reveals:  []VerdictReveal{{Job: 1, Epoch: 1, Outcome: work.Fail}},
	})
}

func FuzzDoneReply(f *testing.F) {
	fuzz(f, DoneReply{Vouchers: []work.SignedVoucher{someVoucher}, Refused: []Refusal{{Job: 1, Seq: 9, Reason: "late"}}})
}

func FuzzNudge(f *testing.F) { fuzz(f, Nudge{}) }

// FuzzReply reads whole replies, errors included.
func FuzzReply(f *testing.F) {
	for _, e := range []*Error{nil, Errorf(CodeInvalid, "no"), Busy(5, "wait")} {
		b, err := encodeReply(DoneReply{}, e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := decodeReply[DoneReply](b)
		if err == nil {
			return
		}
		if err.Error() == "" && len(b) > 0 && b[0] == statusOK {
			t.Fatal("an error without a text")
		}
	})
}

// FuzzSubject reads subjects: what parses is exactly what requestSubject writes.
func FuzzSubject(f *testing.F) {
	f.Add(requestSubject(someKey, methodLease), inboxPrefix(someKey)+".x.y")
	f.Add("cantus.1.*.lease", ">")
	f.Fuzz(func(t *testing.T, subject, reply string) {
		worker, method, ok := parseRequest(subject)
		if ok && requestSubject(worker, method) != subject {
			t.Fatalf("%q became %q", subject, requestSubject(worker, method))
		}
		if ownInbox(someKey, reply) && !bytes.HasPrefix([]byte(reply), []byte(inboxPrefix(someKey)+".")) {
			t.Fatalf("%q is not in the inbox", reply)
		}
	})
}

func TestNudgeMessage(t *testing.T) {
	b, err := work.Encode(Nudge{})
	if err != nil || !bytes.Equal(b, nudgeMessage) {
		t.Fatalf("%x %v", b, err)
	}
}
