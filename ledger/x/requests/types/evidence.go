package types

import (
	"bytes"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/speaker"
	"github.com/cantus-network/cantus/work"
)

// DecodeEvidence reads the one encoding of evidence of at most limit bytes for an answer of a
// speaker: that of the generated code, with every field in its place once. It looks into
// nothing that it holds.
func DecodeEvidence(b []byte, limit int, speaker []byte) (*Evidence, error) {
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
	check := e.checkModel
	if _, page := FormByID(speaker); page {
		check = e.checkPage
	}
	if err := check(); err != nil {
		return nil, err
	}
	return &e, nil
}

// part is a field of evidence that must be there, and how long it may be.
type part struct {
	name  string
	bytes []byte
	most  int
}

func (e *Evidence) checkModel() error {
	if len(e.Results) > 0 {
		return ErrEvidence.Wrapf("%d more results: all workers give the same one of a model", len(e.Results))
	}
	return checkParts(part{"task", e.Task, claim.MaxTaskBytes}, part{"result", e.Result, claim.MaxResultBytes},
		part{"spelling", e.Spelling, speaker.MaxSpelling})
}

// checkPage leaves the content alone: whether it must be there is for the record to say.
func (e *Evidence) checkPage() error {
	if want := len(e.Testimonies) - 1; len(e.Results) != want {
		return ErrEvidence.Wrapf("%d more results, want %d: one of a page for each testimony after the first", len(e.Results), want)
	}
	for _, r := range e.Results {
		if err := checkParts(part{"result", r, work.MaxResult}); err != nil {
			return err
		}
	}
	return checkParts(part{"task", e.Task, work.MaxTask}, part{"result", e.Result, work.MaxResult})
}

func checkParts(parts ...part) error {
	for _, p := range parts {
		if n := len(p.bytes); n < 1 || n > p.most {
			return ErrEvidence.Wrapf("a %s of %d bytes, want 1 to %d", p.name, n, p.most)
		}
	}
	return nil
}
