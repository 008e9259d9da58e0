// Package market ties the network's own vocabulary to the ledger: it reads the market's
// records over gRPC as plain work types and sends what a gateway has to say. It is the
// adapter between the scheduler's small interface and package ledger, which do not know
// each other.
//
//	view.go     View: what anybody may read
//	ledger.go   Ledger: View, and the transactions of one gateway
//	convert.go  the ledger's records as work types
//	enroll.go   gateways and workers, and their bonds
//	grant.go    what an operator lets its workers' accounts do
package market

import (
	"context"
	"fmt"

	"github.com/cosmos/cosmos-sdk/types/query"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	lineagetypes "github.com/cantus-network/cantus/ledger/x/lineage/types"
	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// View reads the market. It is safe for concurrent use.
type View struct {
	Work    types.QueryClient
	Lineage lineagetypes.QueryClient
}

// NewView reads over conn.
func NewView(conn grpc.ClientConnInterface) View {
	return View{Work: types.NewQueryClient(conn), Lineage: lineagetypes.NewQueryClient(conn)}
}

// pageSize is how many records are asked for at once.
const pageSize = 500

// all pages through a list.
func all[T any](ctx context.Context, list func(*query.PageRequest) ([]T, *query.PageResponse, error)) ([]T, error) {
	var out []T
	var key []byte
	for {
		items, page, err := list(&query.PageRequest{Key: key, Limit: pageSize})
		if err != nil {
			return nil, err
		}
		out = append(out, items...)
		if page == nil || len(page.NextKey) == 0 {
			return out, ctx.Err()
		}
		key = page.NextKey
	}
}

// NotFound reports whether the ledger answered that there is no such record.
func NotFound(err error) bool { return status.Code(err) == codes.NotFound }

// Params are the market's rules.
func (v View) Params(ctx context.Context) (types.Params, error) {
	r, err := v.Work.Params(ctx, &types.QueryParamsRequest{})
	if err != nil {
		return types.Params{}, fmt.Errorf("read the market's parameters: %w", err)
	}
	return r.Params, nil
}

// JobRecord is a job as the ledger writes it.
func (v View) JobRecord(ctx context.Context, id work.JobID) (types.Job, error) {
	r, err := v.Work.Job(ctx, &types.QueryJobRequest{Id: uint64(id)})
	if NotFound(err) {
		return types.Job{}, fmt.Errorf("there is no job %d: `cantus job list` shows those that there are: %w", id, err)
	}
	if err != nil {
		return types.Job{}, fmt.Errorf("read job %d: %w", id, err)
	}
	return r.Job, nil
}

// Job is a job's record.
func (v View) Job(ctx context.Context, id work.JobID) (work.Job, error) {
	r, err := v.JobRecord(ctx, id)
	if err != nil {
		return work.Job{}, err
	}
	return PlainJob(r)
}

// JobRecords lists jobs; buyer, gateway and live narrow the list when they are set.
func (v View) JobRecords(ctx context.Context, buyer, gateway string, live bool) ([]types.Job, error) {
	return v.jobs(ctx, types.QueryJobsRequest{Buyer: buyer, Gateway: gateway, Live: live})
}

func (v View) jobs(ctx context.Context, q types.QueryJobsRequest) ([]types.Job, error) {
	jobs, err := all(ctx, func(p *query.PageRequest) ([]types.Job, *query.PageResponse, error) {
		q.Pagination = p
		r, err := v.Work.Jobs(ctx, &q)
		if err != nil {
			return nil, nil, err
		}
		return r.Jobs, r.Pagination, nil
	})
	if err != nil {
		return nil, fmt.Errorf("list jobs: %w", err)
	}
	return jobs, nil
}

// Epoch is one epoch's record.
func (v View) Epoch(ctx context.Context, job work.JobID, number uint64) (work.Epoch, error) {
	r, err := v.Work.Epoch(ctx, &types.QueryEpochRequest{Job: uint64(job), Number: number})
	if err != nil {
		return work.Epoch{}, fmt.Errorf("read epoch %d of job %d: %w", number, job, err)
	}
	return PlainEpoch(r.Epoch)
}

// EpochRecords are all epochs of a job as the ledger writes them, in order.
func (v View) EpochRecords(ctx context.Context, job work.JobID) ([]types.Epoch, error) {
	records, err := all(ctx, func(p *query.PageRequest) ([]types.Epoch, *query.PageResponse, error) {
		r, err := v.Work.Epochs(ctx, &types.QueryEpochsRequest{Job: uint64(job), Pagination: p})
		if err != nil {
			return nil, nil, err
		}
		return r.Epochs, r.Pagination, nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the epochs of job %d: %w", job, err)
	}
	return records, nil
}

// Epochs are all epochs of a job, in order.
func (v View) Epochs(ctx context.Context, job work.JobID) ([]work.Epoch, error) {
	records, err := v.EpochRecords(ctx, job)
	if err != nil {
		return nil, err
	}
	out := make([]work.Epoch, 0, len(records))
	for _, r := range records {
		e, err := PlainEpoch(r)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// Claimed is how many units of a job a worker's operator was paid for.
func (v View) Claimed(ctx context.Context, job work.JobID, worker work.PublicKey) (types.Claimed, error) {
	r, err := v.Work.Claimed(ctx, &types.QueryClaimedRequest{Job: uint64(job), Worker: worker.String()})
	if NotFound(err) {
		return types.Claimed{Job: uint64(job), Worker: worker[:]}, nil
	}
	if err != nil {
		return types.Claimed{}, fmt.Errorf("read what worker %s claimed of job %d: %w", worker.Short(), job, err)
	}
	return r.Claimed, nil
}

// Claims are what the workers of a job were paid so far, by worker.
func (v View) Claims(ctx context.Context, job work.JobID) ([]types.Claimed, error) {
	claims, err := all(ctx, func(p *query.PageRequest) ([]types.Claimed, *query.PageResponse, error) {
		r, err := v.Work.Claims(ctx, &types.QueryClaimsRequest{Job: uint64(job), Pagination: p})
		if err != nil {
			return nil, nil, err
		}
		return r.Claims, r.Pagination, nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the claims of job %d: %w", job, err)
	}
	return claims, nil
}

// WorkerRecord is a worker as the ledger writes it.
func (v View) WorkerRecord(ctx context.Context, key work.PublicKey) (types.Worker, error) {
	r, err := v.Work.Worker(ctx, &types.QueryWorkerRequest{Key: key.String()})
	if err != nil {
		return types.Worker{}, fmt.Errorf("read worker %s: %w", key.Short(), err)
	}
	return r.Worker, nil
}

// WorkerRecords lists workers; operator and kind narrow the list when they are set.
func (v View) WorkerRecords(ctx context.Context, operator string, kind work.Name) ([]types.Worker, error) {
	ws, err := all(ctx, func(p *query.PageRequest) ([]types.Worker, *query.PageResponse, error) {
		r, err := v.Work.Workers(ctx, &types.QueryWorkersRequest{Operator: operator, Kind: string(kind), Pagination: p})
		if err != nil {
			return nil, nil, err
		}
		return r.Workers, r.Pagination, nil
	})
	if err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	return ws, nil
}

// GatewayRecord is a gateway as the ledger writes it.
func (v View) GatewayRecord(ctx context.Context, address string) (types.Gateway, error) {
	r, err := v.Work.Gateway(ctx, &types.QueryGatewayRequest{Address: address})
	if NotFound(err) {
		return types.Gateway{}, fmt.Errorf("%s is no gateway: `cantus gateway list` shows those that there are: %w", address, err)
	}
	if err != nil {
		return types.Gateway{}, fmt.Errorf("read gateway %s: %w", address, err)
	}
	return r.Gateway, nil
}

// GatewayRecords lists the gateways.
func (v View) GatewayRecords(ctx context.Context) ([]types.Gateway, error) {
	gs, err := all(ctx, func(p *query.PageRequest) ([]types.Gateway, *query.PageResponse, error) {
		r, err := v.Work.Gateways(ctx, &types.QueryGatewaysRequest{Pagination: p})
		if err != nil {
			return nil, nil, err
		}
		return r.Gateways, r.Pagination, nil
	})
	if err != nil {
		return nil, fmt.Errorf("list gateways: %w", err)
	}
	return gs, nil
}

// Books checks the market's books: what the module holds against what it owes.
func (v View) Books(ctx context.Context) (types.QueryInvariantsResponse, error) {
	r, err := v.Work.Invariants(ctx, &types.QueryInvariantsRequest{})
	if err != nil {
		return types.QueryInvariantsResponse{}, fmt.Errorf("check the books: %w", err)
	}
	return *r, nil
}
