package keeper

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/speaker"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// Gas of looking at evidence, beside the store's: about ten for a microsecond.
const (
	gasEvidence     = 10_000
	gasEvidenceByte = 3     // decoded, encoded again and hashed, a few times each
	gasTestimony    = 3_000 // a signature
	gasSibling      = 30    // of a proof: a hash of two blocks
)

// finding is what evidence shows.
type finding struct {
	answer  []byte
	label   work.Label
	receipt [sha256.Size]byte
	epoch   uint64
	index   uint64
	worker  []byte
	final   bool
}

// subject is whom requests are to: a model (models.go), or a reader of pages (pages.go). It
// is all that differs between the two.
type subject interface {
	// units is the most that the work of a request of this size can cost.
	units(t types.Terms, s types.Size) uint64
	// reserve is what a request's job must be able to pay.
	reserve(t types.Terms, policy uint8) uint64
	// read checks that the evidence's task is the one that the request asks for, and that the
	// results are ones that it could have and make one answer. It says what each testimony
	// must be a receipt of, and what the answer is.
	read(r types.Request, e *types.Evidence) ([]claimed, []byte, error)
}

// subject returns whom requests with this ID are to, if somebody once made an offer for it.
func (k *Keeper) subject(ctx context.Context, id []byte) (subject, error) {
	encoded, err := get(ctx, k.speakers, id, "speaker %x", id)
	if err != nil {
		return nil, err
	}
	if f, ok := types.FormOf(encoded); ok {
		return reader{f}, nil
	}
	s, err := speaker.Decode(encoded)
	if err != nil {
		return nil, fmt.Errorf("read speaker %x: %w", id, err)
	}
	return model{s}, nil
}

// claimed is what came of a request's task, as a worker signed for it.
type claimed struct {
	result artifact.Digest
	units  uint64
}

// examine checks that evidence answers a request: that its task is the request's and nothing
// else, that as many workers of different operators as the policy wants signed this result
// of it, that they have been committed to, and, by the policy, that it stood its test.
func (k *Keeper) examine(ctx context.Context, r types.Request, e *types.Evidence) (finding, error) {
	if want := types.Workers(r.Policy); len(e.Testimonies) != want {
		return finding{}, types.ErrEvidence.Wrapf("%d testimonies: the policy of request %d wants %d", len(e.Testimonies), r.Id, want)
	}
	who, err := k.subject(ctx, r.Speaker)
	if err != nil {
		return finding{}, err
	}
	claims, answer, err := who.read(r, e)
	if err != nil && !types.ErrEvidence.Is(err) {
		err = types.ErrEvidence.Wrap(err.Error())
	}
	if err != nil {
		return finding{}, err
	}
	j, err := k.market.Job(ctx, r.Job)
	if err != nil {
		return finding{}, err
	}
	var f finding
	var operators []string
	for i, t := range e.Testimonies {
		g, operator, err := k.testify(ctx, j, r.Terms.SpecDigest, e.Task, claims[i], t)
		if err != nil {
			return finding{}, types.ErrEvidence.Wrapf("testimony %d: %s", i, err.Error())
		}
		if slices.Contains(operators, operator) {
			return finding{}, types.ErrEvidence.Wrapf("testimony %d is of a second worker of %s: they must be of different operators", i, operator)
		}
		operators = append(operators, operator)
		if i == 0 {
			f = g
		}
	}
	f.answer = answer
	switch {
	case r.Policy > types.Optimistic:
		f.final, f.label = true, work.Agreed
	case !f.final:
		f.label = work.Asserted
	}
	switch {
	case r.Policy != types.Safe:
	case !f.final:
		return finding{}, types.ErrEarly.Wrapf("epoch %d of job %d has not settled: request %d waits until it has", f.epoch, r.Job, r.Id)
	case r.Terms.AuditsAll() && f.label == work.Asserted:
		// Draws go by units, so that one receipt of several may be missed by as many of them.
		return finding{}, types.ErrEvidence.Wrapf("no audit upheld the receipt, and the offer that request %d took says that all are audited: somebody else must answer", r.Id)
	}
	return f, nil
}

// testify checks that one testimony is of this task and of what is claimed to have come of it,
// and names its worker's operator. It is final once nobody can say anything against it any
// more.
func (k *Keeper) testify(ctx context.Context, j worktypes.Job, spec, body []byte, c claimed, t types.Testimony) (finding, string, error) {
	charge(ctx, gasTestimony+uint64(len(t.Proof.Siblings))*gasSibling, "testimony")
	refuse := func(format string, a ...any) (finding, string, error) {
		return finding{}, "", types.ErrEvidence.Wrapf(format, a...)
	}
	digest, err := artifact.DigestFromBytes(spec)
	if err != nil {
		return finding{}, "", err
	}
	e, err := k.market.Epoch(ctx, j.Id, t.Epoch)
	if err != nil {
		return finding{}, "", err
	}
	receipt, err := k.market.Receipt(ctx, e, t.Receipt, t.Proof)
	if err != nil {
		return finding{}, "", err
	}
	switch task := (work.Task{Job: receipt.Job, Seq: receipt.Seq, Body: body}); {
	case task.DigestOf(digest) != receipt.Task:
		return refuse("the receipt is of another task")
	case receipt.Result != c.result:
		return refuse("the receipt is of another result")
	case receipt.Units != c.units:
		return refuse("the receipt counts %d units, and it took %d", receipt.Units, c.units)
	}
	w, err := k.market.Worker(ctx, receipt.Worker[:])
	if err != nil {
		return finding{}, "", err
	}
	if w.EnrolledHeight > e.CommitHeight {
		return refuse("worker %s had no bond when epoch %d was committed", receipt.Worker, e.Number)
	}
	settled := e.Status == worktypes.EpochStatus_EPOCH_STATUS_SETTLED
	if !settled && w.Status == worktypes.Status_STATUS_GONE {
		return refuse("worker %s has no bond any more, and its receipt may still be found false", receipt.Worker)
	}
	f := finding{
		label: e.LabelOf(t.Proof.Index), receipt: sha256.Sum256(t.Receipt), epoch: e.Number, index: t.Proof.Index, worker: w.Key, final: settled,
	}
	why, err := k.doubts(ctx, j.Id, e, f.index, f.worker)
	if err != nil {
		return finding{}, "", err
	}
	if why != "" {
		return refuse("%s", why)
	}
	if e.Contested(f.index) {
		return refuse("it was sampled, and its auditors don't uphold it: %s", e.StatusAt(f.index))
	}
	return f, w.Operator, nil
}

// doubts says why nobody stands for a receipt any more; it is empty where somebody does.
func (k *Keeper) doubts(ctx context.Context, job uint64, e worktypes.Epoch, index uint64, worker []byte) (string, error) {
	if why := e.Doubt(index); why != "" {
		return why, nil
	}
	forfeited, err := k.market.Forfeited(ctx, job, worker)
	if err != nil {
		return "", err
	}
	if forfeited {
		return "its worker was proved to have cheated in this job", nil
	}
	return "", nil
}
