package keeper_test

import (
	"slices"

	"github.com/cantus-network/cantus/ledger/x/work/types"
)

var chaosCells = []string{"a", "b"}

// actor is who sends for a job's gateway: mostly itself or the cell's account, seldom
// another.
func (c *chaos) actor(g *gate) string {
	switch {
	case c.chance(2):
		return bech(g.name + "/other")
	case g.cell != "" && c.chance(60):
		return bech(g.name + "/" + g.cell)
	}
	return bech(g.name)
}

func (c *chaos) setCells() {
	gw := pick(c, chaosGateways)
	var cells []types.Cell
	for _, name := range chaosCells {
		if c.chance(70) {
			cells = append(cells, cell(name, gw+"/"+name))
		}
	}
	try(c, "set cells", bind(c, c.msg.SetCells), setCells(gw, cells...))
}

func (c *chaos) showPlants() {
	for range 4 {
		if g := c.anyGate(); g != nil {
			c.show(g)
		}
	}
}

// show shows the plants of what is decided, sometimes not all, sometimes not at all.
func (c *chaos) show(g *gate) {
	g.pending(func(e types.Epoch) {
		if !e.OwesPlants() || c.chance(5) {
			return
		}
		m := g.reveal(e.Number)
		m.Gateway = c.actor(g)
		if c.chance(5) && len(m.Plants) > 0 {
			m.Plants = slices.Delete(m.Plants, 0, 1)
		}
		try(c, "reveal plants", bind(c, c.msg.RevealPlants), m)
	}, types.EpochStatus_EPOCH_STATUS_DECIDED)
}
