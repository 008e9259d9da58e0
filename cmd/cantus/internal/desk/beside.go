package desk

import (
	"context"
	"fmt"

	"github.com/cantus-network/cantus/gateway"
	"github.com/cantus-network/cantus/kinds/infer"
	"github.com/cantus-network/cantus/ledger/client"
)

// Beside is the desk of a gateway in this process, which sends its transactions by the named
// account. It is nil where the gateway does not sell inference.
func Beside(ctx context.Context, c *client.Client, account string, gw *gateway.Gateway, cfg gateway.Config) (*Desk, error) {
	var models *infer.Kind
	for _, k := range cfg.Kinds {
		if i, ok := k.(*infer.Kind); ok {
			models = i
		}
	}
	if models == nil {
		return nil, nil
	}
	ledger, err := NewLedger(ctx, c, cfg.Address, account)
	if err != nil {
		return nil, fmt.Errorf("open the desk for contracts: %w", err)
	}
	key := cfg.Key.Public()
	return New(Config{
		Cell: cfg.Cell, Key: key, Ledger: ledger, Scheduler: gw.Scheduler(), Models: models.Own(key), Artifacts: gw.Artifacts(),
		Log: cfg.Log, Metrics: cfg.Metrics,
	})
}
