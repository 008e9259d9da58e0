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
// probation in the epochs that are there. The last migration checks the parameters.
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
	if err := m.k.params.Set(ctx, p); err != nil {
		return err
	}
	if err := m.k.relistAudits(ctx); err != nil {
		return fmt.Errorf("list the audits that are under way: %w", err)
	}
	return nil
}

// Migrate2to3 brings disputes and measured kinds: it sets their parameters. Epochs that are
// there were neither when they were committed and settle by their auditors' votes.
func (m Migrator) Migrate2to3(ctx sdk.Context) error {
	p, err := m.k.Params(ctx)
	if err != nil {
		return err
	}
	d := types.DefaultParams()
	if p.AllowLoopback {
		d = types.DevnetParams()
	}
	p.RefereedKinds = d.RefereedKinds
	p.DisputeOpenBlocks, p.DisputeMoveBlocks, p.DisputeDeposit = d.DisputeOpenBlocks, d.DisputeMoveBlocks, d.DisputeDeposit
	p.DisputeCompensationBps, p.DisputeRewardBps, p.MaxOpeningBytes = d.DisputeCompensationBps, d.DisputeRewardBps, d.MaxOpeningBytes
	p.MeasuredKinds, p.MeasuredThreshold, p.MeasuredClip = d.MeasuredKinds, d.MeasuredThreshold, d.MeasuredClip
	p.UnbondingBlocks = max(p.UnbondingBlocks, p.AuditBlocks())
	if err := p.Validate(); err != nil {
		return fmt.Errorf("migrate the work market's parameters: %w", err)
	}
	if err := m.k.checkReferees(p); err != nil {
		return err
	}
	return m.k.params.Set(ctx, p)
}
