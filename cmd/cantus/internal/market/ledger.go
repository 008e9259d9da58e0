package market

import (
	"context"
	"fmt"
	"slices"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/query"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
)

// Chain is what a gateway needs besides the market's records: blocks, and a way to send.
type Chain interface {
	// WaitHeight returns the newest height once it is above the given one.
	WaitHeight(ctx context.Context, above int64) (int64, error)
	// Send returns once the messages are in a block, in one transaction, and succeeded.
	Send(ctx context.Context, msgs ...sdk.Msg) error
}

// Ledger is the scheduler's ledger: a View, and the transactions of one gateway or of one
// of its cells.
type Ledger struct {
	View
	chain   Chain
	gateway string
	cell    string
	sender  string
}

var _ scheduler.Ledger = (*Ledger)(nil)

// NewLedger speaks for the gateway at address, whose account chain signs with.
func NewLedger(v View, chain Chain, address string) *Ledger {
	return &Ledger{View: v, chain: chain, gateway: address, sender: address}
}

// NewCellLedger speaks for one cell of the gateway at that address: for its jobs and no
// others. Chain signs with the account of the sender, which is the cell's or the gateway's.
func NewCellLedger(v View, chain Chain, gateway, cell, sender string) *Ledger {
	return &Ledger{View: v, chain: chain, gateway: gateway, cell: cell, sender: sender}
}

// named gives an absent record the name that the scheduler knows it by.
func named(err, name error) error {
	if NotFound(err) {
		return fmt.Errorf("%w: %w", name, err)
	}
	return err
}

func (g *Ledger) WaitHeight(ctx context.Context, above int64) (int64, error) {
	return g.chain.WaitHeight(ctx, above)
}

func (g *Ledger) Params(ctx context.Context) (scheduler.Params, error) {
	p, err := g.View.Params(ctx)
	if err != nil {
		return scheduler.Params{}, err
	}
	return scheduler.Params{
		GraceBlocks: p.GraceBlocks, MaxWorkersPerTx: int(p.MaxWorkersPerTx), AllowLoopback: p.AllowLoopback,
		ProbationAudits: uint64(p.ProbationAudits), ProbationAuditBps: p.ProbationAuditBps,
	}, nil
}

// own lists the jobs of the cell, or those that are in none.
func (g *Ledger) own(ctx context.Context, live bool) ([]types.Job, error) {
	records, err := g.jobs(ctx, types.QueryJobsRequest{Gateway: g.gateway, Cell: g.cell, Live: live})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(records, func(j types.Job) bool { return j.Cell != g.cell }), nil
}

func (g *Ledger) Jobs(ctx context.Context) ([]work.Job, error) {
	records, err := g.own(ctx, true)
	if err != nil {
		return nil, err
	}
	jobs := make([]work.Job, 0, len(records))
	for _, r := range records {
		j, err := PlainJob(r)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, j)
	}
	return jobs, nil
}

func (g *Ledger) Job(ctx context.Context, id work.JobID) (work.Job, error) {
	j, err := g.View.Job(ctx, id)
	return j, named(err, scheduler.ErrNoJob)
}

func (g *Ledger) Epoch(ctx context.Context, job work.JobID, number uint64) (work.Epoch, error) {
	e, err := g.View.Epoch(ctx, job, number)
	return e, named(err, scheduler.ErrNoEpoch)
}

func (g *Ledger) Worker(ctx context.Context, key work.PublicKey) (work.Worker, error) {
	r, err := g.WorkerRecord(ctx, key)
	if err != nil {
		return work.Worker{}, named(err, scheduler.ErrNoWorker)
	}
	return PlainWorker(r)
}

func (g *Ledger) Claimed(ctx context.Context, job work.JobID, worker work.PublicKey) (scheduler.Claimed, error) {
	c, err := g.View.Claimed(ctx, job, worker)
	// A plant's units are done with: the pay tree holds them, and nobody will draw them.
	return scheduler.Claimed{Units: c.Drawn + c.PlantUnits, Forfeited: c.Forfeited}, err
}

func (g *Ledger) Challenges(ctx context.Context) ([]scheduler.Challenge, error) {
	// Faulted jobs can be challenged too, so all of the gateway's are looked at: but only
	// while it has open challenges at all.
	me, err := g.GatewayRecord(ctx, g.gateway)
	if NotFound(err) {
		return nil, nil // not bonded yet: nobody can have a voucher of it
	}
	if err != nil || me.OpenChallenges == 0 {
		return nil, err
	}
	jobs, err := g.own(ctx, false)
	if err != nil {
		return nil, err
	}
	var out []scheduler.Challenge
	for _, j := range jobs {
		if j.OpenChallenges == 0 {
			continue
		}
		records, err := all(ctx, func(p *query.PageRequest) ([]types.Challenge, *query.PageResponse, error) {
			r, err := g.Work.Challenges(ctx, &types.QueryChallengesRequest{Job: j.Id, Pagination: p})
			if err != nil {
				return nil, nil, err
			}
			return r.Challenges, r.Pagination, nil
		})
		if err != nil {
			return nil, fmt.Errorf("list the challenges of job %d: %w", j.Id, err)
		}
		for _, c := range records {
			k, err := work.KeyFromBytes(c.Worker)
			if err != nil {
				return nil, fmt.Errorf("challenge %d: %w", c.Id, err)
			}
			out = append(out, scheduler.Challenge{ID: c.Id, Job: work.JobID(c.Job), Worker: k, Epoch: c.Epoch, Units: c.Units})
		}
	}
	return out, nil
}

