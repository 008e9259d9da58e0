package types

import (
	"bytes"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/speaker"
	"github.com/cantus-network/cantus/work"
)

// DecodeEvidence reads the one encoding of evidence of at most limit bytes: that of the
// generated code, with every field in its place once. It looks into nothing that it holds.
func DecodeEvidence(b []byte, limit int) (*Evidence, error) {
	if len(b) > limit {
		return nil, ErrEvidence.Wrapf("%d bytes, at most %d", len(b), limit)
	}
	var e Evidence
	if err := e.Unmarshal(b); err != nil {
		return nil, ErrEvidence.Wrap(err.Error())
	}
	if again, err := e.Marshal(); err != nil || !bytes.Equal(again, b) {
		return nil, ErrEvidence.Wrap("another encoding of the same, or more than evidence")
	}
	if n := len(e.Testimonies); n < 1 || n > MaxPolicy {
		return nil, ErrEvidence.Wrapf("%d testimonies, want 1 to %d", n, MaxPolicy)
	}
	for i, t := range e.Testimonies {
		switch {
		case t.Epoch == 0:
			return nil, ErrEvidence.Wrapf("testimony %d: epoch 0: they count from 1", i)
		case len(t.Receipt) == 0 || len(t.Receipt) > work.MaxReceipt:
			return nil, ErrEvidence.Wrapf("testimony %d: a receipt of %d bytes, want 1 to %d", i, len(t.Receipt), work.MaxReceipt)
		}
		if _, err := t.Proof.Plain(); err != nil {
			return nil, ErrEvidence.Wrapf("testimony %d: %s", i, err.Error())
		}
	}
	for _, part := range []struct {
		name      string
		size, max int
	}{
		{"task", len(e.Task), claim.MaxTaskBytes},
		{"result", len(e.Result), claim.MaxResultBytes},
		{"spelling", len(e.Spelling), speaker.MaxSpelling},
	} {
		if part.size < 1 || part.size > part.max {
			return nil, ErrEvidence.Wrapf("a %s of %d bytes, want 1 to %d", part.name, part.size, part.max)
		}
	}
	return &e, nil
}
