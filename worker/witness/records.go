package witness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

// Head is where the ledger is.
type Head struct {
	Chain  string
	Height int64
}

// Params are the market's rules that a worker goes by, in blocks.
type Params struct {
	VerdictCommitBlocks, VerdictRevealBlocks, ChallengeBlocks, AnswerBlocks, GraceBlocks int64
	// Of disputes; zero on a ledger that knows none.
	DisputeOpenBlocks, DisputeMoveBlocks int64
	RefereedKinds                        []work.Name
}

// Job is a job's record as far as a worker needs it.
type Job struct {
	ID            work.JobID
	Gateway       string
	Status        work.JobStatus
	Epochs        uint64 // committed
	Settled       uint64 // epochs settled
	Finished      bool
	ClosingHeight int64
}

// MayCommit reports whether the gateway may still commit an epoch at a height.
func (j Job) MayCommit(height int64, p Params) bool {
	switch j.Status {
	case work.JobOpen:
		return true
	case work.JobClosing:
		return !j.Finished && height <= j.ClosingHeight+p.GraceBlocks
	}
	return false
}

// Final reports whether nothing more can happen to the job but claims and challenges.
func (j Job) Final() bool { return j.Status == work.JobClosed || j.Status == work.JobFaulted }

// Gateway is a gateway's record.
type Gateway struct {
	Address string
	Key     work.PublicKey
	URL     string
	Gone    bool // it left, and has no bond
	Cells   []work.Cell
}

// Audit is a worker's part in the audit of a sample, and where to go for it.
type Audit struct {
	Job        work.JobID
	Epoch      uint64
	Sample     uint32
	Status     work.SampleStatus // opened or revealing
	Deadline   int64             // of that phase
	Committed  bool              // the worker's commitment is in
	Revealed   bool              // and its verdict
	Gateway    string            // the job's gateway, by its account
	GatewayKey work.PublicKey
	Cell       string // of the gateway, where the job is in one
	URL        string // of the cell, or of the gateway
}

// Pending reports whether the worker has still something to say.
func (a Audit) Pending() bool {
	return a.Status == work.SampleOpened || a.Status == work.SampleRevealing && a.Committed && !a.Revealed
}

// Claimed is what a worker's operator was paid in a job.
type Claimed struct {
	Units     uint64
	Plants    uint64 // units of its in settled trees that nobody is paid for
	Forfeited bool
}

// number is a 64-bit number as protobuf's JSON writes it, in quotes, or without.
type number int64

var (
	_ json.Unmarshaler = (*number)(nil)
	_ json.Unmarshaler = (*natural)(nil)
)

func (n *number) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseInt(strings.Trim(string(b), `"`), 10, 64)
	*n = number(v)
	return err
}

type natural uint64

func (n *natural) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseUint(strings.Trim(string(b), `"`), 10, 64)
	*n = natural(v)
	return err
}

func bad(what string, err error) error { return fmt.Errorf("%w: %s: %w", ErrAnswer, what, err) }

// Head asks for the chain and its height.
func (l *Ledger) Head(ctx context.Context) (Head, error) {
	var info struct {
		Node struct {
			Network string `json:"network"`
		} `json:"default_node_info"`
	}
	if err := l.get(ctx, &info, "cosmos/base/tendermint/v1beta1/node_info"); err != nil {
		return Head{}, fmt.Errorf("ask for the ledger's chain: %w", err)
	}
	h, err := l.height(ctx)
	if err == nil && (info.Node.Network == "" || len(info.Node.Network) > 64) {
		err = fmt.Errorf("%w: chain ID of %d characters", ErrAnswer, len(info.Node.Network))
	}
	return Head{info.Node.Network, h}, err
}

func (l *Ledger) height(ctx context.Context) (int64, error) {
	var status struct {
		Height natural `json:"height"`
	}
	if err := l.get(ctx, &status, "cosmos/base/node/v1beta1/status"); err != nil {
		return 0, fmt.Errorf("ask for the ledger's height: %w", err)
	}
	if status.Height == 0 || status.Height > 1<<50 {
		return 0, fmt.Errorf("%w: height %d", ErrAnswer, status.Height)
	}
	return int64(status.Height), nil
}

