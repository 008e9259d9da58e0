package keeper

import "context"

// ForgetAudits makes the market one in which audits are not listed by auditor, as they were
// not in version 1.
func (k *Keeper) ForgetAudits(ctx context.Context) error { return k.audits.Clear(ctx, nil) }
