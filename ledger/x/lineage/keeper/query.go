package keeper

import (
	"context"
	"encoding/binary"
	"math"

	"cosmossdk.io/collections"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/query"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/cantus-network/cantus/ledger/x/lineage/types"
)

type queryServer struct{ k *Keeper }

var _ types.QueryServer = queryServer{}

// NewQueryServer serves the register's queries.
func NewQueryServer(k *Keeper) types.QueryServer { return queryServer{k} }

const (
	maxPage     = 1_000 // whatever was asked for
	defaultPage = 100
)

// failed gives an error the code that clients know it by.
func failed(err error) error {
	switch {
	case types.ErrNotFound.Is(err):
		return status.Error(codes.NotFound, err.Error())
	case types.ErrInvalid.Is(err):
		return status.Error(codes.InvalidArgument, err.Error())
	}
	return err
}

func (q queryServer) Params(ctx context.Context, _ *types.QueryParamsRequest) (*types.QueryParamsResponse, error) {
	p, err := q.k.Params(ctx)
	return &types.QueryParamsResponse{Params: p}, err
}

func (q queryServer) Artifact(ctx context.Context, r *types.QueryArtifactRequest) (*types.QueryArtifactResponse, error) {
	a, err := q.k.Artifact(ctx, r.Cid)
	if err != nil {
		return nil, failed(err)
	}
	t := newTainter(q.k)
	of, err := t.of(ctx, a)
	if err != nil {
		return nil, err
	}
	return &types.QueryArtifactResponse{Artifact: a, Tainted: len(of.by) > 0, TaintedBy: t.names(of), TaintUnknown: of.unknown}, nil
}

func (q queryServer) Artifacts(ctx context.Context, r *types.QueryArtifactsRequest) (*types.QueryArtifactsResponse, error) {
	page := r.Pagination
	if page != nil {
		p := *page
		p.Limit = min(p.Limit, maxPage)
		page = &p
	}
	if r.Owner == "" {
		list, next, err := query.CollectionPaginate(ctx, q.k.artifacts, page,
			func(_ uint64, a types.Artifact) (types.Artifact, error) { return a, nil })
		return &types.QueryArtifactsResponse{Artifacts: list, Pagination: next}, err
	}
	owner, _, err := q.k.account(r.Owner)
	if err != nil {
		return nil, failed(err)
	}
	list, next, err := query.CollectionPaginate(ctx, q.k.byOwner, page,
		func(key owned, _ collections.NoValue) (types.Artifact, error) { return q.k.artifact(ctx, key.K2()) },
		query.WithCollectionPaginationPairPrefix[sdk.AccAddress, uint64](owner))
	return &types.QueryArtifactsResponse{Artifacts: list, Pagination: next}, err
}

func (q queryServer) Ancestry(ctx context.Context, r *types.QueryAncestryRequest) (*types.QueryAncestryResponse, error) {
	f, page, err := q.trace(ctx, r.Cid, r.Pagination, false)
	if err != nil {
		return nil, err
	}
	return &types.QueryAncestryResponse{Artifacts: f.page, Pagination: page, Truncated: f.truncated}, nil
}

func (q queryServer) Descendants(ctx context.Context, r *types.QueryDescendantsRequest) (*types.QueryDescendantsResponse, error) {
	f, page, err := q.trace(ctx, r.Cid, r.Pagination, true)
	if err != nil {
		return nil, err
	}
	return &types.QueryDescendantsResponse{Artifacts: f.page, Pagination: page, Truncated: f.truncated}, nil
}

// trace walks from an artifact and returns one page of what it meets, with its taint. Each
// page walks anew from the start; the key of the next page is where in the walk it begins.
func (q queryServer) trace(ctx context.Context, cid string, r *query.PageRequest, down bool) (found, *query.PageResponse, error) {
	start, err := q.k.Artifact(ctx, cid)
	if err != nil {
		return found{}, nil, failed(err)
	}
	p, err := q.k.Params(ctx)
	if err != nil {
		return found{}, nil, err
	}
	w := walk{k: q.k, down: down, maxDepth: p.MaxDepth, limit: defaultPage}
	if err := w.turnTo(r); err != nil {
		return found{}, nil, err
	}
	f, err := w.from(ctx, start)
	if err != nil {
		return found{}, nil, err
	}
	if err := q.addTaint(ctx, f.page); err != nil {
		return found{}, nil, err
	}
	page := &query.PageResponse{}
	if f.more {
		page.NextKey = binary.BigEndian.AppendUint64(nil, w.skip+w.limit)
	}
	if w.count {
		page.Total = f.total
	}
	return f, page, nil
}

// turnTo reads a page request into the walk.
func (w *walk) turnTo(r *query.PageRequest) error {
	if r == nil {
		return nil
	}
	switch {
	case r.Reverse:
		return status.Error(codes.InvalidArgument, "a trace can't be reversed: it goes from the artifact outward")
	case len(r.Key) > 0 && r.Offset > 0:
		return status.Error(codes.InvalidArgument, "either a key or an offset, not both")
	case len(r.Key) > 0 && len(r.Key) != 8:
		return status.Error(codes.InvalidArgument, "the page key is not one that a trace gave out")
	}
	w.skip, w.count = r.Offset, r.CountTotal
	if len(r.Key) > 0 {
		w.skip = binary.BigEndian.Uint64(r.Key)
	}
	if r.Limit > 0 {
		w.limit = min(r.Limit, maxPage)
	}
	w.skip = min(w.skip, math.MaxInt64) // so that skip+limit can't overflow
	return nil
}

func (q queryServer) addTaint(ctx context.Context, page []types.Traced) error {
	t := newTainter(q.k)
	for i := range page {
		of, err := t.of(ctx, page[i].Artifact)
		if err != nil {
			return err
		}
		page[i].Tainted, page[i].TaintedBy, page[i].TaintUnknown = len(of.by) > 0, t.names(of), of.unknown
	}
	return nil
}
