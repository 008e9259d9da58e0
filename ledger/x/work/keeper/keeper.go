// Package keeper runs the work market: it holds the records, moves the money and takes
// every job from its opening to its last claim.
//
//	keeper.go      Keeper: the records and their indexes
//	money.go       payments, slashes and burns: the only code that moves coins
//	msg_*.go       the messages, by who sends them
//	disputes.go    a dispute's end, and what follows; its moves are in msg_disputes.go
//	referee.go     Referee: what decides a dispute's last step
//	roster.go      the active workers of each kind, and drawing auditors from them
//	audit.go       an epoch from its beacon to its decision
//	drawn.go       which audits a worker was drawn for
//	judge.go       what a decided sample brings its worker and its auditors
//	measured.go    what a measured sample adds to what is known of its worker
//	plants.go      showing an epoch's plants, and what they change
//	orders.go      what other modules of the ledger do in the market
//	cells.go       a gateway's cells, and who may act for it in a job
//	settle.go      a job's settlement, closing and fault
//	blocks.go      BeginBlock and EndBlock: what is due, from queues keyed by height
//	invariants.go  the books: what is held against what is owed
//	genesis.go     import and export
//	migrate.go     from one version of the state to the next
//	query.go       the queries
//
// Two rules keep it safe. Money leaves an escrow only in money.go, which adds it to the
// job's sums in the same breath. And nothing scans: every step that waits for a height is
// in a queue under that height, and a step that is taken twice does nothing the second
// time, so that queue entries need no removal when something happens early.
package keeper

