package desk

import (
	"context"
	"fmt"

	"github.com/cantus-network/cantus/gateway"
	"github.com/cantus-network/cantus/kinds/crawl"
	"github.com/cantus-network/cantus/kinds/infer"
	"github.com/cantus-network/cantus/ledger/client"
)

// Beside is the desk of a gateway in this process, which sends its transactions by the named
// account. It is nil where the gateway sells nothing that contracts can ask for.
func Beside(ctx context.Context, c *client.Client, account string, gw *gateway.Gateway, cfg gateway.Config) (*Desk, error) {
	key := cfg.Key.Public()
	d := Config{Cell: cfg.Cell, Key: key, Scheduler: gw.Scheduler(), Artifacts: gw.Artifacts(), Log: cfg.Log, Metrics: cfg.Metrics}
	for _, k := range cfg.Kinds {
		switch k := k.(type) {
		case *infer.Kind:
			d.Models = k.Own(key)
		case *crawl.Kind:
			d.Pages = k.Own()
		}
	}
	if d.Models == nil && d.Pages == nil {
		return nil, nil
	}
	ledger, err := NewLedger(ctx, c, cfg.Address, account)
	if err != nil {
		return nil, fmt.Errorf("open the desk for contracts: %w", err)
	}
	d.Ledger = ledger
	return New(d)
}
