package keeper

import (
	"context"
	"fmt"

	"github.com/cantus-network/cantus/ledger/x/lineage/types"
)

// InitGenesis imports a register.
func (k *Keeper) InitGenesis(ctx context.Context, g *types.GenesisState) error {
	if err := g.Validate(); err != nil {
		return err
	}
	if err := k.params.Set(ctx, g.Params); err != nil {
		return fmt.Errorf("set the lineage parameters: %w", err)
	}
	for _, a := range g.Artifacts {
		// No matter who owned it: blocked accounts may have changed since.
		owner, text, err := k.account(a.Owner)
		if err != nil {
			return fmt.Errorf("import artifact %s: %w", a.Cid, err)
		}
		if text != a.Owner {
			return types.ErrInvalid.Wrapf("import artifact %s: its owner is written %s, want %s", a.Cid, a.Owner, text)
		}
		parents, err := k.parents(ctx, a.Parents)
		if err != nil {
			return fmt.Errorf("import artifact %s: %w", a.Cid, err)
		}
		if err := k.insert(ctx, a, owner, parents); err != nil {
			return fmt.Errorf("import artifact %s: %w", a.Cid, err)
		}
	}
	return k.next.Set(ctx, uint64(len(g.Artifacts)))
}

// ExportGenesis is the whole register.
func (k *Keeper) ExportGenesis(ctx context.Context) (*types.GenesisState, error) {
	p, err := k.Params(ctx)
	if err != nil {
		return nil, err
	}
	g := &types.GenesisState{Params: p}
	err = k.artifacts.Walk(ctx, nil, func(_ uint64, a types.Artifact) (bool, error) {
		g.Artifacts = append(g.Artifacts, a)
		return false, nil
	})
	if err != nil {
		return nil, fmt.Errorf("export the artifacts: %w", err)
	}
	return g, nil
}
