package keeper

import (
	"context"

	"github.com/cantus-network/cantus/ledger/x/work/types"
)

// SetCells replaces the list of a gateway's cells. A cell that stays may move to another
// URL or account; one whose jobs are not over can't go.
func (m msgServer) SetCells(ctx context.Context, msg *types.MsgSetCells) (*types.MsgSetCellsResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	addr, text, err := m.account(msg.Address)
	if err != nil {
		return nil, err
	}
	g, err := m.gateway(ctx, addr)
	if err != nil {
		return nil, err
	}
	if g.Status != types.Status_STATUS_ACTIVE && g.Status != types.Status_STATUS_PAUSED {
		return nil, types.ErrState.Wrapf("gateway %s is %s", text, g.Status)
	}
	open := make(map[string]uint64, len(g.Cells))
	for _, c := range g.Cells {
		open[c.Name] = c.OpenJobs
	}
	cells := make([]types.Cell, len(msg.Cells))
	for i, c := range msg.Cells {
		if _, c.Address, err = m.payee(c.Address); err != nil {
			return nil, err
		}
		c.OpenJobs = open[c.Name]
		delete(open, c.Name)
		cells[i] = c
	}
	for _, c := range g.Cells {
		if n := open[c.Name]; n > 0 {
			return nil, types.ErrState.Wrapf("cell %s has %d jobs that are not closed: finish them before you leave it out", c.Name, n)
		}
	}
	g.Cells = cells
	emit(ctx, types.EventCells, types.AttrGateway, text)
	return &types.MsgSetCellsResponse{}, m.setGateway(ctx, g)
}

// joinCell counts a new job in its gateway's cell. A gateway that has cells does no job
// outside of them.
func joinCell(g *types.Gateway, name string) error {
	c := g.Cell(name)
	switch {
	case c != nil:
		c.OpenJobs++
	case name != "":
		return types.ErrNotFound.Wrapf("gateway %s has no cell %s", g.Address, name)
	case len(g.Cells) > 0:
		return types.ErrInvalid.Wrapf("gateway %s has cells: name one of them, such as %s", g.Address, g.Cells[0].Name)
	}
	return nil
}

// servedJob returns a job whose gateway the sender is, or may act for: the account of the
// job's cell.
func (k *Keeper) servedJob(ctx context.Context, sender string, id uint64) (types.Job, error) {
	_, from, err := k.account(sender)
	if err != nil {
		return types.Job{}, err
	}
	j, err := k.job(ctx, id)
	if err != nil || j.Gateway == from {
		return j, err
	}
	if j.Cell != "" {
		g, err := k.gatewayOfJob(ctx, j)
		if err != nil {
			return j, err
		}
		if c := g.Cell(j.Cell); c != nil && c.Address == from {
			return j, nil
		}
	}
	return j, types.ErrUnauthorized.Wrapf("job %d is gateway %s's", id, j.Gateway)
}
