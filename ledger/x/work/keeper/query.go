package keeper

import (
	"context"
	"slices"

	"cosmossdk.io/collections"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/query"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

type queryServer struct{ k *Keeper }

var _ types.QueryServer = queryServer{}

// NewQueryServer serves the market's queries.
func NewQueryServer(k *Keeper) types.QueryServer { return queryServer{k} }

// maxPage bounds one page, whatever was asked for.
const maxPage = 1_000

func page(p *query.PageRequest) *query.PageRequest {
	if p == nil {
		return nil
	}
	c := *p
	c.Limit = min(c.Limit, maxPage)
	return &c
}

// badRequest turns an error about what was asked into one that REST clients see as such.
func badRequest(err error) error { return status.Error(codes.InvalidArgument, err.Error()) }

// found turns a record that is not there into the code for that.
func found[T any](v T, err error) (T, error) {
	if types.ErrNotFound.Is(err) {
		return v, status.Error(codes.NotFound, err.Error())
	}
	return v, err
}

func (q queryServer) Params(ctx context.Context, _ *types.QueryParamsRequest) (*types.QueryParamsResponse, error) {
	p, err := q.k.Params(ctx)
	return &types.QueryParamsResponse{Params: p}, err
}

func (q queryServer) Operator(ctx context.Context, r *types.QueryOperatorRequest) (*types.QueryOperatorResponse, error) {
	addr, text, err := q.k.account(r.Address)
	if err != nil {
		return nil, badRequest(err)
	}
	op, err := found(get(ctx, q.k.operators, addr, "operator %s", text))
	return &types.QueryOperatorResponse{Operator: op}, err
}

func (q queryServer) Operators(ctx context.Context, r *types.QueryOperatorsRequest) (*types.QueryOperatorsResponse, error) {
	list, next, err := query.CollectionPaginate(ctx, q.k.operators, page(r.Pagination),
		func(_ sdk.AccAddress, v types.Operator) (types.Operator, error) { return v, nil })
	return &types.QueryOperatorsResponse{Operators: list, Pagination: next}, err
}

func (q queryServer) Worker(ctx context.Context, r *types.QueryWorkerRequest) (*types.QueryWorkerResponse, error) {
	key, err := work.ParseKey(r.Key)
	if err != nil {
		return nil, badRequest(err)
	}
	w, err := found(q.k.worker(ctx, key[:]))
	return &types.QueryWorkerResponse{Worker: w}, err
}

func (q queryServer) Workers(ctx context.Context, r *types.QueryWorkersRequest) (*types.QueryWorkersResponse, error) {
	if r.Operator != "" {
		return q.workersOf(ctx, r)
	}
	if r.Kind != "" {
		list, next, err := query.CollectionPaginate(ctx, q.k.rosterAt, page(r.Pagination),
			func(key kindKey, _ uint64) (types.Worker, error) { return q.k.worker(ctx, key.K2()) },
			query.WithCollectionPaginationPairPrefix[string, []byte](r.Kind))
		return &types.QueryWorkersResponse{Workers: list, Pagination: next}, err
	}
	list, next, err := query.CollectionPaginate(ctx, q.k.workers, page(r.Pagination),
		func(_ []byte, v types.Worker) (types.Worker, error) { return v, nil })
	return &types.QueryWorkersResponse{Workers: list, Pagination: next}, err
}

func (q queryServer) workersOf(ctx context.Context, r *types.QueryWorkersRequest) (*types.QueryWorkersResponse, error) {
	addr, _, err := q.k.account(r.Operator)
	if err != nil {
		return nil, badRequest(err)
	}
	var wanted func(ownedKey, collections.NoValue) (bool, error)
	if r.Kind != "" {
		wanted = func(key ownedKey, _ collections.NoValue) (bool, error) {
			w, err := q.k.worker(ctx, key.K2())
			return w.Status == types.Status_STATUS_ACTIVE && slices.Contains(w.Kinds, r.Kind), err
		}
	}
	list, next, err := query.CollectionFilteredPaginate(ctx, q.k.owned, page(r.Pagination), wanted,
		func(key ownedKey, _ collections.NoValue) (types.Worker, error) { return q.k.worker(ctx, key.K2()) },
		query.WithCollectionPaginationPairPrefix[sdk.AccAddress, []byte](addr))
	return &types.QueryWorkersResponse{Workers: list, Pagination: next}, err
}

// Audits finds the way to a job's gateway anew for each job, not for each sample.
func (q queryServer) Audits(ctx context.Context, r *types.QueryAuditsRequest) (*types.QueryAuditsResponse, error) {
	key, err := work.ParseKey(r.Worker)
	if err != nil {
		return nil, badRequest(err)
	}
	found := auditReader{k: q.k}
	list, next, err := query.CollectionPaginate(ctx, q.k.audits, page(r.Pagination),
		func(at auditKey, _ collections.NoValue) (types.Audit, error) { return found.read(ctx, at) },
		func(o *query.CollectionsPaginateOptions[auditKey]) {
			prefix := collections.QuadPrefix[[]byte, uint64, uint64, uint32](key[:])
			o.Prefix = &prefix
		})
	return &types.QueryAuditsResponse{Audits: list, Pagination: next}, err
}

func (q queryServer) Gateway(ctx context.Context, r *types.QueryGatewayRequest) (*types.QueryGatewayResponse, error) {
	addr, _, err := q.k.account(r.Address)
	if err != nil {
		return nil, badRequest(err)
	}
	g, err := found(q.k.gateway(ctx, addr))
	return &types.QueryGatewayResponse{Gateway: g}, err
}

func (q queryServer) Gateways(ctx context.Context, r *types.QueryGatewaysRequest) (*types.QueryGatewaysResponse, error) {
	list, next, err := query.CollectionPaginate(ctx, q.k.gateways, page(r.Pagination),
		func(_ sdk.AccAddress, v types.Gateway) (types.Gateway, error) { return v, nil })
	return &types.QueryGatewaysResponse{Gateways: list, Pagination: next}, err
}

func (q queryServer) Job(ctx context.Context, r *types.QueryJobRequest) (*types.QueryJobResponse, error) {
	j, err := found(q.k.job(ctx, r.Id))
	return &types.QueryJobResponse{Job: j}, err
}

// Jobs walks the narrowest index that fits and filters by the rest.
func (q queryServer) Jobs(ctx context.Context, r *types.QueryJobsRequest) (*types.QueryJobsResponse, error) {
	var buyer, gateway sdk.AccAddress
	buyerText, gatewayText := "", ""
	var err error
	if r.Buyer != "" {
		if buyer, buyerText, err = q.k.account(r.Buyer); err != nil {
			return nil, badRequest(err)
		}
	}
	if r.Gateway != "" {
		if gateway, gatewayText, err = q.k.account(r.Gateway); err != nil {
			return nil, badRequest(err)
		}
	}
	wanted := func(id uint64) (bool, error) {
		j, err := q.k.job(ctx, id)
		return (buyer == nil || j.Buyer == buyerText) && (gateway == nil || j.Gateway == gatewayText) &&
			(r.Cell == "" || j.Cell == r.Cell) && (!r.Live || j.Live()), err
	}
	var list []types.Job
	var next *query.PageResponse
	switch {
	case r.Live && buyer == nil:
		list, next, err = query.CollectionFilteredPaginate(ctx, q.k.live, page(r.Pagination),
			func(id uint64, _ collections.NoValue) (bool, error) { return wanted(id) },
			func(id uint64, _ collections.NoValue) (types.Job, error) { return q.k.job(ctx, id) })
	case buyer != nil:
		list, next, err = q.jobsBy(ctx, q.k.byBuyer, buyer, r.Pagination, wanted)
	case gateway != nil:
		list, next, err = q.jobsBy(ctx, q.k.byGateway, gateway, r.Pagination, wanted)
	default:
		list, next, err = query.CollectionFilteredPaginate(ctx, q.k.jobs, page(r.Pagination),
			func(_ uint64, j types.Job) (bool, error) { return r.Cell == "" || j.Cell == r.Cell, nil },
			func(_ uint64, j types.Job) (types.Job, error) { return j, nil })
	}
	return &types.QueryJobsResponse{Jobs: list, Pagination: next}, err
}

func (q queryServer) jobsBy(ctx context.Context, index collections.KeySet[ownedJob], owner sdk.AccAddress, p *query.PageRequest, wanted func(uint64) (bool, error)) ([]types.Job, *query.PageResponse, error) {
	return query.CollectionFilteredPaginate(ctx, index, page(p),
		func(key ownedJob, _ collections.NoValue) (bool, error) { return wanted(key.K2()) },
		func(key ownedJob, _ collections.NoValue) (types.Job, error) { return q.k.job(ctx, key.K2()) },
		query.WithCollectionPaginationPairPrefix[sdk.AccAddress, uint64](owner))
}

func (q queryServer) Epoch(ctx context.Context, r *types.QueryEpochRequest) (*types.QueryEpochResponse, error) {
	e, err := found(q.k.epoch(ctx, r.Job, r.Number))
	return &types.QueryEpochResponse{Epoch: e}, err
}

func (q queryServer) Epochs(ctx context.Context, r *types.QueryEpochsRequest) (*types.QueryEpochsResponse, error) {
	list, next, err := query.CollectionPaginate(ctx, q.k.epochs, page(r.Pagination),
		func(_ epochID, v types.Epoch) (types.Epoch, error) { return v, nil },
		query.WithCollectionPaginationPairPrefix[uint64, uint64](r.Job))
	return &types.QueryEpochsResponse{Epochs: list, Pagination: next}, err
}

func (q queryServer) Claimed(ctx context.Context, r *types.QueryClaimedRequest) (*types.QueryClaimedResponse, error) {
	key, err := work.ParseKey(r.Worker)
	if err != nil {
		return nil, badRequest(err)
	}
	c, err := q.k.claimOf(ctx, r.Job, key[:])
	return &types.QueryClaimedResponse{Claimed: c}, err
}

func (q queryServer) Claims(ctx context.Context, r *types.QueryClaimsRequest) (*types.QueryClaimsResponse, error) {
	list, next, err := query.CollectionPaginate(ctx, q.k.claimed, page(r.Pagination),
		func(_ workerOfJob, v types.Claimed) (types.Claimed, error) { return v, nil },
		query.WithCollectionPaginationPairPrefix[uint64, []byte](r.Job))
	return &types.QueryClaimsResponse{Claims: list, Pagination: next}, err
}

func (q queryServer) Challenges(ctx context.Context, r *types.QueryChallengesRequest) (*types.QueryChallengesResponse, error) {
	if r.Job == 0 {
		list, next, err := query.CollectionPaginate(ctx, q.k.challenges, page(r.Pagination),
			func(_ uint64, v types.Challenge) (types.Challenge, error) { return v, nil })
		return &types.QueryChallengesResponse{Challenges: list, Pagination: next}, err
	}
	list, next, err := query.CollectionPaginate(ctx, q.k.targets, page(r.Pagination),
		func(_ workerOfJob, id uint64) (types.Challenge, error) {
			return get(ctx, q.k.challenges, id, "challenge %d", id)
		},
		query.WithCollectionPaginationPairPrefix[uint64, []byte](r.Job))
	return &types.QueryChallengesResponse{Challenges: list, Pagination: next}, err
}

func (q queryServer) Dispute(ctx context.Context, r *types.QueryDisputeRequest) (*types.QueryDisputeResponse, error) {
	d, err := found(q.k.dispute(ctx, r.Id))
	if err != nil || d.Over() {
		return &types.QueryDisputeResponse{Dispute: d}, err
	}
	x, err := get(ctx, q.k.exhibits, d.Id, "exhibit of dispute %d", d.Id)
	return &types.QueryDisputeResponse{Dispute: d, Exhibit: x}, err
}

// Disputes walks the index of the worker's or the job's open disputes, that of all open ones,
// or all disputes.
func (q queryServer) Disputes(ctx context.Context, r *types.QueryDisputesRequest) (*types.QueryDisputesResponse, error) {
	challenger := ""
	if r.Challenger != "" {
		var err error
		if _, challenger, err = q.k.account(r.Challenger); err != nil {
			return nil, badRequest(err)
		}
	}
	wanted := func(d types.Dispute) bool {
		return (challenger == "" || d.Challenger == challenger) && (r.Job == 0 || d.Job == r.Job)
	}
	var list []types.Dispute
	var next *query.PageResponse
	var err error
	switch {
	case r.Worker != "":
		key, perr := work.ParseKey(r.Worker)
		if perr != nil {
			return nil, badRequest(perr)
		}
		list, next, err = query.CollectionFilteredPaginate(ctx, q.k.defendants, page(r.Pagination),
			func(at defendantKey, _ collections.NoValue) (bool, error) {
				d, err := q.k.dispute(ctx, at.K2())
				return wanted(d), err
			},
			func(at defendantKey, _ collections.NoValue) (types.Dispute, error) { return q.k.dispute(ctx, at.K2()) },
			query.WithCollectionPaginationPairPrefix[[]byte, uint64](key[:]))
	case r.Job != 0 || challenger != "" || r.Open:
		list, next, err = query.CollectionFilteredPaginate(ctx, q.k.disputed, page(r.Pagination),
			func(at disputedKey, _ collections.NoValue) (bool, error) {
				d, err := q.k.dispute(ctx, at.K4())
				return wanted(d), err
			},
			func(at disputedKey, _ collections.NoValue) (types.Dispute, error) { return q.k.dispute(ctx, at.K4()) },
			func(o *query.CollectionsPaginateOptions[disputedKey]) {
				if r.Job != 0 {
					prefix := collections.QuadPrefix[uint64, uint64, uint64, uint64](r.Job)
					o.Prefix = &prefix
				}
			})
	default:
		list, next, err = query.CollectionPaginate(ctx, q.k.disputes, page(r.Pagination),
			func(_ uint64, v types.Dispute) (types.Dispute, error) { return v, nil })
	}
	return &types.QueryDisputesResponse{Disputes: list, Pagination: next}, err
}

func (q queryServer) Invariants(ctx context.Context, _ *types.QueryInvariantsRequest) (*types.QueryInvariantsResponse, error) {
	b, err := q.k.Invariants(ctx)
	if err != nil {
		return nil, err
	}
	return &types.QueryInvariantsResponse{
		Ok: len(b.Broken) == 0, Broken: b.Broken, Escrow: b.Escrow, Bonds: b.Bonds,
		Payable: b.Payable, Deposits: b.Deposits, Held: b.Held, Burned: b.Burned,
	}, nil
}
