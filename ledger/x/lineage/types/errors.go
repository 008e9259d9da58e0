package types

import errorsmod "cosmossdk.io/errors"

// The module's errors. Clients tell them apart by codespace and code, which never change.
var (
	ErrInvalid      = errorsmod.Register(ModuleName, 2, "invalid")
	ErrNotFound     = errorsmod.Register(ModuleName, 3, "not registered")
	ErrExists       = errorsmod.Register(ModuleName, 4, "already registered")
	ErrUnauthorized = errorsmod.Register(ModuleName, 5, "not allowed")
	ErrRevoked      = errorsmod.Register(ModuleName, 6, "revoked")
	ErrJob          = errorsmod.Register(ModuleName, 7, "job")
	ErrRoyalties    = errorsmod.Register(ModuleName, 8, "royalties")
)
