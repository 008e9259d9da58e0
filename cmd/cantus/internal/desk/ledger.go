package desk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/big"

	"github.com/cosmos/cosmos-sdk/types/query"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"

	"github.com/cantus-network/cantus/cmd/cantus/internal/market"
	"github.com/cantus-network/cantus/contracts"
	"github.com/cantus-network/cantus/exact/speaker"
	"github.com/cantus-network/cantus/ledger/client"
	cantusprecompile "github.com/cantus-network/cantus/ledger/precompiles/cantus"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// node is the Ledger of one gateway over a client.
type node struct {
	market.View
	chain    market.Chain
	evm      *client.Contracts
	abi      abi.ABI
	contract common.Address
	requests types.QueryClient
	gateway  string
}

var _ Ledger = (*node)(nil)

// NewLedger speaks for the gateway at an address, with transactions of the named account.
func NewLedger(ctx context.Context, c *client.Client, gateway, account string) (Ledger, error) {
	evm, err := c.Contracts(ctx, account)
	if err != nil {
		return nil, err
	}
	n := &node{
		View: market.NewView(c.Conn()), chain: market.NewChain(c, account), evm: evm, gateway: gateway,
		contract: common.HexToAddress(cantusprecompile.Address), requests: types.NewQueryClient(c.Conn()),
	}
	if n.abi, err = ABI(); err != nil {
		return nil, err
	}
	return n, nil
}

// ABI is that of the precompiled contract.
func ABI() (abi.ABI, error) {
	a, err := abi.JSON(bytes.NewReader(contracts.ICantus()))
	if err != nil {
		return a, fmt.Errorf("read the ABI of ICantus: %w", err)
	}
	return a, nil
}

// listed is how many records are asked for at once.
const listed = 200

func (n *node) WaitHeight(ctx context.Context, above int64) (int64, error) {
	return n.chain.WaitHeight(ctx, above)
}

func (n *node) Open(ctx context.Context) (list []types.Request, err error) {
	for key := []byte(nil); ; {
		r, err := n.requests.Requests(ctx, &types.QueryRequestsRequest{Gateway: n.gateway, Pagination: &query.PageRequest{Key: key, Limit: listed}})
		if err != nil {
			return nil, fmt.Errorf("list the requests for gateway %s: %w", n.gateway, err)
		}
		list = append(list, r.Requests...)
		if r.Pagination == nil || len(r.Pagination.NextKey) == 0 {
			return list, nil
		}
		key = r.Pagination.NextKey
	}
}

func (n *node) Speaker(ctx context.Context, id speaker.ID) (*speaker.Speaker, error) {
	r, err := n.requests.Speaker(ctx, &types.QuerySpeakerRequest{Id: id.String()[2:]})
	if err != nil {
		return nil, absent(err)
	}
	if speaker.IDOf(r.Speaker) != id {
		return nil, fmt.Errorf("%w: the ledger has another one as %s", speaker.ErrSpeaker, id)
	}
	return speaker.Decode(r.Speaker)
}

func (n *node) Job(ctx context.Context, id work.JobID) (worktypes.Job, error) {
	j, err := n.JobRecord(ctx, id)
	return j, absent(err)
}

func (n *node) Epoch(ctx context.Context, job work.JobID, number uint64) (worktypes.Epoch, error) {
	r, err := n.Work.Epoch(ctx, &worktypes.QueryEpochRequest{Job: uint64(job), Number: number})
	if err != nil {
		return worktypes.Epoch{}, absent(err)
	}
	return r.Epoch, nil
}

func (n *node) Operator(ctx context.Context, worker work.PublicKey) (string, error) {
	r, err := n.WorkerRecord(ctx, worker)
	return r.Operator, absent(err)
}

func (n *node) Forfeited(ctx context.Context, job work.JobID, worker work.PublicKey) (bool, error) {
	c, err := n.Claimed(ctx, job, worker)
	return c.Forfeited, err
}

func (n *node) Deliver(ctx context.Context, request uint64, evidence []byte) error {
	return n.call(ctx, "deliver", new(big.Int).SetUint64(request), evidence)
}

func (n *node) Conclude(ctx context.Context, request uint64) error {
	return n.call(ctx, "conclude", new(big.Int).SetUint64(request))
}

func (n *node) call(ctx context.Context, method string, args ...any) error {
	data, err := n.abi.Pack(method, args...)
	if err != nil {
		return fmt.Errorf("encode a call of %s: %w", method, err)
	}
	_, err = n.evm.Call(ctx, n.contract, data)
	if errors.Is(err, client.ErrReverted) {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}

func absent(err error) error {
	if market.NotFound(err) {
		return fmt.Errorf("%w: %w", ErrAbsent, err)
	}
	return err
}
