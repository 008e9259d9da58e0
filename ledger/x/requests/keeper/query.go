package keeper

import (
	"context"
	"encoding/hex"
	"math"
	"strings"

	"cosmossdk.io/collections"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/query"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/cantus-network/cantus/ledger/x/requests/types"
)

type queryServer struct{ k *Keeper }

var _ types.QueryServer = queryServer{}

// NewQueryServer serves the queries.
func NewQueryServer(k *Keeper) types.QueryServer { return queryServer{k} }

// maxPage bounds one page, whatever was asked for.
const maxPage = 1_000

func paged(p *query.PageRequest) *query.PageRequest {
	if p == nil {
		return nil
	}
	c := *p
	c.Limit = min(c.Limit, maxPage)
	return &c
}

// failed gives an error the code that clients know it by.
func failed(err error) error {
	switch {
	case types.ErrNotFound.Is(err), types.ErrOffer.Is(err):
		return status.Error(codes.NotFound, err.Error())
	case types.ErrInvalid.Is(err):
		return status.Error(codes.InvalidArgument, err.Error())
	}
	return err
}

// speakerID reads an ID in hexadecimal, with 0x as contracts write it or without.
func speakerID(s string) ([32]byte, error) {
	var id [32]byte
	b, err := hex.DecodeString(strings.TrimPrefix(s, "0x"))
	if err != nil || len(b) != len(id) {
		return id, types.ErrInvalid.Wrapf("speaker %.80q: want %d hexadecimal digits", s, 2*len(id))
	}
	copy(id[:], b)
	return id, nil
}

func (q queryServer) Params(ctx context.Context, _ *types.QueryParamsRequest) (*types.QueryParamsResponse, error) {
	p, err := q.k.Params(ctx)
	return &types.QueryParamsResponse{Params: p}, err
}

func (q queryServer) Speaker(ctx context.Context, r *types.QuerySpeakerRequest) (*types.QuerySpeakerResponse, error) {
	id, err := speakerID(r.Id)
	if err != nil {
		return nil, failed(err)
	}
	b, err := get(ctx, q.k.speakers, id[:], "speaker %x", id)
	if err != nil {
		return nil, failed(err)
	}
	list, err := q.k.offersFor(ctx, id[:]) // at most Params.MaxOffers
	return &types.QuerySpeakerResponse{Speaker: b, Offers: list}, err
}

func (q queryServer) Offers(ctx context.Context, r *types.QueryOffersRequest) (*types.QueryOffersResponse, error) {
	if r.Gateway == "" {
		list, next, err := query.CollectionPaginate(ctx, q.k.offers, paged(r.Pagination),
			func(_ offerKey, o types.Offer) (types.Offer, error) { return o, nil })
		return &types.QueryOffersResponse{Offers: list, Pagination: next}, err
	}
	gateway, text, err := q.k.account(r.Gateway)
	if err != nil {
		return nil, failed(err)
	}
	list, next, err := query.CollectionPaginate(ctx, q.k.offered, paged(r.Pagination),
		func(key offeredBy, _ collections.NoValue) (types.Offer, error) {
			return get(ctx, q.k.offers, collections.Join(key.K2(), gateway), "offer of %s for speaker %x", text, key.K2())
		}, query.WithCollectionPaginationPairPrefix[sdk.AccAddress, []byte](gateway))
	return &types.QueryOffersResponse{Offers: list, Pagination: next}, err
}

func (q queryServer) Request(ctx context.Context, r *types.QueryRequestRequest) (*types.QueryRequestResponse, error) {
	v, err := q.k.Lookup(ctx, r.Id)
	if err != nil {
		return nil, failed(err)
	}
	return &types.QueryRequestResponse{Request: v}, nil
}

func (q queryServer) Requests(ctx context.Context, r *types.QueryRequestsRequest) (*types.QueryRequestsResponse, error) {
	if r.Payer == "" && r.Gateway == "" {
		list, next, err := query.CollectionPaginate(ctx, q.k.requests, paged(r.Pagination),
			func(_ uint64, v types.Request) (types.Request, error) { return v, nil })
		return &types.QueryRequestsResponse{Requests: list, Pagination: next}, err
	}
	who, listed := r.Payer, q.k.ofPayer
	if who == "" {
		who, listed = r.Gateway, q.k.ofGateway
	} else if r.Gateway != "" {
		return nil, failed(types.ErrInvalid.Wrap("payer and gateway: name one of them"))
	}
	addr, _, err := q.k.account(who)
	if err != nil {
		return nil, failed(err)
	}
	list, next, err := query.CollectionPaginate(ctx, listed, paged(r.Pagination),
		func(key ownedID, _ collections.NoValue) (types.Request, error) { return q.k.Lookup(ctx, key.K2()) },
		query.WithCollectionPaginationPairPrefix[sdk.AccAddress, uint64](addr))
	return &types.QueryRequestsResponse{Requests: list, Pagination: next}, err
}

func (q queryServer) RequestOfJob(ctx context.Context, r *types.QueryRequestOfJobRequest) (*types.QueryRequestOfJobResponse, error) {
	id, err := get(ctx, q.k.ofJob, r.Job, "request of job %d", r.Job)
	if err != nil {
		return nil, failed(err)
	}
	v, err := q.k.Lookup(ctx, id)
	return &types.QueryRequestOfJobResponse{Request: v}, err
}

func (q queryServer) Quote(ctx context.Context, r *types.QueryQuoteRequest) (*types.QueryQuoteResponse, error) {
	id, err := speakerID(r.Speaker)
	if err != nil {
		return nil, failed(err)
	}
	s := types.Size{Speaker: id, PromptBytes: r.PromptBytes, MaxTokens: r.MaxTokens, CallbackGas: r.CallbackGas, Policy: uint8(min(r.Policy, math.MaxUint8))}
	v, err := q.k.Quote(ctx, s)
	if err != nil {
		return nil, failed(err)
	}
	return &types.QueryQuoteResponse{Gateway: v.Offer.Gateway, Fee: v.Fee, Escrow: v.Escrow, Callback: v.Callback, Delivery: v.Delivery, Bytes: v.Bytes}, nil
}

func (q queryServer) Invariants(ctx context.Context, _ *types.QueryInvariantsRequest) (*types.QueryInvariantsResponse, error) {
	b, err := q.k.Invariants(ctx)
	if err != nil {
		return nil, err
	}
	return &types.QueryInvariantsResponse{Ok: len(b.Broken) == 0, Broken: b.Broken, Held: b.Held, Burned: b.Burned}, nil
}
