// Package cantus is ICantus: the precompiled contract by which contracts ask models, fetch
// pages of the web and read lineage. It is thin: x/requests decides, x/lineage knows, contracts/src/ICantus.sol says what
// each function does.
//
//	cantus.go    the contract: which function a call is, and who may call it how
//	write.go     request, fetch, cancel, deliver, conclude
//	callback.go  the call of a contract that asked, and the settling of its gas
//	read.go      the views
//	events.go    what is logged, and enums as contracts know them
//
// # Money
//
// Value that is sent along lies in the contract's own account when a function runs; request and
// fetch hand it to x/requests and no other function takes any. So nothing stays there, but for what
// somebody forces on it. That account, unlike those of other precompiled contracts, may be
// paid: the EVM could not send it value otherwise.
//
// # Callbacks
//
// A contract that is called back is hostile until shown otherwise. Before the call everything
// is written and paid but the call's own gas; then the contract runs with exactly the gas that
// was paid for; then its gas is settled. Two things that a contract may do would spoil the
// whole transaction, and with it the answer: make more calls of precompiled contracts than one
// transaction has, and leave accounts in a state that the ledger refuses to write (money sent
// to a module's account). The first does not touch the settling, which is not counted; against
// the second the settling writes all accounts, and where that is refused the callback alone is
// undone.
//
// Who delivers could do the same before the call. So deliver and conclude are only taken from
// ordinary accounts, by a transaction straight to this contract.
package cantus

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	storetypes "github.com/cosmos/cosmos-sdk/store/v2/types"
	sdk "github.com/cosmos/cosmos-sdk/types"
	cmn "github.com/cosmos/evm/precompiles/common"
	"github.com/ethereum/go-ethereum/accounts/abi"
	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/core/vm"

	"github.com/cantus-network/cantus/contracts"
	lineagetypes "github.com/cantus-network/cantus/ledger/x/lineage/types"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
)

// Address is where contracts find ICantus on every ledger, as the EVM's parameters have it.
const Address = "0x0000000000000000000000000000000000000c00"

// byteGas is what a byte of a call costs, beside what the stores charge: it is parsed and
// copied.
const byteGas = 10

// Requests is what the contract needs of x/requests.
type Requests interface {
	// Request takes the fee out of Ask.From.
	Request(ctx context.Context, a types.Ask) (types.Request, error)
	Quote(ctx context.Context, s types.Size) (types.Quote, error)
	Lookup(ctx context.Context, id uint64) (types.Request, error)
	Cancel(ctx context.Context, id uint64, payer sdk.AccAddress) (types.Call, error)
	// Deliver and Conclude say whether a contract is to be called; Called must follow then.
	Deliver(ctx context.Context, id uint64, evidence []byte, deliverer sdk.AccAddress) (types.Call, error)
	Conclude(ctx context.Context, id uint64) (types.Call, error)
	// Called pays the caller for the gas that was used, and the payer back the rest.
	Called(ctx context.Context, id uint64, how types.Called, caller sdk.AccAddress) error
}

// Lineage is what the contract needs of x/lineage; its query server has it.
type Lineage interface {
	Artifact(ctx context.Context, r *lineagetypes.QueryArtifactRequest) (*lineagetypes.QueryArtifactResponse, error)
}

// Precompile is the contract.
type Precompile struct {
	cmn.Precompile
	abi      abi.ABI
	receiver abi.ABI
	requests Requests
	lineage  Lineage
}

var _ vm.PrecompiledContract = (*Precompile)(nil)

// New is the contract over the modules' keepers.
func New(requests Requests, lineage Lineage, bank cmn.BankKeeper) (*Precompile, error) {
	own, err := abi.JSON(bytes.NewReader(contracts.ICantus()))
	if err != nil {
		return nil, fmt.Errorf("read the ABI of ICantus: %w", err)
	}
	receiver, err := abi.JSON(bytes.NewReader(contracts.ICantusReceiver()))
	if err != nil {
		return nil, fmt.Errorf("read the ABI of ICantusReceiver: %w", err)
	}
	return &Precompile{
		Precompile: cmn.Precompile{
			KvGasConfig:           storetypes.KVGasConfig(),
			TransientKVGasConfig:  storetypes.TransientGasConfig(),
			ContractAddress:       common.HexToAddress(Address),
			BalanceHandlerFactory: cmn.NewBalanceHandlerFactory(bank),
		},
		abi: own, receiver: receiver, requests: requests, lineage: lineage,
	}, nil
}

// Name is what traces call the contract.
func (*Precompile) Name() string { return "cantus" }

// account is the contract's own.
func (p *Precompile) account() sdk.AccAddress { return p.ContractAddress.Bytes() }

// RequiredGas is charged before Run; stores, evidence and events come on top.
func (p *Precompile) RequiredGas(input []byte) uint64 {
	base := p.Precompile.RequiredGas(nil, true)
	if len(input) >= 4 {
		if m, err := p.abi.MethodById(input[:4]); err == nil && m.IsConstant() {
			base = p.Precompile.RequiredGas(nil, false)
		}
	}
	return base + byteGas*uint64(len(input))
}

// call is one call of the contract.
type call struct {
	*Precompile
	evm      *vm.EVM
	contract *vm.Contract
	method   *abi.Method
	args     []any
}

// Run runs a function. readOnly is true for STATICCALL and all within it, and for DELEGATECALL
// and CALLCODE: under those the caller would be somebody's guess, and value would not move.
func (p *Precompile) Run(evm *vm.EVM, contract *vm.Contract, readOnly bool) ([]byte, error) {
	method, args, err := cmn.SetupABI(p.abi, contract, readOnly, func(m *abi.Method) bool { return !m.IsConstant() })
	if err != nil {
		return cmn.ReturnRevertError(evm, err)
	}
	c := &call{Precompile: p, evm: evm, contract: contract, method: method, args: args}
	if v := contract.Value(); v != nil && !v.IsZero() && !method.IsPayable() {
		return c.refuse(fmt.Errorf("%s takes no money, and %s came along", method.Name, v))
	}
	switch method.Name {
	case "request":
		return c.request()
	case "fetch":
		return c.fetch()
	case "cancel":
		return c.cancel()
	case "deliver":
		return c.deliver()
	case "conclude":
		return c.conclude()
	}
	return c.view()
}

// refuse undoes the call, with a reason.
func (c *call) refuse(err error) ([]byte, error) {
	if errors.Is(err, vm.ErrOutOfGas) {
		return nil, vm.ErrOutOfGas
	}
	return cmn.ReturnRevertError(c.evm, err)
}

// native runs an action of the ledger, at the stores' price of gas. It moves the EVM's
// balances before and after; its error is a revert already.
func (c *call) native(action func(ctx sdk.Context) error) error {
	_, err := c.RunNativeAction(c.evm, c.contract, func(ctx sdk.Context) ([]byte, error) {
		return nil, action(ctx)
	})
	return err
}

// reverted hands on the error of native, with the reason that it left.
func (c *call) reverted(err error) ([]byte, error) {
	if errors.Is(err, vm.ErrExecutionReverted) {
		return c.evm.ReturnData(), err
	}
	return nil, err
}
