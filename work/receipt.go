package work

import (
	"fmt"

	"github.com/cantus-network/cantus/artifact"
)

// MaxReceipt bounds the encoding of a SignedReceipt.
const MaxReceipt = 512

// Receipt is a worker's claim that it did a task and what came of it.
type Receipt struct {
	_        struct{} `cbor:",toarray"`
	Chain    string   // the chain's ID: a receipt of one network is void in another
	Job      JobID
	Seq      uint64 // the task's
	Attempt  uint32 // of the lease, so that a late worker can't answer another's lease
	Task     artifact.Digest
	Result   artifact.Digest
	Units    uint64
	Started  int64 // Unix milliseconds by the worker's clock: a claim like the rest
	Finished int64
	Worker   PublicKey
}

// SignedReceipt is a receipt with its worker's signature. Its canonical encoding is a
// leaf of the epoch's receipts tree.
type SignedReceipt struct {
	_         struct{} `cbor:",toarray"`
	Receipt   Receipt
	Signature []byte
}

// Check refuses a receipt whose fields cannot be true of any task.
func (r Receipt) Check() error {
	switch {
	case r.Chain == "" || len(r.Chain) > 64:
		return fmt.Errorf("receipt: chain ID of %d characters, want 1 to 64", len(r.Chain))
	case r.Job == 0 || r.Seq == 0:
		return fmt.Errorf("receipt: job %d, task %d: both count from 1", r.Job, r.Seq)
	case r.Attempt == 0:
		return fmt.Errorf("receipt of job %d, task %d: attempt 0: they count from 1", r.Job, r.Seq)
	case r.Units > MaxUnits:
		return fmt.Errorf("receipt of job %d, task %d: %d units, at most %d", r.Job, r.Seq, r.Units, uint64(MaxUnits))
	case r.Started < 0 || r.Finished < r.Started:
		return fmt.Errorf("receipt of job %d, task %d: finished at %d, started at %d", r.Job, r.Seq, r.Finished, r.Started)
	case r.Worker.IsZero():
		return fmt.Errorf("receipt of job %d, task %d: no worker", r.Job, r.Seq)
	}
	return nil
}

// SignReceipt signs r with the worker's key k, whose public half becomes r.Worker.
func SignReceipt(k PrivateKey, r Receipt) (SignedReceipt, error) {
	r.Worker = k.Public()
	if err := r.Check(); err != nil {
		return SignedReceipt{}, err
	}
	b, err := Encode(r)
	if err != nil {
		return SignedReceipt{}, fmt.Errorf("encode a receipt: %w", err)
	}
	return SignedReceipt{Receipt: r, Signature: k.sign(domainReceipt, b)}, nil
}

// Verify checks the fields and the signature.
func (s SignedReceipt) Verify() error {
	if err := s.Receipt.Check(); err != nil {
		return err
	}
	b, err := Encode(s.Receipt)
	if err != nil {
		return fmt.Errorf("encode a receipt: %w", err)
	}
	if err := s.Receipt.Worker.verify(domainReceipt, b, s.Signature); err != nil {
		return badReceipt(s.Receipt, err)
	}
	return nil
}

func badReceipt(r Receipt, err error) error {
	return fmt.Errorf("receipt of job %d, task %d: %w", r.Job, r.Seq, err)
}

// Encode is the canonical encoding, which is what the receipts tree commits to.
func (s SignedReceipt) Encode() ([]byte, error) { return Encode(s) }

// DecodeReceipt reads the canonical encoding of a signed receipt. It does not verify it.
func DecodeReceipt(b []byte) (SignedReceipt, error) {
	s, err := Decode[SignedReceipt](b, MaxReceipt)
	if err != nil {
		return s, fmt.Errorf("receipt: %w", err)
	}
	return s, nil
}
