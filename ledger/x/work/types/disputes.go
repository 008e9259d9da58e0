package types

import (
	"github.com/cantus-network/cantus/work"
)

// ValidateBasic checks the sizes of what is shown.
func (m *MsgOpenDispute) ValidateBasic() error {
	if err := checkEpoch(m.Job, m.Epoch); err != nil {
		return err
	}
	if len(m.Receipt) > 0 {
		if m.Sample != 0 {
			return ErrInvalid.Wrap("a dispute names a receipt or the number of a sample, not both")
		}
		if err := checkReceipt(m.Receipt); err != nil {
			return err
		}
	}
	if _, err := m.Proof.Plain(); err != nil {
		return err
	}
	if err := checkExhibit(m.Task, m.Result, m.Model); err != nil {
		return err
	}
	return CheckDigest("root of the trace", m.Root)
}

func checkExhibit(task, result, model []byte) error {
	switch {
	case len(task) > work.MaxTask:
		return ErrInvalid.Wrapf("task of %d bytes, at most %d", len(task), work.MaxTask)
	case len(result) > MaxDisputed:
		return ErrInvalid.Wrapf("result of %d bytes, at most %d can be disputed", len(result), MaxDisputed)
	case len(model) > MaxOpening:
		return ErrInvalid.Wrapf("%d bytes of the model, at most %d", len(model), MaxOpening)
	}
	return nil
}

// ValidateBasic checks the root and the signature's length; the operator sends none.
func (m *MsgAnswerDispute) ValidateBasic() error {
	if err := checkDispute(m.Dispute); err != nil {
		return err
	}
	if len(m.Signature) > 0 {
		if err := checkSignature(m.Signature); err != nil {
			return err
		}
	}
	return CheckDigest("root of the trace", m.Root)
}

// ValidateBasic checks that there are hashes.
func (m *MsgDescend) ValidateBasic() error {
	if err := checkDispute(m.Dispute); err != nil {
		return err
	}
	if len(m.Children) == 0 {
		return ErrInvalid.Wrap("a node without children")
	}
	return checkChildren(m.Children)
}

func checkChildren(list [][]byte) error {
	if len(list) > Ways {
		return ErrInvalid.Wrapf("%d children, at most %d", len(list), Ways)
	}
	for i, c := range list {
		if len(c) != 32 {
			return ErrInvalid.Wrapf("child %d has %d bytes, want 32", i, len(c))
		}
	}
	return nil
}

// ValidateBasic checks the opening's size.
func (m *MsgDecide) ValidateBasic() error {
	if err := checkDispute(m.Dispute); err != nil {
		return err
	}
	return checkOpening(m.Opening)
}

// ValidateBasic checks the opening's size.
func (m *MsgContradict) ValidateBasic() error {
	if err := checkDispute(m.Dispute); err != nil {
		return err
	}
	return checkOpening(m.Opening)
}

func checkOpening(b []byte) error {
	if len(b) == 0 || len(b) > MaxOpening {
		return ErrInvalid.Wrapf("opening of %d bytes, want 1 to %d", len(b), MaxOpening)
	}
	return nil
}

func checkDispute(id uint64) error {
	if id == 0 {
		return ErrInvalid.Wrap("dispute 0: they count from 1")
	}
	return nil
}

// Levels is how many levels a trace of so many steps has above them.
func Levels(leaves uint64) uint32 {
	var n uint32
	for leaves > 1 {
		leaves = (leaves + Ways - 1) / Ways
		n++
	}
	return n
}

// at is how many nodes a level of the trace has.
func (d Dispute) at(level uint32) uint64 {
	n := d.Leaves
	for range level {
		n = (n + Ways - 1) / Ways
	}
	return n
}

// Children is how many children the node has where the parties are, above the steps.
func (d Dispute) Children() int {
	return int(min(Ways, d.at(d.Level-1)-Ways*d.Node))
}

// AgreedByLevel are the hashes that the parties agree on, level by level from the top.
func (d Dispute) AgreedByLevel() ([][][32]byte, error) {
	out := make([][][32]byte, Levels(d.Leaves)-d.Level)
	rest := d.Agreed
	for i := range out {
		n := int(d.Node>>(waysBits*(len(out)-1-i))) % Ways
		if len(rest) < n*32 {
			return nil, ErrInvalid.Wrapf("%d bytes of hashes that the parties agree on are too few", len(d.Agreed))
		}
		for range n {
			out[i] = append(out[i], [32]byte(rest[:32]))
			rest = rest[32:]
		}
	}
	if len(rest) > 0 {
		return nil, ErrInvalid.Wrapf("%d bytes of hashes that the parties agree on are too many", len(d.Agreed))
	}
	return out, nil
}