// Params reads the market's rules.
func (l *Ledger) Params(ctx context.Context) (Params, error) {
	var r struct {
		Params struct {
			Commit    number `json:"verdict_commit_blocks"`
			Reveal    number `json:"verdict_reveal_blocks"`
			Challenge number `json:"challenge_blocks"`
			Answer    number `json:"answer_blocks"`
			Grace     number `json:"grace_blocks"`

			DisputeOpen number      `json:"dispute_open_blocks"`
			DisputeMove number      `json:"dispute_move_blocks"`
			Refereed    []work.Name `json:"refereed_kinds"`
		} `json:"params"`
	}
	if err := l.get(ctx, &r, "cantus/work/v1/params"); err != nil {
		return Params{}, fmt.Errorf("read the market's rules: %w", err)
	}
	p := Params{
		VerdictCommitBlocks: int64(r.Params.Commit), VerdictRevealBlocks: int64(r.Params.Reveal), ChallengeBlocks: int64(r.Params.Challenge),
		AnswerBlocks: int64(r.Params.Answer), GraceBlocks: int64(r.Params.Grace),
		DisputeOpenBlocks: int64(r.Params.DisputeOpen), DisputeMoveBlocks: int64(r.Params.DisputeMove), RefereedKinds: r.Params.Refereed,
	}
	for _, v := range []int64{p.VerdictCommitBlocks, p.VerdictRevealBlocks, p.ChallengeBlocks, p.AnswerBlocks, p.GraceBlocks} {
		if v < 1 || v > 1<<40 {
			return Params{}, fmt.Errorf("%w: the market's rules have a window of %d blocks", ErrAnswer, v)
		}
	}
	for _, v := range []int64{p.DisputeOpenBlocks, p.DisputeMoveBlocks} {
		if v < 0 || v > 1<<40 {
			return Params{}, fmt.Errorf("%w: the market's rules have a window of %d blocks", ErrAnswer, v)
		}
	}
	if len(p.RefereedKinds) > maxKinds {
		return Params{}, fmt.Errorf("%w: %d kinds are refereed, at most %d", ErrAnswer, len(p.RefereedKinds), maxKinds)
	}
	return p, nil
}

const maxKinds = 1024

var jobStatuses = map[string]work.JobStatus{
	"JOB_STATUS_OPEN": work.JobOpen, "JOB_STATUS_CLOSING": work.JobClosing,
	"JOB_STATUS_CLOSED": work.JobClosed, "JOB_STATUS_FAULTED": work.JobFaulted,
}

// Job reads a job.
func (l *Ledger) Job(ctx context.Context, id work.JobID) (Job, error) {
	var r struct {
		Job struct {
			ID       natural `json:"id"`
			Gateway  string  `json:"gateway"`
			Status   string  `json:"status"`
			Epochs   natural `json:"epochs"`
			Settled  natural `json:"epochs_settled"`
			Finished bool    `json:"finished"`
			Closing  number  `json:"closing_height"`
		} `json:"job"`
	}
	what := fmt.Sprintf("job %d", id)
	if err := l.get(ctx, &r, "cantus/work/v1/jobs", fmt.Sprint(uint64(id))); err != nil {
		return Job{}, fmt.Errorf("read %s: %w", what, err)
	}
	j := Job{
		ID: work.JobID(r.Job.ID), Gateway: r.Job.Gateway, Status: jobStatuses[r.Job.Status],
		Epochs: uint64(r.Job.Epochs), Settled: uint64(r.Job.Settled), Finished: r.Job.Finished, ClosingHeight: int64(r.Job.Closing),
	}
	switch {
	case j.ID != id:
		return Job{}, bad(what, fmt.Errorf("it is job %d", j.ID))
	case j.Status == "":
		return Job{}, bad(what, fmt.Errorf("status %.40q is unknown to this version", r.Job.Status))
	case j.Settled > j.Epochs:
		return Job{}, bad(what, fmt.Errorf("%d epochs settled of %d", j.Settled, j.Epochs))
	}
	return j, nil
}

var epochStatuses = map[string]work.EpochStatus{
	"EPOCH_STATUS_COMMITTED": work.EpochCommitted, "EPOCH_STATUS_SAMPLED": work.EpochSampled,
	"EPOCH_STATUS_AUDITING": work.EpochAuditing, "EPOCH_STATUS_DECIDED": work.EpochDecided,
	"EPOCH_STATUS_SETTLED": work.EpochSettled, "EPOCH_STATUS_VOID": work.EpochVoid,
}