import (
	"context"
	"errors"
	"fmt"

	"cosmossdk.io/collections"
	collcodec "cosmossdk.io/collections/codec"
	"cosmossdk.io/core/address"
	"cosmossdk.io/core/store"
	"cosmossdk.io/math"
	"github.com/cosmos/cosmos-sdk/codec"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// Key types of the store.
type (
	ownedKey    = collections.Pair[sdk.AccAddress, []byte]
	ownedJob    = collections.Pair[sdk.AccAddress, uint64]
	kindKey     = collections.Pair[string, []byte]
	kindPlace   = collections.Pair[string, uint64]
	epochID     = collections.Pair[uint64, uint64]
	workerOfJob = collections.Pair[uint64, []byte]
	dueEpoch    = collections.Triple[int64, uint64, uint64]
	dueID       = collections.Pair[int64, uint64]
	dueBond     = collections.Pair[int64, []byte]
	auditKey    = collections.Quad[[]byte, uint64, uint64, uint32] // auditor, job, epoch, sample

	disputedKey  = collections.Quad[uint64, uint64, uint64, uint64] // job, epoch, place in the tree, dispute
	defendantKey = collections.Pair[[]byte, uint64]                 // worker, dispute
)

// Keeper holds the market's state.
type Keeper struct {
	accounts  types.AccountKeeper
	bank      types.BankKeeper
	addresses address.Codec
	lineage   types.Lineage
	referees  map[string]Referee // by kind
	authority string

	schema     collections.Schema
	params     collections.Item[types.Params]
	operators  collections.Map[sdk.AccAddress, types.Operator]
	workers    collections.Map[[]byte, types.Worker]
	owned      collections.KeySet[ownedKey] // workers that are not gone, by operator
	gateways   collections.Map[sdk.AccAddress, types.Gateway]
	gatewayOf  collections.Map[[]byte, sdk.AccAddress] // by the gateway's key
	nextJob    collections.Sequence
	jobs       collections.Map[uint64, types.Job]
	byBuyer    collections.KeySet[ownedJob]
	byGateway  collections.KeySet[ownedJob]
	live       collections.KeySet[uint64] // jobs that are open or closing
	epochs     collections.Map[epochID, types.Epoch]
	claimed    collections.Map[workerOfJob, types.Claimed]
	nextCase   collections.Sequence
	challenges collections.Map[uint64, types.Challenge]
	targets    collections.Map[workerOfJob, uint64] // the open challenge for a worker in a job
	burned     collections.Item[math.Int]
	audits     collections.KeySet[auditKey] // of samples that are open or revealing, by auditor

	nextDispute collections.Sequence
	disputes    collections.Map[uint64, types.Dispute]
	exhibits    collections.Map[uint64, types.Exhibit] // of open disputes
	disputed    collections.KeySet[disputedKey]        // open disputes by receipt
	defendants  collections.KeySet[defendantKey]       // and by the worker that signed it

	// The roster numbers the active workers of each kind densely from 0.
	roster     collections.Map[kindPlace, []byte]
	rosterAt   collections.Map[kindKey, uint64]
	rosterSize collections.Map[string, uint64]

	// The queues: what is due at which height.
	beacons      collections.KeySet[dueEpoch]
	epochQueue   collections.KeySet[dueEpoch]
	jobQueue     collections.KeySet[dueID]
	caseQueue    collections.KeySet[dueID]
	disputeQueue collections.KeySet[dueID]
	releaseQueue collections.KeySet[dueBond]
}

// NewKeeper makes the market's keeper. The accounts of types.Accounts must exist with the
// permission to burn. Authority is the address that may change the parameters.
func NewKeeper(
	cdc codec.BinaryCodec, stores store.KVStoreService,
	accounts types.AccountKeeper, bank types.BankKeeper, authority string,
) (*Keeper, error) {
	for _, name := range types.Accounts() {
		if accounts.GetModuleAddress(name) == nil {
			return nil, fmt.Errorf("make the work keeper: the application has no module account %s: give it one that may burn", name)
		}
	}
	if _, err := accounts.AddressCodec().StringToBytes(authority); err != nil {
		return nil, fmt.Errorf("make the work keeper: authority %q: %w", authority, err)
	}
	sb := collections.NewSchemaBuilder(stores)
	due3 := collections.TripleKeyCodec(collections.Int64Key, collections.Uint64Key, collections.Uint64Key)
	due2 := collections.PairKeyCodec(collections.Int64Key, collections.Uint64Key)
	ofJob := collections.PairKeyCodec(collections.Uint64Key, collections.BytesKey)
	jobBy := collections.PairKeyCodec(sdk.AccAddressKey, collections.Uint64Key)
	k := &Keeper{
		accounts: accounts, bank: bank, addresses: accounts.AddressCodec(), authority: authority,
		referees: map[string]Referee{},

		params:     collections.NewItem(sb, types.ParamsPrefix, "params", codec.CollValue[types.Params](cdc)),
		operators:  collections.NewMap(sb, types.OperatorsPrefix, "operators", sdk.AccAddressKey, codec.CollValue[types.Operator](cdc)),
		workers:    collections.NewMap(sb, types.WorkersPrefix, "workers", collections.BytesKey, codec.CollValue[types.Worker](cdc)),
		owned:      collections.NewKeySet(sb, types.WorkersByOwnerPrefix, "workers_by_operator", collections.PairKeyCodec(sdk.AccAddressKey, collections.BytesKey)),
		roster:     collections.NewMap(sb, types.RosterPrefix, "roster", collections.PairKeyCodec(collections.StringKey, collections.Uint64Key), collections.BytesValue),
		rosterAt:   collections.NewMap(sb, types.RosterPlacePrefix, "roster_places", collections.PairKeyCodec(collections.StringKey, collections.BytesKey), collections.Uint64Value),
		rosterSize: collections.NewMap(sb, types.RosterSizePrefix, "roster_sizes", collections.StringKey, collections.Uint64Value),
		gateways:   collections.NewMap(sb, types.GatewaysPrefix, "gateways", sdk.AccAddressKey, codec.CollValue[types.Gateway](cdc)),
		gatewayOf:  collections.NewMap(sb, types.GatewayKeysPrefix, "gateway_keys", collections.BytesKey, collcodec.KeyToValueCodec(sdk.AccAddressKey)),
		nextJob:    collections.NewSequence(sb, types.NextJobPrefix, "next_job"),
		jobs:       collections.NewMap(sb, types.JobsPrefix, "jobs", collections.Uint64Key, codec.CollValue[types.Job](cdc)),
		byBuyer:    collections.NewKeySet(sb, types.JobsByBuyerPrefix, "jobs_by_buyer", jobBy),
		byGateway:  collections.NewKeySet(sb, types.JobsByGatewayPrefix, "jobs_by_gateway", jobBy),
		live:       collections.NewKeySet(sb, types.LiveJobsPrefix, "live_jobs", collections.Uint64Key),
		epochs:     collections.NewMap(sb, types.EpochsPrefix, "epochs", collections.PairKeyCodec(collections.Uint64Key, collections.Uint64Key), codec.CollValue[types.Epoch](cdc)),
		claimed:    collections.NewMap(sb, types.ClaimedPrefix, "claimed", ofJob, codec.CollValue[types.Claimed](cdc)),
		nextCase:   collections.NewSequence(sb, types.NextChallengePrefix, "next_challenge"),
		challenges: collections.NewMap(sb, types.ChallengesPrefix, "challenges", collections.Uint64Key, codec.CollValue[types.Challenge](cdc)),
		targets:    collections.NewMap(sb, types.ChallengeTargetsPrefix, "challenge_targets", ofJob, collections.Uint64Value),
		burned:     collections.NewItem(sb, types.BurnedPrefix, "burned", sdk.IntValue),
		audits: collections.NewKeySet(sb, types.AuditsPrefix, "audits",
			collections.QuadKeyCodec(collections.BytesKey, collections.Uint64Key, collections.Uint64Key, collections.Uint32Key)),
		nextDispute: collections.NewSequence(sb, types.NextDisputePrefix, "next_dispute"),
		disputes:    collections.NewMap(sb, types.DisputesPrefix, "disputes", collections.Uint64Key, codec.CollValue[types.Dispute](cdc)),
		exhibits:    collections.NewMap(sb, types.ExhibitsPrefix, "exhibits", collections.Uint64Key, codec.CollValue[types.Exhibit](cdc)),
		disputed: collections.NewKeySet(sb, types.DisputedPrefix, "disputed",
			collections.QuadKeyCodec(collections.Uint64Key, collections.Uint64Key, collections.Uint64Key, collections.Uint64Key)),
		defendants: collections.NewKeySet(sb, types.DisputedWorkersPrefix, "disputed_workers", collections.PairKeyCodec(collections.BytesKey, collections.Uint64Key)),

		beacons:      collections.NewKeySet(sb, types.BeaconQueuePrefix, "beacon_queue", due3),
		epochQueue:   collections.NewKeySet(sb, types.EpochQueuePrefix, "epoch_queue", due3),
		jobQueue:     collections.NewKeySet(sb, types.JobQueuePrefix, "job_queue", due2),
		caseQueue:    collections.NewKeySet(sb, types.ChallengeQueuePrefix, "challenge_queue", due2),
		disputeQueue: collections.NewKeySet(sb, types.DisputeQueuePrefix, "dispute_queue", due2),
		releaseQueue: collections.NewKeySet(sb, types.UnbondingQueuePrefix, "unbonding_queue", collections.PairKeyCodec(collections.Int64Key, collections.BytesKey)),
	}
	schema, err := sb.Build()
	if err != nil {
		return nil, fmt.Errorf("make the work keeper's schema: %w", err)
	}
	k.schema = schema
	return k, nil
}

// SetLineage gives the keeper the register of artifacts, which itself reads settled jobs
// from this keeper and so is made after it. Without one a job can't use artifacts.
func (k *Keeper) SetLineage(l types.Lineage) { k.lineage = l }

// Authority is the address that may change the parameters.
func (k *Keeper) Authority() string { return k.authority }

// Schema describes the module's store.
func (k *Keeper) Schema() collections.Schema { return k.schema }

// Params returns the market's rules.
func (k *Keeper) Params(ctx context.Context) (types.Params, error) {
	p, err := k.params.Get(ctx)
	if err != nil {
		return p, fmt.Errorf("read the work parameters: %w", err)
	}
	return p, nil
}

// SettledJob is what a register of artifacts needs to know of a job: who bought it, the
// root over its settled receipts, and the weakest trust label among its settled epochs.
// It fails while the job may still settle more.
func (k *Keeper) SettledJob(ctx context.Context, id uint64) (buyer string, root []byte, label string, err error) {
	j, err := k.job(ctx, id)
	if err != nil {
		return "", nil, "", err
	}
	if j.Live() {
		return "", nil, "", types.ErrState.Wrapf("job %d is still running: wait until it is closed", id)
	}
	if j.EpochsSettled == 0 {
		return "", nil, "", types.ErrState.Wrapf("job %d settled nothing", id)
	}
	return j.Buyer, j.SettledRoot, j.Label, nil
}

// account reads an address in whatever form the application accepts; its canonical form
// is what records hold.
func (k *Keeper) account(s string) (sdk.AccAddress, string, error) {
	b, err := k.addresses.StringToBytes(s)
	if err != nil {
		return nil, "", types.ErrInvalid.Wrapf("address %.100q: %v", s, err)
	}
	text, err := k.addresses.BytesToString(b)
	if err != nil {
		return nil, "", types.ErrInvalid.Wrapf("address %.100q: %v", s, err)
	}
	return b, text, nil
}

// payee is an account that may be owed money: not one that the bank refuses to pay.
func (k *Keeper) payee(s string) (sdk.AccAddress, string, error) {
	addr, text, err := k.account(s)
	if err == nil && k.bank.BlockedAddr(addr) {
		return nil, "", types.ErrUnauthorized.Wrapf("%s is a module's account and can't be paid", text)
	}
	return addr, text, err
}

func get[K, V any](ctx context.Context, m collections.Map[K, V], key K, what string, args ...any) (V, error) {
	v, err := m.Get(ctx, key)
	if errors.Is(err, collections.ErrNotFound) {
		return v, types.ErrNotFound.Wrapf("no "+what, args...)
	}
	if err != nil {
		return v, fmt.Errorf("read "+what+": %w", append(args, err)...)
	}
	return v, nil
}

func (k *Keeper) job(ctx context.Context, id uint64) (types.Job, error) {
	return get(ctx, k.jobs, id, "job %d", id)
}

func (k *Keeper) epoch(ctx context.Context, job, number uint64) (types.Epoch, error) {
	return get(ctx, k.epochs, collections.Join(job, number), "epoch %d of job %d", number, job)
}

func (k *Keeper) worker(ctx context.Context, key []byte) (types.Worker, error) {
	return get(ctx, k.workers, key, "worker %x", key)
}

func (k *Keeper) gateway(ctx context.Context, addr sdk.AccAddress) (types.Gateway, error) {
	return get(ctx, k.gateways, addr, "gateway %s", addr.String())
}

// claimOf is a worker's claims in a job; none is no error.
func (k *Keeper) claimOf(ctx context.Context, job uint64, worker []byte) (types.Claimed, error) {
	c, err := k.claimed.Get(ctx, collections.Join(job, worker))
	if errors.Is(err, collections.ErrNotFound) {
		return types.Claimed{Job: job, Worker: worker}, nil
	}
	if err != nil {
		return c, fmt.Errorf("read the claims of worker %x in job %d: %w", worker, job, err)
	}
	return c, nil
}

func (k *Keeper) setJob(ctx context.Context, j types.Job) error { return k.jobs.Set(ctx, j.Id, j) }

func (k *Keeper) setEpoch(ctx context.Context, e types.Epoch) error {
	return k.epochs.Set(ctx, collections.Join(e.Job, e.Number), e)
}

func (k *Keeper) setClaim(ctx context.Context, c types.Claimed) error {
	return k.claimed.Set(ctx, collections.Join(c.Job, c.Worker), c)
}

func (k *Keeper) setWorker(ctx context.Context, w types.Worker) error {
	return k.workers.Set(ctx, w.Key, w)
}

// setGateway stores a gateway under the address in it.
func (k *Keeper) setGateway(ctx context.Context, g types.Gateway) error {
	addr, _, err := k.account(g.Address)
	if err != nil {
		return err
	}
	return k.gateways.Set(ctx, addr, g)
}

func height(ctx context.Context) int64 { return sdk.UnwrapSDKContext(ctx).BlockHeight() }

func chainID(ctx context.Context) string { return sdk.UnwrapSDKContext(ctx).ChainID() }

// emit records an event with attributes as key, value, key, value, ….
func emit(ctx context.Context, name string, attrs ...any) {
	e := sdk.NewEvent(name)
	for i := 0; i+1 < len(attrs); i += 2 {
		var v string
		switch a := attrs[i+1].(type) {
		case string:
			v = a
		case []byte:
			v = fmt.Sprintf("%x", a)
		case work.PublicKey:
			v = a.String()
		default:
			v = fmt.Sprint(a)
		}
		e = e.AppendAttributes(sdk.NewAttribute(fmt.Sprint(attrs[i]), v))
	}
	sdk.UnwrapSDKContext(ctx).EventManager().EmitEvent(e)
}
