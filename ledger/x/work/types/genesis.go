package types

import (
	"bytes"
	"cmp"
	"slices"

	"cosmossdk.io/math"

	"github.com/cantus-network/cantus/work"
)

// DefaultGenesis is an empty market under the rules of a public network.
func DefaultGenesis() *GenesisState {
	return &GenesisState{Params: DefaultParams(), Burned: math.ZeroInt(), NextJob: 1, NextChallenge: 1, NextDispute: 1}
}

// Validate refuses a market whose records are malformed, double or point nowhere. Whether
// the sums match what the accounts hold is checked when it is imported.
func (g *GenesisState) Validate() error {
	if err := g.Params.Validate(); err != nil {
		return err
	}
	if !g.Burned.IsNil() {
		if err := CheckSum("genesis: burned", g.Burned); err != nil {
			return err
		}
	}
	operators := map[string]bool{}
	for _, o := range g.Operators {
		if operators[o.Address] {
			return ErrInvalid.Wrapf("genesis: operator %s is there twice", o.Address)
		}
		operators[o.Address] = true
	}
	if err := g.validateWorkers(operators); err != nil {
		return err
	}
	gateways := map[string]bool{}
	for _, w := range g.Gateways {
		if gateways[w.Address] {
			return ErrInvalid.Wrapf("genesis: gateway %s is there twice", w.Address)
		}
		gateways[w.Address] = true
		if err := CheckKey(w.Key); err != nil {
			return ErrInvalid.Wrapf("genesis: gateway %s: %v", w.Address, err)
		}
		if err := CheckSum("genesis: bond of gateway "+w.Address, w.Bond); err != nil {
			return err
		}
		if err := CheckCells(w.Cells); err != nil {
			return ErrInvalid.Wrapf("genesis: gateway %s: %v", w.Address, err)
		}
	}
	return g.validateJobs(gateways)
}

func (g *GenesisState) validateWorkers(operators map[string]bool) error {
	if !slices.IsSortedFunc(g.Workers, func(a, b Worker) int { return bytes.Compare(a.Key, b.Key) }) {
		return ErrInvalid.Wrap("genesis: the workers are not sorted by their keys")
	}
	for i, w := range g.Workers {
		switch {
		case i > 0 && bytes.Equal(g.Workers[i-1].Key, w.Key):
			return ErrInvalid.Wrapf("genesis: worker %x is there twice", w.Key)
		case !operators[w.Operator]:
			return ErrInvalid.Wrapf("genesis: worker %x belongs to %s, who is no operator", w.Key, w.Operator)
		case w.Status < Status_STATUS_ACTIVE || w.Status > Status_STATUS_JAILED:
			return ErrInvalid.Wrapf("genesis: worker %x has status %s", w.Key, w.Status)
		}
		if err := CheckKey(w.Key); err != nil {
			return ErrInvalid.Wrapf("genesis: worker %x: %v", w.Key, err)
		}
		if err := CheckKinds(w.Kinds); err != nil {
			return ErrInvalid.Wrapf("genesis: worker %x: %v", w.Key, err)
		}
		if err := CheckSum("genesis: a worker's bond", w.Bond); err != nil {
			return err
		}
		for i, x := range w.Suspicions {
			if err := work.Name(x.Kind).Check(); err != nil || x.Sum == 0 || i > 0 && w.Suspicions[i-1].Kind >= x.Kind {
				return ErrInvalid.Wrapf("genesis: worker %x has a suspicion of %d in %q, after others: want them above 0 and sorted by kind", w.Key, x.Sum, x.Kind)
			}
		}
	}
	for _, u := range g.Unbondings {
		if (len(u.Worker) == 0) == (u.Gateway == "") {
			return ErrInvalid.Wrap("genesis: an unbonding is of one worker or of one gateway")
		}
	}
	return nil
}

