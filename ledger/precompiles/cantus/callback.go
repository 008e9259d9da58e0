package cantus

import (
	"errors"
	"fmt"
	"math/big"

	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/evm/x/vm/statedb"
	"github.com/ethereum/go-ethereum/core/tracing"
	"github.com/holiman/uint256"

	"github.com/cantus-network/cantus/ledger/x/requests/types"
)

// settleGas is what the settling of a callback costs who has it made: it runs unmetered, so
// that no callback can leave too little for it.
const settleGas = 80_000

// callBack calls the contract that a step concerns with exactly the gas that was paid for, and
// settles it. Whatever the contract does, only its own changes are at stake.
func (c *call) callBack(told types.Call, status uint8) error {
	input, err := c.receiver.Pack("onCantusResult", new(big.Int).SetUint64(told.ID), status, told.Answer, told.LabelCode(), told.Receipt)
	if err != nil {
		return fmt.Errorf("pack the call of request %d: %w", told.ID, err)
	}
	if need := told.Gas + settleGas; !c.contract.UseGas(need, nil, tracing.GasChangeCallPrecompiledContract) {
		return fmt.Errorf("%d of gas left: the callback of request %d needs %d: send at least so much more", c.contract.Gas, told.ID, need)
	}
	before := c.evm.StateDB.Snapshot()
	_, left, callErr := c.evm.Call(c.ContractAddress, told.To, input, told.Gas, new(uint256.Int))
	c.contract.RefundGas(left, nil, tracing.GasChangeCallLeftOverRefunded)
	how := types.Called{GasUsed: told.Gas - left, OK: callErr == nil}
	if err := c.settle(told.ID, how); err != nil {
		// What the contract left behind can't be written. It is undone, and the call failed.
		c.evm.StateDB.RevertToSnapshot(before)
		how.OK = false
		if err := c.settle(told.ID, how); err != nil {
			return fmt.Errorf("settle the callback of request %d: %w", told.ID, err)
		}
	}
	// The reason of the contract's own revert is not this call's.
	c.evm.SetReturnData(nil)
	return c.log("Called", []any{new(big.Int).SetUint64(told.ID)}, how.OK, how.GasUsed)
}

// settle has x/requests pay for a callback's gas. It does what RunNativeAction does, with two
// differences: it is not counted among the transaction's calls of precompiled contracts, and
// takes no gas. And when all is done it writes the accounts once more, as the transaction's
// end will: so an account that can't be written is known now.
func (c *call) settle(id uint64, how types.Called) error {
	db, ok := c.evm.StateDB.(*statedb.StateDB)
	if !ok {
		return errors.New("not run in the ledger's EVM")
	}
	ctx, err := db.GetCacheContext()
	if err != nil {
		return err
	}
	// The journal has its entry whether or not there is a call left to count, and the number
	// of calls is all that can be wrong.
	_ = db.AddPrecompileFn(db.MultiStoreSnapshot())
	if err := db.FlushToCacheCtx(); err != nil {
		return err
	}
	ctx = ctx.WithGasMeter(storetypes.NewInfiniteGasMeter()).
		WithKVGasConfig(storetypes.GasConfig{}).WithTransientKVGasConfig(storetypes.GasConfig{})
	balances := c.BalanceHandlerFactory.NewBalanceHandler()
	balances.BeforeBalanceChange(ctx)
	if err := c.requests.Called(ctx, id, how, sdk.AccAddress(c.contract.Caller().Bytes())); err != nil {
		return err
	}
	if err := balances.AfterBalanceChange(ctx, db); err != nil {
		return err
	}
	return db.FlushToCacheCtx()
}