func (d Dispute) validate() error {
	if err := CheckKey(d.Worker); err != nil {
		return err
	}
	if err := CheckSum("deposit", d.Deposit); err != nil {
		return err
	}
	if d.Status < DisputeStatus_DISPUTE_STATUS_ASKED || d.Status > DisputeStatus_DISPUTE_STATUS_AGREED {
		return ErrInvalid.Wrapf("status %s", d.Status)
	}
	if err := work.Name(d.Kind).Check(); err != nil {
		return ErrInvalid.Wrap(err.Error())
	}
	switch {
	case d.Leaves == 0 && !d.Over():
		return ErrInvalid.Wrap("a trace without steps")
	case d.Level > Levels(d.Leaves) || d.Node > 0 && d.Node >= d.at(d.Level):
		return ErrInvalid.Wrapf("node %d of level %d, in a trace of %d steps", d.Node, d.Level, d.Leaves)
	case d.Status == DisputeStatus_DISPUTE_STATUS_DESCENDING && d.Level == 0, d.Status == DisputeStatus_DISPUTE_STATUS_DECIDING && d.Level > 0:
		return ErrInvalid.Wrapf("%s at level %d", d.Status, d.Level)
	}
	if !d.Over() {
		if _, err := d.AgreedByLevel(); err != nil {
			return err
		}
	}
	if err := checkChildren(d.WorkerChildren); err != nil {
		return err
	}
	if err := checkChildren(d.ChallengerChildren); err != nil {
		return err
	}
	digests := []struct {
		what string
		b    []byte
		want bool
	}{
		{"challenger's root", d.ChallengerRoot, true},
		{"worker's root", d.WorkerRoot, d.Answered()},
		{"worker's node", d.WorkerNode, d.Answered()},
		{"challenger's node", d.ChallengerNode, d.Answered()},
	}
	for _, x := range digests {
		if len(x.b) == 0 && !x.want {
			continue
		}
		if err := CheckDigest(x.what, x.b); err != nil {
			return err
		}
	}
	if d.Over() != d.Deposit.IsZero() || d.Over() != (d.Deadline == 0) {
		return ErrInvalid.Wrapf("%s, with a deposit of %s anote and a move due at %d", d.Status, d.Deposit, d.Deadline)
	}
	return nil
}

func (x Exhibit) validate() error {
	if err := checkReceipt(x.Receipt); err != nil {
		return err
	}
	return checkExhibit(x.Task, x.Result, x.Model)
}

// validateDisputes refuses disputes that are malformed, of no epoch, or open without what
// they are about.
func (g *GenesisState) validateDisputes(hasEpoch func(job, number uint64) bool) error {
	open := map[uint64]bool{}
	var last uint64
	for _, d := range g.Disputes {
		switch {
		case d.Id <= last || d.Id >= g.NextDispute:
			return ErrInvalid.Wrapf("genesis: dispute %d after %d, and the next is to be %d", d.Id, last, g.NextDispute)
		case !hasEpoch(d.Job, d.Epoch):
			return ErrInvalid.Wrapf("genesis: dispute %d is of epoch %d of job %d, which is not there", d.Id, d.Epoch, d.Job)
		}
		if err := d.validate(); err != nil {
			return ErrInvalid.Wrapf("genesis: dispute %d: %v", d.Id, err)
		}
		last = d.Id
		if !d.Over() {
			open[d.Id] = true
		}
	}
	for _, x := range g.Exhibits {
		if !open[x.Dispute] {
			return ErrInvalid.Wrapf("genesis: an exhibit of dispute %d, which is not open, or has two", x.Dispute)
		}
		if err := x.validate(); err != nil {
			return ErrInvalid.Wrapf("genesis: exhibit of dispute %d: %v", x.Dispute, err)
		}
		delete(open, x.Dispute)
	}
	if len(open) > 0 {
		return ErrInvalid.Wrapf("genesis: %d open disputes without an exhibit", len(open))
	}
	return nil
}
