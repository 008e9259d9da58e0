package cantus

import (
	"errors"
	"fmt"
	"math"
	"math/big"

	sdkmath "cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/ethereum/go-ethereum/common"

	"github.com/cantus-network/cantus/ledger/x/requests/types"
)

// params are ICantus.Params.
type params struct {
	MaxTokens   uint32
	Temperature uint32
	TopK        uint32
	TopP        uint32
	Seed        uint64
}

// errDirect refuses deliver and conclude in another contract's hands.
var errDirect = errors.New("only an ordinary account may do this, by a transaction straight to this contract")

func (c *call) request() ([]byte, error) {
	var in struct {
		Model       [32]byte
		Prompt      []byte
		Params      params
		MaxFee      *big.Int
		Callback    common.Address
		CallbackGas uint64
		Policy      uint8
	}
	if err := c.method.Inputs.Copy(&in, c.args); err != nil {
		return c.refuse(err)
	}
	return c.ask(in.MaxFee, types.Ask{
		Callback: in.Callback, CallbackGas: in.CallbackGas, Speaker: in.Model, Prompt: in.Prompt, Policy: in.Policy,
		Sampling: types.Sampling{
			MaxTokens: in.Params.MaxTokens, Temperature: in.Params.Temperature,
			TopK: in.Params.TopK, TopP: in.Params.TopP, Seed: in.Params.Seed,
		},
	})
}

// fetch is a request to a reader of pages.
func (c *call) fetch() ([]byte, error) {
	var in struct {
		URL         string `abi:"url"`
		Text        bool
		MaxFee      *big.Int
		Callback    common.Address
		CallbackGas uint64
		Policy      uint8
	}
	if err := c.method.Inputs.Copy(&in, c.args); err != nil {
		return c.refuse(err)
	}
	return c.ask(in.MaxFee, types.Ask{
		Callback: in.Callback, CallbackGas: in.CallbackGas, Speaker: readerOf(in.Text), Prompt: []byte(in.URL), Policy: in.Policy,
	})
}

// readerOf is what stands for a speaker in requests for pages.
func readerOf(text bool) [32]byte {
	if text {
		return types.Text.ID()
	}
	return types.Body.ID()
}

// ask makes a request, with the value that came along as its fee.
func (c *call) ask(maxFee *big.Int, a types.Ask) ([]byte, error) {
	if v := c.contract.Value().ToBig(); v.Cmp(maxFee) != 0 {
		return c.refuse(fmt.Errorf("the value sent, %s, is not maxFee, %s", v, maxFee))
	}
	a.From, a.Payer, a.Fee = c.account(), c.contract.Caller().Bytes(), sdkmath.NewIntFromBigInt(maxFee)
	var made types.Request
	if err := c.native(func(ctx sdk.Context) (err error) {
		made, err = c.requests.Request(ctx, a)
		return err
	}); err != nil {
		return c.reverted(err)
	}
	id := new(big.Int).SetUint64(made.Id)
	if err := c.log("Requested", []any{id, a.Speaker, c.contract.Caller()}, made.Job); err != nil {
		return c.refuse(err)
	}
	return c.method.Outputs.Pack(id)
}

func (c *call) cancel() ([]byte, error) {
	id, err := c.id()
	if err != nil {
		return c.refuse(err)
	}
	refund := new(big.Int)
	if err := c.native(func(ctx sdk.Context) error {
		before, err := c.requests.Lookup(ctx, id)
		if err != nil {
			return err
		}
		if _, err := c.requests.Cancel(ctx, id, c.contract.Caller().Bytes()); err != nil {
			return err
		}
		after, err := c.requests.Lookup(ctx, id)
		if err != nil {
			return err
		}
		refund = after.Returned.Sub(before.Returned).BigInt()
		return nil
	}); err != nil {
		return c.reverted(err)
	}
	if err := c.log("Concluded", []any{c.args[0]}, uint8(types.Status_STATUS_CANCELLED)); err != nil {
		return c.refuse(err)
	}
	return c.method.Outputs.Pack(refund)
}

func (c *call) deliver() ([]byte, error) {
	id, err := c.id()
	if err != nil {
		return c.refuse(err)
	}
	evidence, ok := c.args[1].([]byte)
	if !ok {
		return c.refuse(errors.New("evidence is not bytes"))
	}
	return c.tell("Answered", func(ctx sdk.Context) (types.Call, error) {
		return c.requests.Deliver(ctx, id, evidence, c.contract.Caller().Bytes())
	})
}

func (c *call) conclude() ([]byte, error) {
	id, err := c.id()
	if err != nil {
		return c.refuse(err)
	}
	return c.tell("Concluded", func(ctx sdk.Context) (types.Call, error) { return c.requests.Conclude(ctx, id) })
}

// tell takes a step of a request, logs it as an event, and calls whom it concerns.
func (c *call) tell(event string, step func(sdk.Context) (types.Call, error)) ([]byte, error) {
	if !c.direct() {
		return c.refuse(errDirect)
	}
	var told types.Call
	if err := c.native(func(ctx sdk.Context) (err error) {
		told, err = step(ctx)
		return err
	}); err != nil {
		return c.reverted(err)
	}
	id, status := new(big.Int).SetUint64(told.ID), statusCode(told.Status, told.Hashed)
	var err error
	if event == "Answered" {
		err = c.log(event, []any{id}, status, told.LabelCode(), told.Receipt, told.Answer)
	}
	if err == nil && told.Status != types.Status_STATUS_ANSWERED {
		err = c.log("Concluded", []any{id}, uint8(told.Status))
	}
	if err == nil && told.Due {
		err = c.callBack(told, status)
	}
	if err != nil {
		return c.refuse(err)
	}
	return c.method.Outputs.Pack()
}

// direct reports whether this is a transaction of an ordinary account straight to the
// contract. An account whose code is another's (EIP-7702) is not ordinary.
func (c *call) direct() bool {
	caller := c.contract.Caller()
	return caller == c.evm.Origin && c.evm.StateDB.GetCodeSize(caller) == 0
}

// id is the request that a call names.
func (c *call) id() (uint64, error) {
	id, ok := c.args[0].(*big.Int)
	if !ok || !id.IsUint64() || id.Uint64() > math.MaxInt64 {
		return 0, fmt.Errorf("request %v: there is no such one", c.args[0])
	}
	return id.Uint64(), nil
}