var sampleStatuses = map[string]work.SampleStatus{
	"SAMPLE_STATUS_DRAWN": work.SampleDrawn, "SAMPLE_STATUS_OPENED": work.SampleOpened,
	"SAMPLE_STATUS_REVEALING": work.SampleRevealing, "SAMPLE_STATUS_UPHELD": work.SampleUpheld,
	"SAMPLE_STATUS_FALSE": work.SampleFalse, "SAMPLE_STATUS_UNDECIDED": work.SampleUndecided,
	"SAMPLE_STATUS_UNAUDITED": work.SampleUnaudited, "SAMPLE_STATUS_MERGED": work.SampleMerged,
	"SAMPLE_STATUS_ACCUSED": work.SampleAccused,
}

var outcomes = map[string]work.AuditOutcome{
	"": 0, "OUTCOME_UNSPECIFIED": 0, "OUTCOME_PASS": work.Pass, "OUTCOME_FAIL": work.Fail, "OUTCOME_UNSURE": work.Unsure,
}

type epochRecord struct {
	Job      natural        `json:"job"`
	Number   natural        `json:"number"`
	Units    natural        `json:"units"`
	Receipts natural        `json:"receipts"`
	Root     []byte         `json:"receipts_root"`
	PayRoot  []byte         `json:"pay_root"`
	Workers  natural        `json:"workers"`
	Total    natural        `json:"total_units"`
	Height   number         `json:"commit_height"`
	Settled  number         `json:"settled_height"`
	Deadline number         `json:"deadline"`
	Disputed number         `json:"dispute_until"`
	Status   string         `json:"status"`
	Samples  []sampleRecord `json:"samples"`
}

type sampleRecord struct {
	Unit     natural `json:"unit"`
	Status   string  `json:"status"`
	Receipt  []byte  `json:"receipt"`
	Deadline number  `json:"deadline"`
	Plant    bool    `json:"plant"`
	Slots    []struct {
		Auditor    []byte `json:"auditor"`
		Commitment []byte `json:"commitment"`
		Outcome    string `json:"outcome"`
	} `json:"slots"`
}

// Epoch reads an epoch.
func (l *Ledger) Epoch(ctx context.Context, job work.JobID, number uint64) (work.Epoch, error) {
	var r struct {
		Epoch epochRecord `json:"epoch"`
	}
	if err := l.get(ctx, &r, "cantus/work/v1/jobs", fmt.Sprint(uint64(job)), "epochs", fmt.Sprint(number)); err != nil {
		return work.Epoch{}, fmt.Errorf("read epoch %d of job %d: %w", number, job, err)
	}
	e, err := r.Epoch.plain()
	if err == nil && (e.Job != job || e.Number != number) {
		err = fmt.Errorf("it is epoch %d of job %d", e.Number, e.Job)
	}
	if err != nil {
		return work.Epoch{}, bad(fmt.Sprintf("epoch %d of job %d", number, job), err)
	}
	return e, nil
}

const (
	maxSamples = 4096
	maxSlots   = 64
)

func (r epochRecord) plain() (work.Epoch, error) {
	root, err := artifact.DigestFromBytes(r.Root)
	if err != nil {
		return work.Epoch{}, fmt.Errorf("receipts root: %w", err)
	}
	pay, err := artifact.DigestFromBytes(r.PayRoot)
	if err != nil {
		return work.Epoch{}, fmt.Errorf("pay root: %w", err)
	}
	status, ok := epochStatuses[r.Status]
	if !ok {
		return work.Epoch{}, fmt.Errorf("status %.40q is unknown to this version", r.Status)
	}
	if len(r.Samples) > maxSamples {
		return work.Epoch{}, fmt.Errorf("%d samples, at most %d", len(r.Samples), maxSamples)
	}
	e := work.Epoch{
		Job: work.JobID(r.Job), Number: uint64(r.Number), Status: status,
		Receipts:     work.Root{Hash: work.Hash(root), Leaves: uint64(r.Receipts), Sum: uint64(r.Units)},
		Pay:          work.Root{Hash: work.Hash(pay), Leaves: uint64(r.Workers), Sum: uint64(r.Total)},
		CommitHeight: int64(r.Height), SettledHeight: int64(r.Settled), Deadline: int64(r.Deadline), DisputeUntil: int64(r.Disputed),
	}
	for i, s := range r.Samples {
		out, err := s.plain()
		if err != nil {
			return work.Epoch{}, fmt.Errorf("sample %d: %w", i, err)
		}
		e.Samples = append(e.Samples, out)
	}
	return e, nil
}

