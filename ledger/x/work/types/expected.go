package types

import (
	"context"

	"cosmossdk.io/core/address"
	sdk "github.com/cosmos/cosmos-sdk/types"
)

// AccountKeeper is what the module needs of x/auth.
type AccountKeeper interface {
	AddressCodec() address.Codec
	GetModuleAddress(name string) sdk.AccAddress
	GetModuleAccount(ctx context.Context, name string) sdk.ModuleAccountI
}

// BankKeeper is what the module needs of x/bank.
type BankKeeper interface {
	BlockedAddr(addr sdk.AccAddress) bool
	GetBalance(ctx context.Context, addr sdk.AccAddress, denom string) sdk.Coin
	SendCoinsFromAccountToModule(ctx context.Context, sender sdk.AccAddress, module string, amount sdk.Coins) error
	SendCoinsFromModuleToAccount(ctx context.Context, module string, recipient sdk.AccAddress, amount sdk.Coins) error
	BurnCoins(ctx context.Context, module string, amount sdk.Coins) error
}

// RoyaltyShare is what one artifact's owner earns of a job that reads it. The struct has
// no name of its own, so that the register of artifacts can declare the same without
// either module importing the other.
type RoyaltyShare = struct {
	Artifact string
	Owner    string // an account's address
	Bps      uint32 // of the job's price
}

// Lineage is what the module needs of the register of artifacts.
type Lineage interface {
	// Royalties returns the shares of the owners of the artifacts that a job uses, and
	// of what those were made from, in an order that is the same on every node. It
	// fails for an artifact that is not registered or was revoked.
	Royalties(ctx context.Context, uses []string) ([]RoyaltyShare, error)
}
