package keeper

import (
	"context"
	"errors"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cantus-network/cantus/exact/merkle"
	"github.com/cantus-network/cantus/ledger/x/work/types"
)

// Referee decides disputes about one kind's receipts. It is pure, and what it is given is
// anybody's: it bounds what it computes by its cases' costs.
type Referee interface {
	// Case checks that a result is one that the task could have, with what is shown of the
	// model. ErrFalse means that no computation of the task gives a result of this form; any
	// other error that there can be no dispute with what was given.
	Case(task, result, model []byte) (Case, error)
}

// ErrFalse marks a result that is false at sight.
var ErrFalse = errors.New("no computation of the task gives such a result")

// Case is one answer in dispute. Its trace is a tree over its steps as package merkle
// builds it: 16 children for each node, fewer for the last of a level.
type Case interface {
	// Leaves is how many steps the trace has, at least one.
	Leaves() uint64
	// Describe says for people which step it is.
	Describe(leaf uint64) string
	// Gas is what deciding a step costs, or showing that the trace contradicts the result at a
	// position, before anything of the opening is looked at.
	Gas(leaf uint64) uint64
	ContradictionGas(position uint64) uint64
	// Decide computes a step. Agreed are the hashes before it on which the parties agree, level
	// by level from the top; worker and challenger are what each has for the step. An error
	// means that the opening does not show what it must: it says nothing about the parties.
	Decide(leaf uint64, agreed [][]merkle.Digest, worker, challenger merkle.Digest, opening []byte) (Ruling, error)
	// Contradicts returns no error if at a position the result is not what the trace with this
	// root gives.
	Contradicts(root merkle.Digest, position uint64, opening []byte) error
}

// Ruling says whose value of a step is the true one; perhaps nobody's.
type Ruling struct{ Worker, Challenger bool }

// SetReferee gives the keeper the referee of a kind. Every kind that the parameters name as
// refereed must have one.
func (k *Keeper) SetReferee(kind string, r Referee) { k.referees[kind] = r }

// checkReferees refuses parameters that name a kind of which this program has no referee.
func (k *Keeper) checkReferees(p types.Params) error {
	for _, kind := range p.RefereedKinds {
		if k.referees[kind] == nil {
			return types.ErrInvalid.Wrapf("params: refereed_kinds names %s, of which this program has no referee", kind)
		}
	}
	return nil
}

// caseOf makes the case of a dispute anew from what it is about.
func (k *Keeper) caseOf(kind string, x types.Exhibit) (Case, error) {
	r := k.referees[kind]
	if r == nil {
		return nil, types.ErrState.Wrapf("this program has no referee of %s", kind)
	}
	c, err := r.Case(x.Task, x.Result, x.Model)
	if err != nil && !errors.Is(err, ErrFalse) {
		return nil, types.ErrDispute.Wrap(err.Error())
	}
	return c, err
}

// charge takes the gas of a referee's work before it is done.
func charge(ctx context.Context, gas uint64) {
	sdk.UnwrapSDKContext(ctx).GasMeter().ConsumeGas(gas, "referee")
}