func (r sampleRecord) plain() (work.Sample, error) {
	status, ok := sampleStatuses[r.Status]
	if !ok {
		return work.Sample{}, fmt.Errorf("status %.40q is unknown to this version", r.Status)
	}
	if len(r.Receipt) > work.MaxReceipt || len(r.Slots) > maxSlots {
		return work.Sample{}, fmt.Errorf("a receipt of %d bytes and %d auditors, at most %d and %d", len(r.Receipt), len(r.Slots), work.MaxReceipt, maxSlots)
	}
	s := work.Sample{Unit: uint64(r.Unit), Status: status, Receipt: r.Receipt, Plant: r.Plant, Deadline: int64(r.Deadline)}
	for _, a := range r.Slots {
		k, err := work.KeyFromBytes(a.Auditor)
		if err != nil {
			return work.Sample{}, fmt.Errorf("an auditor: %w", err)
		}
		o, ok := outcomes[a.Outcome]
		if !ok {
			return work.Sample{}, fmt.Errorf("outcome %.40q is unknown to this version", a.Outcome)
		}
		s.Slots = append(s.Slots, work.Slot{Auditor: k, Committed: len(a.Commitment) > 0, Outcome: o})
	}
	return s, nil
}

// Claimed reads what a worker was paid in a job; nothing yet is no error.
func (l *Ledger) Claimed(ctx context.Context, job work.JobID, worker work.PublicKey) (Claimed, error) {
	var r struct {
		Claimed struct {
			Units     natural `json:"units"`
			Plants    natural `json:"plant_units"`
			Forfeited bool    `json:"forfeited"`
		} `json:"claimed"`
	}
	err := l.get(ctx, &r, "cantus/work/v1/jobs", fmt.Sprint(uint64(job)), "claimed", worker.String())
	if err != nil {
		if errors.Is(err, ErrNotFound) {
			return Claimed{}, nil
		}
		return Claimed{}, fmt.Errorf("read what was claimed in job %d: %w", job, err)
	}
	return Claimed{uint64(r.Claimed.Units), uint64(r.Claimed.Plants), r.Claimed.Forfeited}, nil
}

// Audits reads what a worker was drawn to audit and is not decided.
func (l *Ledger) Audits(ctx context.Context, worker work.PublicKey) ([]Audit, error) {
	var r struct {
		Audits []auditRecord `json:"audits"`
	}
	// One page, oldest jobs first: what doesn't fit comes when those are decided.
	err := l.get(ctx, &r, "cantus/work/v1/workers", worker.String(), fmt.Sprintf("audits?pagination.limit=%d", maxAudits))
	if refused := new(Refused); errors.Is(err, ErrNotFound) || errors.As(err, &refused) && refused.Code == codeUnimplemented {
		return nil, nil // a node of an earlier version
	}
	if err != nil {
		return nil, fmt.Errorf("read what worker %s was drawn to audit: %w", worker.Short(), err)
	}
	if len(r.Audits) > maxAudits {
		return nil, bad("the audits of worker "+worker.Short(), fmt.Errorf("%d on a page, at most %d", len(r.Audits), maxAudits))
	}
	list := make([]Audit, len(r.Audits))
	for i, a := range r.Audits {
		if list[i], err = a.plain(); err != nil {
			return nil, bad(fmt.Sprintf("audit %d of worker %s", i, worker.Short()), err)
		}
	}
	return list, nil
}

const (
	maxAudits    = 1000
	maxPlaceURL  = 512
	maxPlaceName = 64
)

type auditRecord struct {
	Job       natural `json:"job"`
	Epoch     natural `json:"epoch"`
	Sample    uint32  `json:"sample"`
	Status    string  `json:"status"`
	Deadline  number  `json:"deadline"`
	Committed bool    `json:"committed"`
	Revealed  bool    `json:"revealed"`
	Gateway   string  `json:"gateway"`
	Key       []byte  `json:"gateway_key"`
	Cell      string  `json:"cell"`
	URL       string  `json:"url"`
}

