package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"

	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	ethtypes "github.com/ethereum/go-ethereum/core/types"

	sdkmath "cosmossdk.io/math"
	txtypes "github.com/cosmos/cosmos-sdk/types/tx"
	"github.com/cosmos/cosmos-sdk/types/tx/signing"
	evmtypes "github.com/cosmos/evm/x/vm/types"

	"github.com/cantus-network/cantus/ledger/chain"
)

// ErrReverted is wrapped when a contract refuses a call. Nothing happened, but perhaps the
// fee is gone.
var ErrReverted = errors.New("the contract refused it")

// estimateCap is the most gas that a call may be found to need.
const estimateCap = 25_000_000

// Contracts is the EVM of a ledger, seen by one key of the client's ring.
type Contracts struct {
	c       *Client
	from    string
	evm     evmtypes.QueryClient
	chainID *big.Int
}

// Contracts asks the ledger for its EVM's chain ID.
func (c *Client) Contracts(ctx context.Context, from string) (*Contracts, error) {
	if _, err := c.Address(from); err != nil {
		return nil, err
	}
	e := &Contracts{c: c, from: from, evm: evmtypes.NewQueryClient(c.conn)}
	r, err := e.evm.Config(ctx, &evmtypes.QueryConfigRequest{})
	if err != nil {
		return nil, fmt.Errorf("ask for the ledger's EVM: %w", plain(err))
	}
	if r.Config == nil || r.Config.ChainId == 0 {
		return nil, errors.New("ask for the ledger's EVM: it does not say its chain ID")
	}
	e.chainID = new(big.Int).SetUint64(r.Config.ChainId)
	return e, nil
}

// contractCall is one call of a contract, and the gas that it may take.
type contractCall struct {
	*Contracts
	to   common.Address
	data []byte
	gas  uint64
}

// Call sends a transaction to a contract and waits until it is in a block. Calls that several
// callers make with one key may be in the same block, in any order. ErrReverted means that the
// contract said no: where that shows before anything is sent, it costs nothing.
func (e *Contracts) Call(ctx context.Context, to common.Address, data []byte) (TxResult, error) {
	a, err := e.c.account(e.from)
	if err != nil {
		return TxResult{}, err
	}
	gas, err := e.estimate(ctx, common.BytesToAddress(a.addr), to, data)
	if err != nil {
		return TxResult{}, fmt.Errorf("call the contract %s as %s: %w", to, e.from, err)
	}
	gas += gas*gasMargin/100 + gasExtra
	return e.c.run(a, &errand{ctx: ctx, call: &contractCall{e, to, data, gas}})
}

// pass gives the call to the ledger, under the account's next number, at a price of gas.
func (c *contractCall) pass(ctx context.Context, a *account, price sdkmath.LegacyDec) (TxResult, error) {
	if !a.known {
		if err := c.c.refresh(ctx, a); err != nil {
			return TxResult{}, err
		}
	}
	fee := price.Ceil().TruncateInt()
	raw, err := c.sign(a, &ethtypes.DynamicFeeTx{
		ChainID: c.chainID, Nonce: a.sequence, GasTipCap: new(big.Int), GasFeeCap: fee.BigInt(), Gas: c.gas, To: &c.to, Value: new(big.Int), Data: c.data,
	})
	if err != nil {
		return TxResult{}, err
	}
	resp, err := c.c.tx.BroadcastTx(ctx, &txtypes.BroadcastTxRequest{TxBytes: raw, Mode: txtypes.BroadcastMode_BROADCAST_MODE_SYNC})
	if err != nil {
		return TxResult{}, fmt.Errorf("pass the transaction on: %w", plain(err))
	}
	if r := resp.TxResponse; r.Code != 0 {
		return TxResult{}, newError(r.Codespace, r.Code, r.RawLog, "")
	}
	a.sequence++
	return TxResult{Hash: resp.TxResponse.TxHash, Fee: fee.Mul(sdkmath.NewIntFromUint64(c.gas))}, nil
}

// outcome waits for the block of a call that was passed on.
func (c *contractCall) outcome(ctx context.Context, passed TxResult) (TxResult, error) {
	res, err := c.c.confirm(ctx, passed.Hash)
	res.Fee = passed.Fee
	if err != nil {
		return res, err
	}
	var out evmtypes.MsgEthereumTxResponse
	if err := res.Response(0, &out); err != nil {
		return res, err
	}
	if out.VmError != "" {
		return res, reverted(out.VmError, out.Ret)
	}
	return res, nil
}

// estimate is how much gas a call takes on the latest state.
func (e *Contracts) estimate(ctx context.Context, from, to common.Address, data []byte) (uint64, error) {
	args, err := json.Marshal(map[string]any{"from": from, "to": to, "input": hexutil.Bytes(data)})
	if err != nil {
		return 0, fmt.Errorf("try the call: %w", err)
	}
	r, err := e.evm.EstimateGas(ctx, &evmtypes.EthCallRequest{Args: args, GasCap: estimateCap, ChainId: e.chainID.Int64()})
	switch {
	case err != nil:
		return 0, fmt.Errorf("try the call: %w", plain(err))
	case r.VmError != "":
		return 0, reverted(r.VmError, r.Ret)
	}
	return r.Gas, nil
}

func (e *Contracts) sign(a *account, tx *ethtypes.DynamicFeeTx) ([]byte, error) {
	signer := ethtypes.LatestSignerForChainID(e.chainID)
	unsigned := ethtypes.NewTx(tx)
	hash := signer.Hash(unsigned)
	// A message of 32 bytes is signed as the hash that it is.
	sig, _, err := e.c.ring.SignByAddress(a.addr, hash[:], signing.SignMode_SIGN_MODE_TEXTUAL)
	if err != nil {
		return nil, fmt.Errorf("sign the transaction: %w", err)
	}
	signed, err := unsigned.WithSignature(signer, sig)
	if err != nil {
		return nil, fmt.Errorf("sign the transaction: %w", err)
	}
	var msg evmtypes.MsgEthereumTx
	if err := msg.FromSignedEthereumTx(signed, signer); err != nil {
		return nil, fmt.Errorf("sign the transaction: %w", err)
	}
	built, err := msg.BuildTxWithEvmParams(e.c.enc.Tx.NewTxBuilder(), evmtypes.Params{
		EvmDenom: chain.BaseDenom, ExtendedDenomOptions: &evmtypes.ExtendedDenomOptions{ExtendedDenom: chain.BaseDenom},
	})
	if err != nil {
		return nil, fmt.Errorf("build the transaction: %w", err)
	}
	raw, err := e.c.enc.Tx.TxEncoder()(built)
	if err != nil {
		return nil, fmt.Errorf("encode the transaction: %w", err)
	}
	return raw, nil
}

// reverted is an error of the EVM, with the contract's own words where it gave some.
func reverted(vm string, ret []byte) error {
	if why, err := abi.UnpackRevert(ret); err == nil {
		return fmt.Errorf("%w: %s", ErrReverted, why)
	}
	return fmt.Errorf("%w: %s", ErrReverted, vm)
}
