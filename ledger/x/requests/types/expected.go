package types

import (
	"context"

	"cosmossdk.io/core/address"
	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"

	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// AccountKeeper is what the module needs of x/auth.
type AccountKeeper interface {
	AddressCodec() address.Codec
	GetModuleAddress(name string) sdk.AccAddress
	GetAccount(ctx context.Context, addr sdk.AccAddress) sdk.AccountI
	GetModuleAccount(ctx context.Context, name string) sdk.ModuleAccountI
	SetModuleAccount(ctx context.Context, account sdk.ModuleAccountI)
}

// BankKeeper is what the module needs of x/bank.
type BankKeeper interface {
	BlockedAddr(addr sdk.AccAddress) bool
	GetBalance(ctx context.Context, addr sdk.AccAddress, denom string) sdk.Coin
	SendCoinsFromAccountToModule(ctx context.Context, sender sdk.AccAddress, module string, amount sdk.Coins) error
	SendCoinsFromModuleToAccount(ctx context.Context, module string, recipient sdk.AccAddress, amount sdk.Coins) error
	BurnCoins(ctx context.Context, module string, amount sdk.Coins) error
}

// Market is what the module needs of the work market: it opens a job for every request, and
// reads what came of it.
type Market interface {
	OpenJob(ctx context.Context, msg *worktypes.MsgOpenJob) (uint64, error)
	CloseJob(ctx context.Context, buyer string, job uint64) error
	// CheckJob refuses a job that OpenJob would refuse whatever its buyer had.
	CheckJob(ctx context.Context, msg *worktypes.MsgOpenJob) error
	// OpenJobs is how many jobs of a gateway are not over.
	OpenJobs(ctx context.Context, gateway string) (uint64, error)
	Job(ctx context.Context, id uint64) (worktypes.Job, error)
	Epoch(ctx context.Context, job, number uint64) (worktypes.Epoch, error)
	Worker(ctx context.Context, key []byte) (worktypes.Worker, error)
	// Receipt checks that a receipt is one of an epoch's and signed by the worker that it
	// names.
	Receipt(ctx context.Context, e worktypes.Epoch, encoded []byte, proof worktypes.Proof) (work.Receipt, error)
	// Forfeited reports whether a worker was proved to have cheated in a job.
	Forfeited(ctx context.Context, job uint64, worker []byte) (bool, error)
}

// FeeMarket says what gas costs.
type FeeMarket interface {
	GetBaseFee(ctx sdk.Context) math.LegacyDec
}
