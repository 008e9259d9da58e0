package work

import (
	"fmt"

	"github.com/cantus-network/cantus/artifact"
)

// TraceID says which dispute a trace is named for.
type TraceID struct {
	_       struct{} `cbor:",toarray"`
	Chain   string
	Dispute uint64
}

type traceNaming struct {
	_    struct{} `cbor:",toarray"`
	ID   TraceID
	Root artifact.Digest
}

func traceBytes(id TraceID, root artifact.Digest) ([]byte, error) {
	b, err := Encode(traceNaming{ID: id, Root: root})
	if err != nil {
		return nil, fmt.Errorf("encode the naming of a trace: %w", err)
	}
	return b, nil
}

// SignTrace signs the root of the trace that a worker names when a receipt of its is
// disputed, so that anybody can carry it to the ledger.
func (k PrivateKey) SignTrace(id TraceID, root artifact.Digest) ([]byte, error) {
	b, err := traceBytes(id, root)
	if err != nil {
		return nil, err
	}
	return k.sign(domainTrace, b), nil
}

// VerifyTrace checks SignTrace.
func (k PublicKey) VerifyTrace(id TraceID, root artifact.Digest, sig []byte) error {
	b, err := traceBytes(id, root)
	if err != nil {
		return err
	}
	return k.verify(domainTrace, b, sig)
}
