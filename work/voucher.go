package work

import "fmt"

// MaxVoucher bounds the encoding of a SignedVoucher.
const MaxVoucher = 320

// Voucher is a gateway's promise to a worker: the pay tree of the named epoch, and of
// every later one, will hold at least so many cumulative units for it. A worker keeps
// the newest voucher of each job; if the gateway commits less, the ledger pays the
// difference from the gateway's bond.
type Voucher struct {
	_       struct{} `cbor:",toarray"`
	Chain   string
	Job     JobID
	Gateway PublicKey
	Worker  PublicKey
	Epoch   uint64 // the first epoch whose pay tree must hold Units
	Units   uint64 // cumulative in this job
}

// SignedVoucher is a voucher with its gateway's signature.
type SignedVoucher struct {
	_         struct{} `cbor:",toarray"`
	Voucher   Voucher
	Signature []byte
}

// Check refuses a voucher whose fields cannot be true of any job.
func (v Voucher) Check() error {
	switch {
	case v.Chain == "" || len(v.Chain) > 64:
		return fmt.Errorf("voucher: chain ID of %d characters, want 1 to 64", len(v.Chain))
	case v.Job == 0 || v.Epoch == 0:
		return fmt.Errorf("voucher: job %d, epoch %d: both count from 1", v.Job, v.Epoch)
	case v.Worker.IsZero() || v.Gateway.IsZero():
		return fmt.Errorf("voucher of job %d: no worker or no gateway", v.Job)
	}
	return nil
}

// SignVoucher signs v with the gateway's key k, whose public half becomes v.Gateway.
func SignVoucher(k PrivateKey, v Voucher) (SignedVoucher, error) {
	v.Gateway = k.Public()
	if err := v.Check(); err != nil {
		return SignedVoucher{}, err
	}
	b, err := Encode(v)
	if err != nil {
		return SignedVoucher{}, fmt.Errorf("encode a voucher: %w", err)
	}
	return SignedVoucher{Voucher: v, Signature: k.sign(domainVoucher, b)}, nil
}

// Verify checks the fields and the signature.
func (s SignedVoucher) Verify() error {
	if err := s.Voucher.Check(); err != nil {
		return err
	}
	b, err := Encode(s.Voucher)
	if err != nil {
		return fmt.Errorf("encode a voucher: %w", err)
	}
	if err := s.Voucher.Gateway.verify(domainVoucher, b, s.Signature); err != nil {
		return fmt.Errorf("voucher of job %d: %w", s.Voucher.Job, err)
	}
	return nil
}

// Encode is the canonical encoding.
func (s SignedVoucher) Encode() ([]byte, error) { return Encode(s) }

// DecodeVoucher reads the canonical encoding of a signed voucher. It does not verify it.
func DecodeVoucher(b []byte) (SignedVoucher, error) {
	s, err := Decode[SignedVoucher](b, MaxVoucher)
	if err != nil {
		return s, fmt.Errorf("voucher: %w", err)
	}
	return s, nil
}
