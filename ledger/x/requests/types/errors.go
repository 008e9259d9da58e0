package types

import errorsmod "cosmossdk.io/errors"

// The module's errors. Clients tell them apart by codespace and code, which never change.
var (
	ErrInvalid      = errorsmod.Register(ModuleName, 2, "invalid")
	ErrNotFound     = errorsmod.Register(ModuleName, 3, "not found")
	ErrUnauthorized = errorsmod.Register(ModuleName, 4, "not allowed")
	ErrState        = errorsmod.Register(ModuleName, 5, "not possible now")
	ErrFee          = errorsmod.Register(ModuleName, 6, "fee")
	ErrOffer        = errorsmod.Register(ModuleName, 7, "no offer for it")
	ErrEvidence     = errorsmod.Register(ModuleName, 8, "evidence refused")
	ErrEarly        = errorsmod.Register(ModuleName, 9, "too early")
	ErrLimit        = errorsmod.Register(ModuleName, 10, "too many")
)
