package types

import (
	"context"

	sdk "github.com/cosmos/cosmos-sdk/types"
)

// JobKeeper is what the register needs of x/work.
type JobKeeper interface {
	// SettledJob returns who bought a job, the root over its settled receipts, and the
	// trust label that it earned. It fails while the job may still settle more.
	SettledJob(ctx context.Context, id uint64) (buyer string, settledRoot []byte, label string, err error)
}

// BankKeeper is what the register needs of x/bank.
type BankKeeper interface {
	// BlockedAddr reports whether the bank refuses to pay an account.
	BlockedAddr(addr sdk.AccAddress) bool
}

// Share is what one owner earns of a job that reads artifacts. It has no name of its own,
// so that x/work can declare the same without either module importing the other.
type Share = struct {
	Artifact string // the one that earns it; of several, the one registered last
	Owner    string // an account's address
	Bps      uint32 // of the job's price
}
