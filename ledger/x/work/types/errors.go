package types

import errorsmod "cosmossdk.io/errors"

// The module's errors. Clients tell them apart by codespace and code, which never change.
var (
	ErrInvalid      = errorsmod.Register(ModuleName, 2, "invalid")
	ErrNotFound     = errorsmod.Register(ModuleName, 3, "not found")
	ErrExists       = errorsmod.Register(ModuleName, 4, "already there")
	ErrUnauthorized = errorsmod.Register(ModuleName, 5, "not allowed")
	ErrBond         = errorsmod.Register(ModuleName, 6, "bond")
	ErrState        = errorsmod.Register(ModuleName, 7, "not possible now")
	ErrEscrow       = errorsmod.Register(ModuleName, 8, "escrow does not cover it")
	ErrEpoch        = errorsmod.Register(ModuleName, 9, "epoch out of order")
	ErrProof        = errorsmod.Register(ModuleName, 10, "proof does not verify")
	ErrReceipt      = errorsmod.Register(ModuleName, 11, "receipt refused")
	ErrVerdict      = errorsmod.Register(ModuleName, 12, "verdict refused")
	ErrNothing      = errorsmod.Register(ModuleName, 13, "nothing to pay")
	ErrVoucher      = errorsmod.Register(ModuleName, 14, "voucher refused")
	ErrDeadline     = errorsmod.Register(ModuleName, 15, "too late")
	ErrFee          = errorsmod.Register(ModuleName, 16, "fees")
	ErrRoyalties    = errorsmod.Register(ModuleName, 17, "royalties")
	ErrDispute      = errorsmod.Register(ModuleName, 18, "move refused")
)
