package keeper

import (
	"context"

	"github.com/cantus-network/cantus/ledger/x/work/types"
)

// ForgetAudits makes the market one in which audits are not listed by auditor, as they were
// not in version 1.
func (k *Keeper) ForgetAudits(ctx context.Context) error { return k.audits.Clear(ctx, nil) }

// ForceParams sets parameters that are perhaps those of an earlier version.
func (k *Keeper) ForceParams(ctx context.Context, p types.Params) error { return k.params.Set(ctx, p) }