func (g *GenesisState) validateJobs(gateways map[string]bool) error {
	jobs := map[uint64]bool{}
	for _, j := range g.Jobs {
		switch {
		case j.Id == 0 || j.Id >= g.NextJob:
			return ErrInvalid.Wrapf("genesis: job %d, but the next is to be %d", j.Id, g.NextJob)
		case jobs[j.Id]:
			return ErrInvalid.Wrapf("genesis: job %d is there twice", j.Id)
		case !gateways[j.Gateway]:
			return ErrInvalid.Wrapf("genesis: job %d is of %s, who is no gateway", j.Id, j.Gateway)
		}
		jobs[j.Id] = true
		if err := j.validateSums(); err != nil {
			return err
		}
	}
	type epochID struct{ job, number uint64 }
	epochs := map[epochID]bool{}
	for _, e := range g.Epochs {
		id := epochID{e.Job, e.Number}
		if !jobs[e.Job] || epochs[id] {
			return ErrInvalid.Wrapf("genesis: epoch %d of job %d is of no job, or there twice", e.Number, e.Job)
		}
		epochs[id] = true
		if err := e.validatePlants(); err != nil {
			return ErrInvalid.Wrapf("genesis: epoch %d of job %d: %v", e.Number, e.Job, err)
		}
	}
	for _, c := range g.Claimed {
		if err := CheckKey(c.Worker); err != nil || !jobs[c.Job] {
			return ErrInvalid.Wrapf("genesis: claims of worker %x in job %d: no such worker or job", c.Worker, c.Job)
		}
	}
	for _, c := range g.Challenges {
		if c.Id == 0 || c.Id >= g.NextChallenge || !jobs[c.Job] {
			return ErrInvalid.Wrapf("genesis: challenge %d of job %d: no such job, or the next is to be %d", c.Id, c.Job, g.NextChallenge)
		}
		if err := CheckSum("genesis: a deposit", c.Deposit); err != nil {
			return err
		}
	}
	if !slices.IsSortedFunc(g.Challenges, func(a, b Challenge) int { return cmp.Compare(a.Id, b.Id) }) {
		return ErrInvalid.Wrap("genesis: the challenges are not sorted")
	}
	return g.validateDisputes(func(job, number uint64) bool { return epochs[epochID{job, number}] })
}

func (e Epoch) validatePlants() error {
	if len(e.Plants) > 0 {
		if err := CheckDigest("commitment to the plants", e.Plants); err != nil {
			return err
		}
	}
	if len(e.Shown) > work.MaxPlants || len(e.Shown) > 0 && !e.PlantsShown || e.PlantsShown && len(e.Plants) == 0 {
		return ErrInvalid.Wrapf("%d plants shown, of a commitment of %d bytes", len(e.Shown), len(e.Plants))
	}
	left := e.Units
	for i, p := range e.Shown {
		switch {
		case i > 0 && e.Shown[i-1].Index >= p.Index:
			return ErrInvalid.Wrap("its plants are not in ascending order")
		case p.Units > left:
			return ErrInvalid.Wrapf("its plants have more than its %d units", e.Units)
		}
		if err := CheckKey(p.Worker); err != nil {
			return err
		}
		left -= p.Units
	}
	if e.PlantUnits != e.Units-left {
		return ErrInvalid.Wrapf("its plants have %d units, not %d", e.Units-left, e.PlantUnits)
	}
	return checkProbation(e.ProbationReceipts, e.ProbationUnits, e.Receipts, e.Units)
}

func (j Job) validateSums() error {
	for _, s := range []struct {
		name  string
		value math.Int
	}{
		{"escrow", j.Escrow}, {"price", j.Price}, {"worker_price", j.WorkerPrice}, {"gateway_price", j.GatewayPrice},
		{"audit_price", j.AuditPrice}, {"burn_price", j.BurnPrice}, {"paid_workers", j.PaidWorkers},
		{"paid_gateway", j.PaidGateway}, {"paid_auditors", j.PaidAuditors}, {"paid_royalties", j.PaidRoyalties},
		{"burned", j.Burned}, {"refunded", j.Refunded},
	} {
		if err := CheckSum("genesis: "+s.name+" of a job", s.value); err != nil {
			return err
		}
	}
	for _, r := range j.Royalties {
		if err := CheckAmount("genesis: a royalty", r.Price); err != nil {
			return err
		}
	}
	return nil
}
