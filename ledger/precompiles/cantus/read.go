package cantus

import (
	"errors"
	"fmt"
	"math/big"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/ethereum/go-ethereum/common"

	lineagetypes "github.com/cantus-network/cantus/ledger/x/lineage/types"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
	"github.com/cantus-network/cantus/work"
)

// request is ICantus.Request.
type request struct {
	Status           uint8
	Payer            common.Address
	Gateway          common.Address
	Callback         common.Address
	CallbackGas      uint64
	CallbackGasPrice *big.Int
	Policy           uint8
	Model            [32]byte
	Job              uint64
	Height           uint64
	Prompt           []byte
	PromptDigest     [32]byte
	Params           params
}

// view runs a function that changes nothing.
func (c *call) view() ([]byte, error) {
	var out []any
	if err := c.native(func(ctx sdk.Context) (err error) {
		switch c.method.Name {
		case "quote":
			out, err = c.quote(ctx)
		case "quoteFetch":
			out, err = c.quoteFetch(ctx)
		case "result":
			out, err = c.result(ctx)
		case "requestOf":
			out, err = c.requestOf(ctx)
		case "origin", "label", "isTainted":
			out, err = c.artifact(ctx)
		default:
			err = fmt.Errorf("no function %s", c.method.Name)
		}
		return err
	}); err != nil {
		return c.reverted(err)
	}
	return c.method.Outputs.Pack(out...)
}

func (c *call) quote(ctx sdk.Context) ([]any, error) {
	var in struct {
		Model       [32]byte
		PromptBytes uint32
		MaxTokens   uint32
		CallbackGas uint64
		Policy      uint8
	}
	if err := c.method.Inputs.Copy(&in, c.args); err != nil {
		return nil, err
	}
	return c.fee(ctx, types.Size{
		Speaker: in.Model, PromptBytes: in.PromptBytes, MaxTokens: in.MaxTokens, CallbackGas: in.CallbackGas, Policy: in.Policy,
	})
}

func (c *call) quoteFetch(ctx sdk.Context) ([]any, error) {
	var in struct {
		Text        bool
		URLBytes    uint32 `abi:"urlBytes"`
		CallbackGas uint64
		Policy      uint8
	}
	if err := c.method.Inputs.Copy(&in, c.args); err != nil {
		return nil, err
	}
	return c.fee(ctx, types.Size{Speaker: readerOf(in.Text), PromptBytes: in.URLBytes, CallbackGas: in.CallbackGas, Policy: in.Policy})
}

// fee is the least that a request of this size needs.
func (c *call) fee(ctx sdk.Context, s types.Size) ([]any, error) {
	q, err := c.requests.Quote(ctx, s)
	if err != nil {
		return nil, err
	}
	return []any{q.Fee.BigInt()}, nil
}

// lookup is the request that a call names; none where there is no such one.
func (c *call) lookup(ctx sdk.Context) (types.Request, bool, error) {
	id, err := c.id()
	if err != nil {
		return types.Request{}, false, nil
	}
	r, err := c.requests.Lookup(ctx, id)
	if errors.Is(err, types.ErrNotFound) {
		return r, false, nil
	}
	return r, err == nil, err
}

func (c *call) result(ctx sdk.Context) ([]any, error) {
	r, ok, err := c.lookup(ctx)
	if err != nil {
		return nil, err
	}
	if !ok {
		return []any{uint8(0), []byte{}, uint8(0), [32]byte{}}, nil
	}
	if r.Status != types.Status_STATUS_ANSWERED && r.Status != types.Status_STATUS_FINAL {
		return []any{uint8(r.Status), []byte{}, uint8(0), [32]byte{}}, nil
	}
	return []any{statusCode(r.Status, r.Digested), r.Answer, types.LabelCode(work.Label(r.Label)), digest(r.Receipt)}, nil
}

func (c *call) requestOf(ctx sdk.Context) ([]any, error) {
	r, ok, err := c.lookup(ctx)
	if err != nil {
		return nil, err
	}
	if !ok {
		return []any{request{CallbackGasPrice: new(big.Int)}}, nil
	}
	payer, err := sdk.AccAddressFromBech32(r.Payer)
	if err != nil {
		return nil, fmt.Errorf("payer of request %d: %w", r.Id, err)
	}
	gateway, err := sdk.AccAddressFromBech32(r.Gateway)
	if err != nil {
		return nil, fmt.Errorf("gateway of request %d: %w", r.Id, err)
	}
	return []any{request{
		Status: statusCode(r.Status, r.Digested),
		Payer:  common.BytesToAddress(payer), Gateway: common.BytesToAddress(gateway),
		Callback: common.BytesToAddress(r.Callback), CallbackGas: r.CallbackGas, CallbackGasPrice: r.CallbackPrice.BigInt(),
		Policy: uint8(r.Policy), Model: digest(r.Speaker), Job: r.Job, Height: uint64(r.OpenedHeight),
		Prompt: r.Prompt, PromptDigest: digest(r.PromptDigest),
		Params: params{
			MaxTokens: r.Sampling.MaxTokens, Temperature: r.Sampling.Temperature,
			TopK: r.Sampling.TopK, TopP: r.Sampling.TopP, Seed: r.Sampling.Seed,
		},
	}}, nil
}

// artifact answers the questions about lineage.
func (c *call) artifact(ctx sdk.Context) ([]any, error) {
	cid, ok := c.args[0].(string)
	if !ok {
		return nil, errors.New("the CID is not a string")
	}
	found, err := c.lineage.Artifact(ctx, &lineagetypes.QueryArtifactRequest{Cid: cid})
	if err != nil {
		return nil, err
	}
	a := found.Artifact
	switch c.method.Name {
	case "label":
		return []any{types.LabelCode(work.Label(a.Label))}, nil
	case "isTainted":
		return []any{found.Tainted || found.TaintUnknown}, nil
	}
	owner, err := sdk.AccAddressFromBech32(a.Owner)
	if err != nil {
		return nil, fmt.Errorf("owner of artifact %s: %w", a.Cid, err)
	}
	return []any{common.BytesToAddress(owner), a.Job, a.License, a.Revoked()}, nil
}

func digest(b []byte) (d [32]byte) {
	copy(d[:], b)
	return d
}