func (r auditRecord) plain() (Audit, error) {
	k, err := work.KeyFromBytes(r.Key)
	if err != nil {
		return Audit{}, fmt.Errorf("the gateway's key: %w", err)
	}
	status := sampleStatuses[r.Status]
	switch {
	case status != work.SampleOpened && status != work.SampleRevealing:
		return Audit{}, fmt.Errorf("status %.40q is none of an audit under way", r.Status)
	case len(r.URL) > maxPlaceURL || len(r.Cell) > maxPlaceName:
		return Audit{}, fmt.Errorf("a URL of %d characters and a cell of %d, at most %d and %d", len(r.URL), len(r.Cell), maxPlaceURL, maxPlaceName)
	}
	if err := CheckAddress(r.Gateway); err != nil {
		return Audit{}, err
	}
	return Audit{
		Job: work.JobID(r.Job), Epoch: uint64(r.Epoch), Sample: r.Sample, Status: status, Deadline: int64(r.Deadline),
		Committed: r.Committed, Revealed: r.Revealed, Gateway: r.Gateway, GatewayKey: k, Cell: r.Cell, URL: r.URL,
	}, nil
}

// Operator reads whose a worker is.
func (l *Ledger) Operator(ctx context.Context, worker work.PublicKey) (string, error) {
	var r struct {
		Worker struct {
			Operator string `json:"operator"`
		} `json:"worker"`
	}
	if err := l.get(ctx, &r, "cantus/work/v1/workers", worker.String()); err != nil {
		return "", fmt.Errorf("read worker %s: %w", worker.Short(), err)
	}
	if err := CheckAddress(r.Worker.Operator); err != nil {
		return "", bad("the operator of worker "+worker.Short(), err)
	}
	return r.Worker.Operator, nil
}

// Gateway reads a gateway.
func (l *Ledger) Gateway(ctx context.Context, address string) (Gateway, error) {
	if err := CheckAddress(address); err != nil {
		return Gateway{}, err
	}
	var r struct {
		Gateway struct {
			Key    []byte `json:"key"`
			URL    string `json:"url"`
			Status string `json:"status"`
			Cells  []struct {
				Name    string `json:"name"`
				URL     string `json:"url"`
				Address string `json:"address"`
			} `json:"cells"`
		} `json:"gateway"`
	}
	if err := l.get(ctx, &r, "cantus/work/v1/gateways", address); err != nil {
		return Gateway{}, fmt.Errorf("read gateway %s: %w", address, err)
	}
	k, err := work.KeyFromBytes(r.Gateway.Key)
	if err != nil {
		return Gateway{}, bad("gateway "+address, err)
	}
	g := Gateway{Address: address, Key: k, URL: r.Gateway.URL, Gone: r.Gateway.Status == "STATUS_GONE"}
	for _, c := range r.Gateway.Cells {
		g.Cells = append(g.Cells, work.Cell{Name: c.Name, URL: c.URL, Address: c.Address})
	}
	return g, nil
}

// Challenged reports whether a voucher challenge for a worker is open in a job.
func (l *Ledger) Challenged(ctx context.Context, job work.JobID, worker work.PublicKey) (bool, error) {
	var r struct {
		Challenges []struct {
			Job    natural `json:"job"`
			Worker []byte  `json:"worker"`
		} `json:"challenges"`
	}
	// A job's open challenges are as many as its workers at most; a page holds the newest
	// thousand, and a second challenge for a worker is refused by the ledger anyway.
	if err := l.get(ctx, &r, fmt.Sprintf("cantus/work/v1/challenges?job=%d&pagination.limit=1000", uint64(job))); err != nil {
		return false, fmt.Errorf("read the challenges of job %d: %w", job, err)
	}
	for _, c := range r.Challenges {
		if work.JobID(c.Job) == job && string(c.Worker) == string(worker[:]) {
			return true, nil
		}
	}
	return false, nil
}

// price reads what a unit of gas costs, in anote.
func (l *Ledger) price(ctx context.Context) (*big.Rat, error) {
	var r struct {
		BaseFee string `json:"base_fee"`
	}
	if err := l.get(ctx, &r, "cosmos/evm/feemarket/v1/base_fee"); err != nil {
		return nil, fmt.Errorf("ask for the price of gas: %w", err)
	}
	if r.BaseFee == "" {
		return new(big.Rat), nil
	}
	p, ok := new(big.Rat).SetString(r.BaseFee)
	if !ok || len(r.BaseFee) > 60 || strings.ContainsAny(r.BaseFee, "eEpP/_xX") || p.Sign() < 0 {
		return nil, fmt.Errorf("%w: price of gas %.40q", ErrAnswer, r.BaseFee)
	}
	return p, nil
}