func (g *Ledger) CommitEpoch(ctx context.Context, c scheduler.Commitment) error {
	m := &types.MsgCommitEpoch{
		Gateway: g.sender, Job: uint64(c.Job), Number: c.Number,
		ReceiptsRoot: c.Receipts.Hash[:], Receipts: c.Receipts.Leaves, Units: c.Receipts.Sum,
		PayRoot: c.Pay.Hash[:], Workers: c.Pay.Leaves, TotalUnits: c.Pay.Sum, Finish: c.Finish,
		ProbationReceipts: c.ProbationReceipts, ProbationUnits: c.ProbationUnits,
	}
	if c.Plants != (artifact.Digest{}) {
		m.Plants = c.Plants[:]
	}
	return g.chain.Send(ctx, m)
}

func (g *Ledger) OpenReceipts(ctx context.Context, job work.JobID, epoch uint64, openings []scheduler.Opening) error {
	m := &types.MsgOpenReceipts{Gateway: g.sender, Job: uint64(job), Epoch: epoch}
	for _, o := range openings {
		m.Openings = append(m.Openings, types.Opening{Sample: o.Sample, Receipt: o.Receipt, Proof: types.ProofOf(o.Proof)})
	}
	return g.chain.Send(ctx, m)
}

func (g *Ledger) CommitVerdicts(ctx context.Context, job work.JobID, epoch uint64, verdicts []scheduler.VerdictCommitment) error {
	m := &types.MsgCommitVerdicts{Sender: g.sender, Job: uint64(job), Epoch: epoch}
	for _, v := range verdicts {
		m.Verdicts = append(m.Verdicts, types.VerdictCommitment{Sample: v.Sample, Auditor: v.Auditor[:], Commitment: v.Commitment[:], Signature: v.Signature})
	}
	return g.chain.Send(ctx, m)
}

func (g *Ledger) RevealVerdicts(ctx context.Context, job work.JobID, epoch uint64, verdicts []scheduler.VerdictReveal) error {
	m := &types.MsgRevealVerdicts{Sender: g.sender, Job: uint64(job), Epoch: epoch}
	for _, v := range verdicts {
		m.Verdicts = append(m.Verdicts, types.VerdictReveal{Sample: v.Sample, Auditor: v.Auditor[:], Outcome: types.Outcome(v.Outcome), Evidence: v.Evidence[:], Salt: v.Salt[:], Score: v.Score})
	}
	return g.chain.Send(ctx, m)
}

func (g *Ledger) RevealPlants(ctx context.Context, job work.JobID, epoch uint64, salt [work.SaltSize]byte, plants []scheduler.CommittedReceipt) error {
	m := &types.MsgRevealPlants{Gateway: g.sender, Job: uint64(job), Epoch: epoch, Salt: salt[:]}
	for _, r := range plants {
		m.Plants = append(m.Plants, types.PlantedReceipt{Receipt: r.Receipt, Proof: types.ProofOf(r.Proof)})
	}
	return g.chain.Send(ctx, m)
}

func (g *Ledger) FinishJob(ctx context.Context, job work.JobID) error {
	return g.chain.Send(ctx, &types.MsgFinishJob{Gateway: g.sender, Job: uint64(job)})
}

func (g *Ledger) Claim(ctx context.Context, job work.JobID, epoch uint64, claims []scheduler.PayProof) error {
	m := &types.MsgClaim{Sender: g.sender, Job: uint64(job), Epoch: epoch}
	for _, c := range claims {
		m.Claims = append(m.Claims, payProof(c))
	}
	return g.chain.Send(ctx, m)
}

func (g *Ledger) AnswerChallenge(ctx context.Context, id, epoch uint64, pay scheduler.PayProof) error {
	return g.chain.Send(ctx, &types.MsgAnswerChallenge{Gateway: g.sender, Challenge: id, Epoch: epoch, Pay: payProof(pay)})
}

func payProof(c scheduler.PayProof) types.PayProof {
	return types.PayProof{Worker: c.Worker[:], Units: c.Units, Proof: types.ProofOf(c.Proof)}
}
