package keeper

import (
	"context"
	"fmt"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// RevealPlants shows which receipts of a decided epoch its gateway knew to be wrong. The
// gateway committed to the list before the beacon, so it could fit it neither to what was
// drawn nor to what was found. From here on the audits have their consequences.
func (m msgServer) RevealPlants(ctx context.Context, msg *types.MsgRevealPlants) (*types.MsgRevealPlantsResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	p, err := m.Params(ctx)
	if err != nil {
		return nil, err
	}
	j, err := m.servedJob(ctx, msg.Gateway, msg.Job)
	if err != nil {
		return nil, err
	}
	e, err := m.epoch(ctx, msg.Job, msg.Epoch)
	if err != nil {
		return nil, err
	}
	switch {
	case len(e.Plants) == 0:
		return nil, types.ErrState.Wrapf("epoch %d of job %d has no commitment to plants", e.Number, j.Id)
	case e.PlantsShown:
		return nil, types.ErrState.Wrapf("the plants of epoch %d of job %d were shown before", e.Number, j.Id)
	case e.Status != types.EpochStatus_EPOCH_STATUS_DECIDED:
		return nil, types.ErrState.Wrapf("epoch %d of job %d is %s: show its plants once it is decided", e.Number, j.Id, e.Status)
	}
	list := work.Plants{Chain: chainID(ctx), Job: work.JobID(j.Id), Epoch: e.Number, Salt: [work.SaltSize]byte(msg.Salt)}
	for _, r := range msg.Plants {
		list.Indices = append(list.Indices, r.Proof.Index)
	}
	if err := list.Check(artifact.Digest(e.Plants)); err != nil {
		return nil, types.ErrProof.Wrap(err.Error())
	}
	for _, r := range msg.Plants {
		plant, err := m.plant(ctx, e, r)
		if err != nil {
			return nil, err
		}
		if plant.Units > e.Units-e.PlantUnits {
			return nil, types.ErrProof.Wrapf("the plants have more than the %d units of epoch %d of job %d", e.Units, e.Number, j.Id)
		}
		e.PlantUnits += plant.Units
		e.Shown = append(e.Shown, plant)
	}
	e.PlantsShown = true
	for i := range e.Samples {
		e.Samples[i].Plant = list.Has(e.Samples[i].Index)
	}
	emit(ctx, types.EventPlantsShown, types.AttrJob, j.Id, types.AttrEpoch, e.Number, types.AttrGateway, j.Gateway,
		types.AttrPlants, len(e.Shown), types.AttrUnits, e.PlantUnits)
	for i, s := range e.Samples {
		charged := s.Status == types.SampleStatus_SAMPLE_STATUS_FALSE
		if e.Refereed && !charged {
			continue // judged when the epoch settles
		}
		if err := m.judge(ctx, e, uint32(i), circumstances{charged: charged}); err != nil {
			return nil, err
		}
	}
	if err := m.countUpheldPlants(ctx, j, e); err != nil {
		return nil, err
	}
	e.Deadline = max(e.CommitHeight+p.ChallengeBlocks, height(ctx), e.DisputeUntil)
	if err := m.wakeAt(ctx, e, e.Deadline); err != nil {
		return nil, err
	}
	return &types.MsgRevealPlantsResponse{}, m.setEpoch(ctx, e)
}

// plant checks one receipt of the list. Only what a worker signed is a plant of its: else
// a gateway could take units from whom it likes.
func (k *Keeper) plant(ctx context.Context, e types.Epoch, r types.PlantedReceipt) (types.Plant, error) {
	signed, _, err := checkLeaf(ctx, e, r.Receipt, r.Proof)
	if err != nil {
		return types.Plant{}, err
	}
	if err := signed.Verify(); err != nil {
		return types.Plant{}, types.ErrReceipt.Wrapf("plant %d: %v", r.Proof.Index, err)
	}
	key := signed.Receipt.Worker
	if _, err := k.worker(ctx, key[:]); err != nil {
		return types.Plant{}, types.ErrReceipt.Wrapf("plant %d is receipted by %s, who is not enrolled", r.Proof.Index, key)
	}
	return types.Plant{Index: r.Proof.Index, Worker: key[:], Units: signed.Receipt.Units}, nil
}

// countUpheldPlants counts, for all to see, the plants of a gateway's that no majority
// found false: either its auditors don't look, or it calls true receipts plants.
func (k *Keeper) countUpheldPlants(ctx context.Context, j types.Job, e types.Epoch) error {
	var n uint64
	for _, s := range e.Samples {
		status := resolve(s)
		if e.Measured && s.Outvoted() {
			continue // their votes alone make no sample of a measured kind false
		}
		if s.Plant && (status == types.SampleStatus_SAMPLE_STATUS_UPHELD || status == types.SampleStatus_SAMPLE_STATUS_UNDECIDED) {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	g, err := k.gatewayOfJob(ctx, j)
	if err != nil {
		return err
	}
	g.PlantsUpheld += n
	return k.setGateway(ctx, g)
}

// bookPlants takes the units of a settling epoch's plants off what their workers can draw.
func (k *Keeper) bookPlants(ctx context.Context, j *types.Job, e types.Epoch) error {
	for _, p := range e.Shown {
		c, err := k.claimOf(ctx, j.Id, p.Worker)
		if err != nil {
			return err
		}
		c.PlantUnits += p.Units
		if err := k.setClaim(ctx, c); err != nil {
			return fmt.Errorf("book the plants of worker %x: %w", p.Worker, err)
		}
	}
	j.PlantUnits += e.PlantUnits
	return nil
}

// plantUnits are the units of a worker's plants that are in a job's pay trees up to an
// epoch: those that were booked, and those of epochs that are still to settle.
func (k *Keeper) plantUnits(ctx context.Context, j types.Job, upTo uint64, worker []byte) (uint64, error) {
	c, err := k.claimOf(ctx, j.Id, worker)
	if err != nil {
		return 0, err
	}
	n := c.PlantUnits
	for number := j.EpochsSettled + 1; number <= min(upTo, j.Epochs); number++ { // at most types.MaxPending
		e, err := k.epoch(ctx, j.Id, number)
		if err != nil {
			return 0, err
		}
		if !e.Final() {
			n += e.PlantUnitsOf(worker)
		}
	}
	return n, nil
}
