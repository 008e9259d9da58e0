package keeper

import (
	"fmt"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cantus-network/cantus/ledger/x/work/types"
)

// Migrator takes the module's state from one consensus version to the next.
type Migrator struct{ k *Keeper }

// NewMigrator migrates k's state.
func NewMigrator(k *Keeper) Migrator { return Migrator{k} }

// Migrate1to2 brings plants, fines for outvoted auditors and probation: it sets their
// parameters, and lists the audits that are under way by auditor. Records need no change:
// what they lack is zero, which means no cells, no commitment to plants and nobody on
// probation in the epochs that are there.
func (m Migrator) Migrate1to2(ctx sdk.Context) error {
	p, err := m.k.Params(ctx)
	if err != nil {
		return err
	}
	d := types.DefaultParams()
	if p.AllowLoopback {
		d = types.DevnetParams()
	}
	p.PassedPlantSlashBps, p.OutvotedAuditorSlashBps = d.PassedPlantSlashBps, d.OutvotedAuditorSlashBps
	p.ProbationAudits, p.ProbationAuditBps = d.ProbationAudits, d.ProbationAuditBps
	if err := p.Validate(); err != nil {
		return fmt.Errorf("migrate the work market's parameters: %w", err)
	}
	if err := m.k.params.Set(ctx, p); err != nil {
		return err
	}
	if err := m.k.relistAudits(ctx); err != nil {
		return fmt.Errorf("list the audits that are under way: %w", err)
	}
	return nil
}
