package gateway

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/cantus-network/cantus/gateway/api"
	"github.com/cantus-network/cantus/work"
)

// cellsFor is how long an answer of the ledger's about the cells is used.
const cellsFor = 5 * time.Second

// cells remembers what the ledger says of the gateway's cells.
type cells struct {
	read func(context.Context) ([]work.Cell, error)

	mu   sync.Mutex
	at   time.Time
	list []api.Cell
}

// get is the newest list that is known; an old one is better than none.
func (c *cells) get(ctx context.Context) ([]api.Cell, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.read == nil {
		return []api.Cell{}, nil
	}
	if c.list != nil && time.Since(c.at) < cellsFor {
		return c.list, nil
	}
	all, err := c.read(ctx)
	if err != nil {
		if c.list != nil {
			return c.list, nil
		}
		return nil, fmt.Errorf("read the gateway's cells from the ledger: %w", err)
	}
	c.list, c.at = []api.Cell{}, time.Now()
	for _, x := range all {
		c.list = append(c.list, api.Cell{Name: x.Name, URL: x.URL})
	}
	return c.list, nil
}

func (g *Gateway) getCells(w http.ResponseWriter, r *http.Request) (any, error) {
	list, err := g.cells.get(r.Context())
	if err != nil {
		g.log.Warn("the cells are not known", "err", err)
		return nil, failf(http.StatusServiceUnavailable, "ledger", "the gateway can't reach the ledger at the moment: try again")
	}
	w.Header().Set("Cache-Control", "public, max-age=5")
	return list, nil
}
