package referees

import (
	"errors"
	"fmt"
	"math"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/merkle"
	"github.com/cantus-network/cantus/exact/modelfile"
	"github.com/cantus-network/cantus/exact/referee"
	"github.com/cantus-network/cantus/ledger/x/work/keeper"
)

const inferKind = "infer/1"

// Gas of what a referee does, by what it takes beside the ledger's own prices: about ten for
// a microsecond.
const (
	gasCase     = 20_000 // to make a case and the rule of a step
	gasHash     = 2      // a block of 64 bytes
	gasOpsShift = 5      // 32 multiplications
)

// inference is the referee of answers of language models.
type inference struct{}

// Case opens what a receipt commits to. No honest worker signs a task or a result that it
// can't have read or written, so what is no task or no result is false.
func (inference) Case(task, result, model []byte) (keeper.Case, error) {
	t, err := claim.DecodeTask(task)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", keeper.ErrFalse, err)
	}
	r, err := claim.DecodeResult(result)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", keeper.ErrFalse, err)
	}
	head, err := modelfile.OpenHead(t.Model, model)
	if err != nil {
		return nil, fmt.Errorf("what is shown of model %x: %w", t.Model, err)
	}
	c, err := referee.NewCase(head, t, r)
	if errors.Is(err, referee.ErrFalse) {
		return nil, fmt.Errorf("%w: %w", keeper.ErrFalse, err)
	}
	if err != nil {
		return nil, err
	}
	return answer{c}, nil
}

// answer is one in dispute.
type answer struct{ *referee.Case }

// Gas is what deciding a step costs. One that does not exist costs only finding that out.
func (a answer) Gas(leaf uint64) uint64 {
	cost, err := a.Cost(leaf)
	if err != nil {
		return gasCase
	}
	return gasCase + cost.Hashes*gasHash + cost.Ops>>gasOpsShift
}

func (a answer) ContradictionGas(position uint64) uint64 {
	if position > math.MaxInt32 {
		return gasCase
	}
	w, err := a.WantedOf(int(position))
	if err != nil {
		return gasCase
	}
	return gasCase + uint64(w.TileBytes/64+4+2*len(w.Nodes))*gasHash
}

func (a answer) Decide(leaf uint64, agreed [][]merkle.Digest, worker, challenger merkle.Digest, opening []byte) (keeper.Ruling, error) {
	r, err := a.Case.Decide(leaf, agreed, worker, challenger, opening)
	return keeper.Ruling{Worker: r.Worker, Challenger: r.Challenger}, err
}

func (a answer) Contradicts(root merkle.Digest, position uint64, opening []byte) error {
	if position > math.MaxInt32 {
		return fmt.Errorf("%w: no position %d", referee.ErrOpening, position)
	}
	return a.Case.Contradicts(root, int(position), opening)
}
